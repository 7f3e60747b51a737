"""The incident's record: one open problem, keyed by policy and `group_by` labels. Folded by `incident_machine`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from bot.core.alert import Alert
from bot.core.approval import Approval, PendingApproval, Settled
from bot.core.plan import Plan
from bot.core.reading import Reading
from bot.core.record import Timer
from bot.core.words import AggregateId, JsonText, Millis, Severity

Status: TypeAlias = Literal[
    "open", "diagnosing", "acting", "verifying", "awaiting_approval", "parked", "mitigated", "resolved", "closed"
]
StepOutcome: TypeAlias = Literal[
    "succeeded", "unneeded", "shadowed", "asked", "not_sent", "unknown", "denied", "unverified", "verified", "branched"
]
TERMINAL: frozenset[Status] = frozenset({"closed"})

# Labels of more alerts than this are not kept; further fingerprints are counted in `untracked`, and an incident
# with untracked alerts is never resolved by alerts alone. 1,000 alerts are about 300 kB of record.
MAX_ALERTS = 1_000
AGAIN = "/"  # in `paged`, after a service that was called a second time; no service's name holds it
MAX_REQUESTERS = 64  # people who fired an alert of one episode by hand; there are not so many on a floor


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertState:
    """One fingerprint's latest firing as this incident knows it. `dismissed`: a person closed it while it fired."""

    alert: Alert
    firing: bool
    changed_at: Millis
    dismissed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What became of one step in this episode."""

    step: str
    episode: int
    outcome: StepOutcome
    at: Millis
    why: str
    intent: str = ""
    arguments: JsonText = "{}"
    before: JsonText = "{}"
    after: JsonText = "{}"
    restore: JsonText = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One open problem.

    `key` identifies the problem (policy and grouping); `id` this occurrence of it. `episode` counts from 1; 0 means
    not yet opened. `cursor` is the index of the plan's current step. Acknowledged, taken, frozen and level are
    facets: they say who looks and how far paging went, not where the plan stands.
    """

    kind: Literal["incident"] = "incident"
    id: AggregateId
    key: str
    system: str
    group: dict[str, str] = field(default_factory=dict)
    status: Status = "open"
    why: str = ""
    severity: Severity = "warning"
    plan: Plan | None = None
    episode: int = 0
    cursor: int = 0
    tries: int = 0  # looks at a guard, or at the evidence of health, that did not satisfy yet
    alerts: dict[str, AlertState] = field(default_factory=dict)
    untracked: int = 0
    results: tuple[StepResult, ...] = ()
    findings: dict[str, str] = field(default_factory=dict)
    timers: dict[str, Timer] = field(default_factory=dict)
    counter: int = 0  # makes timer tokens and effect ids unique within the incident
    fence: int = 0
    run: str = ""  # the RunStep under way, so that only its own outcome counts; "" while none is
    opened_at: Millis = 0
    episode_at: Millis = 0
    mitigated_at: Millis | None = None
    resolved_at: Millis | None = None
    resumes: Status = "open"  # where it stood when it resolved; a relapse inside the hold goes back there
    closed_at: Millis | None = None
    acknowledged_by: str = ""
    acknowledged_at: Millis | None = None
    taken_by: str = ""
    approval: PendingApproval | None = None  # the question people are asked now
    granted: Approval | None = None  # answered with yes, and not yet handed to a run
    settled: Settled | None = None  # the last question that is over; whoever answers it late reads how it ended
    branches: tuple[AggregateId, ...] = ()  # this episode's rungs that run a step, as incidents of their own
    parent: AggregateId = ""  # of a branch: the incident whose ladder began it
    parent_episode: int = 0
    parent_over: str = ""  # of a branch under way: its incident is over, so nothing more begins
    left: JsonText = "{}"  # of a branch: the component as its incident's last action left it
    requesters: tuple[str, ...] = ()  # people who brought this episode about: who ordered it, or fired an alert by hand
    climbed: tuple[int, ...] = ()  # rungs of this episode that have been climbed
    held_until: Millis = 0  # the ladder's own actions wait at least until then
    ordered_by: str = ""  # the person who ordered its one step; "" where a policy opened it
    ordered_via: str = ""  # the account they ordered it through
    doubt: str = ""  # why the step now due begins only with a person's yes: what came before it failed
    frozen: bool = False
    level: int = 0
    paged: dict[str, str] = field(default_factory=dict)  # service -> dedup key of its open page, taken back on resolve
    readings: tuple[Reading, ...] = ()  # what this episode's evidence said last, for people to see
    heard: tuple[str, ...] = ()  # ids of people's newest requests, so that a copy changes nothing again

    @property
    def called(self) -> tuple[str, ...]:
        """Services whose pages are open, each once."""
        return tuple(dict.fromkeys(service.partition(AGAIN)[0] for service in sorted(self.paged)))

    def since(self, approval: str = "") -> str:
        """How the last question ended (with `approval`: if it was that one), and where the incident stands now."""
        standing = f"the incident is {self.status.replace('_', ' ')}" + (f" ({self.why})" if self.why else "")
        if self.settled is None or approval not in ("", self.settled.id) or self.settled.why in self.why:
            return standing
        return f"{self.settled.why}; {standing}"

    @property
    def firing(self) -> tuple[Alert, ...]:
        """Alerts that fire and were not dismissed, by fingerprint."""
        return tuple(s.alert for _, s in sorted(self.alerts.items()) if s.firing and not s.dismissed)
