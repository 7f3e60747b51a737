"""Everything a machine may ask the shell to do. Imperative, frozen, plain data.

`Tell` never leaves the shard: the engine folds it into the addressed aggregate in the same pass and the same commit.
All others go to the outbox and are performed by dispatch, whose results come back as events.
Timers are not effects: they are part of each aggregate's record (`timers`), and the commit mirrors them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from bot.core.alert import Alert
from bot.core.approval import Approval
from bot.core.events import Event
from bot.core.plan import EvidenceDecl, Plan, Step
from bot.core.words import AggregateId, Disposition, JsonText, Millis, Severity

Topic: TypeAlias = Literal[
    "opened",
    "acted",
    "verified",
    "shadowed",
    "parked",
    "mitigated",
    "resolved",
    "reopened",
    "automation",
    "notified",
    "asked",
    "decided",
    "escalated",
    "taken",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Fold `event` into another aggregate of the same shard."""

    to: AggregateId
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class RaiseAlert:
    """An alert that a source made of what it heard; matched to policies and folded in the same pass."""

    alert: Alert
    at: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStep:
    """Run one step of the plan as one activity: evidence, inspect, guard and approval, intent, send, read back."""

    kind: Literal["run_step"] = "run_step"
    id: str
    incident: AggregateId
    episode: int
    plan: Plan
    step: Step
    fence: int
    disposition: Disposition
    why: str
    severity: Severity
    alerts: tuple[Alert, ...]
    approval: Approval | None = None  # redeemed once, right before sending
    requesters: tuple[str, ...] = ()  # people who brought this step about; none of them approves it
    ordered_by: str = ""  # the person who ordered it; "" when a policy did
    ordered_via: str = ""  # the account they ordered it through, where the door itself does not know them
    until: Millis = 0  # past it nothing is sent any more: the incident has given the turn up
    committed: bool = False  # of a sequence that has begun: it goes on, whether the alert still fires or not
    left: JsonText = "{}"  # the component's state as this episode's last action left it; a person may have changed it
    leased: JsonText = "{}"  # the same, as the component's lease remembers it from another matter


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDiagnosis:
    """Run one read-only diagnosis; bounded in time and output."""

    kind: Literal["run_diagnosis"] = "run_diagnosis"
    id: str
    incident: AggregateId
    episode: int
    plan: Plan
    diagnosis: str
    alerts: tuple[Alert, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserveEvidence:
    """Read the declared evidence afresh and weigh `condition` on it."""

    kind: Literal["observe_evidence"] = "observe_evidence"
    id: str
    incident: AggregateId
    episode: int
    purpose: Literal["verify", "resolve"]
    token: str
    condition: str
    evidence: dict[str, EvidenceDecl]
    system: str
    alerts: tuple[Alert, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageOncall:
    """Page a service. `dedup_key` makes a repeated page one page; `owner` is the target that sent it and takes it back,
    where that is not the incident."""

    kind: Literal["page_oncall"] = "page_oncall"
    id: str
    incident: AggregateId
    service: str
    severity: Severity
    dedup_key: str
    summary: str
    owner: AggregateId = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvePage:
    """Take back the page with this key."""

    kind: Literal["resolve_page"] = "resolve_page"
    id: str
    incident: AggregateId
    service: str
    dedup_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PostMessage:
    """Say something in chat. `topic` selects the rendering; the words are data, never markup."""

    kind: Literal["post_message"] = "post_message"
    id: str
    incident: AggregateId
    channel: str
    topic: Topic
    text: str


OutboxEffect: TypeAlias = RunStep | RunDiagnosis | ObserveEvidence | PageOncall | ResolvePage | PostMessage
Effect: TypeAlias = Tell | RaiseAlert | OutboxEffect
