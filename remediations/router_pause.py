"""`router.pause`: stop the model router from switching (trading-core runbook, "Excessive Model Switching", row T1).

Run by the engine's step activity. A pause freezes whichever model is in force at that moment, so the card names it,
and the read-back names what was frozen in truth: between the two the router may have switched once more. For the same
reason an approval is bound to the router running, not to its model: at 20 switches a minute no yes would come in time.
A pause is undone by `router.resume` only, which a person must want. Where a router has no API, see
`router.pause_by_signal`.
"""

from __future__ import annotations

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
    canonical,
    parse,
)
from remediations.router_state import Router

PATH = "/api/router/pause"  # trading-core runbook, "Excessive Model Switching", immediate action 2

SPEC = ActionSpec(
    name="router.pause",
    summary="Pause the model router: the models in force stay, nothing switches.",
    delivery="absolute",
    risk="safe",
    direction="lowers",
    role="router",
    pins=("router",),
    undo="router.resume",
    source="T1",
)


class RouterPauseParams(Params):
    """Why, in words the router keeps."""

    reason: Annotated[Text, Field(description="Kept by the router beside its owner, where it keeps one.")]


class RouterPause:
    """The action; it keeps nothing between calls."""

    async def inspect(self, context: ActionContext, arguments: JsonText) -> Inspection:
        """Whether it runs, and which model a pause would freeze."""
        asked = parse(RouterPauseParams, arguments)
        router = await router_state.look(context)
        if isinstance(router, CannotTell):
            return router
        before = canonical(router.view)
        if not router.running:
            return AlreadySo(before, f"the router is paused already, {router.by_whom}")
        wanted = {"router": "paused", "frozen": router.model or router_state.UNNAMED}
        if router.names_owner:
            wanted["owner"] = router_state.OWNER
        target = context.targets.http(context.system, context.component)
        return Proceed(
            before=before,
            wanted=canonical(wanted),
            arguments=canonical(asked.model_dump()),
            restore=canonical({"router": "running"}),
            by_hand=router_state.by_hand(target, PATH, router, asked.reason),
            ask=_unnamed(router),
        )

    async def send(self, context: ActionContext, proceed: Proceed) -> None:
        """One request, if it still runs. Raises NotSent when somebody has paused it meanwhile."""
        asked = parse(RouterPauseParams, proceed.arguments)
        router = await router_state.look(context)
        if isinstance(router, CannotTell):
            raise NotSent(router.why)
        if not router.running:
            raise NotSent(f"the router was paused meanwhile, {router.by_whom}")
        target = context.targets.http(context.system, context.component)
        body = router_state.body(router, asked.reason)
        await target.send("POST", PATH, body, idempotency_key=context.intent, fence=context.fence)

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        """Whether it is paused now, by whom, and what that froze. Whether switching ends is the policy's to verify."""
        router = await router_state.look(context)
        if isinstance(router, CannotTell):
            return ReadBack("{}", None, router.why)
        after = canonical(router.view)
        if router.running:
            return ReadBack(after, False, "the router still runs")
        why = f"the router is paused, {router.by_whom}; frozen: {router.view['frozen']}"
        return ReadBack(after, True, why)


def _unnamed(router: Router) -> str:
    """Why a person should look: the model can usually be read, and cannot now."""
    if router.names_model and not router.model:
        return f"the model that a pause would freeze cannot be read: {router.no_model}"
    return ""


ENTRY = Entry(
    spec=SPEC,
    params=RouterPauseParams,
    action=RouterPause,
    example={"reason": "more than 20 model switches a minute"},
    refuses={"its state reads oddly": "the router's state reads 'odd', which is neither running nor paused"},
    needs=lambda _: (f"POST {PATH}",),
)
