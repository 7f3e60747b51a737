"""Many alerts in one incident, and outcomes of runs that are no longer under way."""

from __future__ import annotations

from dataclasses import replace

from bot.core.effects import ObserveEvidence
from bot.core.events import EvidenceObserved, StepShadowed, StepSucceeded, StepUnneeded
from bot.core.incident import MAX_ALERTS
from bot.core.incident_moves import (
    GUARD_RETRY_MS,
    PATIENCE_MS,
)
from bot.core.orders import OperatorResolved
from bot.core.record import Applied, Denied, Ignored
from tests.unit.core.builders import (
    MINUTE,
    START,
    Floor,
    alert,
    mitigated,
    opened,
    plan,
    step,
    verifying,
)


def _force(floor: Floor) -> object:
    told = len(floor.decisions)
    return floor.tell("inc-1", OperatorResolved(id=f"resolve/{told}", at=floor.now, by="demo-oncall", force=True))


# --- groups and floods -------------------------------------------------------------------------------------------


def test_many_alerts_are_one_incident_that_acts_once_and_ends_with_the_last() -> None:
    """Kelly is global: ten symbols in breach are one cut."""
    floor = opened()
    symbols = [alert(f"s{number}", symbol=f"SYM{number}") for number in range(10)]
    for one in symbols:
        floor.fire(one, plan())
    assert len(floor.runs) == 1
    floor.succeed(floor.runs[0])
    floor.observe(True)
    floor.end(alert())
    for one in symbols:
        assert floor.incident().status == "mitigated"
        floor.end(one)
    assert floor.incident().status == "resolved"


def test_an_activity_looks_at_every_alert_of_its_incident() -> None:
    """The one symbol still in breach may be the last of many; it must not be cut off unseen."""
    floor = opened()
    for number in range(150):
        floor.fire(alert(f"s{number:03}", symbol=f"S{number:03}"), plan())
    floor.succeed(floor.runs[0])
    asked = floor.asked(ObserveEvidence)[-1]
    assert {one.labels["symbol"] for one in asked.alerts if "symbol" in one.labels} == {f"S{n:03}" for n in range(150)}
    assert len(asked.alerts) == 151


def test_an_incident_is_as_severe_as_its_gravest_alert() -> None:
    """A warning opened it; a critical one joins: what parks now parks loudly."""
    floor = Floor()
    floor.fire(alert(severity="warning"), plan(step(on_failure="stop")))
    assert floor.incident().severity == "warning"
    floor.fire(alert("b", severity="critical"))
    assert floor.incident().severity == "critical"
    floor.fire(alert("c", severity="info"))
    assert floor.incident().severity == "critical"


def test_a_quietly_parked_incident_that_becomes_critical_pages() -> None:
    """Parked without a page is fine for a warning only."""
    floor = Floor(armed=())
    floor.fire(alert(severity="warning"), plan())
    floor.report(floor.runs[-1], StepShadowed, "would run")
    assert (floor.incident().status, floor.open_pages) == ("parked", set())
    floor.fire(alert("b", severity="critical"))
    assert floor.calling == {"inc-1:trading-oncall"}


def test_a_policy_that_names_a_severity_is_not_outvoted_by_its_alerts() -> None:
    """The policy's word counts."""
    floor = opened(plan(severity="warning"))
    floor.fire(alert("b", severity="critical"))
    assert floor.incident().severity == "warning"


def _flooded(made: object = None) -> Floor:
    floor = opened(made)  # type: ignore[arg-type]
    for number in range(1, MAX_ALERTS + 5):
        floor.fire(alert(f"f{number:05}"))
    return floor


