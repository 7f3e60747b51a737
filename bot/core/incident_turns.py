"""What an incident makes of its turn on a target, and of each outcome of a step.

Rows of `incident_machine.TABLE`. An outcome that comes after the incident moved on is kept and told, never dropped.
"""

from __future__ import annotations

from collections.abc import Mapping

from bot.core.approval import PendingApproval, Terms
from bot.core.events import (
    ApprovalNeeded,
    SlotDenied,
    SlotGranted,
    SlotQueued,
    SlotReleased,
    StepNotSent,
    StepReport,
    StepShadowed,
    StepSucceeded,
    StepUnknown,
    StepUnneeded,
)
from bot.core.ids import digest
from bot.core.incident import StepOutcome
from bot.core.incident_draft import Draft
from bot.core.incident_end import RECHECK_MS, escalate, in_midst, is_errand, park, resolve, seek_resolution
from bot.core.incident_moves import (
    GUARD_RETRIES,
    GUARD_RETRY_MS,
    TURN_MS,
    fail_step,
    next_step,
    record,
    release_turn,
    run_step,
    settle_step,
)
from bot.core.record import Applied, Decision, Ignored
from bot.core.words import target_id

_LATE_OUTCOMES: Mapping[type[StepReport], StepOutcome] = {
    StepSucceeded: "succeeded",
    StepUnneeded: "unneeded",
    StepShadowed: "shadowed",
    ApprovalNeeded: "asked",
    StepNotSent: "not_sent",
    StepUnknown: "unknown",
}


def _is_current(draft: Draft, event: SlotGranted | SlotQueued | SlotDenied) -> bool:
    return event.episode == draft.incident.episode and bool(draft.plan.steps) and event.step == draft.step.id


def _is_awaited(draft: Draft, event: StepReport) -> bool:
    """Only the outcome of the run under way moves the plan; the same step may have run before."""
    return bool(draft.incident.run) and event.intent == draft.incident.run


def granted(draft: Draft, event: SlotGranted) -> Decision:
    if not _is_current(draft, event):
        return granted_too_late(draft, event)
    if draft.incident.run:
        return Ignored("its turn has come already")
    quiet = not draft.incident.firing and not draft.incident.untracked
    quiet = quiet and not is_errand(draft.incident) and not in_midst(draft)
    if quiet and not draft.step.guard:  # where there is one, the guard says whether it is still needed
        draft.change(fence=event.fence)
        release_turn(draft, "none")
        draft.change(status="open", why="the alert ended while it waited for its turn")
        draft.arm("retry", draft.now + RECHECK_MS)  # in case it comes back before health is seen
        seek_resolution(draft)
        return Applied("the alert ended while it waited for its turn")
    run_step(draft, event)
    return Applied(event.why or f"its turn, fence {event.fence}")


def granted_too_late(draft: Draft, event: SlotGranted) -> Decision:
    """The incident moved on while it waited: give the turn straight back."""
    component = next((s.component for s in draft.plan.steps if s.id == event.step), "")
    if not component or not event.fence:
        return Ignored("a turn for a step that is no longer current")
    released = SlotReleased(
        id=draft.fresh("release"), at=draft.now, incident=draft.incident.id, step=event.step, outcome="none",
        fence=event.fence,
    )  # fmt: skip
    draft.tell(target_id(component), released)
    return Applied("the turn came too late and is given back")


def queued(draft: Draft, event: SlotQueued) -> Decision:
    if not _is_current(draft, event):
        return Ignored("a place in a queue for a step that is no longer current")
    draft.change(why=event.why)
    draft.arm("turn", max(draft.now, event.until or 0) + TURN_MS)
    return Applied(event.why)


def denied(draft: Draft, event: SlotDenied) -> Decision:
    if not _is_current(draft, event) or draft.incident.run:
        return Ignored("an answer for a step that is no longer current")
    draft.change(frozen=event.frozen)
    report = StepReport(id=event.id, at=event.at, episode=event.episode, step=event.step, why=event.why)
    record(draft, "denied", report)
    park(draft, event.why, page=True)
    return Applied(event.why)


def succeeded(draft: Draft, event: StepSucceeded) -> Decision:
    if not _is_awaited(draft, event):
        return late(draft, event)
    record(draft, "succeeded", event, event.restore)
    draft.say("acted", event.why)
    settle_step(draft, "done")
    return Applied(event.why)


def unneeded(draft: Draft, event: StepUnneeded) -> Decision:
    if not _is_awaited(draft, event):
        return late(draft, event)
    if event.already:
        record(draft, "unneeded", event)
        settle_step(draft, "none")
        return Applied(event.why)
    release_turn(draft, "none")
    if draft.incident.parent_over:
        record(draft, "unneeded", event)
        resolve(draft, draft.incident.parent_over)
        return Applied(event.why)
    if in_midst(draft):
        return _gate(draft, event)
    if not draft.incident.firing and not draft.incident.untracked:
        record(draft, "unneeded", event)
        next_step(draft)
        return Applied(event.why)
    draft.change(status="open", why=f"the alert fires, but not the guard: {event.why}", tries=draft.incident.tries + 1)
    if draft.incident.tries > GUARD_RETRIES and is_errand(draft.incident):
        record(draft, "unneeded", event)
        resolve(draft, f"its guard does not hold: {event.why}")
    elif draft.incident.tries > GUARD_RETRIES:
        record(draft, "unneeded", event)
        park(draft, f"the alert still fires, but the guard does not hold: {event.why}", page=True)
    else:
        draft.arm("retry", draft.now + GUARD_RETRY_MS)
    return Applied(event.why)


