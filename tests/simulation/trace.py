"""What happened in one run, in order: what the timeline is told from and what two runs of a seed are compared by.

Written by the wire, the store's servers, the replicas, the floor and the steps; read by `timeline`, `oracle` and the
determinism test.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple


class Note(NamedTuple):
    """At this virtual second, this one (r1, servers, alertmanager, demo-oncall …) did or met that."""

    at: float
    who: str
    what: str
    more: str = ""


class Trace:
    """Append-only."""

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._notes: list[Note] = []

    def note(self, who: str, what: str, more: str = "") -> None:
        """Keep it."""
        self._notes.append(Note(self._time(), who, what, more))

    def __len__(self) -> int:
        return len(self._notes)

    def notes(self) -> list[Note]:
        """All of it, oldest first."""
        return list(self._notes)

    def digest(self, callbacks: int) -> str:
        """The same for two runs exactly when the same things happened at the same times, in as many callbacks."""
        return hashlib.sha256(repr((callbacks, [tuple(note) for note in self._notes])).encode()).hexdigest()
