"""`router.resume`: let the model router switch again, and only after a pause of Andon's own (row T1).

Run by the engine's step activity, mostly as the errand that asks a person when a pause's lease is over. It raises
exposure, so a person always decides. It is refused where the router was paused by somebody else, or where anything of
what Andon left (its state, owner, frozen model) is different now: then people have had a hand in it, and it is theirs.
Where nothing tells what Andon left, people are told so. That the cause is gone cannot be seen while nothing switches;
what still fires is said, and if it was not mended, the alert comes back and the router is paused again.
"""

from __future__ import annotations

import json
from typing import Annotated

from remediations import router_state
from remediations.kit import (
    ActionContext,
    ActionSpec,
    AlreadySo,
    CannotTell,
    Entry,
    Field,
    Inspection,
    JsonText,
    NotSent,
    Params,
    Proceed,
    ReadBack,
    Text,
    Unfit,
    canonical,
    parse,
)
from remediations.router_state import OWNER, Router

PATH = "/api/router/resume"  # the counterpart of the runbook's /api/router/pause
MAX_NAMED = 3  # alerts named in a reason; the incident lists all

SPEC = ActionSpec(
    name="router.resume",
    summary="Let the model router switch again after a pause of Andon's own.",
    delivery="absolute",
    risk="risky",
    direction="raises",
    role="router",
    pins=("router", "model", "owner"),
    undo="router.pause",
    source="T1",
)


class RouterResumeParams(Params):
    """Why, in words the router keeps."""

    reason: Annotated[Text, Field(description="Kept by the router beside its owner, where it keeps one.")]


class RouterResume:
    """The action; it keeps nothing between calls."""

    async def inspect(self, context: ActionContext, arguments: JsonText) -> Inspection:
        """Whether it is paused, and whether that is still Andon's pause."""
        asked = parse(RouterResumeParams, arguments)
        router = await router_state.look(context)
        if isinstance(router, CannotTell):
            return router
        before = canonical(router.view)
        if router.running:
            return AlreadySo(before, "the router is running already")
        if router.names_model and not router.model:
            return CannotTell(f"which model is frozen cannot be read: {router.no_model}")
        foreign = _foreign(router, context.left)
        if foreign:
            return Unfit(foreign, before)
        target = context.targets.http(context.system, context.component)
        return Proceed(
            before=before,
            wanted=canonical({"router": "running", "frozen": router_state.NOTHING}),
            arguments=canonical(asked.model_dump()),
            by_hand=router_state.by_hand(target, PATH, router, asked.reason),
            ask="; ".join(part for part in (_untold(router, context.left), _still_firing(context)) if part),
        )

    async def send(self, context: ActionContext, proceed: Proceed) -> None:
        """One request, if everything is as it was looked at. Raises NotSent when somebody changed it meanwhile."""
        asked = parse(RouterResumeParams, proceed.arguments)
        router = await router_state.look(context)
        if isinstance(router, CannotTell):
            raise NotSent(router.why)
        changed = "the router runs" if router.running else router_state.difference(router, proceed.before)
        if changed:
            raise NotSent(f"meanwhile {changed}")
        target = context.targets.http(context.system, context.component)
        body = router_state.body(router, asked.reason)
        await target.send("POST", PATH, body, idempotency_key=context.intent, fence=context.fence)

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        """Whether it runs now."""
        router = await router_state.look(context)
        if isinstance(router, CannotTell):
            return ReadBack("{}", None, router.why)
        why = "the router runs" if router.running else f"the router is paused, {router.by_whom}"
        return ReadBack(canonical(router.view), router.running, why)


def _foreign(router: Router, left: JsonText) -> str:
    """Why this pause is not Andon's to end, or ""."""
    if router.owner and router.owner != OWNER:
        return f"the router was paused by {router.owner}, not by Andon; who paused it resumes it"
    changed = router_state.difference(router, left)
    if changed:
        return f"since Andon paused the router, {changed}; whoever did that resumes it"
    return ""


def _untold(router: Router, left: JsonText) -> str:
    """What a person must know that Andon cannot: nothing shows whose pause this is, or what was changed since."""
    was = json.loads(left)
    if not router.owner and not was:
        return f"the router is paused, {router.by_whom}, and nothing shows that it was Andon"
    unsaid = [name for name in ("router", "model", "owner") if name in router.view and name not in was]
    if unsaid:
        return f"nothing tells the {' and '.join(unsaid)} that Andon left, so what people changed since cannot be told"
    if not router.owner:
        return f"the router is as Andon left it, but {router.by_whom}, so nobody else's pause can be told from Andon's"
    return ""


def _still_firing(context: ActionContext) -> str:
    """The alerts that have not ended: the cause is then not gone."""
    names = sorted({a.labels.get("alertname", "") for a in context.alerts if a.status == "firing"} - {""})
    return f"{', '.join(names[:MAX_NAMED])} still fires, so the cause is not gone" if names else ""


ENTRY = Entry(
    spec=SPEC,
    params=RouterResumeParams,
    action=RouterResume,
    example={"reason": "the routing rule was mended"},
    refuses={
        "somebody else paused it": "the router was paused by ops, not by Andon; who paused it resumes it",
        "it was changed since": "since Andon paused the router, its model went from …; whoever did that resumes it",
    },
    needs=lambda _: (f"POST {PATH}",),
)
