"""What people decide, take and order: votes, hands on, errands; and what is refused, with its reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.effects import PageOncall, PostMessage
from bot.core.events import ApprovalNeeded, StepNotSent, StepUnneeded
from bot.core.orders import (
    ApprovalVoted,
    OperatorAcked,
    OperatorEscalated,
    OperatorHeld,
    OperatorTook,
    StepOrdered,
)
from bot.core.plan import Plan
from bot.core.record import Applied, Decision, Denied
from bot.core.words import SYSTEM_TARGET
from tests.unit.core.builders import MINUTE, Floor, alert, ended, opened, plan, rung, step
from tests.unit.core.candidates import terms

ASKS = plan(step(automatic=False, risk="critical"))


def asking(made: Plan = ASKS, **changes: object) -> Floor:
    """An incident that waits for a decision."""
    floor = opened(made)
    floor.report(floor.runs[-1], ApprovalNeeded, "critical: two must say yes", terms=terms(**changes))
    assert floor.incident().status == "awaiting_approval"
    return floor


def vote(floor: Floor, by: str, verdict: str = "approve", **changes: object) -> Decision:
    asked = floor.incident().approval
    event = ApprovalVoted(
        id=f"vote/{by}/{len(floor.decisions)}", at=floor.now, by=by, approval=asked.id if asked else "dec-none",
        digest=asked.terms.digest if asked else "d", verdict=verdict,
    )  # type: ignore[arg-type]  # fmt: skip
    return floor.tell("inc-1", replace(event, **changes))  # type: ignore[arg-type]  # the fields are the event's own


def test_enough_different_people_let_the_step_run_once_with_their_approval() -> None:
    """Quorum two: the first yes waits, the second asks for the step's turn, and the run carries both."""
    floor = asking()
    assert vote(floor, "demo-approver") == Applied("yes from demo-approver: 1 of 2")
    assert floor.incident().status == "awaiting_approval"
    assert isinstance(vote(floor, "demo-other"), Applied)
    run = floor.runs[-1]
    assert len(floor.runs) == 2
    assert run.approval is not None
    assert [one.by for one in run.approval.votes] == ["demo-approver", "demo-other"]
    assert floor.incident().approval is None
    assert floor.incident().granted is None


def test_one_person_counts_once() -> None:
    """A second yes of the same person changes nothing, whatever door it came through."""
    floor = asking()
    vote(floor, "demo-approver")
    assert vote(floor, "demo-approver") == Denied("demo-approver has said yes already; one person counts once")
    assert len(floor.runs) == 1


def test_deny_beats_approve() -> None:
    """One no ends it, also after a yes; nothing runs, and everybody reads who said no and why."""
    floor = asking()
    vote(floor, "demo-approver")
    assert isinstance(vote(floor, "demo-other", "deny", reason="flat already"), Applied)
    assert floor.incident().status == "parked"
    assert floor.incident().why.endswith("denied by demo-other: flat already")
    assert len(floor.runs) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"approval": "dec-other"}, "this decision is over"),
        ({"digest": "another"}, "what you were shown is not what is asked now"),
        ({"refusal": "demo-other may not decide"}, "demo-other may not decide"),
    ],
)
def test_a_vote_that_does_not_count_says_why(changes: dict[str, object], words: str) -> None:
    """Another question, another digest, a person who may not: refused with one sentence, and nothing changes."""
    floor = asking()
    decision = vote(floor, "demo-other", **changes)
    assert isinstance(decision, Denied)
    assert words in decision.reason
    approval = floor.incident().approval
    assert approval is not None
    assert approval.votes == ()


def test_a_vote_after_its_time_is_refused_even_before_the_timer_came() -> None:
    """Silence is not approval, and neither is a late yes."""
    floor = asking(expires_at=opened(ASKS).now + MINUTE)
    floor.now += 2 * MINUTE
    assert "too late" in str(vote(floor, "demo-approver"))


def test_a_decision_that_is_over_is_told_so() -> None:
    """An old button says what happened since."""
    floor = asking()
    vote(floor, "demo-other", "deny")
    decision = vote(floor, "demo-approver")
    assert isinstance(decision, Denied)
    assert "nothing waits for a decision" in decision.reason


