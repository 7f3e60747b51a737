"""What people ask of an incident beyond acknowledging it, and what a branch and its incident tell each other.

Rows of `incident_machine.TABLE`. A refused vote is a decision like any other: it changes nothing and stands in the
audit with its reason (law 5). Deny beats approve; "I have it" beats automation (law 8).
"""

from __future__ import annotations

from dataclasses import replace

from bot.core.approval import Approval, PendingApproval, Vote
from bot.core.events import BranchEnded, ParentResolved
from bot.core.incident import AlertState, StepResult
from bot.core.incident_draft import Draft
from bot.core.incident_end import branch_id, describe, escalate, is_errand, park, resolve, settle
from bot.core.incident_moves import MAX_RESULTS, begin_step, end_verification, release_turn, start_episode
from bot.core.orders import BY_LEASE, ApprovalVoted, OperatorEscalated, OperatorHeld, OperatorTook, StepOrdered
from bot.core.record import Applied, Decision, Denied, Ignored


def voted(draft: Draft, event: ApprovalVoted) -> Decision:
    """One person's answer to the pending question."""
    asked = draft.incident.approval
    if asked is None or asked.id != event.approval:
        return Denied(f"this decision is over: {draft.incident.since(event.approval)}")
    if event.digest != asked.terms.digest:
        return Denied("what you were shown is not what is asked now; look again, then decide")
    if draft.now > asked.terms.expires_at:
        return Denied("too late: nobody decided in time, and it has been escalated")
    if event.refusal:
        return Denied(event.refusal)
    if event.verdict == "deny":
        return _denied(draft, event)
    if any(vote.by == event.by for vote in asked.votes):
        return Denied(f"{event.by} has said yes already; one person counts once")
    vote = Vote(
        by=event.by, at=draft.now, verdict="approve", reason=event.reason, break_glass=event.break_glass,
        via=event.via,
    )  # fmt: skip
    votes = (*asked.votes, vote)
    if len(votes) < asked.terms.quorum and not event.break_glass:
        draft.change(approval=replace(asked, votes=votes))
        missing = asked.terms.quorum - len(votes)
        draft.say("decided", f"{event.by} says yes to {draft.step.action}; {missing} more must")
        return Applied(f"yes from {event.by}: {len(votes)} of {asked.terms.quorum}")
    return _granted(draft, event, asked, votes)


def _granted(draft: Draft, event: ApprovalVoted, asked: PendingApproval, votes: tuple[Vote, ...]) -> Decision:
    """Enough people said yes: the step asks for its turn again, and carries the approval with it."""
    names = ", ".join(vote.by for vote in votes)
    draft.disarm("approval", "resolve:again")
    draft.change(granted=Approval(id=asked.id, terms=asked.terms, votes=votes))
    if event.break_glass:
        why = f"{event.by} broke the glass for {draft.step.action} alone: {event.reason}"
        ladder = tuple(rung.page for rung in draft.plan.ladder if rung.page is not None)
        for page in dict.fromkeys((*ladder, *draft.plan.call_all, draft.plan.page_on_park)):
            draft.page(page, f"{draft.plan.policy}: {why}", anew=True)
        draft.say("decided", why)
    else:
        why = f"{draft.step.action} approved by {names}"
        draft.say("decided", why)
    settle(draft, asked.id, why)
    begin_step(draft)
    return Applied(why)


def _denied(draft: Draft, event: ApprovalVoted) -> Decision:
    why = f"{draft.step.action} denied by {event.by}" + (f": {event.reason}" if event.reason else "")
    draft.say("decided", why)
    settle(draft, event.approval, why)
    if draft.incident.ordered_by:
        resolve(draft, why)
    else:
        park(draft, why, page=False)
    return Applied(why)


def voted_while_acting(draft: Draft, event: ApprovalVoted) -> Decision:
    """Deny beats approve, also while the approved step still waits for its turn."""
    granted, incident = draft.incident.granted, draft.incident
    mine = granted is not None and (granted.id, granted.terms.digest) == (event.approval, event.digest)
    if event.verdict != "deny" or not mine or incident.run:
        return nothing_asked(draft, event)
    if event.refusal:
        return Denied(event.refusal)
    release_turn(draft, "none")
    return _denied(draft, event)


def nothing_asked(draft: Draft, event: ApprovalVoted) -> Decision:
    return Denied(f"nothing waits for a decision here: {draft.incident.since(event.approval)}")


