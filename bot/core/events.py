"""Everything that can happen to an incident or a target. Past tense, frozen, with ids that a replay repeats.

Handlers make the first kind from payloads; the two machines tell each other the second kind; dispatch and the
sweeper report the third. Every event carries `id` (the same for the same fact, however often it is delivered) and
`at` (when Andon learned of it, by the clock of the process that recorded it).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from bot.core.alert import Alert
from bot.core.approval import Terms
from bot.core.intents import Budget as Budget
from bot.core.intents import IntentDeclared as IntentDeclared
from bot.core.intents import IntentRecalled, WritesLost, WritesReconciled
from bot.core.orders import (
    ApprovalVoted,
    LeaseEnded,
    LeaseRenewed,
    OperatorAcked,
    OperatorEscalated,
    OperatorHeld,
    OperatorResolved,
    OperatorTook,
    PolicyArmed,
    PolicyDisarmed,
    StepOrdered,
    TargetFrozen,
    TargetUnfrozen,
)
from bot.core.plan import Plan
from bot.core.reading import Reading
from bot.core.source_events import SourceEvent
from bot.core.words import AggregateId, Direction, Disposition, JsonText, Millis, Mode, Severity

# --- what the world tells ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFired:
    """An alert fires (or is repeated). `plan` is attached by the engine when this may open an incident."""

    kind: Literal["alert_fired"] = "alert_fired"
    id: str
    at: Millis
    alert: Alert
    plan: Plan | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertResolved:
    """The source says the alert is over. Not proof of health (law 13)."""

    kind: Literal["alert_resolved"] = "alert_resolved"
    id: str
    at: Millis
    alert: Alert


# --- what time tells --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired:
    """A durable timer of this aggregate came due. A token that is no longer current makes it a no-op."""

    kind: Literal["timer_fired"] = "timer_fired"
    id: str
    at: Millis
    name: str
    token: str


# --- what the machines tell each other --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRequested:
    """An incident asks for its turn on a target. Goes to `target:*` first, which forwards it when it may act."""

    kind: Literal["slot_requested"] = "slot_requested"
    id: str
    at: Millis
    incident: AggregateId
    episode: int
    step: str
    action: str
    target: AggregateId
    policy: str
    mode: Mode
    severity: Severity
    direction: Direction
    cooldown_ms: Millis = 0
    parent: AggregateId = ""  # of a branch: its own incident's verification does not hold it up
    approved: bool = False  # people have approved this very step: it needs no budget, only its turn
    ordered: bool = False  # a person ordered it: no policy stands behind it, so none need be armed


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotGranted:
    """The incident's turn. `disposition` says whether it may act, or only suggest or watch (`why` explains).

    `left` is how the component was left by the action whose lease this one continues or takes back.
    """

    kind: Literal["slot_granted"] = "slot_granted"
    id: str
    at: Millis
    episode: int
    step: str
    fence: int
    disposition: Disposition
    why: str = ""
    left: JsonText = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotQueued:
    """The incident waits for its turn; `why` says behind whom or until when (`until`, where that is known)."""

    kind: Literal["slot_queued"] = "slot_queued"
    id: str
    at: Millis
    episode: int
    step: str
    why: str
    until: Millis | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotDenied:
    """The target does not let the incident act. `frozen` tells a freeze from any other reason."""

    kind: Literal["slot_denied"] = "slot_denied"
    id: str
    at: Millis
    episode: int
    step: str
    why: str
    frozen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotReleased:
    """The incident is done with its turn.

    `outcome` is what became of the intent (`none`: no intent was declared); `verifying_until` keeps lesser plans
    away until the effect is verified. `fence` is the turn given back (0: it was still waiting for one). Under a lease,
    `left` is the component's state as the action left it and `undo_plan` what is ordered when the lease is over.
    """

    kind: Literal["slot_released"] = "slot_released"
    id: str
    at: Millis
    incident: AggregateId
    step: str
    outcome: Literal["none", "done", "not_sent", "unknown"]
    action: str = ""
    fence: int = 0
    verifying_until: Millis | None = None
    lease_ms: Millis = 0
    undo: str = ""
    undo_plan: Plan | None = None
    left: JsonText = "{}"
    already: bool = False  # nothing was done, because it is so already


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationEnded:
    """The incident no longer watches the target after its action; lesser plans may go on."""

    kind: Literal["verification_ended"] = "verification_ended"
    id: str
    at: Millis
    incident: AggregateId


# --- what dispatch reports --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What every outcome of a step carries. `before`/`after` are canonical JSON of the target's inspected state."""

    id: str
    at: Millis
    episode: int
    step: str
    why: str
    intent: str = ""
    arguments: JsonText = "{}"
    before: JsonText = "{}"
    after: JsonText = "{}"
    readings: tuple[Reading, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSucceeded(StepReport):
    """The action was sent and read back."""

    kind: Literal["step_succeeded"] = "step_succeeded"
    restore: JsonText = "{}"  # what an undo would need


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUnneeded(StepReport):
    """Nothing to do: the guard does not hold on fresh evidence, or the target is already as wanted."""

    kind: Literal["step_unneeded"] = "step_unneeded"
    already: bool = False  # True: as wanted already, so its verification still runs; False: the guard does not hold


@dataclass(frozen=True, slots=True, kw_only=True)
class StepShadowed(StepReport):
    """What would have been done, had the policy been armed."""

    kind: Literal["step_shadowed"] = "step_shadowed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalNeeded(StepReport):
    """A person must decide; `why` says for which reason, before -> after says about what.

    `terms` are what a yes would be bound to; None when nothing can be approved from here and somebody acts by hand.
    """

    kind: Literal["approval_needed"] = "approval_needed"
    terms: Terms | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepNotSent(StepReport):
    """Provably not sent, or provably refused by the target; nothing changed."""

    kind: Literal["step_not_sent"] = "step_not_sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUnknown(StepReport):
    """Sent, and nothing proves what became of it. Never retried for `once`; a human decides."""

    kind: Literal["step_unknown"] = "step_unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisFound:
    """A read-only look at the system came back."""

    kind: Literal["diagnosis_found"] = "diagnosis_found"
    id: str
    at: Millis
    episode: int
    diagnosis: str
    finding: str
    detail: JsonText = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceObserved:
    """Fresh evidence, weighed. `holds` is None when it could not be told (stale, missing, unreadable)."""

    kind: Literal["evidence_observed"] = "evidence_observed"
    id: str
    at: Millis
    episode: int
    purpose: Literal["verify", "resolve"]
    token: str
    holds: bool | None
    why: str
    readings: tuple[Reading, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDelivered:
    """Chat or pager took a message, or did not after every try (`error`). `page`, `service`: the key of the page that
    was opened by it, and whose it is."""

    kind: Literal["message_delivered"] = "message_delivered"
    id: str
    at: Millis
    channel: Literal["chat", "pager"]
    reference: str
    error: str = ""
    page: str = ""
    service: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchEnded:
    """A branch (a rung's step, run beside the plan) tells its parent what became of it."""

    kind: Literal["branch_ended"] = "branch_ended"
    id: str
    at: Millis
    branch: AggregateId
    episode: int
    step: str
    outcome: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentResolved:
    """A branch's incident is over: what it has not begun, it does not begin."""

    kind: Literal["parent_resolved"] = "parent_resolved"
    id: str
    at: Millis
    why: str


IncidentEvent: TypeAlias = (
    AlertFired | AlertResolved | TimerFired
    | OperatorAcked | OperatorResolved | OperatorTook | OperatorEscalated | OperatorHeld | ApprovalVoted | StepOrdered
    | BranchEnded | ParentResolved
    | SlotGranted | SlotQueued | SlotDenied
    | StepSucceeded | StepUnneeded | StepShadowed | ApprovalNeeded | StepNotSent | StepUnknown
    | DiagnosisFound | EvidenceObserved | MessageDelivered
)  # fmt: skip
TargetEvent: TypeAlias = (
    SlotRequested | SlotReleased | VerificationEnded | IntentDeclared | IntentRecalled | WritesLost | WritesReconciled
    | TargetFrozen | TargetUnfrozen | PolicyArmed | PolicyDisarmed | LeaseRenewed | LeaseEnded | TimerFired
    | MessageDelivered
)  # fmt: skip
Event: TypeAlias = IncidentEvent | TargetEvent | SourceEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsReceived:
    """One webhook's alerts for one shard, as one inbox entry. Split into AlertFired/AlertResolved by the engine.

    `truncated` counts alerts the source left out; then its group status means nothing.
    """

    kind: Literal["alerts_received"] = "alerts_received"
    id: str
    at: Millis
    source: str
    receiver: str
    alerts: tuple[Alert, ...]
    truncated: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressed:
    """An event on its way to one aggregate, as an inbox entry."""

    kind: Literal["addressed"] = "addressed"
    to: AggregateId
    event: Event = field(kw_only=True)


InboxEntry: TypeAlias = AlertsReceived | Addressed
