"""The machines together under hostile weather: random alerts, copies, reorderings, slow dispatchers and freezes.

Hypothesis plays the world against `Floor`. A run that declared its intent ends in one outcome, told any number of
times; everything else may come in any order and any number of times. After every event the laws are checked.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pydantic import TypeAdapter

from bot.core.effects import ObserveEvidence, RunStep
from bot.core.events import (
    AlertFired,
    AlertResolved,
    ApprovalNeeded,
    Event,
    IntentDeclared,
    StepNotSent,
    StepShadowed,
    StepSucceeded,
    StepUnknown,
    StepUnneeded,
    TimerFired,
)
from bot.core.incident import Incident
from bot.core.orders import (
    OperatorAcked,
    OperatorResolved,
    PolicyArmed,
    PolicyDisarmed,
    TargetFrozen,
    TargetUnfrozen,
)
from bot.core.plan import Verify
from bot.core.record import Applied
from bot.core.target import Target
from bot.core.words import SYSTEM_TARGET
from tests.unit.core.builders import (
    HEALTHY,
    MINUTE,
    SECOND,
    START,
    Floor,
    alert,
    answer_of,
    ended,
    fired,
    intent_of,
    plan,
    report_of,
    rung,
    step,
)

NAMES = ("inc-1", "inc-2", "inc-3")
_SHORT = Verify(until=HEALTHY, within_ms=20 * SECOND, every_ms=5 * SECOND)
PLANS = {
    "inc-1": plan(step(verify=_SHORT, on_failure="continue"), step("more", cooldown_ms=MINUTE), healthy=HEALTHY),
    "inc-2": plan(step(cooldown_ms=30 * SECOND, verify=None), severity="warning", ladder=(rung(MINUTE, "pm"),)),
    "inc-3": plan(step(direction="neutral", verify=_SHORT), step("say", component="", verify=None)),
}
SENT = (StepSucceeded, StepNotSent, StepUnknown)
UNSENT = (StepUnneeded, StepShadowed, ApprovalNeeded, StepNotSent)
TARGETS = (SYSTEM_TARGET, "target:risk-engine")
CHANCE = st.integers(0, 10_000)
INCIDENTS, COMPONENTS = TypeAdapter(Incident), TypeAdapter(Target)


class Weather(RuleBasedStateMachine):
    """The world against three incidents that share a component."""

    @initialize()
    def begin(self) -> None:
        self.floor = Floor()
        self.sent: list[tuple[str, Event]] = []
        self.held: list[tuple[str, Event]] = []  # on its way, and overtaken
        self.declared: set[str] = set()  # runs whose intent was taken
        self.outcome: dict[str, Event] = {}
        self.firing: dict[tuple[str, str], tuple[int, bool]] = {}  # (incident, fingerprint) -> (startsAt, fires)
        self.seen = 0

    # --- what the world does --------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES), fingerprint=st.sampled_from("ab"), flap=st.integers(0, 3),
          over=st.sampled_from([False, False, True]), severity=st.sampled_from(["critical", "warning"]),
          held=st.sampled_from([False, False, False, True]))  # fmt: skip
    def an_alert_comes(self, name: str, fingerprint: str, flap: int, over: bool, severity: str, held: bool) -> None:
        one = alert(fingerprint, starts=START + flap * MINUTE, severity=severity)
        event: Event = ended(one) if over else fired(one, PLANS[name])
        if held:
            self.held.append((name, event))
        else:
            self._tell(name, event)

    @rule(name=st.sampled_from(NAMES))
    def what_fires_ends(self, name: str) -> None:
        for one in self.floor.incident(name).firing:
            self._tell(name, ended(one))

    @rule(chance=CHANCE)
    def what_was_held_up_comes(self, chance: int) -> None:
        if self.held:
            self._tell(*self.held.pop(chance % len(self.held)))

    @rule(chance=CHANCE)
    def something_old_comes_again(self, chance: int) -> None:
        again = [one for one in self.sent if not isinstance(one[1], IntentDeclared)]
        if again:
            self._tell(*again[chance % len(again)])

    @rule(name=st.sampled_from(NAMES), force=st.booleans(), ack=st.booleans())
    def a_person_speaks(self, name: str, force: bool, ack: bool) -> None:
        number, now = len(self.sent), self.floor.now
        if ack:
            self._tell(name, OperatorAcked(id=f"ack/{number}", at=now, by="demo-oncall"))
        else:
            self._tell(name, OperatorResolved(id=f"resolve/{number}", at=now, by="demo-oncall", force=force))

    @rule(where=st.sampled_from(TARGETS), off=st.sampled_from(["", "", "", "frozen", "disarmed"]))
    def automation_is_switched(self, where: str, off: str) -> None:
        number, now = len(self.sent), self.floor.now
        if off == "frozen":
            self._tell(where, TargetFrozen(id=f"freeze/{number}", at=now, by="demo-oncall", reason="drill"))
        elif off == "disarmed":
            self._tell(
                SYSTEM_TARGET,
                PolicyDisarmed(id=f"disarm/{number}", at=now, by="demo-oncall", policy="var-breach"),
            )
        else:
            self._tell(SYSTEM_TARGET, PolicyArmed(id=f"arm/{number}", at=now, by="demo-oncall", policy="var-breach"))
            for target in TARGETS:
                self._tell(target, TargetUnfrozen(id=f"unfreeze/{number}", at=now, by="demo-oncall"))

    @rule(chance=CHANCE, kind=st.integers(0, 3))
    def a_dispatcher_works(self, chance: int, kind: int) -> None:
        if self.floor.runs:
            self._dispatch(self.floor.runs[-1 - chance % min(4, len(self.floor.runs))], kind)

    @rule(name=st.sampled_from(NAMES), kind=st.sampled_from([0, 0, 1, 2, 3]))
    def an_incidents_run_is_worked_off(self, name: str, kind: int) -> None:
        current = [run for run in self.floor.runs if run.id == self.floor.incident(name).run]
        for run in current:
            self._dispatch(run, kind)
            self._dispatch(run, kind)

    @rule(
        name=st.sampled_from(NAMES), old=st.sampled_from([0, 0, 0, 1]), holds=st.sampled_from([True, True, False, None])
    )
    def evidence_comes(self, name: str, old: int, holds: bool | None) -> None:
        asked = [one for one in self.floor.asked(ObserveEvidence) if one.incident == name]
        for one in asked[-1 - old :][:1]:
            self._tell(name, answer_of(one, holds, self.floor.now))

    @rule(duration=st.sampled_from([1 * SECOND, 5 * SECOND, 30 * SECOND, 3 * MINUTE, 40 * MINUTE]))
    def time_passes(self, duration: int) -> None:
        self.floor.wait(duration)

    @rule(duration=st.sampled_from([1 * SECOND, 30 * SECOND, 10 * MINUTE]))
    def the_sweeper_is_away(self, duration: int) -> None:
        self.floor.now += duration

    def _dispatch(self, run: RunStep, kind: int) -> None:
        """First the intent (where it may act), then one outcome, which stays the outcome."""
        if run.id in self.outcome:
            self._tell(run.incident, self.outcome[run.id])
        elif run.id not in self.declared and run.disposition == "act" and kind != 3:
            intent = intent_of(run, self.floor.now)
            if isinstance(self._tell(SYSTEM_TARGET, intent), Applied):
                self.declared.add(run.id)
        else:
            kinds = SENT if run.id in self.declared else UNSENT
            self.outcome[run.id] = report_of(run, kinds[kind % len(kinds)], self.floor.now)
            self._tell(run.incident, self.outcome[run.id])

    def _tell(self, to: str, event: Event) -> object:
        if isinstance(event, AlertFired | AlertResolved):
            self._watch(to, event)
        decision = self.floor.tell(to, event)
        if isinstance(event, OperatorResolved) and isinstance(decision, Applied):
            self.firing = {key: (at, fires and key[0] != to) for key, (at, fires) in self.firing.items()}
        self.sent.append((to, event))
        self._nothing_happens_twice(to, event)
        return decision

    def _watch(self, to: str, event: AlertFired | AlertResolved) -> None:
        """An independent memory of what fires, by the law: never older than known, dismissed until it fires anew."""
        state = self.floor.incident(to).alerts.get(event.alert.fingerprint)
        key, starts = (to, event.alert.fingerprint), event.alert.starts_at
        known, _ = self.firing.get(key, (-1, False))
        dismissed = state is not None and state.dismissed and starts == known
        if self.floor.incident(to).status == "closed" or starts < known or dismissed:
            return
        if isinstance(event, AlertFired):
            self.firing[key] = (starts, True)
        elif state is not None and state.firing:
            self.firing[key] = (starts, False)

    def _nothing_happens_twice(self, to: str, event: Event) -> None:
        """Folding any event twice in a row runs nothing, pages nobody and takes no second intent."""
        if isinstance(event, TimerFired | IntentDeclared):
            return  # told apart by token and attempt; `test_tables` folds each twice
        before = len(self.floor.runs), len([e for e in self.floor.outbox if e.kind == "page_oncall"])
        self.floor.tell(to, event)
        assert before == (len(self.floor.runs), len([e for e in self.floor.outbox if e.kind == "page_oncall"])), event

    # --- the laws -------------------------------------------------------------------------------------------------

    @invariant()
    def the_slot_is_held_by_who_acts_under_its_fence(self) -> None:
        """No slot is ever left behind, and nobody waits in a queue without waiting for it."""
        target = self.floor.target()
        if target.slot is not None:
            holder = self.floor.incident(target.slot.incident)
            assert (holder.status, holder.fence) == ("acting", target.slot.fence)
            assert holder.run
        for request in target.queue:
            waiting = self.floor.incident(request.incident)
            assert (waiting.status, waiting.run, waiting.episode) == ("acting", "", request.episode)
        assert len({request.incident for request in target.queue}) == len(target.queue)
        if target.queue:
            assert target.slot is not None or "queue" in target.timers

    @invariant()
    def who_waits_for_a_turn_will_get_one(self) -> None:
        """An acting incident runs or stands in the queue; nobody waits for an answer that will never come."""
        queued = {request.incident for request in self.floor.target().queue}
        for incident in self._incidents():
            if incident.status == "acting":
                assert incident.run or incident.id in queued

    @invariant()
    def no_fence_is_granted_twice(self) -> None:
        """At most one acting run under each fence of the component."""
        acting = Counter(run.fence for run in self.floor.runs if run.disposition == "act" and run.step.component)
        assert all(count == 1 for count in acting.values())

    @invariant()
    def no_action_is_sent_twice_in_one_episode(self) -> None:
        """However often it was looked at, one intent at most was taken for a step of an episode."""
        runs = Counter((r.incident, r.episode, r.step.id) for r in self.floor.runs if r.id in self.declared)
        assert all(count == 1 for count in runs.values())

    @invariant()
    def what_fires_is_known_to_fire(self) -> None:
        """No alert is lost: unless closed, an incident with a firing alert is neither resolved nor unaware of it."""
        for incident in self._incidents():
            if incident.status == "closed" or not incident.episode:
                continue
            remembered = {key[1] for key, (_, fires) in self.firing.items() if fires and key[0] == incident.id}
            assert {one.fingerprint for one in incident.firing} == remembered
            assert incident.status != "resolved" or not remembered

    @invariant()
    def somebody_or_something_leads_on(self) -> None:
        """Law 9, and no page outlives its incident."""
        waits = {"open": {"retry"}, "diagnosing": {"diagnosis"}, "acting": {"turn"},
                 "verifying": {"verify", "verify:again"},
                 "awaiting_approval": {"approval"}, "mitigated": {"patience", "resolve:again"},
                 "resolved": {"close"}}  # fmt: skip
        for incident in self._incidents():
            if not incident.episode or incident.status in ("parked", "closed"):
                continue
            assert waits[incident.status] & incident.timers.keys(), incident
            if incident.status == "resolved":
                assert not any(page.startswith(incident.id) for page in self.floor.open_pages)

    @invariant()
    def records_survive_json(self) -> None:
        """What is stored is what was folded."""
        changed = random.Random(len(self.sent)).choice(NAMES)
        incident = self.floor.incident(changed)
        assert INCIDENTS.validate_json(INCIDENTS.dump_json(incident)) == incident
        target = self.floor.target()
        assert COMPONENTS.validate_json(COMPONENTS.dump_json(target)) == target

    def _incidents(self) -> list[Incident]:
        return [self.floor.incident(name) for name in NAMES]


Weather.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)  # fmt: skip
TestWeather = Weather.TestCase

LAWS = (
    Weather.the_slot_is_held_by_who_acts_under_its_fence,
    Weather.who_waits_for_a_turn_will_get_one,
    Weather.no_fence_is_granted_twice,
    Weather.no_action_is_sent_twice_in_one_episode,
    Weather.what_fires_is_known_to_fire,
    Weather.somebody_or_something_leads_on,
    Weather.records_survive_json,
)


@pytest.mark.parametrize("seed", range(25))
def test_a_long_bad_day(seed: int) -> None:
    """The same world and laws over a hundred likelier moves: deeper than Hypothesis walks in the time there is."""
    chance = random.Random(seed)
    world = Weather()
    world.begin()
    for _ in range(100):
        _move(world, chance)
        for law in LAWS:
            law(world)


def _move(world: Weather, chance: random.Random) -> None:
    name, any_of = chance.choice(NAMES), chance.randrange(10_000)
    moves: list[tuple[int, Callable[[], object]]] = [
        (20, lambda: world.an_alert_comes(
            name=name, fingerprint=chance.choice("ab"), flap=chance.randrange(4) + len(world.sent) // 50,
            over=chance.random() < 0.35, severity=chance.choice(["critical", "warning"]), held=chance.random() < 0.2)),
        (5, lambda: world.what_fires_ends(name=name)),
        (4, lambda: world.what_was_held_up_comes(chance=any_of)),
        (5, lambda: world.something_old_comes_again(chance=any_of)),
        (3, lambda: world.a_person_speaks(name=name, force=chance.random() < 0.7, ack=chance.random() < 0.3)),
        (3, lambda: world.automation_is_switched(
            where=chance.choice(TARGETS), off=chance.choice(["", "", "frozen", "disarmed"]))),
        (5, lambda: world.a_dispatcher_works(chance=any_of, kind=chance.randrange(4))),
        (20, lambda: world.an_incidents_run_is_worked_off(name=name, kind=chance.choice([0, 0, 0, 1, 2, 3]))),
        (17, lambda: world.evidence_comes(
            name=name, old=chance.choice([0, 0, 0, 1]), holds=chance.choice([True, True, False, None]))),
        (15, lambda: world.time_passes(duration=chance.choice([1, 5, 5, 30, 180, 180, 2_400]) * SECOND)),
        (3, lambda: world.the_sweeper_is_away(duration=chance.choice([1, 30, 600]) * SECOND)),
    ]  # fmt: skip
    (move,) = chance.choices([move for _, move in moves], weights=[weight for weight, _ in moves])
    move()
