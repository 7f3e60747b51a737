"""The incident machine: `step(incident, event, now)` folds one event into the next record, with effects and a reason.

The laws of this file:

1. The table below is the whole machine. A (status, event) pair that is not in it changes nothing and says so.
2. A row's `to` lists every status it may lead to; leading anywhere else is a defect and raises.
3. No open incident is without a timer or a waiting human.
4. Alerts say that something is wrong; only fresh evidence says that it is right again, where evidence is declared.
5. A firing is identified by (fingerprint, startsAt). An older one is stale; the same one again after a resolve is
   taken as firing (never dropped), and inside the hold it joins the episode without acting again.
6. A person's request counts once: its copy changes nothing, however late it comes.

Called by `bot.engine.fold`; the moves are in `bot.core.incident_moves`. Diagrams are drawn from `TABLE`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bot.core.events import (
    AlertFired,
    AlertResolved,
    ApprovalNeeded,
    BranchEnded,
    DiagnosisFound,
    EvidenceObserved,
    IncidentEvent,
    MessageDelivered,
    ParentResolved,
    SlotDenied,
    SlotGranted,
    SlotQueued,
    StepNotSent,
    StepReport,
    StepShadowed,
    StepSucceeded,
    StepUnknown,
    StepUnneeded,
    TimerFired,
)
from bot.core.incident import Incident, Status
from bot.core.incident_alerts import acked, alert_fired, alert_resolved, resolved_by_hand, told
from bot.core.incident_draft import Draft
from bot.core.incident_orders import (
    branch_ended,
    escalated,
    held,
    nothing_asked,
    ordered,
    parent_resolved,
    took,
    voted,
    voted_while_acting,
)
from bot.core.incident_turns import (
    approval_needed,
    denied,
    granted,
    granted_too_late,
    late,
    not_sent,
    queued,
    shadowed,
    succeeded,
    unknown,
    unneeded,
)
from bot.core.incident_waits import found, observed, timer
from bot.core.orders import (
    ApprovalVoted,
    OperatorAcked,
    OperatorEscalated,
    OperatorHeld,
    OperatorResolved,
    OperatorTook,
    StepOrdered,
)
from bot.core.record import Applied, Decision, Denied, Ignored, Transition
from bot.core.requests import take_once
from bot.core.words import Millis


@dataclass(frozen=True, slots=True)
class Row:
    """How one (status, event) pair is folded, and every status it may lead to."""

    fold: Callable[[Draft, IncidentEvent], Decision]
    to: frozenset[Status]


_LIVE: tuple[Status, ...] = ("open", "diagnosing", "acting", "verifying", "awaiting_approval", "parked", "mitigated")
_WAITING: tuple[Status, ...] = ("awaiting_approval", "parked", "mitigated")
_NOT_ASKING: tuple[Status, ...] = (
    "open", "diagnosing", "verifying", "parked", "mitigated", "resolved", "closed",
)  # fmt: skip
_PLAN_GOES_ON: tuple[Status, ...] = ("open", "verifying", "parked", "mitigated", "resolved")  # open: it waits

# (statuses, event, handler, further statuses it may lead to besides staying)
_ROWS: tuple[tuple[tuple[Status, ...], type, Callable[..., Decision], tuple[Status, ...]], ...] = (
    (("open",), AlertFired, alert_fired, ("acting", "diagnosing", "parked")),
    (("diagnosing", "acting", "verifying", *_WAITING), AlertFired, alert_fired, ()),
    (("resolved",), AlertFired, alert_fired, ("open", "acting", "diagnosing", "mitigated", "parked")),
    (("diagnosing", "acting", "verifying"), AlertResolved, alert_resolved, ()),
    (("open", *_WAITING), AlertResolved, alert_resolved, ("resolved",)),
    (("resolved",), AlertResolved, alert_resolved, ()),
    (("acting",), SlotGranted, granted, ("open", "resolved")),
    (("acting",), SlotQueued, queued, ()),
    (("acting",), SlotDenied, denied, ("parked", "resolved")),
    (("open", "diagnosing", "verifying", *_WAITING, "resolved", "closed"), SlotGranted, granted_too_late, ()),
    (("acting",), StepSucceeded, succeeded, _PLAN_GOES_ON),
    (("acting",), StepUnneeded, unneeded, _PLAN_GOES_ON),
    (("acting",), StepShadowed, shadowed, ("parked", "resolved")),
    (("acting",), ApprovalNeeded, approval_needed, ("awaiting_approval", "parked", "resolved")),
    (("acting",), StepNotSent, not_sent, ("open", "parked", "resolved")),
    (("acting",), StepUnknown, unknown, ("parked",)),
    (("open", "diagnosing", "verifying", *_WAITING, "resolved", "closed"), StepSucceeded, late, ()),
    (("open", "diagnosing", "verifying", *_WAITING, "resolved", "closed"), StepUnneeded, late, ()),
    (("open", "diagnosing", "verifying", *_WAITING, "resolved", "closed"), StepNotSent, late, ()),
    (("open", "diagnosing", "verifying", *_WAITING, "resolved", "closed"), StepUnknown, late, ()),
    (("diagnosing",), DiagnosisFound, found, ("open", "acting")),
    (("open", "acting", "verifying", *_WAITING, "resolved"), DiagnosisFound, found, ()),
    (("verifying",), EvidenceObserved, observed, ("open", "acting", "mitigated", "parked", "resolved")),
    (("open", *_WAITING), EvidenceObserved, observed, ("parked", "resolved")),
    (("open",), TimerFired, timer, ("acting", "parked", "resolved")),
    (("diagnosing",), TimerFired, timer, ("open", "acting")),
    (("acting",), TimerFired, timer, ("parked", "resolved")),
    (("verifying",), TimerFired, timer, ("open", "acting", "parked", "resolved")),
    (_WAITING, TimerFired, timer, ("parked",)),
    (("resolved",), TimerFired, timer, ("closed",)),
    (("awaiting_approval",), ApprovalVoted, voted, ("acting", "parked", "resolved")),
    (("acting",), ApprovalVoted, voted_while_acting, ("parked", "resolved")),
    (_NOT_ASKING, ApprovalVoted, nothing_asked, ()),
    (("awaiting_approval",), OperatorTook, took, ("parked",)),
    (("open", "diagnosing", "acting", "verifying"), OperatorTook, took, ("parked", "resolved")),
    (("parked", "mitigated"), OperatorTook, took, ()),
    (_LIVE, OperatorEscalated, escalated, ()),
    (_LIVE, OperatorHeld, held, ()),
    (("open",), StepOrdered, ordered, ("acting",)),
    (_LIVE, BranchEnded, branch_ended, ()),
    (("resolved", "closed"), BranchEnded, branch_ended, ()),
    (("open", "acting", "verifying", "awaiting_approval", "parked"), ParentResolved, parent_resolved, ("resolved",)),
    (_LIVE, OperatorAcked, acked, ()),
    (("resolved",), OperatorAcked, acked, ()),
    (_LIVE, OperatorResolved, resolved_by_hand, ("resolved",)),
    ((*_LIVE, "resolved", "closed"), MessageDelivered, told, ()),
)

TABLE: Mapping[tuple[Status, type], Row] = {
    (status, event): Row(fold, frozenset({status, *further}))
    for statuses, event, fold, further in _ROWS
    for status in statuses
}


_REQUESTS = (OperatorAcked, OperatorResolved, OperatorTook, OperatorEscalated, OperatorHeld, ApprovalVoted)


def step(incident: Incident, event: IncidentEvent, now: Millis) -> Transition[Incident]:
    """Fold one event. Total: what the table does not list is ignored, or denied to whoever asked, with a reason."""
    if isinstance(event, _REQUESTS) and (incident.status, type(event)) not in TABLE:
        return Transition(incident, (), Denied(f"nothing is done: the incident is {incident.status} ({incident.why})"))
    transition = _fold(incident, event, now)
    if isinstance(event, _REQUESTS) and incident.plan is not None and incident.status != "closed":
        return take_once(incident, event.id, transition)
    return transition


def _fold(incident: Incident, event: IncidentEvent, now: Millis) -> Transition[Incident]:
    row = TABLE.get((incident.status, type(event)))
    if row is None:
        return Transition(incident, (), Ignored(f"{event.kind} means nothing to an incident that is {incident.status}"))
    if incident.plan is None and not isinstance(event, AlertFired | StepOrdered):
        return Transition(incident, (), Ignored(f"{event.kind} means nothing to an incident that was never opened"))
    draft = Draft(incident, now)
    decision = row.fold(draft, event)
    if isinstance(decision, Applied):
        if isinstance(event, StepReport | EvidenceObserved) and event.readings:
            draft.change(readings=event.readings)
        if draft.incident.status not in row.to:
            raise AssertionError(f"{incident.status} + {event.kind} led to {draft.incident.status}, not in the table")
        return Transition(draft.incident, tuple(draft.effects), decision)
    return Transition(incident, (), decision)
