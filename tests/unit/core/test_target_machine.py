"""A component and its plans: one holder at a time, severe ones first, nothing lost, nothing stuck."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core import target_machine
from bot.core.effects import RunStep
from bot.core.events import SlotReleased, StepSucceeded, StepUnneeded
from bot.core.incident_moves import GUARD_RETRY_MS
from bot.core.orders import TargetFrozen, TargetUnfrozen
from bot.core.plan import Plan, Verify
from bot.core.record import Applied, Denied, Ignored
from bot.core.target import MAX_QUEUE
from tests.unit.core.builders import (
    HEALTHY,
    MINUTE,
    SECOND,
    START,
    Floor,
    alert,
    intent_of,
    opened,
    plan,
    report_of,
    step,
    verifying,
)

RISK_ENGINE = "target:risk-engine"


def _open(floor: Floor, name: str, *, severity: str = "critical", made: Plan | None = None) -> None:
    floor.fire(alert(name, severity=severity), made or plan(), to=name)


def _runs(floor: Floor, name: str) -> list[RunStep]:
    return [run for run in floor.runs if run.incident == name]


def _queue(floor: Floor) -> list[str]:
    return [request.incident for request in floor.target().queue]


def _holder(floor: Floor) -> str:
    slot = floor.target().slot
    return slot.incident if slot else ""


def test_one_plan_at_a_time_holds_a_component_and_the_next_follows_under_a_higher_fence() -> None:
    """The second waits in words, and runs as soon as the first is verified."""
    floor = opened()
    _open(floor, "inc-2")
    assert (_holder(floor), _queue(floor), _runs(floor, "inc-2")) == ("inc-1", ["inc-2"], [])
    assert floor.incident("inc-2").why == "waits behind inc-1, which is acting on risk-engine"
    floor.succeed(floor.runs[0])
    assert _runs(floor, "inc-2") == [], "the first one's effect is being verified"
    floor.observe(True)
    assert _holder(floor) == "inc-2"
    assert [run.fence for run in floor.runs] == [1, 2]


def test_the_queue_is_served_by_severity_and_then_by_arrival() -> None:
    """A critical plan passes the warnings that came before it."""
    floor = opened()
    for number, severity in enumerate(["warning", "critical", "info", "error", "critical"]):
        floor.now += 1
        _open(floor, f"inc-{number}-{severity}", severity=severity)
    assert _queue(floor) == ["inc-1-critical", "inc-4-critical", "inc-3-error", "inc-0-warning", "inc-2-info"]


def test_verifying_keeps_equal_and_lesser_plans_waiting() -> None:
    """Two cuts at once could not be told apart by their effect."""
    floor = verifying()
    for severity in ("critical", "error"):
        _open(floor, f"inc-{severity}", severity=severity)
        assert _runs(floor, f"inc-{severity}") == []
    assert "whose effect is being verified" in floor.incident("inc-critical").why


def test_a_more_severe_plan_that_lowers_exposure_does_not_wait_for_a_verification() -> None:
    """Protection is never kept waiting by something lesser; anything else is."""
    floor = Floor()
    _open(floor, "inc-1", severity="warning")
    floor.succeed(floor.runs[0])
    _open(floor, "inc-neutral", made=plan(step(direction="neutral")))
    assert _runs(floor, "inc-neutral") == []
    _open(floor, "inc-lowers")
    assert len(_runs(floor, "inc-lowers")) == 1


def test_a_verification_that_never_reports_ends_at_its_deadline() -> None:
    """Should the watching incident be lost, its component is not."""
    floor = verifying()
    _open(floor, "inc-2")
    watcher = floor.records.pop("inc-1")
    floor.wait(90 * SECOND)
    assert watcher.id == "inc-1"
    assert _holder(floor) == "inc-2"


def test_a_cool_down_delays_and_then_wakes_the_queue() -> None:
    """Never dropped: the plan runs by itself when the time is up."""
    quick = plan(step(verify=None, cooldown_ms=MINUTE))
    floor = opened(quick)
    floor.succeed(floor.runs[0])
    floor.wait(20 * SECOND)
    _open(floor, "inc-2", made=quick)
    assert floor.incident("inc-2").why == "waits: risk.reduce_kelly cools down for another 40 s"
    floor.wait(39 * SECOND)
    assert _runs(floor, "inc-2") == []
    floor.wait(SECOND)
    assert len(_runs(floor, "inc-2")) == 1


def test_a_cool_down_holds_up_only_its_own_action() -> None:
    """Another action on the same component goes first meanwhile."""
    quick = plan(step(verify=None, cooldown_ms=MINUTE))
    floor = opened(quick)
    floor.succeed(floor.runs[0])
    _open(floor, "inc-2", made=quick)
    _open(floor, "inc-3", made=plan(step(action="risk.halt", verify=None)), severity="info")
    assert _holder(floor) == "inc-3"
    floor.succeed(floor.runs[-1])
    floor.wait(MINUTE)
    assert _holder(floor) == "inc-2"


def test_an_earlier_waiting_plan_is_not_passed_by_a_lesser_newcomer() -> None:
    """Its obstacle ended by the clock, though its wake-up has not come yet."""
    floor = verifying()
    _open(floor, "inc-2")
    floor.now += 90 * SECOND
    _open(floor, "inc-3", severity="info")
    assert (_holder(floor), _queue(floor)) == ("inc-2", ["inc-3"])


def test_the_queue_is_bounded_and_the_least_severe_is_turned_away() -> None:
    """A storm of warnings never keeps a critical plan out; who is turned away hears it and calls a human."""
    floor = opened()
    for number in range(MAX_QUEUE):
        _open(floor, f"inc-w{number:02}", severity="warning")
    _open(floor, "inc-late", severity="warning")
    assert floor.incident("inc-late").status == "parked"
    _open(floor, "inc-critical")
    assert len(floor.target().queue) == MAX_QUEUE
    assert _queue(floor)[0] == "inc-critical"
    turned_away = [name for name in floor.records if floor.records[name].id.startswith("inc-") and
                   floor.incident(name).status == "parked"]  # fmt: skip
    assert len(turned_away) == 2
    assert {f"{name}:trading-oncall" for name in turned_away} == floor.calling


def test_a_request_delivered_again_neither_doubles_nor_moves_anything() -> None:
    """Holding, waiting, or acting already: the same request changes nothing that matters."""
    floor = opened()
    _open(floor, "inc-2")
    request = floor.target().queue[0]
    floor.tell(RISK_ENGINE, request)
    assert _queue(floor) == ["inc-2"]
    floor.succeed(floor.runs[0])
    floor.observe(True)
    run = floor.runs[-1]
    floor.tell(RISK_ENGINE, request)
    assert (len(floor.runs), floor.target().fence) == (2, run.fence), "a held slot is told again under its own fence"
    floor.declare(run)
    assert isinstance(floor.tell(RISK_ENGINE, request), Ignored)
    assert (_holder(floor), _queue(floor)) == ("inc-2", [])


def _release(incident: str, fence: int, name: str = "cut") -> SlotReleased:
    return SlotReleased(
        id=f"rel/{incident}/{fence}", at=START, incident=incident, step=name, outcome="none", fence=fence
    )


def test_nobody_releases_what_he_does_not_hold() -> None:
    """Another incident's, another step's or an older fence's release leaves the slot and the queue alone."""
    floor = opened()
    _open(floor, "inc-2")
    before = floor.target()
    for stray in (_release("inc-3", 0), _release("inc-1", 7), _release("inc-1", 1, "halt"), _release("inc-2", 9)):
        assert isinstance(floor.tell(RISK_ENGINE, stray), Ignored)
    assert floor.target() == before


