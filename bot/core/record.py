"""What incident and target records share: versioned, with their own timers, folded one event at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from bot.core.effects import Effect
from bot.core.words import Millis

# Of whatever is stored: records, inbox entries, effects, intents. Raised whenever the shape of any of them changes;
# every version from the oldest on can be read (docs/adr/0012).
SCHEMA_VERSION = 2
OLDEST_SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """A due time this aggregate waits for. A `TimerFired` counts only if its token is still this one."""

    due: Millis
    token: str
    since: Millis = 0  # when it was set, by the clock that set it; 0: not known


@dataclass(frozen=True, slots=True)
class Applied:
    """The event changed something, or was worth an effect; `why` is one plain sentence."""

    why: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """The event changed nothing, for this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Denied:
    """What the event asked for was refused, for this reason, in words for a tired person."""

    reason: str


Decision = Applied | Ignored | Denied

R = TypeVar("R")


def private_copy(record: R) -> R:
    """A copy that its only owner, a draft, changes in place while it folds one event, and publishes when it is done.

    `dataclasses.replace` runs every field through `__init__` each time; a fold changes ten fields in five moves, and
    copying once makes it five times as fast.
    """
    copy: R = object.__new__(type(record))
    for name in record.__dataclass_fields__:  # type: ignore[attr-defined]  # every record is a dataclass
        object.__setattr__(copy, name, getattr(record, name))
    return copy


@dataclass(frozen=True, slots=True)
class Transition(Generic[R]):
    """The result of folding one event: the new record, what to do, and why."""

    record: R
    effects: tuple[Effect, ...]
    decision: Decision
