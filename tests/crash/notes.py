"""What a worker had in hand when it died: one line a step, written so that it survives the worker.

The worker's wrapped ports write (`Notes`), the run's own process reads afterwards (`read`). A line is in the kernel
when `write` returns, so no SIGKILL takes it away. These notes only say what counts as a trial and at which point it
was; whether anything was doubled or lost is judged by the targets' ledger alone (`tests.crash.judge`).
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from pathlib import Path


class Notes:
    """Writes notes, and stops for ever at the one point it was given."""

    def __init__(self, path: Path, point: str = "") -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._point = point
        self._never = asyncio.Event()

    def write(self, what: str, intent: str, lane: str) -> None:
        os.write(self._file, f"{time.monotonic_ns()} {what} {intent} {lane}\n".encode())

    async def pause(self, point: str, intent: str = "-", lane: str = "-") -> None:
        """Returns at once, except at the point where this worker is to be killed."""
        if point == self._point:
            self.write("held", intent, lane)
            await self._never.wait()


@dataclass(slots=True)
class InHand:
    """One intent in one worker's life: what was noted, and when (CLOCK_MONOTONIC ns)."""

    intent: str
    lane: str
    notes: list[str] = field(default_factory=list)
    at: list[int] = field(default_factory=list)

    def first(self, note: str) -> int | None:
        """When this was noted first."""
        return self.at[self.notes.index(note)] if note in self.notes else None


def read(path: Path) -> dict[str, InHand]:
    """Every intent that was noted, by id; a torn last line is passed over."""
    found: dict[str, InHand] = {}
    text = path.read_text() if path.exists() else ""
    for line in text.splitlines():
        parts = line.split(" ")
        if len(parts) != 4 or parts[2] == "-":
            continue
        at, what, intent, lane = parts
        hand = found.setdefault(intent, InHand(intent, lane))
        hand.notes.append(what)
        hand.at.append(int(at))
    return found


def count(path: Path, what: str = "") -> int:
    """How many notes there are (of this kind)."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return 0
    return text.count(f" {what} ") if what else text.count("\n")
