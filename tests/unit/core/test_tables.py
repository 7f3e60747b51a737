"""The tables against the machines: every reachable corner of each, told everything it could be told.

A breadth-first walk over the machines alone (no other machine answers), so the order of events is arbitrary. What the
walk finds must be exactly what the tables promise, and the laws hold in every corner.
"""

from __future__ import annotations

import typing
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

import pytest
from pydantic import TypeAdapter

from bot.core import incident_machine, system_machine, target_machine
from bot.core.effects import Effect, PageOncall, RunStep, Tell
from bot.core.events import Event, IncidentEvent, SlotGranted, SlotReleased, TargetEvent
from bot.core.incident import MAX_ALERTS, Incident, Status
from bot.core.incident_draft import MAX_CALLS
from bot.core.incident_moves import MAX_RESULTS
from bot.core.plan import Page, Plan
from bot.core.record import Applied, Denied, Ignored, Transition
from bot.core.requests import MAX_HEARD
from bot.core.target import MAX_QUEUE, MAX_RECENT, Armed, Target
from bot.core.words import SYSTEM_TARGET, Millis
from tests.unit.core.builders import HEALTHY, MINUTE, START, alert, blank, fold_one, plan, rung, step
from tests.unit.core.candidates import (
    ALIEN_TO_INCIDENTS,
    ALIEN_TO_TARGETS,
    RISK_ENGINE,
    TOO_OFTEN,
    incident_corner,
    incident_events,
    target_corner,
    target_events,
)

pytestmark = pytest.mark.timeout(180)  # the first test that needs a walk pays for it: 10 s of CPU

Record = Incident | Target


@dataclass
class Walk:
    """What a walk saw: every corner, and every (state, event) with the states it led to."""

    corners: dict[Hashable, Record] = field(default_factory=dict)
    led_to: dict[tuple[str, type], set[str]] = field(default_factory=lambda: defaultdict(set))
    doubled: list[str] = field(default_factory=list)


def _walk(
    starts: Iterable[Record],
    events: Callable[[Record], Iterator[tuple[Event, Millis]]],
    corner: Callable[[Record], Hashable],
    state: Callable[[Record], str],
    vary: Callable[[Record], Iterable[Record]] = lambda record: (),
) -> Walk:
    walk = Walk()
    todo = deque(starts)
    while todo:
        record = todo.popleft()
        if (place := corner(record)) in walk.corners:
            continue
        walk.corners[place] = record
        todo.extend(vary(record))
        for event, now in events(record):
            transition = fold_one(record, event, now)
            if isinstance(transition.decision, Ignored):
                assert transition.record is record or transition.record == record
                assert transition.effects == ()
                continue
            if _acts(transition.effects):
                again = fold_one(transition.record, event, now)
                if _acts(again.effects):
                    walk.doubled.append(f"{state(record)} + {event.kind}: {again.decision}")
            walk.led_to[state(record), type(event)].add(state(transition.record))
            todo.append(transition.record)
    return walk


def _acts(effects: tuple[Effect, ...]) -> bool:
    """Whether something is run or somebody is called."""
    return any(isinstance(effect, RunStep | PageOncall) for effect in effects)


# --- the incident ------------------------------------------------------------------------------------------------

_HALT = step("rung2-halt", action="trading.halt")
_LADDER = (rung(MINUTE, "pm"), replace(rung(20 * MINUTE, "cro", "resolved"), step=_HALT, notify="#floor"))
_STOP = step("cut", on_failure="stop", verify=None)
_PAUSED = step("halt", on_failure="continue", pause_ms=1, verify=None, guard="")
_AGAIN = replace(_PAUSED, id="again")
PLANS = (
    plan(step("cut", on_failure="continue"), step("halt"), policy_hash="two", healthy=HEALTHY),
    plan(
        step("cut", on_failure="escalate"),
        policy_hash="one",
        severity="warning",
        ladder=_LADDER,
        diagnose=("var_pattern",),
    ),
    plan(replace(_STOP, direction="neutral"), policy_hash="diagnosed", diagnose=("var_pattern",), healthy=HEALTHY),
    plan(step("cut", on_failure="continue"), replace(_PAUSED, component=""), _AGAIN, policy_hash="plain"),
    plan(replace(_STOP, direction="neutral", pause_ms=1), policy_hash="bare", diagnose=("var_pattern",)),
    plan(step("cut", on_failure="stop", verify=None, guard="", pause_ms=1), policy_hash="guardless", healthy=HEALTHY),
    plan(steps=(), policy_hash="catch-all", page_on_open=Page(service="desk", severity="critical")),
)


def _more_tries(incident: Record) -> Iterable[Incident]:
    """The same incident after many looks, and with more alerts than are tracked, without walking there one by one."""
    assert isinstance(incident, Incident)
    if incident.plan is None:
        return
    if incident.status in TOO_OFTEN:
        yield replace(incident, tries=TOO_OFTEN[incident.status])
    if incident.status == "mitigated" and "patience" in incident.timers and not incident.plan.healthy:
        yield replace(incident, untracked=1)


