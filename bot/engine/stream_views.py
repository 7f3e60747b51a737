"""What one look at a foreign stream saw, and what follows from it: how far it was read, and what is missing.

Pure. `bot.engine.streams` looks through its port and tells `source_machine` the result. A server that counts the
entries it was ever given (`entries-added`, Redis 7.0 and every Valkey) makes the number of lost entries exact: all that
were added since the last look and are not among those that are left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Entry: TypeAlias = tuple[str, Mapping[str, str]]  # id, fields

_GONE = "the stream is gone: it expired, was deleted, or its Redis lost its data"

BEGINNING = "0-0"  # before every entry; also the position in a stream that is not there


@dataclass(frozen=True, slots=True)
class StreamView:
    """A stream at one moment: its entries after a position (at most as many as asked), and what its server knows of it.

    `first` is the id of the oldest entry that is left ("" when none is), `last` the newest id ever given, `length` how
    many entries are left, `added` how many were ever given (None: its server does not count). The defaults are those
    of a stream that is not there.
    """

    exists: bool = False
    first: str = ""
    last: str = BEGINNING
    length: int = 0
    added: int | None = 0
    entries: tuple[Entry, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the next look begins, how many entries were ever given up to there (-1: not known), and what is missing.

    `caught_up`: nothing was left to read.
    """

    position: str
    added: int
    caught_up: bool
    gap: str = ""


def place(entry_id: str) -> tuple[int, int]:
    """An entry id, comparable."""
    time, _, sequence = entry_id.partition("-")
    return int(time), int(sequence or 0)


def progress(view: StreamView, position: str, added: int, asked: int) -> Progress:
    """From `position`, up to which `added` entries were given, to the end of a view for which `asked` were wanted."""
    if not view.exists:
        return Progress(BEGINNING, 0, True, "" if position == BEGINNING else _GONE)
    if place(view.last) < place(position):
        # What came before the loss was counted, and what is left of it must not be counted again; new ones follow it.
        return Progress(view.last, _known(view.added), True, _lost_data(view.last, position))
    read, caught_up = len(view.entries), len(view.entries) < asked
    after = view.last if caught_up else view.entries[-1][0]
    all_left = bool(view.first) and place(view.first) > place(position)  # nothing of what was read before is left
    if view.added is None:
        return Progress(after, -1, caught_up, _perhaps(view.first, position) if all_left else "")
    left = read if caught_up else view.length if all_left else None
    at_after = view.added if caught_up else view.added - (view.length - read) if all_left else -1
    if added < 0:
        return Progress(after, at_after, caught_up)
    if view.added < added:
        return Progress(after, at_after, caught_up, _fewer(view.last, position))
    if left is None:
        return Progress(after, added + read, caught_up)
    lost = view.added - added - left
    if lost < 0:  # more is left than was added since: what was read before is not all counted, so it is not all there
        return Progress(after, at_after, caught_up, _fewer(view.last, position))
    return Progress(after, at_after, caught_up, _trimmed(lost) if lost else "")


def _known(added: int | None) -> int:
    return -1 if added is None else added


def _trimmed(lost: int) -> str:
    entries = "1 entry was" if lost == 1 else f"{lost} entries were"
    return f"{entries} trimmed or deleted before Andon read them; let the stream keep more (MAXLEN, MINID)"


def _perhaps(first: str, position: str) -> str:
    if position == BEGINNING:
        return ""
    return (
        f"entries between {position} and {first} may have been trimmed before Andon read them (its Redis is older than "
        "7.0 and does not count them)"
    )


def _lost_data(last: str, position: str) -> str:
    return (
        f"its Redis has lost entries: it ends at {last}, and was read up to {position} before. It was restored, "
        "emptied, or failed over to a replica that lagged; what was written around then may be missing"
    )


def _fewer(last: str, position: str) -> str:
    return (
        f"its Redis has lost entries: up to {last} it counts fewer than were read up to {position} and after it. It "
        "was restored, emptied, or failed over to a replica that lagged; what was written around then may be missing"
    )
