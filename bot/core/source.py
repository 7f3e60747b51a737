"""A source's record: what Andon listens to and must neither miss nor hear twice. Folded by `source_machine`.

Ids: `source:stream:<name>`, `source:schedule:<name>`, `source:watch:<name>`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from bot.core.record import Timer
from bot.core.words import AggregateId, Millis

MAX_COUNT = 1_000  # a rule's `count`: its windows keep that many times and one more, about 16 bytes each in the record
MAX_WINDOWS = 64  # series of one source that are counted apart; with MAX_COUNT, a record stays below a megabyte

SourceKind: TypeAlias = Literal["stream", "schedule", "watch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One series of one rule: the event times of its newest entries, run-length coded (time, how many), oldest first.

    `rule` is the rule's name. `seen_at` is when the newest of them was read, by Andon's clock; `falls_at` from when on
    a look that finds the stream read to its end ends its alert; `fired_at` the start of its last alert, so that the
    next starts later.
    """

    rule: str
    times: tuple[tuple[Millis, int], ...] = ()
    seen_at: Millis = 0
    falls_at: Millis | None = None
    fired_at: Millis = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """An alert of this source that fires, as it was raised; its end is told in the same labels."""

    labels: tuple[tuple[str, str], ...]
    annotations: tuple[tuple[str, str], ...]
    since: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One source. `position` is the newest stream entry taken; `last_at` the newest cron fire or sign of life."""

    kind: Literal["source"] = "source"
    id: AggregateId
    system: str
    stream: str = ""  # which one `position` is in; another one of this name begins anew
    position: str = ""
    added: int = -1  # entries the stream had been given in its life up to `position`; -1: not known
    last_at: Millis = 0
    cron: str = ""  # of a schedule: what `last_at` is a fire of; another line begins anew
    windows: dict[str, Window] = field(default_factory=dict)  # rule name and `by` values -> count
    dropped: int = 0  # entries of series that were not counted because there were too many
    raised: dict[str, Raised] = field(default_factory=dict)  # what fires: a window's key, `fire`, `missed`, `silent`
    said: dict[str, Millis] = field(default_factory=dict)  # occurrences that were told (a gap), and when last
    within_ms: Millis = 0  # of a watch: how long its silence may last
    forgiven: bool = False  # of a watch: its time ran out while Andon was away, and it was given a fresh one
    labels: tuple[tuple[str, str], ...] = ()  # of a watch's alert
    annotations: tuple[tuple[str, str], ...] = ()
    timers: dict[str, Timer] = field(default_factory=dict)
    counter: int = 0

    @property
    def falls_at(self) -> Millis | None:
        """When the next of its windows falls, if its stream is read to the end by then and nothing more came."""
        return min((window.falls_at for window in self.windows.values() if window.falls_at is not None), default=None)

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self.id.split(":", 2)[2]

    @property
    def what(self) -> SourceKind:
        """What it listens to."""
        word = self.id.split(":", 2)[1]
        return "stream" if word == "stream" else "schedule" if word == "schedule" else "watch"