def took(draft: Draft, event: OperatorTook) -> Decision:
    """Hands on, stand down: what is not under way yet does not begin, and a pending approval is void."""
    incident = draft.incident
    if incident.taken_by == event.by:
        return Ignored("you have it already")
    if incident.taken_by:
        handed = f"{event.by} has it now, {incident.taken_by} had it"
        draft.change(taken_by=event.by)
        draft.say("taken", handed)
        return Applied(handed)
    draft.change(taken_by=event.by, acknowledged_by=incident.acknowledged_by or event.by)
    if incident.acknowledged_at is None:
        draft.change(acknowledged_at=draft.now)
    draft.say("taken", f"{event.by} has it; automation stands down here")
    _stand_branches_down(draft, f"{event.by} has it")
    if incident.run:  # its outcome comes within seconds; what would come after it is stopped there
        return Applied(f"{event.by} has it; {draft.step.action} ends first where it is promised, else it is not sent")
    if incident.status == "acting":
        release_turn(draft, "none")
    if incident.status == "verifying":
        end_verification(draft)
    if incident.status not in ("parked", "mitigated", "resolved"):
        park(draft, f"{event.by} has it; automation stands down here", page=False)
    return Applied(f"{event.by} has it")


def _stand_branches_down(draft: Draft, why: str) -> None:
    """Hands on reaches what the ladder began, except what goes on until the end."""
    for number, rung in enumerate(draft.plan.ladder):
        branch = branch_id(draft.incident, number)
        if rung.until != "resolved" and branch in draft.incident.branches:
            draft.tell(branch, ParentResolved(id=draft.fresh("over"), at=draft.now, why=why))


def escalated(draft: Draft, event: OperatorEscalated) -> Decision:
    words = event.reason or describe(draft)
    called = escalate(draft, f"escalated by {event.by}: {words}")
    return Applied(f"paged {called}")


def held(draft: Draft, event: OperatorHeld) -> Decision:
    """The ladder's own actions wait at least so long; its pages do not."""
    until, moved = draft.now + event.for_ms, []
    for number, rung in enumerate(draft.plan.ladder):
        timer = draft.incident.timers.get(f"rung:{number}")
        if rung.step is not None and timer is not None and timer.due < until:
            moved.append(rung.step.action)
    draft.change(held_until=max(draft.incident.held_until, until))
    if not moved:
        return Denied("no action of the ladder would begin within that time")
    why = f"{event.by} holds {', '.join(moved)} for {event.for_ms // 1000} s"
    draft.say("taken", f"{why}: {event.reason}" if event.reason else why)
    return Applied(why)


# --- branches and orders -----------------------------------------------------------------------------------------


def ordered(draft: Draft, event: StepOrdered) -> Decision:
    """Begin the one step of a branch, or of what a person ordered."""
    if draft.incident.plan is not None:
        return Ignored("a copy of an order that has begun already")
    if len(event.plan.steps) != 1:
        return Denied("an order is exactly one step")
    plan = replace(event.plan, ladder=(), diagnose=(), page_on_open=None, severity=event.severity)
    alerts = {a.fingerprint: AlertState(alert=a, firing=True, changed_at=draft.now) for a in event.alerts}
    draft.change(
        plan=plan, opened_at=draft.now, alerts=alerts, parent=event.parent, parent_episode=event.parent_episode,
        ordered_by=event.by, ordered_via=event.via, severity=event.severity, left=event.left,
    )  # fmt: skip
    action = event.plan.steps[0].action
    person = "" if event.by == BY_LEASE else event.by
    who = f"{action} ordered by {person}" if person else action
    why = f"{who}: {event.reason}" if event.reason else who
    draft.say("opened", why)
    start_episode(draft)
    people = {*event.requesters, person} - {""}
    draft.change(acknowledged_by=event.acknowledged_by, requesters=tuple(sorted(people)))
    return Applied(why)


def branch_ended(draft: Draft, event: BranchEnded) -> Decision:
    """What a rung's step came to stands among this incident's own results."""
    if any(result.intent == event.branch for result in draft.incident.results):
        return Ignored("a copy of a known end of a branch")
    result = StepResult(
        step=event.step, episode=event.episode, outcome="branched", at=draft.now, intent=event.branch,
        why=f"{event.outcome}: {event.why}",
    )  # fmt: skip
    draft.change(results=(*draft.incident.results, result)[-MAX_RESULTS:])
    draft.change(branches=tuple(branch for branch in draft.incident.branches if branch != event.branch))
    return Applied(f"{event.step} {event.outcome}: {event.why}")


def parent_resolved(draft: Draft, event: ParentResolved) -> Decision:
    """The incident this is a branch of is over: what has not begun does not begin."""
    incident = draft.incident
    if not is_errand(incident):
        return Ignored("it is nobody's branch")
    if incident.run:
        draft.change(parent_over=f"its incident is over: {event.why}")
        return Applied("it is under way; nothing more begins after it")
    if incident.status == "acting":
        release_turn(draft, "none")
    if incident.status == "verifying":
        end_verification(draft)
    over = f"its incident is over: {event.why}" if incident.parent else event.why
    resolve(draft, over)
    return Applied(over)
