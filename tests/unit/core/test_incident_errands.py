"""What must not slip between an incident and what it began: branches, relapses, requesters, late denials."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.effects import PageOncall
from bot.core.events import AlertFired, ApprovalNeeded, StepNotSent, StepUnknown, StepUnneeded, TimerFired
from bot.core.incident_moves import FRESH_WINDOW_MS
from bot.core.orders import (
    ApprovalVoted,
    OperatorAcked,
    OperatorEscalated,
    OperatorHeld,
    OperatorResolved,
    OperatorTook,
)
from bot.core.record import Applied, Denied
from tests.unit.core.builders import MINUTE, SECOND, Floor, alert, opened, over, parked, plan, rung, step
from tests.unit.core.candidates import terms

HALT = step("rung1-trading.halt", action="trading.halt", verify=None, automatic=False, risk="critical")
ACKED = replace(rung(5 * MINUTE, "cro"), step=HALT)
RESOLVED = replace(ACKED, until="resolved")


def climbed(made: object = RESOLVED) -> tuple[Floor, str]:
    """A parked incident whose ladder has begun its own step."""
    floor = parked(plan(ladder=(made,)))
    floor.wait(5 * MINUTE)
    (branch,) = floor.incident().branches
    return floor, branch


def end(floor: Floor) -> None:
    floor.tell("inc-1", OperatorResolved(id="r", at=floor.now, by="demo-oncall", force=True))


@pytest.mark.parametrize("outcome", [ApprovalNeeded, StepUnneeded, StepNotSent])
def test_a_branch_under_way_when_its_incident_ends_begins_nothing_more(outcome: type) -> None:
    """Neither asks, nor tries again, nor stays parked with an open page."""
    floor, branch = climbed()
    run = floor.runs[-1]
    end(floor)
    more = {"terms": terms()} if outcome is ApprovalNeeded else {}
    floor.report(run, outcome, **more)
    assert floor.incident(branch).status == "resolved"
    assert floor.open_pages == set()


def test_a_branch_whose_outcome_nobody_knows_outlives_its_incident() -> None:
    """That is a person's to find out, whatever became of the alert."""
    floor, branch = climbed()
    run = floor.runs[-1]
    floor.declare(run)
    end(floor)
    floor.report(run, StepUnknown, "no answer")
    assert floor.incident(branch).status == "parked"
    assert floor.open_pages != set()


def test_hands_on_reaches_branches_except_those_until_the_end() -> None:
    """A halt that waits for a yes is void when somebody has the incident; `until: resolved` goes on."""
    for made, status in ((ACKED, "resolved"), (RESOLVED, "awaiting_approval")):
        floor, branch = climbed(made)
        floor.report(floor.runs[-1], ApprovalNeeded, terms=terms())
        floor.tell("inc-1", OperatorTook(id="t", at=floor.now, by="demo-oncall"))
        assert floor.incident(branch).status == status


def test_deny_beats_approve_also_while_the_step_waits_for_its_turn() -> None:
    """The yes is not yet an effect, so a no still counts."""
    floor = opened(plan(step(automatic=False, risk="risky")))
    floor.report(floor.runs[-1], ApprovalNeeded, terms=terms(quorum=1))
    asked = floor.incident().approval
    assert asked is not None
    floor.fire(alert("b"), plan(), to="inc-2")  # holds the component
    vote = ApprovalVoted(
        id="y", at=floor.now, by="demo-approver", approval=asked.id, digest=asked.terms.digest, verdict="approve"
    )
    assert isinstance(floor.tell("inc-1", vote), Applied)
    assert floor.incident().status == "acting"
    no = replace(vote, id="n", by="demo-other", verdict="deny")
    assert isinstance(floor.tell("inc-1", no), Applied)
    assert floor.incident().status == "parked"
    assert len(floor.runs) == 2
    floor.end(alert("b"), to="inc-2")
    assert all(run.approval is None for run in floor.runs)


def test_a_rung_that_came_due_in_a_short_quiet_is_not_lost() -> None:
    """The alert paused for half a minute around the rung's time: people are called at once, the halt gets a window."""
    floor = parked(plan(ladder=(rung(4 * MINUTE + 55 * SECOND, "pm"), RESOLVED)))
    floor.wait(4 * MINUTE + 50 * SECOND)
    floor.end(alert())
    assert floor.incident().status == "resolved"
    floor.wait(30 * SECOND)
    floor.fire(alert(starts=alert().starts_at + 5 * MINUTE))
    floor.wait(0)
    assert floor.asked(PageOncall)[-1].service == "pm"
    floor.wait(FRESH_WINDOW_MS - 1)
    assert floor.incident().branches == ()
    floor.wait(1)
    assert len(floor.incident().branches) == 1


def test_a_relapse_does_not_shorten_a_hold() -> None:
    """Held for an hour means an hour, whatever the alert does meanwhile."""
    floor = parked(plan(ladder=(RESOLVED,)))
    floor.tell("inc-1", OperatorHeld(id="h", at=floor.now, by="demo-oncall", for_ms=60 * MINUTE))
    floor.end(alert())
    floor.wait(30 * SECOND)
    floor.fire(alert(starts=alert().starts_at + MINUTE))
    floor.wait(58 * MINUTE)
    assert floor.incident().branches == ()
    floor.wait(2 * MINUTE)
    assert len(floor.incident().branches) == 1


