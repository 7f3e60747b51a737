"""The ladder that acts, and what is left of it after Andon itself was away."""

from __future__ import annotations

from dataclasses import replace

from bot.core.effects import PageOncall, PostMessage
from bot.core.events import StepNotSent, TimerFired
from bot.core.incident_ladder import AWAY_MS, FRESH_WINDOW_MS
from bot.core.orders import OperatorAcked, OperatorHeld, OperatorResolved
from bot.core.record import Applied
from tests.unit.core.builders import MINUTE, SECOND, Floor, alert, parked, plan, rung, step, verifying

HALT = step("rung3-trading.halt", action="trading.halt", verify=None)
LADDER = (
    rung(2 * MINUTE, "pm"),
    replace(rung(3 * MINUTE, "risk"), page=None, notify="#quant-emergency"),
    replace(rung(5 * MINUTE, "cro", "resolved"), step=HALT),
)


def branch_of(floor: Floor) -> str:
    (branch,) = floor.incident().branches
    return branch


def test_a_rung_says_pages_and_acts_beside_the_plan() -> None:
    """To the second: the page at two minutes, the channel at three, the halt at five, as an errand of its own."""
    floor = parked(plan(ladder=LADDER))
    floor.wait(2 * MINUTE)
    assert floor.asked(PageOncall)[-1].service == "pm"
    floor.wait(MINUTE - 1)
    said = len(floor.asked(PostMessage))
    floor.wait(1)
    assert floor.asked(PostMessage)[said].channel == "#quant-emergency"
    floor.wait(2 * MINUTE - 1)
    assert len(floor.runs) == 1
    floor.wait(1)
    run = floor.runs[-1]
    assert (run.step.action, run.incident, run.alerts) == ("trading.halt", branch_of(floor), floor.incident().firing)
    assert floor.incident(run.incident).parent == "inc-1"


def test_a_branch_tells_its_incident_what_became_of_it() -> None:
    """The halt stands among the incident's own results, and the incident goes on."""
    floor = parked(plan(ladder=LADDER))
    floor.wait(5 * MINUTE)
    floor.succeed(floor.runs[-1])
    incident = floor.incident()
    assert incident.results[-1].outcome == "branched"
    assert (incident.results[-1].step, incident.branches) == ("rung3-trading.halt", ())
    assert incident.status == "parked"


def test_a_branch_that_failed_stays_and_calls() -> None:
    """It is parked like any step that could not be done, until its incident is over."""
    floor = parked(plan(ladder=LADDER))
    floor.wait(5 * MINUTE)
    branch = branch_of(floor)
    floor.report(floor.runs[-1], StepNotSent, "the target refused")
    assert floor.incident(branch).status == "parked"
    floor.tell("inc-1", OperatorResolved(id="r", at=floor.now, by="demo-oncall", force=True))
    assert floor.incident(branch).status == "resolved"
    assert floor.open_pages == set()


def test_the_end_of_the_incident_stops_a_branch_that_has_not_begun() -> None:
    """A halt that still waits for its turn does not come after the trouble."""
    floor = parked(plan(ladder=LADDER))
    floor.wait(4 * MINUTE)
    floor.fire(alert("b"), plan(), to="inc-2")  # holds the component's slot
    floor.wait(MINUTE)
    branch = branch_of(floor)
    assert floor.incident(branch).status == "acting"
    floor.tell("inc-1", OperatorResolved(id="r", at=floor.now, by="demo-oncall", force=True))
    assert floor.incident(branch).status == "resolved"
    assert all(run.incident != branch for run in floor.runs)


def test_a_rungs_step_does_not_wait_for_its_own_incidents_verification() -> None:
    """The halt is the answer to an effect that does not come true; it must not wait behind watching it."""
    late = replace(rung(10 * SECOND, "cro", "resolved"), step=HALT)
    floor = verifying(plan(ladder=(late,)))
    floor.wait(11 * SECOND)
    assert floor.runs[-1].step.action == "trading.halt"


def away(floor: Floor, gone: int) -> None:
    """Andon stands still for so long; then all that came due is told at once, in the order of its due times."""
    floor.now += gone
    due = sorted((t.due, name, t.token) for name, t in floor.incident().timers.items() if t.due <= floor.now)
    for _, name, token in due:
        floor.tell("inc-1", TimerFired(id=f"timer/{token}", at=floor.now, name=name, token=token))


def test_rungs_that_came_due_while_andon_was_away_are_one_call_and_no_action() -> None:
    """Three rungs overdue: the highest is called once, and the halt waits for a fresh window."""
    floor = parked(plan(ladder=LADDER))
    before = len(floor.asked(PageOncall))
    away(floor, 10 * MINUTE)
    called = floor.asked(PageOncall)[before:]
    assert [page.service for page in called] == ["cro"]
    assert "3 rungs came due while Andon was away" in called[0].summary
    assert len(floor.runs) == 1
    floor.wait(FRESH_WINDOW_MS - 1)
    assert len(floor.runs) == 1
    floor.wait(1)
    assert floor.runs[-1].step.action == "trading.halt"


def test_a_rung_a_little_late_is_climbed_as_usual() -> None:
    """A slow store is not an outage."""
    floor = parked(plan(ladder=LADDER))
    floor.wait(4 * MINUTE)
    away(floor, MINUTE + AWAY_MS)
    assert floor.runs[-1].step.action == "trading.halt"


def test_a_copy_of_a_branchs_order_begins_nothing_again() -> None:
    """The order is delivered at least once."""
    floor = parked(plan(ladder=LADDER))
    floor.wait(5 * MINUTE)
    branch, runs = branch_of(floor), len(floor.runs)
    order = next(d for d in floor.decisions if d[0] == branch and d[1] == "step_ordered")
    assert isinstance(order[2], Applied)
    assert len(floor.runs) == runs


def test_an_ack_stops_a_rungs_page_and_not_what_it_does_until_mitigated() -> None:
    """Law 8: a plain ack stops paging; the protective step comes all the same."""
    until = replace(rung(5 * MINUTE, "cro", "mitigated"), step=HALT)
    floor = parked(plan(ladder=(until,)))
    floor.tell("inc-1", OperatorAcked(id="a", at=floor.now, by="demo-oncall"))
    pages = len(floor.asked(PageOncall))
    floor.wait(5 * MINUTE)
    assert floor.runs[-1].step.action == "trading.halt"
    assert len(floor.asked(PageOncall)) == pages


def test_a_held_rung_calls_at_its_time_and_acts_when_the_hold_is_over() -> None:
    """`andon hold` holds back what the ladder does, not whom it calls."""
    floor = parked(plan(ladder=(LADDER[2],)))
    floor.tell("inc-1", OperatorHeld(id="h", at=floor.now, by="demo-oncall", for_ms=20 * MINUTE))
    floor.wait(5 * MINUTE)
    assert floor.asked(PageOncall)[-1].service == "cro"
    pages = len(floor.asked(PageOncall))
    floor.wait(15 * MINUTE - 1)
    assert len(floor.runs) == 1
    floor.wait(1)
    assert floor.runs[-1].step.action == "trading.halt"
    assert len(floor.asked(PageOncall)) == pages
