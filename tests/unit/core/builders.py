"""What the tests of the pure machines are built from: short makers, and a floor on which the machines meet.

`Floor` folds one event and everything the machines tell each other because of it, as `bot.engine.fold` does in one
commit, and keeps what would go to the outbox. Nothing here runs anything: tests answer effects with events themselves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from bot.core import incident_machine, system_machine, target_machine
from bot.core.alert import Alert
from bot.core.effects import ObserveEvidence, OutboxEffect, PageOncall, ResolvePage, RunStep, Tell
from bot.core.events import (
    AlertFired,
    AlertResolved,
    ApprovalNeeded,
    Budget,
    Event,
    EvidenceObserved,
    IntentDeclared,
    StepNotSent,
    StepReport,
    StepShadowed,
    StepSucceeded,
    StepUnknown,
    StepUnneeded,
    TimerFired,
)
from bot.core.incident import Incident
from bot.core.orders import PolicyArmed, TargetFrozen
from bot.core.plan import Page, Plan, Rung, Step, Verify
from bot.core.record import Decision, Ignored, Timer, Transition
from bot.core.target import Target
from bot.core.words import SYSTEM_TARGET, Millis, target_id

START: Millis = 1_700_000_000_000
SECOND: Millis = 1_000
MINUTE: Millis = 60_000

E = TypeVar("E")


def alert(fingerprint: str = "a", *, starts: Millis = START, severity: str = "critical", **labels: str) -> Alert:
    """A firing alert named VaRBreach."""
    every = {"alertname": "VaRBreach", "severity": severity, "instance": fingerprint, **labels}
    return Alert(fingerprint=fingerprint, status="firing", labels=every, starts_at=starts)


def over(firing: Alert, ends: Millis | None = None) -> Alert:
    """The same alert, resolved."""
    return replace(firing, status="resolved", ends_at=ends if ends is not None else firing.starts_at + MINUTE)


def fired(firing: Alert, plan: Plan | None = None) -> AlertFired:
    return AlertFired(id=f"{firing.fingerprint}:{firing.starts_at}:firing", at=START, alert=firing, plan=plan)


def ended(firing: Alert) -> AlertResolved:
    return AlertResolved(id=f"{firing.fingerprint}:{firing.starts_at}:resolved", at=START, alert=over(firing))


def step(name: str = "cut", **changes: object) -> Step:
    """An automatic, absolute Kelly cut on the risk engine, verified within 90 s."""
    usual = Step(
        id=name, action="risk.reduce_kelly", component="risk-engine", arguments='{"kelly_fraction":0.1}', risk="safe",
        direction="lowers", delivery="absolute", automatic=True, guard="evidence.var > 1.8",
        verify=Verify(until="evidence.var < 1.6", within_ms=90 * SECOND, every_ms=5 * SECOND),
    )  # fmt: skip
    return replace(usual, **changes)  # type: ignore[arg-type]  # the fields are Step's own


def plan(*steps: Step, **changes: object) -> Plan:
    """A policy pinned; one Kelly cut unless other steps are given. No evidence of health is declared."""
    usual = Plan(
        policy="var-breach", system="trading-core", policy_hash="hash-1", mode="auto", channel="#trading",
        steps=steps or (step(),),
    )  # fmt: skip
    return replace(usual, **changes)  # type: ignore[arg-type]  # the fields are Plan's own


def rung(after: Millis, service: str, until: str = "acked") -> Rung:
    return Rung(after_ms=after, page=Page(service=service, severity="critical"), until=until)  # type: ignore[arg-type]


def blank(name: str = "inc-1") -> Incident:
    """An incident before its first alert."""
    return Incident(id=name, key=f"key-of-{name}", system="trading-core")


def fold_one(record: Incident | Target, event: Event, now: Millis) -> Transition[Incident] | Transition[Target]:
    """One event through the machine that owns the record."""
    if isinstance(record, Incident):
        return incident_machine.step(record, event, now)  # type: ignore[arg-type]  # total over every event
    machine = system_machine if record.id == SYSTEM_TARGET else target_machine
    return machine.step(record, event, now)  # type: ignore[arg-type]  # total over every event


class Floor:
    """All aggregates of one system, a clock that only tests move, and everything ever asked of the outside world."""

    def __init__(self, *, armed: Iterable[str] = ("var-breach",)) -> None:
        self.now: Millis = START
        self.records: dict[str, Incident | Target] = {}
        self.outbox: list[OutboxEffect] = []
        self.decisions: list[tuple[str, str, Decision]] = []
        for policy in armed:
            self.tell(SYSTEM_TARGET, PolicyArmed(id=f"arm/{policy}", at=self.now, by="demo-oncall", policy=policy))

    # --- folding ---------------------------------------------------------------------------------------------------

    def record(self, aggregate: str) -> Incident | Target:
        if aggregate not in self.records:
            fresh = Target(id=aggregate, system="trading-core") if aggregate.startswith("target:") else blank(aggregate)
            self.records[aggregate] = fresh
        return self.records[aggregate]

    def tell(self, to: str, event: Event) -> Decision:
        """Fold the event and all that follows from it; the last word on the event itself."""
        post: deque[tuple[str, Event]] = deque([(to, event)])
        verdict: Decision = Ignored("nothing took it")
        while post:
            aggregate, letter = post.popleft()
            transition = fold_one(self.record(aggregate), letter, self.now)
            self.decisions.append((aggregate, letter.kind, transition.decision))
            if letter.id == event.id:
                verdict = transition.decision
            if isinstance(transition.decision, Ignored):
                continue
            self.records[aggregate] = transition.record
            for effect in transition.effects:
                if isinstance(effect, Tell):
                    post.append((effect.to, effect.event))
                else:
                    self.outbox.append(effect)
        return verdict

    def wait(self, duration: Millis) -> None:
        """Let time pass; timers come due in order, each at its own time."""
        until = self.now + duration
        while (next_due := self._next_due(until)) is not None:
            aggregate, name, timer = next_due
            self.now = max(self.now, timer.due)
            self.tell(aggregate, TimerFired(id=f"timer/{timer.token}", at=self.now, name=name, token=timer.token))
            still = self.records[aggregate].timers.get(name)
            assert still is None or still.token != timer.token, f"{name} of {aggregate} came due and stayed armed"
        self.now = until

    def _next_due(self, until: Millis) -> tuple[str, str, Timer] | None:
        waiting = [
            (timer.due, aggregate, name, timer)
            for aggregate, record in self.records.items()
            for name, timer in record.timers.items()
            if timer.due <= until
        ]
        if not waiting:
            return None
        _, aggregate, name, timer = min(waiting, key=lambda one: one[:3])
        return aggregate, name, timer

    # --- what the world does ---------------------------------------------------------------------------------------

    def fire(self, firing: Alert, plan: Plan | None = None, *, to: str = "inc-1") -> Decision:
        return self.tell(to, fired(firing, plan))

    def end(self, firing: Alert, *, to: str = "inc-1") -> Decision:
        return self.tell(to, ended(firing))

    def freeze(self, target: str = SYSTEM_TARGET) -> Decision:
        event = TargetFrozen(
            id=f"freeze/{target}/{len(self.decisions)}", at=self.now, by="demo-oncall", reason="maintenance"
        )
        return self.tell(target, event)

    # --- what dispatch does ----------------------------------------------------------------------------------------

    def declare(self, run: RunStep, *, attempt: int = 1, budget: Budget | None = None) -> Decision:
        """Declare the intent of a run, as dispatch does right before it sends."""
        return self.tell(SYSTEM_TARGET, intent_of(run, self.now, attempt=attempt, budget=budget or Budget()))

    def report(self, run: RunStep, kind: type[StepReport], why: str = "as told", **more: object) -> Decision:
        return self.tell(run.incident, report_of(run, kind, self.now, why, **more))

    def succeed(self, run: RunStep) -> Decision:
        self.declare(run)
        return self.report(run, StepSucceeded, "kelly 0.25 -> 0.1", restore='{"kelly_fraction":0.25}')

    def observe(self, holds: bool | None, why: str = "var 1.2 < 1.6", asked: ObserveEvidence | None = None) -> Decision:
        """Answer the latest (or the given) request for evidence."""
        asked = asked or self.asked(ObserveEvidence)[-1]
        return self.tell(asked.incident, answer_of(asked, holds, self.now, why))

    # --- what a test looks at --------------------------------------------------------------------------------------

    def incident(self, name: str = "inc-1") -> Incident:
        record = self.record(name)
        assert isinstance(record, Incident)
        return record

    def target(self, name: str = "target:risk-engine") -> Target:
        record = self.record(name)
        assert isinstance(record, Target)
        return record

    def asked(self, kind: type[E]) -> list[E]:
        """Every effect of this kind so far, in order."""
        return [effect for effect in self.outbox if isinstance(effect, kind)]

    @property
    def runs(self) -> list[RunStep]:
        return self.asked(RunStep)

    @property
    def open_pages(self) -> set[str]:
        """Dedup keys that were paged and not taken back."""
        pages: set[str] = set()
        for effect in self.outbox:
            if isinstance(effect, PageOncall):
                pages.add(effect.dedup_key)
            elif isinstance(effect, ResolvePage):
                pages.discard(effect.dedup_key)
        return pages

    @property
    def calling(self) -> set[str]:
        """`incident:service` of every open page, without what makes each page's key its own."""
        return {key.rpartition(":")[0] for key in self.open_pages}


