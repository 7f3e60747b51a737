"""The policy file as people write it: one document per trading system.

Pydantic models only — shape, types and what a single value may look like. What the parts mean together (does the action
exist, is the reading declared, may this run by itself) is judged by `policies.lint` and `policies.planning`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Discriminator, Field, JsonValue, Tag

from bot.core.words import Mode, OnFailure, OnNoEvidence, Severity
from policies.durations import Duration
from policies.models import StrictModel
from policies.sources import MAX_SOURCES, ScheduleDoc, StreamDoc
from policies.texts import ConditionText, InstantText, Label, MatcherText, Name, ReadingName

MAX_STEPS = 32  # a longer sequence is a programme, not a remediation
MAX_RUNGS = 16
MAX_CHANNEL = 80  # characters of a channel's name: https://docs.slack.dev/reference/methods/conversations.create
MAX_TEXT = 2_000  # characters of a query, reason or address

PolicyRisk: TypeAlias = Literal["safe", "risky", "critical"]


class PageDoc(StrictModel):
    """Who is paged: a service known to the pager."""

    service: Name = Field(description="The pager's service: trading-oncall, pm, cro …")
    severity: Severity = "critical"


RedisFigure: TypeAlias = Literal["p99_us", "replica_p99_us", "replica_lag_bytes", "sentinels_agreeing", "primaries"]


class EvidenceDoc(StrictModel):
    """One declared, dated reading: exactly one of its sources (see `lint_evidence`) says where it comes from."""

    not_yet: ClassVar[Mapping[str, str]] = {
        "redis_timeseries": "use redis_hash on the plain-hash fallback metrics:<name>:<symbol>",
    }

    redis_hash: str | None = Field(None, max_length=MAX_TEXT, description="The hash's key; may hold ${labels.NAME}.")
    promql: str | None = Field(None, max_length=MAX_TEXT, description="An instant query with one sample as its answer.")
    http: str | None = Field(None, max_length=MAX_TEXT, description="A path that answers with JSON.")
    redis_state: RedisFigure | None = Field(None, description="A figure of the Redis itself, measured by Andon.")
    redis_stream: str | None = Field(
        None, max_length=MAX_TEXT, description="A stream's key; the reading is the number of its latest entries."
    )
    within: Duration = Field(0, description="redis_stream: how far back its entries are counted, like 1m.")
    field: str = Field("", description="redis_hash: the field with the value.")
    at_field: str = Field("", description="redis_hash: the field with the time of the reading.")
    json_path: str = Field("", alias="json", description="http: dotted path of the value in the answer.")
    at_json: str = Field("", description="http: dotted path of the time of the reading.")
    component: str = Field("", description="Which component of targets.yaml is asked, where several could be.")
    over: Literal["incident", "alerts"] = Field("incident", description="alerts: one reading for each alert's labels.")
    take: Literal["max", "min", "sum", "only"] | None = Field(None, description="How several readings become one.")
    max_age: Duration = Field(60_000, description="An older reading is stale, and stale is no evidence.")
    history: str = Field(
        "", max_length=MAX_TEXT, description="PromQL that draws the last hour of this figure on decision cards."
    )


class VerifyDoc(StrictModel):
    """What must become true after the step, and how long it may take."""

    until: ConditionText
    within: Duration
    every: Duration = Field(5_000, description="How often the evidence is read meanwhile.")


class StepDoc(StrictModel):
    """One action of the plan."""

    not_yet: ClassVar[Mapping[str, str]] = {
        "when": "write one policy per case, or leave the choice to a person",
    }

    action: str = Field(description="An action of the catalogue, like risk.reduce_kelly.")
    with_: dict[str, JsonValue] = Field(default_factory=dict, alias="with", description="The action's arguments.")
    component: str = Field("", description="Which component is acted on, where several have the action's role.")
    guard: ConditionText | None = Field(None, description="Must hold right before sending.")
    verify: VerifyDoc | None = None
    cooldown: Duration = Field(0, description="Least time between two runs of this action on its component.")
    lease: Duration = Field(0, description="How long its effect is meant to stay; then people are asked. 0: for good.")
    on_failure: OnFailure = "escalate"
    on_no_evidence: OnNoEvidence = "ask"
    risk: PolicyRisk | None = Field(None, description="Raises the action's own risk; it cannot lower it.")
    approve_within: Duration = Field(300_000, description="How long a decision waits before silence escalates it.")
    break_glass: str = Field("", description="The one person who may decide alone, with a typed reason.")


class WaitDoc(StrictModel):
    """A pause in the plan; it outlives a restart of Andon."""

    wait: Duration = Field(ge=1, description="How long the next step waits after the one before it has ended.")


def _form(entry: object) -> str:
    """Which form of the plan an entry is written in, by its key; pydantic asks about models as well."""
    keys = entry.model_fields_set if isinstance(entry, StrictModel) else entry if isinstance(entry, Mapping) else ()
    return next((f"({key})" for key in ("sequence", "wait") if key in keys), "(step)")


Member: TypeAlias = Annotated[
    Annotated[StepDoc, Tag("(step)")] | Annotated[WaitDoc, Tag("(wait)")], Discriminator(_form)
]


class SequenceDoc(StrictModel):
    """Steps that belong together: once one has taken effect they go on to the end, whether the alert fires or not.

    A step that fails stops the sequence, and people are asked whether to go on (`on_failure: ask`).
    """

    sequence: list[Member] = Field(min_length=2, max_length=MAX_STEPS)


PlanEntry: TypeAlias = Annotated[
    Annotated[StepDoc, Tag("(step)")] | Annotated[SequenceDoc, Tag("(sequence)")] | Annotated[WaitDoc, Tag("(wait)")],
    Discriminator(_form),
]


class RungDoc(StrictModel):
    """A timed entry of the ladder: it calls people, says something, or runs a step of its own (or all of these)."""

    not_yet: ClassVar[Mapping[str, str]] = {
        "ask": "page somebody who decides: page: {service: cro}",
    }

    after: Duration = Field(description="Since the episode began.")
    page: PageDoc | None = None
    notify: str = Field("", max_length=MAX_CHANNEL, description='A channel that is told, like "#quant-emergency".')
    run: str = Field("", description="An action of the catalogue, run beside the plan.")
    with_: dict[str, JsonValue] = Field(default_factory=dict, alias="with", description="run's arguments.")
    component: str = Field("", description="Which component run acts on, where several have its role.")
    guard: ConditionText | None = Field(None, description="Must hold right before run is sent.")
    verify: VerifyDoc | None = None
    on_no_evidence: OnNoEvidence = "ask"
    risk: PolicyRisk | None = Field(None, description="Raises the action's own risk; it cannot lower it.")
    lease: Duration = Field(
        0, description="How long run's effect is meant to stay; then people are asked. 0: for good."
    )
    approve_within: Duration = Field(300_000, description="How long a decision waits before silence escalates it.")
    break_glass: str = Field("", description="The one person who may decide alone, with a typed reason.")
    until: Literal["acked", "mitigated", "resolved"] = Field("acked", description="What ends this rung.")

    def step(self) -> StepDoc | None:
        """What the rung runs, as a step; None when it only calls people."""
        if not self.run:
            return None
        shared = {name: getattr(self, name) for name in _STEP_KEYS}
        return StepDoc.model_construct(action=self.run, **shared)  # its parts have been validated here

    def stray(self) -> tuple[str, ...]:
        """The keys it gives for a step that it does not run."""
        given = self.model_fields_set & set(_STEP_KEYS)
        return () if self.run else tuple(sorted(name.rstrip("_") for name in given))


_STEP_KEYS = (
    "with_", "component", "guard", "verify", "on_no_evidence", "risk", "lease", "approve_within", "break_glass",
)  # fmt: skip


class PolicyDoc(StrictModel):
    """One policy: which alerts, which evidence, which steps, whom to page when."""

    not_yet: ClassVar[Mapping[str, str]] = {
        "on_resolved": "offer the restore from the runbook by hand: it raises exposure and needs a person anyway",
    }

    name: Name
    row: str = Field("", max_length=40, description="The runbook's row this policy implements.")
    match: list[MatcherText] = Field(min_length=1, description="Alertmanager matchers; all must hold.")
    group_by: list[Label] = Field(default_factory=list, description="One incident for each value of these labels.")
    mode: Mode = Field("shadow", description="auto acts only once armed; suggest asks; shadow only watches.")
    severity: Severity | None = Field(None, description="Overrides the severity that the alerts claim.")
    mttr_target: Duration = 0
    channel: str = ""
    runbook: str = ""
    dashboard: str = ""
    evidence: dict[ReadingName, EvidenceDoc] = Field(default_factory=dict)
    diagnose: list[str] = Field(default_factory=list, description="Read-only looks at the system, for the card.")
    plan: list[PlanEntry] = Field(default_factory=list, max_length=MAX_STEPS)
    ladder: list[RungDoc] = Field(default_factory=list, max_length=MAX_RUNGS)
    healthy: ConditionText | None = Field(
        None, description="Must hold before the incident resolves; else the last verify."
    )
    hold: Duration = Field(120_000, description="A reopen within it joins the same episode.")
    close: Duration = Field(1_800_000, description="After it, a new alert opens a new incident.")
    continue_: bool = Field(False, alias="continue", description="Go on to the next policy that matches.")


class CatchAllDoc(StrictModel):
    """What takes the alerts that no policy matches."""

    page: PageDoc
    severity: Severity = Field("critical", description="Alerts at least this severe page; lesser ones do not.")
    group_by: list[Label] = Field(default_factory=lambda: ["alertname"])
    channel: str = ""
    runbook: str = ""
    dashboard: str = ""
    ladder: list[RungDoc] = Field(default_factory=list, max_length=MAX_RUNGS)
    hold: Duration = 120_000
    close: Duration = 1_800_000


class PreAuthorisedDoc(StrictModel):
    """A person's signature under an action that would otherwise ask. Unsigned (`by` or `until` empty), it asks."""

    action: str
    policy: Name
    by: str = Field("", description="A person's id in people.yaml; empty: not signed.")
    reason: str = Field(min_length=1, max_length=MAX_TEXT)
    until: InstantText = Field("", description="When the signature ends; empty: not signed.")


class PolicyFile(StrictModel):
    """A whole policy file."""

    system: Name
    labels: list[Label] = Field(default_factory=list, description="Labels that alerts carry besides those matched on.")
    oncall: PageDoc = Field(
        default_factory=lambda: PageDoc(service="trading-oncall"),
        description="Who is paged when a plan needs a person.",
    )
    streams: list[StreamDoc] = Field(default_factory=list, max_length=MAX_SOURCES)
    schedules: list[ScheduleDoc] = Field(default_factory=list, max_length=MAX_SOURCES)
    policies: list[PolicyDoc] = Field(default_factory=list)
    catch_all: CatchAllDoc | None = None
    pre_authorised: list[PreAuthorisedDoc] = Field(default_factory=list)