def test_an_old_button_is_told_who_decided_however_long_ago() -> None:
    """Also while the step runs, after it, and when the same incident has asked and was answered about another step."""
    floor = asking(plan(step("one", automatic=False, verify=None), step("two", automatic=False)))
    old = floor.incident().approval
    assert old is not None
    vote(floor, "demo-approver")
    vote(floor, "demo-other")
    who = "nothing waits for a decision here: risk.reduce_kelly approved by demo-approver, demo-other; the incident is "
    copy = {"approval": old.id, "digest": old.terms.digest}
    assert f"{who}acting" in str(vote(floor, "demo-oncall", **copy))
    floor.succeed(floor.runs[-1])
    floor.report(floor.runs[-1], ApprovalNeeded, "again: two must say yes", terms=terms(digest="d2"))
    over = vote(floor, "demo-oncall", **copy)
    assert "this decision is over: risk.reduce_kelly approved by demo-approver, demo-other; the" in str(over)
    vote(floor, "demo-other", "deny", reason="enough")
    assert "denied by demo-other" not in str(vote(floor, "demo-oncall", **copy)).partition("the incident is")[0]


@pytest.mark.parametrize("verdict", ["approve", "deny"])
def test_who_decided_is_told_once(verdict: str) -> None:
    """Where the incident stands as it does because of the answer, the answer is not told twice."""
    floor = asking(plan(step(automatic=False)))
    asked = floor.incident().approval
    assert asked is not None
    for by in ("demo-approver", "demo-other"):
        vote(floor, by, verdict, approval=asked.id, digest=asked.terms.digest)
    late = str(vote(floor, "demo-oncall", approval=asked.id, digest=asked.terms.digest))
    assert late.count("demo-approver") == 1


def test_silence_and_hands_on_are_told_to_an_old_button_too() -> None:
    """When nobody decided, or somebody took it, and the incident has gone on since."""
    for end in ("silence", "hands"):
        floor = asking()
        asked = floor.incident().approval
        assert asked is not None
        if end == "silence":
            floor.wait(61 * MINUTE)
        else:
            took(floor)
        floor.tell("inc-1", ended(alert()))
        late = str(vote(floor, "demo-oncall", approval=asked.id, digest=asked.terms.digest))
        assert ("nobody decided" if end == "silence" else "demo-oncall has it") in late
        assert "the incident is resolved (no alert fires any more)" in late


def test_an_approval_is_used_once() -> None:
    """A second intent under the same approval is refused by the system's own record."""
    floor = asking()
    vote(floor, "demo-approver")
    vote(floor, "demo-other")
    run = floor.runs[-1]
    assert isinstance(floor.declare(run), Applied)
    again = replace(run, id="int-other")
    assert floor.declare(again) == Denied("this approval has been used already")


def test_what_people_approved_needs_no_budget() -> None:
    """The budget is for what nobody was asked about; its trip does not keep people from acting."""
    floor = asking()
    floor.records[SYSTEM_TARGET] = replace(floor.target(SYSTEM_TARGET), tripped_at=floor.now)
    vote(floor, "demo-approver")
    vote(floor, "demo-other")
    assert isinstance(floor.declare(floor.runs[-1]), Applied)
    assert floor.target(SYSTEM_TARGET).recent == ()


def test_broken_glass_runs_alone_and_wakes_everybody() -> None:
    """One named person, a typed reason, every service of the ladder called."""
    made = replace(ASKS, ladder=(rung(20 * MINUTE, "pm"), rung(30 * MINUTE, "cro")))
    floor = asking(made)
    assert isinstance(vote(floor, "demo-oncall", break_glass=True, reason="both approvers unreachable"), Applied)
    assert len(floor.runs) == 2
    assert {"pm", "cro", "trading-oncall"} <= {page.service for page in floor.asked(PageOncall)}


def test_nobody_to_ask_is_said_with_the_command_to_type() -> None:
    """Fewer eligible people than the quorum: it parks at once and calls, with the command that does it by hand."""
    floor = opened(ASKS)
    floor.report(floor.runs[-1], ApprovalNeeded, "critical", terms=terms(eligible=("demo-approver",)))
    assert floor.incident().status == "parked"
    summary = floor.asked(PageOncall)[-1].summary
    assert "2 must approve it and demo-approver may" in summary
    assert "curl risk-engine" in summary


def test_silence_calls_the_next_people() -> None:
    """Nobody decided: the next rung is called at once, not only when its time has come."""
    made = replace(ASKS, ladder=(rung(200 * MINUTE, "pm"),))
    floor = asking(made)
    floor.wait(61 * MINUTE)
    assert floor.incident().status == "parked"
    assert floor.asked(PageOncall)[-1].service == "pm"
    assert "curl risk-engine" in floor.asked(PageOncall)[-1].summary


