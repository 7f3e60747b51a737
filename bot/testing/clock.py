"""A clock that stands still until it is moved. Implements `ports.Clock`."""

from __future__ import annotations

from bot.core.words import Millis

START: Millis = 1_700_000_000_000  # 2023-11-14T22:13:20Z: late enough that nothing computed from it is negative


class FakeClock:
    """`advance` moves time."""

    def __init__(self, now: Millis = START) -> None:
        self._now = now

    def now(self) -> Millis:
        """The time it was moved to last."""
        return self._now

    def advance(self, duration_ms: Millis) -> Millis:
        """Move time on; returns the new time."""
        self._now += duration_ms
        return self._now

    def real_seconds(self, duration_ms: Millis) -> float:
        """As many as on a real clock."""
        return duration_ms / 1000
