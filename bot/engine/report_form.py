"""A report's form: what an account of one incident consists of, as frozen data.

Made by `bot.engine.report`, rendered by `bot.adapters.report_markdown` or told as JSON by the API. Every text in it may
come from an alert or a person and is data: whoever renders it escapes it (law 11). Times are Unix milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bot.core.words import AggregateId, JsonText, Millis, Severity

Verdict = Literal["met", "missed", "running", "no target"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One line of the timeline. `who` is a person's id, or "" for automation, time and the outside.

    `kind` is the event's or effect's own; `decision` is what became of an event ("" for an effect).
    """

    at: Millis
    kind: str
    who: str
    what: str
    decision: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionTaken:
    """Something was decided, by a person or by automation (`who` is ""). Refused votes are decisions too."""

    at: Millis
    who: str
    what: str
    verdict: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRead:
    """A reading, and how old it was when it was used. `age_ms` is None where the source dates nothing."""

    at: Millis
    name: str
    value: float | str | bool | None
    age_ms: Millis | None
    source: str
    error: str
    used_for: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectMade:
    """What became of a step. `attempt` 0: not known, or nothing was sent. Values are canonical JSON."""

    at: Millis
    episode: int
    step: str
    action: str
    component: str
    outcome: str
    why: str
    arguments: JsonText
    before: JsonText
    after: JsonText
    intent: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchTaken:
    """A rung's step that ran beside the plan, as an incident of its own."""

    incident: AggregateId
    action: str
    status: str
    why: str
    opened_at: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A page, a page taken back, or a message. `taken` says what the voice answered, "" while it did not."""

    at: Millis
    kind: str
    to: str
    severity: str
    text: str
    taken: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeTimes:
    """How long one episode took, in milliseconds from its beginning; None: it has not come to that.

    `to_recover` is the time to mitigation or resolution, whichever came first: that is what the target is about.
    `difference` is how much of the target was left (met) or gone over (missed), never negative.
    """

    number: int
    began_at: Millis
    acknowledged_by: str
    to_acknowledge: Millis | None
    to_mitigate: Millis | None
    to_resolve: Millis | None
    to_recover: Millis | None
    target: Millis
    verdict: Verdict
    difference: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSeen:
    """One fingerprint's latest firing."""

    name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    source: str
    state: Literal["firing", "dismissed", "resolved"]
    starts_at: Millis
    changed_at: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The account of one incident. `audit_problems` is empty when its chain holds."""

    incident: AggregateId
    system: str
    policy: str
    policy_hash: str
    row: str
    mode: str
    runbook: str
    severity: Severity
    status: str
    why: str
    group: dict[str, str]
    opened_at: Millis
    closed_at: Millis | None
    told_at: Millis
    archived: bool
    parent: AggregateId
    ordered_by: str
    taken_by: str
    episodes: tuple[EpisodeTimes, ...]
    alerts: tuple[AlertSeen, ...]
    untracked_alerts: int
    decisions: tuple[DecisionTaken, ...]
    evidence: tuple[EvidenceRead, ...]
    effects: tuple[EffectMade, ...]
    branches: tuple[BranchTaken, ...]
    said: tuple[Said, ...]
    timeline: tuple[Moment, ...]
    audit_links: int
    audit_head: str
    audit_problems: tuple[str, ...]
