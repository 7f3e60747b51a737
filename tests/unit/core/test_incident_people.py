"""What people meet of an incident: the ladder, plans that only call them, diagnoses, resolving by hand, late news."""

from __future__ import annotations

import pytest

from bot.core.effects import PageOncall, ResolvePage, RunDiagnosis
from bot.core.events import DiagnosisFound, StepNotSent, StepSucceeded, StepUnknown
from bot.core.incident_moves import (
    DIAGNOSIS_MS,
    PATIENCE_MS,
    TURN_MS,
)
from bot.core.orders import OperatorAcked, OperatorResolved
from bot.core.plan import Page
from bot.core.record import Applied, Denied, Ignored
from tests.unit.core.builders import (
    MINUTE,
    SECOND,
    START,
    Floor,
    alert,
    mitigated,
    opened,
    parked,
    plan,
    rung,
    step,
    verifying,
)

# --- the ladder --------------------------------------------------------------------------------------------------

LADDER = (rung(2 * MINUTE, "pm"), rung(5 * MINUTE, "cro", "mitigated"), rung(8 * MINUTE, "board", "resolved"))


def _services(floor: Floor) -> list[str]:
    return [page.service for page in floor.asked(PageOncall)]


def test_the_ladder_climbs_on_time_while_nobody_answers() -> None:
    """Each rung at its time since the episode began, and the level says how far it went."""
    floor = parked(plan(ladder=LADDER))
    floor.wait(2 * MINUTE)
    assert (_services(floor)[-1], floor.incident().level) == ("pm", 1)
    floor.wait(3 * MINUTE)
    assert (_services(floor)[-1], floor.incident().level) == ("cro", 2)
    floor.wait(3 * MINUTE)
    assert (_services(floor)[-1], floor.incident().level) == ("board", 3)


def test_an_ack_stops_all_paging_but_the_rungs_until_resolved() -> None:
    """A plain ack stops paging (law 8); only what goes on until the incident is resolved goes on."""
    floor = parked(plan(ladder=LADDER))
    floor.tell("inc-1", OperatorAcked(id="ack", at=floor.now, by="demo-oncall"))
    assert floor.tell("inc-1", OperatorAcked(id="ack2", at=floor.now, by="demo-pm")) == Applied(
        "changes nothing: already acknowledged by demo-oncall"
    )
    floor.wait(9 * MINUTE)
    assert _services(floor) == ["trading-oncall", "board"]


def test_mitigation_stops_the_rungs_that_wait_for_it() -> None:
    """A rung of an incident that is mitigated stays quiet, unless it goes on until the incident is resolved."""
    floor = mitigated(
        plan(
            ladder=(rung(2 * MINUTE, "pm"), rung(3 * MINUTE, "cro", "mitigated"), rung(4 * MINUTE, "board", "resolved"))
        )
    )
    floor.wait(PATIENCE_MS - SECOND)
    assert _services(floor) == ["board"]


def test_an_incident_that_is_mitigated_no_more_climbs_on() -> None:
    """The plan was done, yet it still fires after minutes of patience: rungs still ahead page again."""
    floor = mitigated(plan(ladder=(rung(2 * MINUTE, "pm"), rung(6 * MINUTE, "cro"))))
    floor.wait(7 * MINUTE)
    assert _services(floor) == ["trading-oncall", "cro"]


def test_resolution_stops_every_rung() -> None:
    """Nothing is paged for a problem that is over, and what was paged is taken back."""
    floor = mitigated(plan(ladder=LADDER))
    floor.end(alert())
    floor.wait(20 * MINUTE)
    assert _services(floor) == []


def test_every_page_is_taken_back_when_the_incident_resolves() -> None:
    """Also several services, each once."""
    floor = parked(plan(ladder=LADDER))
    floor.wait(9 * MINUTE)
    floor.end(alert())
    assert floor.incident().status == "resolved"
    assert floor.open_pages == set()
    assert sorted(taken.service for taken in floor.asked(ResolvePage)) == ["board", "cro", "pm", "trading-oncall"]
    assert floor.incident().paged == {}