@cache
def _incidents() -> Walk:
    walks = [_walk_incident(made) for made in PLANS]
    whole = Walk()
    for walk in walks:
        whole.corners.update(walk.corners)
        whole.doubled.extend(walk.doubled)
        for pair, statuses in walk.led_to.items():
            whole.led_to[pair] |= statuses
    return whole


def _walk_incident(made: Plan) -> Walk:
    return _walk(
        [blank()],
        lambda record: incident_events(typing.cast("Incident", record), made),
        lambda record: incident_corner(typing.cast("Incident", record), episodes=2 if made is PLANS[0] else 1),
        lambda record: typing.cast("Incident", record).status,
        _more_tries,
    )


def _differences(
    led_to: Mapping[tuple[str, type], set[str]], table: Mapping[tuple[str, type], frozenset[str]]
) -> list[str]:
    """Rows that promise what never happens. (What happens without being promised raises in the machine.)"""
    return [
        f"{state} + {event.__name__}: never leads to {sorted(promised - led_to.get((state, event), set()) - {state})}"
        if (state, event) in led_to
        else f"{state} + {event.__name__}: changes nothing, ever"
        for (state, event), promised in sorted(table.items(), key=str)
        if (state, event) not in led_to or promised - led_to[state, event] - {state}
    ]


def test_every_status_is_reachable() -> None:
    """A status nobody can be in is a defect of the table."""
    assert {typing.cast("Incident", one).status for one in _incidents().corners.values()} == set(
        typing.get_args(Status)
    )


def test_the_incident_table_promises_exactly_what_happens() -> None:
    """Diagrams are drawn from it, so it must not show roads that do not exist."""
    table = {pair: row.to for pair, row in incident_machine.TABLE.items()}
    assert _differences(_incidents().led_to, table) == []


def test_no_event_told_twice_runs_or_pages_twice() -> None:
    """Inbox and outbox deliver at least once."""
    assert _incidents().doubled == []
    assert _targets(RISK_ENGINE).doubled == []
    assert _targets(SYSTEM_TARGET).doubled == []


# What each status waits for, besides the ladder: at least one of these is armed. Parked waits for a human.
WAITS: Mapping[Status, tuple[str, ...]] = {
    "open": ("retry",), "diagnosing": ("diagnosis",), "acting": ("turn",), "verifying": ("verify", "verify:again"),
    "awaiting_approval": ("approval",), "mitigated": ("patience", "resolve:again"), "resolved": ("close",),
}  # fmt: skip


def waits_for_something(incident: Incident) -> bool:
    """Law 3 of the machine: no open incident is without a timer or a waiting human."""
    if incident.episode == 0 or incident.status in ("parked", "closed"):
        return True
    return any(name in incident.timers for name in WAITS[incident.status])


def test_no_open_incident_is_without_a_timer_or_a_waiting_human() -> None:
    """Law 9: in every corner, the timer that leads out of it is armed; a closed incident leaves none behind."""
    for incident in _incidents().corners.values():
        assert isinstance(incident, Incident)
        assert waits_for_something(incident), incident
        assert incident.status != "closed" or not incident.timers


def test_whoever_is_done_holds_nothing_and_lets_nothing_fire() -> None:
    """A run exists only while acting; resolved means that nothing fires and nobody is still paged."""
    for incident in _incidents().corners.values():
        assert isinstance(incident, Incident)
        assert incident.status == "acting" or (incident.run, incident.fence) == ("", 0), incident
        if incident.status in ("resolved", "closed"):
            assert (incident.untracked, incident.paged, incident.approval, incident.granted) == (0, {}, None, None)
            errand = incident.parent or incident.ordered_by  # one step's own: over with it, whatever fires
            assert errand or incident.firing == ()


def test_a_slot_is_never_left_behind() -> None:
    """Whatever ends a run under a fence tells the component that this very fence is given back."""
    for incident in _incidents().corners.values():
        assert isinstance(incident, Incident)
        if not incident.fence or incident.plan is None or not incident.plan.steps[incident.cursor].component:
            continue
        for event, now in incident_events(incident, incident.plan):
            transition = incident_machine.step(incident, event, now)
            if transition.record.fence == incident.fence:
                continue
            told = [effect.event for effect in transition.effects if isinstance(effect, Tell)]
            assert incident.fence in {e.fence for e in told if isinstance(e, SlotReleased)}, event


def test_records_stay_bounded() -> None:
    """However an incident got there."""
    for incident in _incidents().corners.values():
        assert isinstance(incident, Incident)
        assert len(incident.alerts) <= MAX_ALERTS
        assert len(incident.results) <= MAX_RESULTS
        assert len(incident.timers) <= 8 + len(_LADDER)
        assert len(incident.paged) <= 3 * MAX_CALLS
        assert len(incident.heard) <= MAX_HEARD
    for record in _targets(RISK_ENGINE).corners.values():
        assert isinstance(record, Target)
        assert len(record.queue) <= MAX_QUEUE
        assert len(record.recent) <= MAX_RECENT
        assert len(record.heard) <= MAX_HEARD


