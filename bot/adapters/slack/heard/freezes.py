"""Where automation is off, and what its end would let loose: nobody lifts what they have not seen.

Used by `clicks`, `commands` and `submissions`; `lift_modals` renders it. The look is bounded, and without it there is
no button: what is let loose acts at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from bot.adapters.desk import Order, Outcome, must_act
from bot.adapters.http_lookup import targets_of, the_component, the_shard
from bot.adapters.http_services import Services
from bot.adapters.slack.cards.phrases import place
from bot.adapters.slack.cards.text import utc
from bot.adapters.slack.heard.person import Show
from bot.adapters.slack.heard.stopping import LOOK_SECONDS, look
from bot.adapters.slack.pages import lift_modals
from bot.adapters.slack.pages.forms import UnfreezeForm, mark
from bot.adapters.slack.pages.lift_modals import Lifted
from bot.adapters.slack.pages.stop_modals import Stopped, steps_of
from bot.core import lifts
from bot.core.plan import Step
from bot.core.record import Denied
from bot.core.target import Target
from bot.core.words import SYSTEM_TARGET, AggregateId
from bot.errors import InputError


async def frozen(services: Services) -> dict[str, str]:
    """`SYSTEM|COMPONENT` of all where automation is off, and by whom and why."""
    found: dict[str, str] = {}
    for shard in services.shards:
        for aggregate, target in (await targets_of(services, shard)).items():
            why = _in_short(target)
            if why:
                found[f"{shard}|{_component(aggregate)}"] = why
    return found


def _in_short(target: Target) -> str:
    """Why automation is off there, where a list has room for a few words; "" where it is on."""
    if target.freeze is not None:
        return f"{target.freeze.by}: {target.freeze.reason}"
    if target.doubts:
        by, doubt = min(target.doubts.items())
        return f"{by} found that {doubt.why}"
    return "its budget of automatic actions is used up" if target.tripped_at is not None else ""


async def must_be_as_chosen(services: Services, form: UnfreezeForm) -> None:
    """Raises InputError where another freeze is in force than the one that was chosen from the list."""
    now = (await frozen(services)).get(f"{form.system}|{form.component}")
    if form.seen and now is not None and mark(now) != form.seen:
        raise InputError("where", f"is frozen anew since this form was opened, by {now}; open the form again")


async def before_lifting(services: Services, order: Order, form: UnfreezeForm, done: str = "") -> Show:
    """The page with the button. Raises InputError for what there is not, Unwelcome for who may only look.

    `done`: what came of the button, where something was stopped anew while it was done.
    """
    must_act(services, order.person)
    return Show(lift_modals.preview(form, await _looked(services, form), done))


async def seen_as_shown(services: Services, form: UnfreezeForm) -> Sequence[str]:
    """The marks of what stops automation there, where this person saw all that would be let loose now.

    Empty, where they are to be shown it first. The machines lift nothing that has no mark here.
    """
    if form.shown is None:
        return ()
    found = await _looked(services, form)
    return found.seen if found is not None and lift_modals.is_as_shown(found, form.shown) else ()


def stopped_anew(outcomes: Sequence[Outcome]) -> bool:
    """Whether something was not lifted because it was not seen."""
    return any(isinstance(decision, Denied) and decision.reason.startswith(lifts.UNSEEN) for _, _, decision in outcomes)


async def _looked(services: Services, form: UnfreezeForm) -> Lifted | None:
    shards = [the_shard(services, form.system)] if form.system else list(services.shards)
    component = the_component(services, shards[0], form.component) if form.component else ""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await _lifted(services, shards, component)
    except TimeoutError:
        return None


async def _lifted(services: Services, shards: Sequence[str], component: str) -> Lifted:
    off, still, seen = list[str](), list[str](), list[str]()
    for shard in shards:
        for aggregate, target in (await targets_of(services, shard)).items():
            at = f"{shard}|{_component(aggregate)}"
            if _component(aggregate) == component:
                off += [f"{place(at)} {reason}" for reason in _reasons(target)]
                seen += lifts.marks(target)
            elif target.freeze is not None or target.doubts:
                still.append(at)
    found = await look(services, shards, component)
    return Lifted(off=off, still=still, loose=_without(found, frozenset(still)), seen=seen)


def _component(aggregate: AggregateId) -> str:
    return "" if aggregate == SYSTEM_TARGET else aggregate.removeprefix("target:")


def _reasons(target: Target) -> Iterator[str]:
    """All that one order lifts there: a freeze, a doubt about the store, a budget that is used up."""
    if target.freeze is not None:
        yield f"is frozen by {target.freeze.by} since {utc(target.freeze.since)}: {target.freeze.reason}"
    for by, doubt in sorted(target.doubts.items()):
        yield f"is stopped since {utc(doubt.since)}: {by} found that {doubt.why}"
    if target.tripped_at is not None:
        yield f"only suggests since {utc(target.tripped_at)}: it has used up its budget of automatic actions"


def _without(found: Stopped, still: frozenset[str]) -> Stopped:
    """What of it nothing else holds back."""

    def free(system: str, steps: Sequence[Step]) -> list[Step]:
        return [step for step in steps if not {f"{system}|", f"{system}|{step.component}"} & still]

    pending = [(incident, free(incident.system, steps)) for incident, steps in found.pending]
    return Stopped(
        pending=[(incident, steps) for incident, steps in pending if steps],
        armed=[plan for plan in found.armed if free(plan.system, steps_of(plan))],
        cut=found.cut,
    )
