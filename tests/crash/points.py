"""The named moments of one action at which a worker is killed, and which of them an intent had reached when it died.

The worker notes what each intent has come to (`tests.crash.notes`); at the point it was given it stops there for ever,
so that many intents are caught at the same point by one SIGKILL. Read by `tests.crash.worker` and `tests.crash.round`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Point:
    """A moment between two steps of an action."""

    name: str
    words: str


UNDECLARED: Final = Point("undeclared", "before the declaration is written")
STORED: Final = Point("stored", "declared in the store, not in the journal")
JOURNALLED: Final = Point("journalled", "in the journal, not in the store")
DECLARED: Final = Point("declared", "declared in both, before the send")
SENT: Final = Point("sent", "request sent, no reply")
REPLIED: Final = Point("replied", "replied, before the read-back")
READ_BACK: Final = Point("read-back", "read back, before the outcome is committed")
COMMITTED: Final = Point("committed", "outcome committed, before the journal's conclusion")

NAMED: Final = (UNDECLARED, STORED, JOURNALLED, DECLARED, SENT, REPLIED, READ_BACK, COMMITTED)

# Kills that are not aimed at one point, and so have rows of their own.
RANDOM: Final = Point("random", "at a random moment")
AGAIN: Final = Point("again", "killed again while it was being taken up")
HEIR: Final = Point("heir", "at a random moment, taken over by another replica")

ALL: Final = (*NAMED, RANDOM, AGAIN, HEIR)
BY_NAME: Final = {point.name: point for point in ALL}

# What the worker notes of an intent. A note stands for what is over, except `taken`, `declaring` and `sent`.
TAKEN, DECLARING, CONCLUDED = "taken", "declaring", "concluded"


def stage(notes: Iterable[str]) -> str:
    """The name of the point an intent had reached by these notes of one worker's life; TAKEN or CONCLUDED outside."""
    seen: set[str] = set()
    for note in notes:
        if note == DECLARING:  # another attempt begins
            seen = {DECLARING}
        else:
            seen.add(note)
    for last in (CONCLUDED, COMMITTED.name, READ_BACK.name, REPLIED.name, SENT.name, DECLARED.name):
        if last in seen:
            return last
    if {STORED.name, JOURNALLED.name} <= seen:
        return DECLARED.name
    for half in (STORED.name, JOURNALLED.name):
        if half in seen:
            return half
    return UNDECLARED.name if DECLARING in seen else TAKEN
