"""What a model router says about itself: running or paused, which models are in force, who paused it.

Read by `router.pause` and `router.resume` through the component's `read:` entries `router`, `model` and `owner`. Only
`router` must be there. A router without `owner` is paused the way the runbook does it, by a bare request: who paused it
cannot be told afterwards, and whatever depends on that asks a person.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

from remediations.kit import ActionContext, CannotTell, HttpTarget, JsonText, TargetError, canonical

OWNER = "andon"  # whom Andon names when it pauses
PERSON = "YOUR-NAME"  # in the place of the owner, in what people are shown; sent as it is, it is still not Andon's
NOBODY, NOTHING, UNNAMED = "nobody", "nothing", "a model that the router does not name"


@dataclass(frozen=True, slots=True)
class Router:
    """One look at it. `model` and `owner` are "" where they could not be read, `no_model`/`no_owner` say why.

    `names_owner` and `names_model`: targets.yaml says where these are read, so the router has a place for them.
    """

    running: bool
    model: str
    owner: str
    names_model: bool
    names_owner: bool
    no_model: str = ""
    no_owner: str = ""

    @property
    def word(self) -> str:
        return "running" if self.running else "paused"

    @property
    def view(self) -> dict[str, str]:
        """Its state as cards, pins and the audit show it; `frozen` is what a pause keeps in force."""
        seen = {"router": self.word, "frozen": NOTHING if self.running else self.model or UNNAMED}
        if self.names_model:
            seen["model"] = self.model or UNNAMED
        if self.names_owner:
            seen["owner"] = self.owner or NOBODY
        return seen

    @property
    def by_whom(self) -> str:
        """Who paused it, as the end of a sentence."""
        if self.owner:
            return f"by {'Andon' if self.owner == OWNER else self.owner}"
        return f"by whom cannot be told ({self.no_owner})"


async def look(context: ActionContext) -> Router | CannotTell:
    """The router now, or why that cannot be told."""
    try:
        reads = context.targets.component(context.system, context.component).reads
    except TargetError as error:
        return CannotTell(str(error))
    router, model, owner = await asyncio.gather(
        *(
            context.targets.read_field(context.system, context.component, field, context.now)
            for field in ("router", "model", "owner")
        )
    )
    if router.error or router.value is None:
        return CannotTell(f"whether the router runs cannot be read: {router.error or 'no value'}")
    if router.value not in ("running", "paused"):
        return CannotTell(f"the router's state reads {str(router.value)[:40]!r}, which is neither running nor paused")
    return Router(
        running=router.value == "running",
        model="" if model.value is None or model.error else str(model.value),
        owner="" if owner.value is None or owner.error else str(owner.value),
        names_model="model" in reads,
        names_owner="owner" in reads,
        no_model=model.error,
        no_owner=owner.error,
    )


def difference(router: Router, earlier: JsonText) -> str:
    """What differs from an earlier view, or ""."""
    was, now = json.loads(earlier), router.view
    named = {"router": "it", "owner": "its owner", "model": "its model"}
    names = [name for name in named if name in was and name in now and was[name] != now[name]]
    return ", ".join(f"{named[name]} went from {was[name]} to {now[name]}" for name in names)


def body(router: Router, reason: str, owner: str = OWNER) -> str:
    """What is sent with a pause or resume: owner and reason where the router has a place for them, else nothing."""
    return canonical({"owner": owner, "reason": reason}) if router.names_owner else ""


def by_hand(target: HttpTarget, path: str, router: Router, reason: str) -> str:
    """The command for a person, who puts their own name into it: what bears Andon's counts as Andon's."""
    return target.by_hand("POST", path, body(router, reason, PERSON))