def test_taking_back_an_old_page_never_takes_back_a_new_one() -> None:
    """A failed take-back is tried again, perhaps after the problem came back and paged anew (law 12)."""
    floor = parked()
    floor.end(alert())
    (late,) = floor.asked(ResolvePage)
    floor.fire(alert(starts=START + SECOND))
    live = floor.asked(PageOncall)[-1]
    assert live.service == late.service
    assert live.dedup_key != late.dedup_key
    assert floor.open_pages == {live.dedup_key}
    floor.end(alert(starts=START + SECOND))
    assert floor.asked(ResolvePage)[-1].dedup_key == live.dedup_key


def test_while_a_page_is_open_a_repeat_is_the_same_page_and_its_key_fits() -> None:
    """One page per service; PagerDuty refuses keys over 255 characters."""
    long = "s" * 400
    floor = parked(plan(ladder=(rung(MINUTE, long, "resolved"), rung(2 * MINUTE, long, "resolved"))))
    floor.wait(3 * MINUTE)
    first, again = (page.dedup_key for page in floor.asked(PageOncall) if page.service == long)
    assert first == again
    assert len(first) == 255


# --- the same request again --------------------------------------------------------------------------------------


def test_a_copy_of_an_ack_does_not_silence_the_next_episode() -> None:
    """The request was about what was known then; also when it changed nothing then."""
    floor = parked(plan(ladder=(rung(2 * MINUTE, "pm"),)))
    ack = OperatorAcked(id="ack", at=floor.now, by="demo-oncall")
    late = OperatorAcked(id="late", at=floor.now, by="demo-pm")
    floor.tell("inc-1", ack)
    assert "already acknowledged" in str(floor.tell("inc-1", late))
    floor.end(alert())
    floor.wait(3 * MINUTE)
    floor.fire(alert(starts=START + 3 * MINUTE))
    assert floor.incident().episode == 2
    for copy in (ack, late):
        assert isinstance(floor.tell("inc-1", copy), Ignored)
    assert floor.incident().acknowledged_by == ""


def test_a_copy_of_a_forced_resolve_does_not_dismiss_what_fires_anew() -> None:
    """Only a new word dismisses the new firing."""
    floor = parked()
    resolve = OperatorResolved(id="resolve", at=floor.now, by="demo-oncall", force=True)
    floor.tell("inc-1", resolve)
    floor.fire(alert(starts=START + SECOND))
    assert isinstance(floor.tell("inc-1", resolve), Ignored)
    assert floor.incident().status == "parked"
    assert isinstance(floor.tell("inc-1", OperatorResolved(id="new", at=floor.now, by="demo-pm", force=True)), Applied)


def test_a_denied_resolve_may_be_asked_again() -> None:
    """What was refused did nothing; asking again, under the same id, is asking anew."""
    floor = parked()
    resolve = OperatorResolved(id="resolve", at=floor.now, by="demo-oncall")
    assert isinstance(floor.tell("inc-1", resolve), Denied)
    assert isinstance(floor.tell("inc-1", resolve), Denied)


# --- plans without steps, and diagnoses -------------------------------------------------------------------------


def test_a_plan_without_steps_parks_and_pages_once() -> None:
    """The catch-all: a human must look."""
    floor = Floor()
    floor.fire(alert(), plan(policy="catch-all", steps=(), page_on_open=Page(service="catch-all", severity="critical")))
    assert (floor.incident().status, _services(floor), floor.runs) == ("parked", ["catch-all"], [])
    floor.end(alert())
    assert (floor.incident().status, floor.open_pages) == ("resolved", set())


def _diagnosed(direction: str) -> Floor:
    return opened(plan(step(direction=direction), diagnose=("var_pattern", "recent_orders")))


def test_diagnosing_never_delays_a_step_that_lowers_exposure() -> None:
    """The safe thing happens within milliseconds; the diagnosis informs the humans."""
    floor = _diagnosed("lowers")
    assert (floor.incident().status, len(floor.runs)) == ("acting", 1)
    assert len(floor.asked(RunDiagnosis)) == 2


def _finding(name: str) -> DiagnosisFound:
    return DiagnosisFound(id=f"found/{name}", at=START, episode=1, diagnosis=name, finding=f"{name}: a spike")


