"""What the sources tell their own record: entries of a foreign stream, a cron fire, a sign of life.

A part of `bot.core.events`, which lists every event. Folded by `bot.core.source_machine` into a `Source`, which counts
and remembers, and raises alerts from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from bot.core.words import Millis, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRule:
    """When entries of a stream are an alert: more than `count` that match, within `within_ms` of event time.

    `where` are field values an entry must have to count (all of them); `by` the fields counted apart (one window for
    each value, at most `source_machine.MAX_WINDOWS`); `labels` what the alert carries besides `by`'s values.
    """

    name: str
    count: int
    within_ms: Millis
    where: tuple[tuple[str, str], ...] = ()
    by: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEntry:
    """One entry: its id in the foreign stream, its event time, and the fields the rules look at.

    `alert` is canonical JSON of an alert that the entry itself is (a stream of alerts), else "". `problem` says why an
    entry that should be an alert is none.
    """

    id: str
    at: Millis
    fields: tuple[tuple[str, str], ...] = ()
    alert: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRead:
    """A batch read from a foreign stream, after `position`. `gap` says what trimming took before it, or "".

    `stream` is its component and key: a source that reads another one now begins anew, with `position` "". `added`:
    entries the stream was given in its life up to `next_position` (-1: not known). `caught_up`: at `at` nothing was
    left in it, so a window whose time is over by then is over; without that, nothing ends by time.
    """

    kind: Literal["stream_read"] = "stream_read"
    id: str
    at: Millis
    stream: str
    position: str
    next_position: str
    entries: tuple[StreamEntry, ...] = ()
    rules: tuple[StreamRule, ...] = ()
    added: int = -1
    gap: str = ""
    caught_up: bool = False
    alert_severity: Severity = "warning"  # of the alert that reports a gap


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePlanned:
    """From now on the schedule fires by `cron` (with its zone); said at each start and reload. "": no longer."""

    kind: Literal["schedule_planned"] = "schedule_planned"
    id: str
    at: Millis
    cron: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleDue:
    """A cron schedule's fire at `due`. Folded once, whoever of the replicas tells it first.

    `grace_ms`: how much later than `due` it still runs; past that it is reported as missed. `skipped`: how many fires
    since the last one told passed before this one. `lasts_ms`: how long its alert fires. `when` is `due` in words.
    """

    kind: Literal["schedule_due"] = "schedule_due"
    id: str
    at: Millis
    due: Millis
    grace_ms: Millis
    lasts_ms: Millis
    skipped: int = 0
    when: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchExpected:
    """From now on a sign of life is expected every `within_ms`; said at each start and reload. 0: no longer."""

    kind: Literal["watch_expected"] = "watch_expected"
    id: str
    at: Millis
    within_ms: Millis
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOfLife:
    """The thing that is watched showed itself (a Watchdog alert came in)."""

    kind: Literal["sign_of_life"] = "sign_of_life"
    id: str
    at: Millis


SourceEvent: TypeAlias = StreamRead | SchedulePlanned | ScheduleDue | WatchExpected | SignOfLife
