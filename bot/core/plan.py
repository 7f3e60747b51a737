"""The plan an incident follows, as data.

Made by `policies.planning` from a policy document, pinned to the incident when it opens, and read by the machine,
which imports no policy code. Expressions stay text here; only `policies.expressions` evaluates them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from bot.core.words import Delivery, Direction, JsonText, Millis, Mode, OnFailure, OnNoEvidence, Risk, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceDecl:
    """One declared reading. `kind` selects the connector; `query` is what it asks, with `${labels.x}` still in it.

    kind `redis_hash`: query = key, `field` = hash field, `at_field` = hash field that holds the reading's time.
    kind `promql`: query = expression. kind `http`: query = path, `field` = dotted JSON path, `at_field` likewise.
    kind `redis_state`: query = a figure of a look at all its servers, taken by Andon itself. kind `redis_stream`:
    query = key; the number of its entries in the last `within_ms`. Both are of the moment of reading.
    `component`: which component of the system is asked (a name in targets.yaml).
    `over: alerts`: one reading for each distinct label set of the incident's alerts, joined by `take`.
    """

    name: str
    kind: Literal["redis_hash", "promql", "http", "redis_state", "redis_stream"]
    component: str
    query: str
    field: str = ""
    at_field: str = ""
    over: Literal["incident", "alerts"] = "incident"
    take: Literal["max", "min", "sum", "only"] = "only"
    max_age_ms: Millis = 60_000
    within_ms: Millis = 0
    history: str = ""  # PromQL that draws how the figure came to be; nothing is decided by it
    history_from: str = ""  # the component that is asked for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """What must become true after a step, and how long it may take."""

    until: str
    within_ms: Millis
    every_ms: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Who is paged: a service name resolved by the pager adapter."""

    service: str
    severity: Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One action of the plan, resolved against the catalogue and targets.yaml.

    `component` is "" when the action needs no target (then no slot is asked for). `arguments` is canonical JSON and
    may still hold `${…}`; it is rendered and frozen in the intent. `risk` is the action's own or higher; `automatic`
    says that law 4 lets it run without a person. Where only a signed pre-authorisation made it so, `authority` says
    whose and why (the audit records it) and `automatic_until` when it ends; both are checked again before sending.
    """

    id: str
    action: str
    component: str
    arguments: JsonText
    risk: Risk
    direction: Direction
    delivery: Delivery
    automatic: bool
    authority: str = ""
    automatic_until: Millis | None = None
    guard: str = ""
    verify: Verify | None = None
    cooldown_ms: Millis = 0
    lease_ms: Millis = 0  # how long its effect is meant to stay; then people are asked. 0: for good
    undo: str = ""  # the action that takes it back, where the catalogue has one
    undo_plan: Plan | None = None  # what is ordered, and asked about, when the lease is over; None: people are paged
    pause_ms: Millis = 0  # how long it waits after the step before it has ended
    sequence: int = 0  # steps of one number belong together: once begun they go on, alert or not; 0: on its own
    on_failure: OnFailure = "escalate"
    on_no_evidence: OnNoEvidence = "ask"
    approve_within_ms: Millis = 300_000  # how long a decision waits before silence escalates it (law 5)
    break_glass: str = ""  # the one person who may decide alone, with a typed reason; "" for nobody


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """A timed entry of the ladder: once `after_ms` have passed since the episode began, page `page`, say so in the
    channel `notify`, and run `step` beside the plan. At least one of the three is there.

    A plain acknowledgement ends it (`until: acked`), its page only (`mitigated`), or nothing of it (`resolved`).
    """

    after_ms: Millis
    page: Page | None = None
    notify: str = ""
    step: Step | None = None
    until: Literal["acked", "mitigated", "resolved"] = "acked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A policy, pinned: everything the incident machine needs, and the hash that names exactly this version."""

    policy: str
    system: str
    policy_hash: str
    mode: Mode
    row: str = ""
    severity: Severity | None = None
    channel: str = ""
    runbook: str = ""
    dashboard: str = ""
    mttr_target_ms: Millis = 0
    evidence: dict[str, EvidenceDecl] = field(default_factory=dict)
    diagnose: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    ladder: tuple[Rung, ...] = ()
    healthy: str = (
        ""  # CEL; must hold on fresh evidence before the incident resolves (law 13); "" = no evidence declared
    )
    page_on_open: Page | None = None  # the catch-all's page
    call_all: tuple[Page, ...] = ()  # of a branch: whom its incident's ladder knows, for broken glass
    page_on_park: Page = Page(service="trading-oncall", severity="critical")
    hold_ms: Millis = 120_000
    close_ms: Millis = 1_800_000