def test_another_step_waits_for_all_its_diagnoses() -> None:
    """Only these diagnoses, each once; a copy of one does not stand for another."""
    floor = _diagnosed("neutral")
    assert (floor.incident().status, floor.runs) == ("diagnosing", [])
    floor.tell("inc-1", _finding("var_pattern"))
    floor.tell("inc-1", _finding("var_pattern"))
    floor.tell("inc-1", _finding("not_asked_for"))
    assert floor.incident().status == "diagnosing"
    floor.tell("inc-1", _finding("recent_orders"))
    assert (floor.incident().status, len(floor.runs)) == ("acting", 1)
    assert set(floor.incident().findings) == {"var_pattern", "recent_orders"}


def test_diagnoses_that_do_not_come_are_not_waited_for_long() -> None:
    """The plan goes on without them."""
    floor = _diagnosed("neutral")
    floor.wait(DIAGNOSIS_MS)
    assert (floor.incident().status, len(floor.runs)) == ("acting", 1)


# --- resolving by hand -------------------------------------------------------------------------------------------


def _resolve(floor: Floor, *, force: bool = False) -> object:
    return floor.tell("inc-1", OperatorResolved(id="resolve", at=floor.now, by="demo-oncall", force=force))


def test_nobody_resolves_an_incident_while_its_step_is_under_way() -> None:
    """The outcome comes within seconds; the slot must not be given away under a request in flight."""
    floor = opened()
    floor.declare(floor.runs[-1])
    assert isinstance(_resolve(floor, force=True), Denied)
    assert floor.target().slot is not None


def test_nobody_resolves_an_incident_while_a_step_without_a_target_is_under_way() -> None:
    """Also a step that holds no slot is under way."""
    floor = opened(plan(step(component="")))
    assert isinstance(_resolve(floor, force=True), Denied)


def test_resolving_a_waiting_incident_leaves_the_queue() -> None:
    """Its place must not be granted to nobody later."""
    floor = opened()
    floor.fire(alert("b"), plan(), to="inc-2")
    assert [waiting.incident for waiting in floor.target().queue] == ["inc-2"]
    floor.tell("inc-2", OperatorResolved(id="resolve", at=floor.now, by="demo-oncall", force=True))
    assert floor.target().queue == ()
    assert floor.incident("inc-2").status == "resolved"


def test_resolving_while_verifying_lets_lesser_plans_go_on() -> None:
    """The target must not be watched for an incident that is over."""
    floor = verifying()
    assert isinstance(_resolve(floor), Denied), "the alert still fires"
    _resolve(floor, force=True)
    assert (floor.incident().status, floor.target().verifying) == ("resolved", None)


@pytest.mark.parametrize("kind", [StepSucceeded, StepUnknown, StepNotSent])
def test_an_outcome_after_the_close_is_still_recorded(kind: type) -> None:
    """What reached the target is never forgotten, however late it is told."""
    floor = opened()
    (run,) = floor.runs
    floor.wait(TURN_MS)
    floor.end(alert())
    floor.wait(plan().close_ms)
    assert floor.incident().status == "parked", "nobody knows whether it was sent, so no silence ends it"
    floor.tell("inc-1", OperatorResolved(id="looked", at=floor.now, by="demo-oncall"))
    floor.wait(plan().close_ms)
    assert floor.incident().status == "closed"
    assert isinstance(floor.report(run, kind, "late"), Applied), "also beside a turn that ran out without an outcome"
    assert isinstance(floor.report(run, kind, "late"), Ignored), "a copy says nothing new"
    assert floor.incident().status == "closed"
    assert len(floor.incident().results) == 2


def test_a_relapse_calls_people_anew() -> None:
    """The acknowledgement was of a breach that ended; a critical one that comes back inside the hold pages again."""
    floor = parked()
    floor.tell("inc-1", OperatorAcked(id="ack", at=floor.now, by="demo-oncall"))
    floor.end(alert())
    assert floor.incident().status == "resolved"
    before = len(floor.asked(PageOncall))
    floor.fire(alert(starts_at=floor.now))
    assert floor.incident().acknowledged_by == ""
    assert len(floor.asked(PageOncall)) == before + 1
