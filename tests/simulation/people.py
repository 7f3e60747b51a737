"""Humans of the simulated floor: they see what a replica shows them, click (twice, too late, after leaving), and
remember it.

Made by `floor`. One task looks once a second and lets each person react to what is new, by a mood that depends on the
seed, the person and the question only. What the API does between a click and the engine is done here the same way, in
the replica that happens to answer. `deeds` is the humans' own ledger: what they saw and did, whatever Andon made of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Final, Literal

from bot import ordering
from bot.core.events import Event
from bot.core.ids import incident_id
from bot.core.incident import Incident
from bot.core.orders import (
    ApprovalVoted,
    OperatorAcked,
    OperatorEscalated,
    OperatorHeld,
    OperatorResolved,
    OperatorTook,
    PolicyArmed,
    PolicyDisarmed,
    StepOrdered,
    TargetFrozen,
    TargetUnfrozen,
)
from bot.core.record import Applied, Decision, Denied, Ignored
from bot.core.words import SYSTEM_TARGET, AggregateId, Millis, target_id
from bot.errors import AndonError
from policies import approvals
from tests.simulation import policies_floor
from tests.simulation.replica import Seat, Unreachable

if TYPE_CHECKING:
    from tests.simulation.floor import Floor

SHARD: Final = policies_floor.SHARD
LOOK_S: Final = 1.0  # how often people look at what waits for them
Verb = Literal[
    "approve", "deny", "ack", "take", "escalate", "hold", "resolve", "freeze", "unfreeze", "disarm", "arm", "run"
]
QUICK: Final = ("demo-oncall", "demo-approver")  # who sit nearest, where people are willing
MOODS: Final = {  # how often they do what when they are asked something
    "usual": {"yes": 40, "twice": 12, "again": 8, "late": 8, "no": 10, "glass": 4, "regret": 6, "nothing": 12},
    "willing": {"yes": 60, "twice": 10, "again": 5, "late": 0, "no": 0, "glass": 0, "regret": 8, "nothing": 5},
}
Answer = Literal["applied", "ignored", "denied", "no answer", ""]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a person saw when they were asked: the question, and everything a yes is a yes to."""

    incident: AggregateId
    approval: str
    digest: str
    action: str
    component: str
    arguments: str
    before: str
    quorum: int
    expires_at: Millis  # wall time, by the clock of whoever asked
    requesters: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Deed:
    """One thing a person did. `at` is the click, `seen_at` when they saw what they decided on; true times."""

    at: Millis
    person: str
    verb: Verb
    id: str
    to: AggregateId
    seen_at: Millis = 0
    shown: Shown | None = None
    action: str = ""
    component: str = ""
    arguments: str = ""
    break_glass: bool = False
    answer: Answer = ""
    why: str = ""
    answered_at: Millis = 0