def test_a_rung_about_to_act_when_andon_comes_back_waits_for_the_window_too() -> None:
    """The page is a second late and the halt a second away: nobody could have said no."""
    floor = parked(plan(ladder=(rung(2 * MINUTE, "pm"), RESOLVED)))
    floor.now += 4 * MINUTE + 59 * SECOND
    timer = floor.incident().timers["rung:0"]
    floor.tell("inc-1", TimerFired(id="t", at=floor.now, name="rung:0", token=timer.token))
    floor.wait(FRESH_WINDOW_MS - 1)
    assert floor.incident().branches == ()
    floor.wait(1)
    assert len(floor.incident().branches) == 1


def test_who_fired_an_alert_by_hand_stays_a_requester_to_the_end_of_the_episode() -> None:
    """Also when the alert is over, or another person fires the same one again, and in what the ladder begins."""
    floor = Floor()
    injected = replace(alert("x"), source="andon fire", annotations={"fired_by": "demo-approver"})
    made = plan(ladder=(RESOLVED,))
    floor.tell("inc-1", AlertFired(id="x", at=floor.now, alert=injected, plan=made))
    floor.fire(alert("b"), made)
    again = replace(injected, starts_at=injected.starts_at + 1, annotations={"fired_by": "demo-other"})
    floor.tell("inc-1", AlertFired(id="y", at=floor.now, alert=again, plan=made))
    floor.end(over(again))
    floor.report(floor.runs[-1], StepNotSent)
    floor.wait(5 * MINUTE)
    assert floor.runs[-1].requesters == ("demo-approver", "demo-other")


def test_escalating_again_and_again_reaches_everybody_each_time_anew() -> None:
    """A rung with a step of its own is called early, and its step still comes at its time."""
    floor = parked(plan(ladder=(RESOLVED, rung(9 * MINUTE, "board"))))
    before = len(floor.open_pages)
    for service in ("cro", "board"):
        assert service in str(_escalate(floor))
    assert len(floor.open_pages) == before + 2
    pages = len(floor.asked(PageOncall))
    floor.wait(5 * MINUTE)
    assert len(floor.incident().branches) == 1
    assert [page.service for page in floor.asked(PageOncall)[pages:]] == []


def _escalate(floor: Floor) -> object:
    return floor.tell("inc-1", OperatorEscalated(id=f"e{len(floor.decisions)}", at=floor.now, by="demo-oncall"))


def test_broken_glass_in_a_branch_wakes_the_whole_ladder() -> None:
    """The halt is the ladder's, and so are the people who must know."""
    floor, branch = climbed()
    floor.report(floor.runs[-1], ApprovalNeeded, terms=terms(break_glass="demo-chief"))
    asked = floor.incident(branch).approval
    assert asked is not None
    vote = ApprovalVoted(
        id="g", at=floor.now, by="demo-chief", approval=asked.id, digest=asked.terms.digest, verdict="approve",
        reason="nobody answers", break_glass=True,
    )  # fmt: skip
    floor.tell(branch, vote)
    assert {"cro", "trading-oncall"} <= {page.service for page in floor.asked(PageOncall) if "glass" in page.summary}


def test_an_unknown_outcome_is_not_over_with_its_alert_and_calls_also_who_acked() -> None:
    """The alert ends; whether trading was halted is still nobody's knowledge."""
    floor = opened(plan())
    floor.tell("inc-1", OperatorAcked(id="a", at=floor.now, by="demo-oncall"))
    floor.declare(floor.runs[-1])
    floor.report(floor.runs[-1], StepUnknown, "no answer")
    assert floor.open_pages != set()
    floor.end(alert())
    assert floor.incident().status == "parked"
    assert isinstance(floor.tell("inc-1", OperatorResolved(id="r", at=floor.now, by="demo-oncall")), Applied)


def test_hands_on_ends_with_the_relapse() -> None:
    """Who had it had what is over; who comes back is called anew, and the ladder climbs."""
    floor = parked(plan(ladder=(rung(5 * MINUTE, "pm"),)))
    floor.tell("inc-1", OperatorTook(id="t", at=floor.now, by="demo-oncall"))
    floor.end(alert())
    floor.fire(alert(starts=alert().starts_at + MINUTE))
    assert floor.incident().taken_by == ""
    floor.wait(5 * MINUTE)
    assert floor.asked(PageOncall)[-1].service == "pm"


def test_a_question_that_may_not_be_answered_is_not_asked() -> None:
    """The policy in force no longer gives this step: nobody approves it here, and people are told how by hand."""
    floor = opened(plan(step(automatic=False, risk="risky")))
    gone = terms(barred="var-breach no longer has risk.reduce_kelly as this step")
    floor.report(floor.runs[-1], ApprovalNeeded, "risky", terms=gone)
    assert floor.incident().status == "parked"
    assert "no longer has" in floor.incident().why
    vote = ApprovalVoted(id="v", at=floor.now, by="demo-approver", approval="dec-1", digest="d", verdict="approve")
    assert isinstance(floor.tell("inc-1", vote), Denied)