@pytest.mark.parametrize("status", typing.get_args(Status))
@pytest.mark.parametrize("event", ALIEN_TO_INCIDENTS, ids=lambda event: event.kind)
def test_an_event_of_another_machine_means_nothing_to_an_incident(status: Status, event: Event) -> None:
    """Total over every event there is."""
    incident = next(one for one in _incidents().corners.values() if typing.cast("Incident", one).status == status)
    assert isinstance(fold_one(incident, event, START).decision, Ignored)


def test_every_kind_of_event_was_tried() -> None:
    """A new event in the vocabulary must be added to the walk."""
    told = {type(event) for event, _ in incident_events(replace(blank(), episode=1), PLANS[0])}
    told |= {type(event) for event, _ in incident_events(next(_running()), PLANS[0])}
    assert set(typing.get_args(IncidentEvent)) == told
    held = {type(event) for event, _ in target_events(Target(id=RISK_ENGINE, system="trading-core"))}
    assert set(typing.get_args(TargetEvent)) == held


def _running() -> Iterator[Incident]:
    return (one for one in _incidents().corners.values() if isinstance(one, Incident) and one.run)


# --- components and the system -----------------------------------------------------------------------------------


@cache
def _targets(name: str) -> Walk:
    machine = system_machine if name == SYSTEM_TARGET else target_machine
    armed = {"var-breach": Armed(by="demo-oncall", at=START)}
    return _walk(
        [Target(id=name, system="trading-core", armed=armed)],
        lambda record: target_events(typing.cast("Target", record)),
        lambda record: target_corner(typing.cast("Target", record)),
        lambda record: machine.state_of(typing.cast("Target", record)),
    )


def test_the_component_table_promises_exactly_what_happens() -> None:
    """As for the incident."""
    table = {pair: row.to for pair, row in target_machine.TABLE.items()}
    assert _differences(_targets(RISK_ENGINE).led_to, table) == []


def test_the_system_table_promises_exactly_what_happens() -> None:
    """As for the incident."""
    table = {pair: row.to for pair, row in system_machine.TABLE.items()}
    assert _differences(_targets(SYSTEM_TARGET).led_to, table) == []


def test_a_queue_always_has_something_that_wakes_it() -> None:
    """A holder that will release, or a timer; a frozen component has no queue at all."""
    for target in _targets(RISK_ENGINE).corners.values():
        assert isinstance(target, Target)
        if target.queue:
            assert target.freeze is None
            assert target.slot is not None or "queue" in target.timers, target


def test_every_grant_has_a_higher_fence_than_all_before_it() -> None:
    """A grant that is told again keeps its fence; every new one is higher."""
    for target in _targets(RISK_ENGINE).corners.values():
        assert isinstance(target, Target)
        for event, now in target_events(target):
            transition: Transition[Incident] | Transition[Target] = fold_one(target, event, now)
            after = transition.record
            assert isinstance(after, Target)
            assert after.fence >= target.fence
            for effect in transition.effects:
                if isinstance(effect, Tell) and isinstance(effect.event, SlotGranted):
                    told_again = target.slot is not None and effect.event.fence == target.slot.fence
                    assert told_again or effect.event.fence == target.fence + 1


@pytest.mark.parametrize("name", [RISK_ENGINE, SYSTEM_TARGET])
def test_an_event_of_another_machine_means_nothing_to_a_target(name: str) -> None:
    """Total over every event there is."""
    for target in _targets(name).corners.values():
        for event in ALIEN_TO_TARGETS:
            assert isinstance(fold_one(target, event, START).decision, Ignored)


@pytest.mark.parametrize("name", [RISK_ENGINE, SYSTEM_TARGET])
def test_an_intent_is_refused_with_a_reason_or_taken_never_ignored(name: str) -> None:
    """Dispatch must be told in words why it may not send."""
    for target in _targets(name).corners.values():
        for event, now in target_events(typing.cast("Target", target)):
            if event.kind == "intent_declared":
                assert isinstance(fold_one(target, event, now).decision, Applied | Denied)


# --- as stored ---------------------------------------------------------------------------------------------------


def test_every_record_survives_json() -> None:
    """What is read back is what was written, in every corner."""
    incidents, targets = TypeAdapter(Incident), TypeAdapter(Target)
    for incident in _incidents().corners.values():
        assert incidents.validate_json(incidents.dump_json(typing.cast("Incident", incident))) == incident
    for name in (RISK_ENGINE, SYSTEM_TARGET):
        for target in _targets(name).corners.values():
            assert targets.validate_json(targets.dump_json(typing.cast("Target", target))) == target


def test_a_blank_incident_listens_to_its_first_alert_or_to_an_order() -> None:
    """An event for an incident that was never opened changes nothing and breaks nothing."""
    for event, now in incident_events(next(_running()), PLANS[0]):
        if event.kind not in ("alert_fired", "step_ordered"):
            assert isinstance(fold_one(blank(), event, now).decision, Ignored), event.kind
    assert alert().fingerprint == "a"
