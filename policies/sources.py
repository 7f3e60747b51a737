"""Streams and schedules: what a system's policy file listens to besides webhooks, as written and as resolved.

The documents are parts of the policy file (`policies.document`); `policies.lint_sources` judges and resolves them into
`StreamSource` and `Schedule`, which stand in the `PolicyBook` for the readers in `bot.engine`. A stream is read from a
component of targets.yaml; each rule counts its entries in a sliding window of event time.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from bot.core.source import MAX_COUNT
from bot.core.source_events import StreamRule
from bot.core.words import Millis
from policies.durations import Duration
from policies.models import StrictModel
from policies.texts import Label, Name

MAX_TEXT = 2_000  # characters of a key, field or annotation
MAX_RULES = 32  # of one stream; each entry is looked at by every one
MAX_SOURCES = 64  # streams, and schedules, of one file: each keeps a record and a timer
MAX_BY = 4  # fields counted apart: their values multiply into windows


class RuleDoc(StrictModel):
    """When entries are an alert: more than so many that match, within this much event time."""

    alertname: str = Field(min_length=1, max_length=128, description="The alert it raises.")
    more_than: int = Field(100, ge=0, le=MAX_COUNT, description="0: every entry that matches is one too many.")
    within: Duration = Field(300_000, description="How far back entries count, by their own time.")
    where: dict[str, str] = Field(default_factory=dict, description="Fields an entry must have, with these values.")
    by: list[Label] = Field(default_factory=list, max_length=MAX_BY, description="Fields counted apart; become labels.")
    labels: dict[Label, str] = Field(default_factory=dict, description="More labels; severity: warning unless said.")
    annotations: dict[Label, str] = Field(default_factory=dict)


class StreamDoc(StrictModel):
    """A stream of the trading system's own Redis."""

    name: Name
    stream: str = Field(min_length=1, max_length=MAX_TEXT, description="The stream's key.")
    component: str = Field("", description="The Redis component it is in, where there are several.")
    at_field: str = Field("", description="The field with an entry's own time; empty: the time in its id.")
    alerts_in: str = Field("", description="The field that holds an alert as JSON, in a stream of alerts.")
    rules: list[RuleDoc] = Field(default_factory=list, max_length=MAX_RULES)


class ScheduleDoc(StrictModel):
    """An alert raised by the clock."""

    name: Name
    cron: str = Field(description="minute hour day month weekday; weekdays by name (mon-fri), never by number.")
    zone: str = Field(description="The time zone the clock is read in, like America/New_York.")
    grace: Duration = Field(300_000, description="How late it may still run; later, the fire is reported as missed.")
    labels: dict[Label, str] = Field(description="The alert's labels; alertname is needed.")
    annotations: dict[Label, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSource:
    """A stream to read: from `component` of `system`, the entries of `key`.

    `at_field` "": the event time is the one in the entry's id. `alerts_in` "": entries are counted, not alerts.
    """

    name: str
    system: str
    component: str
    key: str
    at_field: str = ""
    alerts_in: str = ""
    rules: tuple[StreamRule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A cron line (five fields, weekdays by name) in a time zone, and the alert that each fire is."""

    name: str
    system: str
    cron: str
    zone: str
    grace_ms: Millis
    labels: tuple[tuple[str, str], ...]
    annotations: tuple[tuple[str, str], ...] = ()