def test_more_alerts_than_are_tracked_are_noticed_and_never_resolve_by_themselves() -> None:
    """The record stays bounded; a human decides when a flood is over."""
    floor = _flooded()
    assert (len(floor.incident().alerts), floor.incident().untracked) == (MAX_ALERTS, 1)
    floor.succeed(floor.runs[0])
    floor.observe(True)
    for one in floor.incident().firing:
        floor.end(one)
    assert floor.incident().status == "mitigated"
    floor.wait(PATIENCE_MS)
    assert (floor.incident().status, floor.calling) == ("parked", {"inc-1:trading-oncall"})
    assert isinstance(floor.tell("inc-1", OperatorResolved(id="r", at=floor.now, by="demo-oncall")), Denied)
    assert isinstance(_force(floor), Applied)
    assert floor.incident().status == "resolved"


def test_an_untracked_alert_that_still_fires_after_a_forced_resolve_reopens() -> None:
    """What is not tracked cannot be dismissed; it must not be swallowed until the close."""
    floor = _flooded()
    floor.succeed(floor.runs[0])
    _force(floor)
    assert floor.incident().status == "resolved"
    floor.fire(alert("one more"))
    assert floor.incident().status == "parked"
    _force(floor)
    floor.wait(plan().hold_ms)
    floor.fire(alert("one more"))
    assert (floor.incident().status, floor.incident().episode) == ("acting", 2)


def test_ended_alerts_make_room_for_new_ones() -> None:
    """Label churn over weeks must not blind an incident to new alerts; the longest ended are forgotten first."""
    floor = mitigated()
    for number in range(MAX_ALERTS + 50):
        floor.now += 1
        churn = alert(f"c{number:05}")
        floor.fire(churn)
        floor.end(churn)
    incident = floor.incident()
    assert (len(incident.alerts), incident.untracked) == (MAX_ALERTS, 0)
    assert "a" in incident.alerts, "what fires is never forgotten"
    assert "c00000" not in incident.alerts
    floor.end(alert())
    assert floor.incident().status == "resolved"
    floor.fire(alert("new"))
    assert floor.incident().status == "mitigated", "a new alert relapses even when the record was full"


# --- reports of runs that are no longer under way ----------------------------------------------------------------


def test_an_outcome_of_an_earlier_episode_does_not_move_the_new_one() -> None:
    """The same step id runs again in the new episode; only its own run's outcome counts, and its slot stays held."""
    floor = opened()
    (old,) = floor.runs
    floor.wait(5 * MINUTE)
    floor.end(alert())
    floor.tell("inc-1", OperatorResolved(id="looked", at=floor.now, by="demo-oncall"))
    floor.wait(plan().hold_ms)
    floor.fire(alert(starts=START + 10 * MINUTE))
    assert (floor.incident().episode, floor.incident().status) == (2, "acting")
    floor.report(old, StepSucceeded, "done, says a ghost")
    assert (floor.incident().status, floor.target().slot is not None) == ("acting", True)
    assert isinstance(floor.report(old, StepSucceeded, "done, says a ghost"), Ignored)
    assert floor.incident().results[-1].episode == 1
    floor.succeed(floor.runs[-1])
    assert floor.incident().status == "verifying"


def test_an_outcome_of_an_earlier_look_does_not_end_the_run_under_way() -> None:
    """Two dispatchers had the first look; the second one's answer comes while the step runs again."""
    floor = opened()
    first = floor.runs[-1]
    floor.report(first, StepUnneeded, "not yet")
    floor.wait(GUARD_RETRY_MS)
    second = floor.runs[-1]
    floor.declare(second)
    floor.report(first, StepUnneeded, "not yet")
    slot = floor.target().slot
    assert slot is not None
    assert (floor.incident().status, slot.fence, floor.incident().run) == ("acting", second.fence, second.id)


def test_an_observation_of_an_earlier_episode_changes_nothing() -> None:
    """Tokens and episodes tell it apart."""
    floor = verifying()
    asked = floor.outbox[-1]
    stray = EvidenceObserved(id="x", at=START, episode=7, purpose="verify", token="t", holds=True, why="fine")
    assert isinstance(floor.tell("inc-1", stray), Ignored)
    assert isinstance(floor.tell("inc-1", replace(stray, episode=1)), Ignored)
    assert floor.outbox[-1] is asked