def test_silence_without_a_ladder_calls_the_oncall_anew() -> None:
    """A page with a key of its own, which the pager rings again; all of them are taken back at the end."""
    floor = asking()
    floor.wait(61 * MINUTE)
    assert len(floor.open_pages) == 2
    floor.tell("inc-1", ended(alert()))
    assert floor.incident().status == "resolved"
    assert floor.open_pages == set()


def test_the_end_of_the_alert_voids_the_question() -> None:
    """A yes to a problem that is gone runs nothing."""
    floor = asking()
    floor.tell("inc-1", ended(alert()))
    assert floor.incident().status == "resolved"
    assert isinstance(vote(floor, "demo-approver"), Denied)


# --- hands on ----------------------------------------------------------------------------------------------------


def took(floor: Floor, by: str = "demo-oncall") -> Decision:
    return floor.tell("inc-1", OperatorTook(id=f"take/{len(floor.decisions)}", at=floor.now, by=by))


def test_hands_on_voids_the_question_and_stands_automation_down() -> None:
    """I have it: the pending approval is void, nobody is paged on, and no step begins."""
    floor = asking()
    assert took(floor) == Applied("demo-oncall has it")
    incident = floor.incident()
    assert (incident.status, incident.taken_by, incident.acknowledged_by) == ("parked", "demo-oncall", "demo-oncall")
    assert incident.approval is None
    assert isinstance(vote(floor, "demo-approver"), Denied)


def test_hands_on_while_a_step_is_under_way_stops_what_comes_after_it() -> None:
    """What was sent cannot be called back; the next step does not begin."""
    floor = opened(plan(step("cut", verify=None, on_failure="continue"), step("halt")))
    assert "ends first" in str(took(floor))
    floor.report(floor.runs[-1], StepNotSent)
    assert floor.incident().status == "parked"
    assert len(floor.runs) == 1


def test_hands_on_asks_nobody_about_a_step_that_comes_back() -> None:
    """It could not act by itself and would ask; but somebody has it: no question, no page, and nobody may say yes."""
    floor = opened(ASKS)
    took(floor)
    before = len(floor.asked(PageOncall))
    floor.report(floor.runs[-1], ApprovalNeeded, "critical: two must say yes", terms=terms())
    incident = floor.incident()
    assert (incident.status, incident.approval) == ("parked", None)
    assert "demo-oncall has it; Andon would ask" in incident.why
    assert len(floor.asked(PageOncall)) == before
    assert [post for post in floor.asked(PostMessage) if post.topic == "asked"] == []
    assert isinstance(vote(floor, "demo-approver"), Denied)
    assert len(floor.runs) == 1


def test_hands_on_in_the_queue_gives_the_place_back() -> None:
    """Whoever waits behind it must not wait for somebody who left."""
    floor = opened()
    floor.fire(alert("b"), plan(), to="inc-2")
    floor.tell("inc-2", OperatorTook(id="t", at=floor.now, by="demo-oncall"))
    assert floor.target().queue == ()


def test_safety_rungs_go_on_and_can_be_held() -> None:
    """`until: resolved` outlives hands on; a hold moves what the ladder does by itself."""
    halt = replace(rung(5 * MINUTE, "cro", "resolved"), step=step("rung1-halt", action="trading.halt"))
    floor = asking(replace(ASKS, ladder=(halt,)))
    took(floor)
    held = floor.tell("inc-1", OperatorHeld(id="h", at=floor.now, by="demo-oncall", for_ms=20 * MINUTE))
    assert held == Applied("demo-oncall holds trading.halt for 1200 s")
    floor.wait(19 * MINUTE)
    assert len(floor.runs) == 1
    floor.wait(2 * MINUTE)
    assert floor.runs[-1].step.action == "trading.halt"


def test_a_person_escalates() -> None:
    """The next rung is called now, and again the one after it."""
    made = replace(ASKS, ladder=(rung(20 * MINUTE, "pm"), rung(30 * MINUTE, "cro")))
    floor = asking(made)
    for service in ("pm", "cro", "trading-oncall"):
        event = OperatorEscalated(id=f"e/{service}", at=floor.now, by="demo-oncall", reason="no answer")
        assert floor.tell("inc-1", event) == Applied(f"paged {service}")
    floor.tell("inc-1", OperatorAcked(id="a", at=floor.now, by="demo-pm"))
    assert floor.incident().level == 2


