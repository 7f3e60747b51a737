"""Leases: what an action did is meant to last so long; then people are asked, and nothing is undone by itself."""

from __future__ import annotations

from bot.core.effects import PageOncall, RunStep
from bot.core.events import StepNotSent, StepSucceeded, StepUnknown, StepUnneeded
from bot.core.incident_moves import TURN_MS
from bot.core.orders import LeaseEnded, LeaseRenewed, StepOrdered, TargetFrozen
from bot.core.record import Applied, Denied
from tests.unit.core.builders import MINUTE, Floor, opened, plan, step

RISK_ENGINE = "target:risk-engine"
HALT = step("halt", action="trading.halt", lease_ms=30 * MINUTE, undo="trading.start", verify=None, guard="")
START_AGAIN = step("start", action="trading.start", direction="raises", verify=None, guard="")


def halted() -> Floor:
    floor = opened(plan(HALT))
    floor.succeed(floor.runs[-1])
    return floor


def questions(floor: Floor) -> list[str]:
    return [page.summary for page in floor.asked(PageOncall) if "was meant to last" in page.summary]


def test_a_lease_that_is_up_asks_and_undoes_nothing() -> None:
    """To the minute, with the three commands that answer it; no run begins by itself."""
    floor = halted()
    floor.wait(30 * MINUTE - 1)
    assert questions(floor) == []
    floor.wait(1)
    (asked,) = questions(floor)
    assert "andon lease renew trading-core/risk-engine trading.halt" in asked
    assert "andon run trading.start" in asked
    assert len(floor.runs) == 1


def test_nobody_answered_so_it_asks_again() -> None:
    """The same page each time, and it stays open until somebody does something about it."""
    floor = halted()
    floor.wait(61 * MINUTE)
    assert len(questions(floor)) == 2
    assert len({page.dedup_key for page in floor.asked(PageOncall) if page.summary in questions(floor)}) == 1


def test_renewing_takes_the_question_back_and_asks_later() -> None:
    """Counted from the renewal."""
    floor = halted()
    floor.wait(31 * MINUTE)
    before = len(floor.open_pages)
    renewed = LeaseRenewed(id="r", at=floor.now, by="demo-oncall", action="trading.halt", for_ms=10 * MINUTE)
    assert isinstance(floor.tell(RISK_ENGINE, renewed), Applied)
    assert len(floor.open_pages) == before - 1
    floor.wait(10 * MINUTE)
    assert len(questions(floor)) == 2


def test_the_undo_ends_the_lease() -> None:
    """Once what it did is taken back there is nothing left to ask."""
    floor = opened(plan(HALT, START_AGAIN))
    floor.succeed(floor.runs[-1])
    floor.succeed(floor.runs[-1])
    assert floor.target().leases == {}
    floor.wait(60 * MINUTE)
    assert questions(floor) == []


def test_a_person_ends_it_also_while_the_component_is_frozen() -> None:
    """A freeze keeps Andon from acting, not people from answering."""
    floor = halted()
    frozen = TargetFrozen(id="f", at=floor.now, by="demo-oncall", reason="deploy")
    floor.tell(RISK_ENGINE, frozen)
    floor.wait(31 * MINUTE)
    assert len(questions(floor)) == 1
    ended = LeaseEnded(id="e", at=floor.now, by="demo-oncall", action="trading.halt")
    assert isinstance(floor.tell(RISK_ENGINE, ended), Applied)
    again = LeaseEnded(id="e2", at=floor.now, by="demo-oncall", action="trading.halt")
    assert floor.tell(RISK_ENGINE, again) == Denied(
        "trading.halt has no lease on trading-core:risk-engine; leases there: none"
    )


# --- asking through an errand ------------------------------------------------------------------------------------

RESUME = plan(step("1-router.resume", action="router.resume", component="router", direction="raises", risk="risky",
                   automatic=False, verify=None, guard=""), policy="order", mode="suggest")  # fmt: skip
PAUSE = step("1-router.pause", action="router.pause", component="router", lease_ms=15 * MINUTE, undo="router.resume",
             undo_plan=RESUME, verify=None, guard="")  # fmt: skip
ROUTER = "target:router"
LEFT = '{"model":"lstm-v2","router":"paused"}'


def paused() -> Floor:
    floor = opened(plan(PAUSE))
    floor.declare(floor.runs[-1])
    floor.report(floor.runs[-1], StepSucceeded, "paused", after=LEFT)
    return floor


def resumes(floor: Floor) -> list[RunStep]:
    return [run for run in floor.runs if run.step.action == "router.resume"]


def test_a_lease_that_is_over_orders_the_way_back_and_knows_what_it_left() -> None:
    """As an errand of its own, by nobody's hand, with the state that Andon left: the action compares."""
    floor = paused()
    floor.wait(15 * MINUTE - 1)
    assert resumes(floor) == []
    floor.wait(1)
    (asked,) = resumes(floor)
    assert (asked.ordered_by, asked.left, asked.requesters) == ("andon:lease", LEFT, ())
    assert asked.incident != "inc-1"
    assert questions(floor) == []  # the errand pages whoever must decide