def test_leaving_the_queue_leaves_no_place_behind() -> None:
    """A waiting incident that gives up is not granted later."""
    floor = opened()
    _open(floor, "inc-2")
    floor.tell(RISK_ENGINE, _release("inc-2", 0))
    assert _queue(floor) == []


def test_a_waiting_incident_that_parks_leaves_the_queue() -> None:
    """Its turn took too long; when the slot comes free nobody gets it by mistake."""
    floor = opened()
    _open(floor, "inc-2")
    floor.now += 1
    floor.wait(10 * MINUTE)
    assert floor.incident("inc-2").status == "parked"
    assert (_holder(floor), _queue(floor)) == ("", [])


def test_a_turn_that_comes_too_late_is_given_back() -> None:
    """The incident moved on while it waited: the slot goes to the next one at once."""
    floor = opened()
    _open(floor, "inc-2")
    _open(floor, "inc-3")
    floor.records["inc-2"] = replace(floor.incident("inc-2"), status="parked", timers={})
    floor.succeed(floor.runs[0])
    floor.observe(True)
    assert _holder(floor) == "inc-3"


# --- freeze ------------------------------------------------------------------------------------------------------


def test_a_freeze_denies_what_waits_and_stops_what_was_granted_before_it_sends() -> None:
    """The queue is emptied with a reason, and the holder's intent is refused."""
    floor = opened()
    _open(floor, "inc-2")
    floor.freeze(RISK_ENGINE)
    assert (floor.incident("inc-2").status, floor.incident("inc-2").frozen, _queue(floor)) == ("parked", True, [])
    refused = floor.declare(floor.runs[0])
    assert isinstance(refused, Denied)
    assert "frozen by demo-oncall" in refused.reason
    floor.tell(RISK_ENGINE, TargetUnfrozen(id="unfreeze", at=floor.now, by="demo-oncall"))
    assert floor.incident("inc-2").status == "parked", "lifting a freeze starts nothing"