class Desk:
    """Everybody on the floor."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self.deeds: list[Deed] = []
        self._reacted: set[tuple[str, str]] = set()
        self._clicks = 0
        self.moods = MOODS[dict(floor.world.script.setup.floor).get("people", "usual")]
        self.busy = True  # until the trouble is over: then nobody begins anything new

    async def run(self) -> None:
        """Look once a second, and react to what is new."""
        while True:
            await asyncio.sleep(LOOK_S)
            if not self.busy:
                continue
            for incident in await self._look():
                for person in policies_floor.EVERYBODY:
                    self._react(person, incident)

    async def _look(self) -> list[Incident]:
        replica = self._floor.world.any_replica()
        if replica is None:
            return []
        try:
            lines = await replica.ask("look", lambda seat: seat.store.incidents(SHARD, closed=False, limit=50))
        except (Unreachable, AndonError):
            return []
        return [line.incident for line in lines]

    # --- moods ----------------------------------------------------------------------------------------------------

    def _react(self, person: str, incident: Incident) -> None:
        asked = incident.approval
        matter = asked.id if asked is not None else f"{incident.id}/{incident.episode}"
        if (person, matter) in self._reacted:
            return
        self._reacted.add((person, matter))
        mood = Random(f"{self._floor.world.seed}/{person}/{matter}")
        if asked is not None:
            self._decide(person, incident, mood)
        elif mood.random() < 0.12:
            verb: Verb = mood.choice(("ack", "ack", "take", "escalate", "hold", "resolve"))
            self.later(mood.uniform(0.5, 6), partial(self.say, person, verb, incident.id))

    def _decide(self, person: str, incident: Incident, mood: Random) -> None:
        shown, at = shown_by(incident), self._floor.now
        assert shown is not None
        kind = mood.choices(tuple(self.moods), weights=tuple(self.moods.values()))[0]
        hurried = self.moods is MOODS["willing"] and person in QUICK
        soon = mood.uniform(0.3, 1.0 if hurried else 4.0)
        if kind == "late":
            soon = max(0.5, (shown.expires_at - self._floor.world.wall) / 1_000 + mood.uniform(-0.5, 4.0))
        verb: Verb = "deny" if kind == "no" else "approve"
        glass = kind == "glass"
        if kind != "nothing":
            self.later(soon, partial(self.vote, person, verb, shown, at, glass=glass, twice=kind == "twice"))
        if kind == "again":
            self.later(soon + mood.uniform(0.2, 3.0), partial(self.vote, person, verb, shown, at))
        if kind == "regret":
            self.later(soon + mood.uniform(0.5, 3.0), partial(self.vote, person, "deny", shown, at))

    def later(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        """Do it after so many seconds."""

        async def wait() -> None:
            await asyncio.sleep(seconds)
            await work()

        self._floor.world.spawn("person", wait())

    # --- what people do -------------------------------------------------------------------------------------------

    async def vote(
        self, person: str, verb: Verb, shown: Shown, seen_at: Millis, *, glass: bool = False, twice: bool = False
    ) -> None:
        """A yes or a no to a question that was shown."""
        deed = self._deed(person, verb, shown.incident)
        deed.seen_at, deed.shown, deed.break_glass = seen_at, shown, glass
        copies = [self._click(deed, lambda seat: _vote(seat, deed)) for _ in range(2 if twice else 1)]
        await asyncio.gather(*copies)

    async def say(self, person: str, verb: Verb, incident: AggregateId) -> None:
        """Something about an incident."""
        deed = self._deed(person, verb, incident)
        await self._click(deed, lambda seat: seat.engine.tell(SHARD, incident, _order(deed, seat.clock.now())))

    async def freeze(self, person: str, component: str, *, lift: bool = False) -> None:
        """Automation off, for a component or ("") for all of the system; or on again."""
        to = target_id(component) if component else SYSTEM_TARGET
        deed = self._deed(person, "unfreeze" if lift else "freeze", to)
        await self._click(deed, lambda seat: seat.engine.tell(SHARD, to, _order(deed, seat.clock.now())))

    async def arm(self, person: str, policy: str, *, lift: bool = False) -> None:
        """A policy runs in shadow from now on; or acts again."""
        deed = self._deed(person, "arm" if lift else "disarm", SYSTEM_TARGET)
        deed.action = policy
        await self._click(deed, lambda seat: seat.engine.tell(SHARD, SYSTEM_TARGET, _order(deed, seat.clock.now())))

    async def order(self, person: str, action: str, component: str, arguments: dict[str, Any]) -> None:
        """`andon run`: one action by hand."""
        deed = self._deed(person, "run", "")
        deed.action, deed.component = action, component
        deed.to = incident_id(SHARD, f"order:{deed.id}", deed.id)
        await self._click(deed, lambda seat: self._run(seat, deed, arguments))

    async def _run(self, seat: Seat, deed: Deed, arguments: dict[str, Any]) -> Decision:
        now, loaded = seat.clock.now(), self._floor.loaded()
        plan = ordering.plan(
            policies_floor.catalogue(), loaded.targets, seat.engine.book.people, system=SHARD, action=deed.action,
            component=deed.component, arguments=arguments, reason="by hand", now=now,
        )  # fmt: skip
        deed.arguments = plan.steps[0].arguments
        event = StepOrdered(
            id=deed.id, at=now, key=f"order:{deed.id}", plan=plan, severity="critical", by=deed.person, reason="by hand"
        )
        return await seat.engine.tell(SHARD, deed.to, event)

    def _deed(self, person: str, verb: Verb, to: AggregateId) -> Deed:
        self._clicks += 1
        deed = Deed(at=self._floor.now, person=person, verb=verb, id=f"op/{person}/click-{self._clicks:04}", to=to)
        self.deeds.append(deed)
        return deed

    async def _click(self, deed: Deed, act: Callable[[Seat], Awaitable[Decision]]) -> None:
        """Send it to whichever replica lives; what comes back is kept. No answer: once more, as the CLI would."""
        world = self._floor.world
        about = deed.shown.approval if deed.shown is not None else f"{deed.action} {deed.component}".strip()
        world.trace.note(deed.person, deed.verb, f"{about} {deed.to} {deed.id.rpartition('/')[2]}".strip())
        for _ in range(2):
            replica = world.any_replica()
            if replica is None:
                await asyncio.sleep(LOOK_S)
                continue
            try:
                decision = await replica.ask(deed.verb, act)
            except (Unreachable, AndonError) as error:
                deed.answer, deed.why = deed.answer or "no answer", deed.why or f"{type(error).__name__}: {error}"
                await asyncio.sleep(LOOK_S)
                continue
            if deed.answer != "applied":
                deed.answer, deed.why = _answer(decision)
                deed.answered_at = self._floor.now
            world.trace.note(deed.person, f"hears: {deed.answer}", deed.why[:160])
            return


def shown_by(incident: Incident) -> Shown | None:
    """What the card of an incident shows."""
    asked, plan = incident.approval, incident.plan
    if asked is None or plan is None:
        return None
    step = next(step for step in plan.steps if step.id == asked.step)
    return Shown(
        incident=incident.id, approval=asked.id, digest=asked.terms.digest, action=step.action,
        component=step.component, arguments=asked.arguments, before=asked.before, quorum=asked.terms.quorum,
        expires_at=asked.terms.expires_at, requesters=asked.terms.requesters,
    )  # fmt: skip


async def _vote(seat: Seat, deed: Deed) -> Decision:
    """As `bot.adapters.http_decisions` does: who may decide is looked up at the click and travels in the event."""
    shown = deed.shown
    assert shown is not None  # only votes come here
    stored = (await seat.store.load(SHARD, [shown.incident])).get(shown.incident)
    if stored is None or not isinstance(stored.record, Incident):
        return Denied("no such incident")
    incident, refusal = stored.record, ""
    asked, reason = incident.approval or incident.granted, "it cannot wait" if deed.break_glass else ""
    if asked is not None and incident.plan is not None:
        step = replace(incident.plan.steps[incident.cursor], risk=asked.terms.risk, break_glass=asked.terms.break_glass)
        refusal = approvals.refusal(
            seat.engine.book.people, SHARD, step, deed.person, asked.terms.requesters,
            break_glass=deed.break_glass, reason=reason, deny=deed.verb == "deny",
        )  # fmt: skip
    event = ApprovalVoted(
        id=deed.id, at=seat.clock.now(), by=deed.person, approval=shown.approval, digest=shown.digest,
        verdict="deny" if deed.verb == "deny" else "approve", reason=reason, break_glass=deed.break_glass,
        refusal=refusal,
    )  # fmt: skip
    return await seat.engine.tell(SHARD, shown.incident, event)


def _order(deed: Deed, now: Millis) -> Event:
    """The event that a plain order becomes."""
    match deed.verb:
        case "ack":
            return OperatorAcked(id=deed.id, at=now, by=deed.person)
        case "take":
            return OperatorTook(id=deed.id, at=now, by=deed.person)
        case "escalate":
            return OperatorEscalated(id=deed.id, at=now, by=deed.person)
        case "hold":
            return OperatorHeld(id=deed.id, at=now, by=deed.person, for_ms=5_000)
        case "resolve":
            return OperatorResolved(id=deed.id, at=now, by=deed.person, force=True)
        case "freeze":
            return TargetFrozen(id=deed.id, at=now, by=deed.person, reason="hands off", until=now + 10_000)
        case "unfreeze":
            return TargetUnfrozen(id=deed.id, at=now, by=deed.person)
        case "disarm":
            return PolicyDisarmed(id=deed.id, at=now, by=deed.person, policy=deed.action)
        case "arm":
            return PolicyArmed(id=deed.id, at=now, by=deed.person, policy=deed.action)
        case _:
            raise AssertionError(f"{deed.verb} is no plain order")


def _answer(decision: Decision) -> tuple[Answer, str]:
    match decision:
        case Applied(why=why):
            return "applied", why
        case Ignored(reason=why):
            return "ignored", why
        case Denied(reason=why):
            return "denied", why