# --- orders ------------------------------------------------------------------------------------------------------


def order(floor: Floor, made: Plan, by: str = "demo-oncall") -> Decision:
    event = StepOrdered(
        id="order", at=floor.now, key="order:1", plan=made, severity="warning", by=by, reason="as agreed"
    )
    return floor.tell("inc-9", event)


ORDER = plan(step("1-cut", automatic=False, guard="", verify=None), policy="order", mode="suggest")


def test_an_order_runs_as_an_errand_and_is_over_with_its_step() -> None:
    """No policy need be armed, it takes its turn like any plan, and ends when its step has."""
    floor = Floor(armed=())
    assert isinstance(order(floor, ORDER), Applied)
    run = floor.runs[-1]
    assert (run.disposition, run.ordered_by, run.requesters) == ("act", "demo-oncall", ("demo-oncall",))
    assert isinstance(floor.succeed(run), Applied)
    assert floor.incident("inc-9").status == "resolved"


def test_a_freeze_holds_for_orders_too() -> None:
    """Automation off means that nothing is sent through Andon."""
    floor = Floor(armed=())
    floor.freeze()
    order(floor, ORDER)
    assert floor.runs == []
    assert floor.incident("inc-9").status == "parked"


def test_an_order_that_failed_waits_for_a_person() -> None:
    """No alert fires for it, and that is no reason to call it done."""
    floor = Floor(armed=())
    order(floor, ORDER)
    floor.report(floor.runs[-1], StepNotSent, "the target refused: 409")
    assert floor.incident("inc-9").status == "parked"


def test_a_denied_order_is_over() -> None:
    """Whoever ordered it reads the no; nobody is called for it."""
    floor = Floor(armed=())
    order(floor, ORDER)
    floor.report(floor.runs[-1], ApprovalNeeded, "critical", terms=terms())
    asked = floor.incident("inc-9").approval
    assert asked is not None
    event = ApprovalVoted(
        id="v", at=floor.now, by="demo-other", approval=asked.id, digest=asked.terms.digest, verdict="deny"
    )
    floor.tell("inc-9", event)
    assert floor.incident("inc-9").status == "resolved"
    assert "denied" in floor.asked(PostMessage)[-2].text


def test_an_order_whose_guard_never_holds_ends_quietly() -> None:
    """A step that is not needed is not worth a page."""
    floor = Floor(armed=())
    order(floor, ORDER)
    floor.records["inc-9"] = replace(floor.incident("inc-9"), tries=60)
    pages = len(floor.asked(PageOncall))
    floor.report(floor.runs[-1], StepUnneeded, "var 1.2 is not > 1.8")
    assert floor.incident("inc-9").status in ("resolved", "open")
    assert len(floor.asked(PageOncall)) == pages


def test_who_fired_the_alert_by_hand_is_a_requester() -> None:
    """Nobody injects an alert and then approves what it asks for."""
    floor = Floor()
    injected = replace(alert(), source="andon fire", annotations={"fired_by": "demo-approver"})
    floor.fire(injected, plan())
    assert floor.runs[-1].requesters == ("demo-approver",)


def test_what_comes_too_late_is_denied_not_called_done() -> None:
    """Taking, holding, escalating or deciding on what is over says so, and fails."""
    floor = Floor()
    floor.fire(alert(), plan())
    floor.tell("inc-1", ended(alert()))
    floor.report(floor.runs[-1], StepUnneeded)
    assert floor.incident().status == "resolved"
    assert took(floor) == Denied("nothing is done: the incident is resolved (no alert fires any more)")


def test_who_takes_what_another_has_is_handed_it() -> None:
    """The newest "I have it" is who has it, and both are told."""
    floor = asking()
    took(floor)
    assert took(floor, "demo-pm") == Applied("demo-pm has it now, demo-oncall had it")
    assert floor.incident().taken_by == "demo-pm"
    assert "changes nothing: you have it already" in str(took(floor, "demo-pm"))


def test_nobody_to_ask_calls_the_next_people_and_the_oncall() -> None:
    """Those who are there may not decide, so the rung's people are called at once."""
    made = replace(ASKS, ladder=(rung(200 * MINUTE, "pm"),))
    floor = opened(made)
    floor.report(floor.runs[-1], ApprovalNeeded, "critical", terms=terms(eligible=()))
    assert {page.service for page in floor.asked(PageOncall)} == {"pm", "trading-oncall"}