def test_a_holder_gives_its_slot_back_under_a_freeze_too() -> None:
    """What was under way ends; nobody is granted anything while frozen."""
    floor = opened()
    floor.declare(floor.runs[0])
    floor.freeze(RISK_ENGINE)
    floor.report(floor.runs[0], StepSucceeded, "done")
    assert (floor.target().slot, floor.incident().status) == (None, "verifying")
    floor.observe(True)
    assert floor.target().verifying is None
    assert target_machine.state_of(floor.target()) == "frozen"


def test_a_second_freeze_is_the_one_that_counts() -> None:
    """Its reason is the one shown."""
    floor = Floor()
    floor.freeze(RISK_ENGINE)
    again = TargetFrozen(id="again", at=floor.now, by="demo-pm", reason="deploy")
    assert isinstance(floor.tell(RISK_ENGINE, again), Applied)
    _open(floor, "inc-1")
    assert "frozen by demo-pm: deploy" in floor.incident().why
    assert [kind for _, kind, _ in floor.decisions].count("slot_denied") == 1


# --- intents -----------------------------------------------------------------------------------------------------


def test_an_intent_needs_the_current_fence() -> None:
    """A dispatcher that slept through its turn sends nothing."""
    floor = opened()
    (slow,) = floor.runs
    _open(floor, "inc-2")
    floor.wait(5 * MINUTE)
    assert isinstance(floor.declare(slow), Denied)
    assert floor.incident().status == "parked"


def test_an_earlier_run_of_the_same_step_declares_nothing_under_a_later_fence() -> None:
    """Its worker slept while the step came back and got a new turn: it comes first, and is refused all the same."""
    floor = opened()
    (slow,) = floor.runs
    floor.report(slow, StepUnneeded, "the guard does not hold yet")
    floor.wait(GUARD_RETRY_MS)
    _, again = floor.runs
    assert (slow.incident, slow.step.id, slow.episode) == (again.incident, again.step.id, again.episode)
    assert again.fence > slow.fence
    late = floor.declare(slow)
    assert isinstance(late, Denied)
    assert f"fence {slow.fence} is over" in late.reason
    assert isinstance(floor.declare(again), Applied)


def test_an_intent_is_declared_once_for_each_attempt() -> None:
    """A copy is refused; the next attempt of the same intent is not; another intent never is accepted."""
    floor = opened()
    (run,) = floor.runs
    assert isinstance(floor.declare(run), Applied)
    assert isinstance(floor.declare(run), Denied)
    assert isinstance(floor.declare(run, attempt=2), Applied)
    assert isinstance(floor.declare(run, attempt=1), Denied)
    other = replace(intent_of(run, floor.now), id="other", intent="int-other")
    assert isinstance(floor.tell(RISK_ENGINE, other), Denied)


def test_an_intent_past_its_deadline_is_refused() -> None:
    """A promise to act within seconds is not kept minutes later."""
    floor = opened()
    intent = intent_of(floor.runs[0], floor.now)
    floor.now = intent.deadline + 1
    assert isinstance(floor.tell(RISK_ENGINE, intent), Denied)


@pytest.mark.parametrize("declared", [True, False])
def test_a_cool_down_starts_only_where_something_may_have_been_sent(declared: bool) -> None:
    """Without an intent nothing left, so a protective action is not held up by it."""
    floor = opened()
    if declared:
        floor.declare(floor.runs[0])
    floor.wait(5 * MINUTE)
    assert floor.incident().status == "parked"
    assert bool(floor.target().last_run) is declared


def test_the_slot_is_free_whenever_no_incident_acts() -> None:
    """Two steps on one component, each verified: the slot is given back after each."""
    two = plan(step("cut"), step("cut-more", verify=Verify(until=HEALTHY, within_ms=MINUTE, every_ms=SECOND)))
    floor = opened(two)
    floor.succeed(floor.runs[-1])
    floor.observe(True)
    assert (_holder(floor), floor.runs[-1].step.id) == ("inc-1", "cut-more")
    late = report_of(floor.runs[0], StepSucceeded, floor.now)
    floor.tell("inc-1", late)
    assert _holder(floor) == "inc-1"
    floor.succeed(floor.runs[-1])
    floor.observe(True)
    assert (_holder(floor), floor.incident().status) == ("", "mitigated")