def test_the_way_back_ends_the_lease() -> None:
    """Once resumed there is nothing to ask about, and the errand is over."""
    floor = paused()
    floor.wait(15 * MINUTE)
    (asked,) = resumes(floor)
    floor.succeed(asked)
    assert floor.target(ROUTER).leases == {}
    assert floor.incident(asked.incident).status == "resolved"
    floor.wait(60 * MINUTE)
    assert len(resumes(floor)) == 1


def test_nobody_answered_so_the_old_question_is_withdrawn_and_a_new_one_asked() -> None:
    """Two open questions about one lease would be two resumes."""
    floor = paused()
    floor.wait(15 * MINUTE)
    floor.report(resumes(floor)[0], StepNotSent, "cannot be read")
    floor.wait(15 * MINUTE)
    first, second = resumes(floor)
    assert first.incident != second.incident
    assert floor.incident(first.incident).status == "resolved"


def test_renewing_and_ending_withdraw_the_question() -> None:
    """Who keeps it in force has answered."""
    for answer in (
        LeaseRenewed(id="r", at=0, by="demo-oncall", action="router.pause", for_ms=30 * MINUTE),
        LeaseEnded(id="e", at=0, by="demo-oncall", action="router.pause"),
    ):
        floor = paused()
        floor.wait(15 * MINUTE)
        floor.report(resumes(floor)[0], StepNotSent, "cannot be read")
        assert isinstance(floor.tell(ROUTER, answer), Applied)
        assert floor.incident(resumes(floor)[0].incident).status == "resolved"
        floor.wait(30 * MINUTE)
        assert len(resumes(floor)) == (2 if isinstance(answer, LeaseRenewed) else 1)


def test_a_router_found_running_ends_the_lease_and_the_asking() -> None:
    """Somebody resumed it outside Andon: there is nothing left to take back."""
    floor = paused()
    floor.wait(15 * MINUTE)
    floor.report(resumes(floor)[0], StepUnneeded, "the router is running", already=True)
    assert floor.target(ROUTER).leases == {}
    floor.wait(60 * MINUTE)
    assert len(resumes(floor)) == 1


def test_a_resume_of_which_nobody_knows_keeps_the_lease() -> None:
    """The router may still be paused; people are asked again."""
    floor = paused()
    floor.wait(15 * MINUTE)
    floor.declare(resumes(floor)[0])
    floor.report(resumes(floor)[0], StepUnknown, "no answer in time")
    assert "router.pause" in floor.target(ROUTER).leases
    floor.wait(15 * MINUTE)
    assert len(resumes(floor)) == 2


def test_whoever_takes_it_back_is_told_how_it_was_left() -> None:
    """Also an order that a person gives, in an incident that knows nothing of the pause."""
    floor = paused()
    order = StepOrdered(id="o", at=floor.now, key="order", plan=RESUME, severity="warning", by="demo-oncall")
    floor.tell("inc-order", order)
    (ordered,) = resumes(floor)
    assert (ordered.incident, ordered.leased) == ("inc-order", LEFT)


def test_what_was_promised_under_a_turn_that_was_given_up_is_remembered() -> None:
    """Whoever ran it may come back after the outage and must find the promise, not a clean slate."""
    floor = opened(plan(PAUSE))
    (run,) = floor.runs
    floor.declare(run)
    floor.wait(TURN_MS)
    assert floor.target(ROUTER).slot is None
    assert [intent.intent for intent in floor.target(ROUTER).loose] == [run.id]


def test_a_short_lease_leaves_people_the_time_to_answer() -> None:
    """A question every few seconds would be a new page every few seconds, and no yes would ever be in time."""
    floor = paused()
    floor.tell(ROUTER, LeaseRenewed(id="r", at=0, by="demo-oncall", action="router.pause", for_ms=5_000))
    floor.wait(5_000)
    assert len(resumes(floor)) == 1
    floor.wait(RESUME.steps[0].approve_within_ms)
    assert len(resumes(floor)) == 1
    floor.wait(2 * RESUME.steps[0].approve_within_ms)
    assert len(resumes(floor)) == 2


def test_an_answer_that_could_not_be_carried_out_is_asked_about_at_the_usual_time() -> None:
    """Somebody else had a hand in it: that question is over, so the next one need not wait for it."""
    floor = paused()
    floor.tell(ROUTER, LeaseRenewed(id="r", at=0, by="demo-oncall", action="router.pause", for_ms=5_000))
    floor.wait(5_000)
    floor.report(resumes(floor)[0], StepNotSent, "the router was paused by quant, not by Andon")
    floor.wait(5_000)
    assert len(resumes(floor)) == 2