def intent_of(run: RunStep, now: Millis, *, attempt: int = 1, budget: Budget | None = None) -> IntentDeclared:
    return IntentDeclared(
        id=f"{run.id}/{attempt}", at=now, intent=run.id, incident=run.incident, episode=run.episode, step=run.step.id,
        action=run.step.action, target=target_id(run.step.component) if run.step.component else SYSTEM_TARGET,
        policy=run.plan.policy, policy_hash=run.plan.policy_hash, arguments=run.step.arguments, before="{}",
        direction=run.step.direction, delivery=run.step.delivery, fence=run.fence, attempt=attempt,
        deadline=now + 20 * SECOND, budget=budget or Budget(), approval=run.approval.id if run.approval else "",
        ordered=bool(run.ordered_by),
    )  # fmt: skip


def report_of(run: RunStep, kind: type[StepReport], now: Millis, why: str = "as told", **more: object) -> Event:
    made = kind(
        id=f"{run.id}/outcome", at=now, episode=run.episode, step=run.step.id, why=why, intent=run.id,
        arguments=run.step.arguments, **more,
    )  # type: ignore[arg-type]  # fmt: skip
    assert isinstance(made, OUTCOMES)
    return made


def answer_of(asked: ObserveEvidence, holds: bool | None, now: Millis, why: str = "as told") -> EvidenceObserved:
    return EvidenceObserved(
        id=f"{asked.id}/observed", at=now, episode=asked.episode, purpose=asked.purpose, token=asked.token,
        holds=holds, why=why,
    )  # fmt: skip


OUTCOMES = (StepSucceeded, StepUnneeded, StepShadowed, ApprovalNeeded, StepNotSent, StepUnknown)
HEALTHY = "evidence.var < 1.6"


def opened(made: Plan | None = None, *, armed: Iterable[str] = ("var-breach",)) -> Floor:
    """A floor with one incident, just opened by one critical alert."""
    floor = Floor(armed=armed)
    floor.fire(alert(), made or plan())
    return floor


def verifying(made: Plan | None = None) -> Floor:
    """A floor whose incident has acted and watches the effect."""
    floor = opened(made)
    floor.succeed(floor.runs[-1])
    assert floor.incident().status == "verifying"
    return floor


def mitigated(made: Plan | None = None) -> Floor:
    """A floor whose incident has done its plan while the alert still fires."""
    floor = verifying(made)
    floor.observe(True)
    assert floor.incident().status == "mitigated"
    return floor


def parked(made: Plan | None = None) -> Floor:
    """A floor whose incident waits for a human: its step was refused."""
    floor = opened(made)
    floor.declare(floor.runs[-1])
    floor.report(floor.runs[-1], StepNotSent, "the target refused: 409")
    assert floor.incident().status == "parked"
    return floor