def _gate(draft: Draft, event: StepUnneeded) -> Decision:
    """Within a sequence a guard is a gate: it is waited for, and one that stays shut is a failure of the step."""
    draft.change(status="open", why=f"waits for its gate: {event.why}", tries=draft.incident.tries + 1)
    if draft.incident.tries > GUARD_RETRIES:
        record(draft, "not_sent", event)
        fail_step(draft, f"its gate stayed shut: {event.why}")
    else:
        draft.arm("retry", draft.now + GUARD_RETRY_MS)
    return Applied(event.why)


def shadowed(draft: Draft, event: StepShadowed) -> Decision:
    if not _is_awaited(draft, event):
        return late(draft, event)
    record(draft, "shadowed", event)
    if draft.incident.fence:
        release_turn(draft, "none")
    draft.say("shadowed", event.why)
    park(draft, event.why, page=draft.incident.severity == "critical")
    return Applied(event.why)


def approval_needed(draft: Draft, event: ApprovalNeeded) -> Decision:
    if not _is_awaited(draft, event):
        return late(draft, event)
    record(draft, "asked", event)
    release_turn(draft, "none")
    incident, terms = draft.incident, event.terms
    draft.change(tries=0)
    if incident.parent_over:
        resolve(draft, incident.parent_over)
        return Applied(incident.parent_over)
    if incident.taken_by:
        park(draft, f"{incident.taken_by} has it; Andon would ask: {event.why}", page=False)
        return Applied(event.why)
    if terms is None or not _enough(terms):
        _nobody_to_ask(draft, event)
        return Applied(event.why)
    why = event.why
    if len(terms.eligible) < terms.quorum:
        why += f"; nobody may approve it but {terms.break_glass}, by breaking the glass"
    asked = PendingApproval(
        id="dec-" + digest(incident.id, draft.fresh("ask"), terms.digest)[:20], step=event.step, why=why,
        arguments=event.arguments, before=event.before, terms=terms, readings=event.readings,
    )  # fmt: skip
    draft.change(status="awaiting_approval", why=why, approval=asked)
    draft.arm("approval", terms.expires_at)
    draft.say("asked", why)
    if not incident.acknowledged_by:
        words = f"{draft.plan.policy} needs a decision: {why}; `andon approve {incident.id}` shows it"
        draft.page(draft.plan.page_on_park, words, anew=True)
    seek_resolution(draft)
    return Applied(event.why)


def _enough(terms: Terms) -> bool:
    """Whether anybody may decide, and those who may are enough."""
    return not terms.barred and (len(terms.eligible) >= terms.quorum or bool(terms.break_glass))


def _nobody_to_ask(draft: Draft, event: ApprovalNeeded) -> None:
    """A person must act, and none can do it through Andon: say so, with the command that does it by hand."""
    why = event.why
    if event.terms is not None:
        have = ", ".join(event.terms.eligible) or "nobody"
        why += f"; {event.terms.barred or f'{event.terms.quorum} must approve it and {have} may'}"
        why += f"; by hand: {event.terms.by_hand}" if event.terms.by_hand else ""
    if escalate(draft, why) != draft.plan.page_on_park.service:  # the on-call learns of it too
        draft.page(draft.plan.page_on_park, f"{draft.plan.policy}: {why}", anew=True)
    park(draft, why, page=False)


def not_sent(draft: Draft, event: StepNotSent) -> Decision:
    if not _is_awaited(draft, event):
        return late(draft, event)
    record(draft, "not_sent", event)
    release_turn(draft, "not_sent")
    fail_step(draft, event.why)
    return Applied(event.why)


def unknown(draft: Draft, event: StepUnknown) -> Decision:
    if not _is_awaited(draft, event):
        return late(draft, event)
    record(draft, "unknown", event)
    release_turn(draft, "unknown")
    why = f"nobody can tell whether it took effect: {event.why}"
    draft.change(parent_over="")  # that is no end for it
    draft.page(draft.plan.page_on_park, f"{draft.plan.policy}: {why}", anew=True)  # also to who has seen the rest
    park(draft, why, page=False)
    return Applied(event.why)


def late(draft: Draft, event: StepReport) -> Decision:
    """An outcome that arrives after the incident moved on: kept and told. Its turn was given back by then."""
    outcome = _LATE_OUTCOMES[type(event)]
    known = {(result.intent, result.outcome, result.why) for result in draft.incident.results if result.intent}
    if (event.intent, outcome, event.why) in known:  # in other words it is news: a turn that ran out is no answer
        return Ignored("a copy of a known outcome")
    record(draft, outcome, event)
    if outcome in ("succeeded", "unknown"):
        draft.say("acted", f"late outcome: {event.why}")
    return Applied(f"late outcome, recorded: {event.why}")
