"""Clocks for the engine: the machine's own, and a scaled one for the demo.

Chosen by the composition root (`ANDON_CLOCK=60@1767225600000` scales).
"""

from __future__ import annotations

import time

from bot.core.words import Millis
from bot.errors import ConfigError

MAX_SCALE = 10_000.0  # beyond it, a millisecond of real time is longer than any timer of the engine


def wall_ms() -> Millis:
    """The machine's wall time, in milliseconds since the Unix epoch. The one place that reads it."""
    return time.time_ns() // 1_000_000


class SystemClock:
    """Wall time as it is."""

    def now(self) -> Millis:
        """Milliseconds since the Unix epoch."""
        return wall_ms()

    def real_seconds(self, duration_ms: Millis) -> float:
        """How many real seconds `duration_ms` of this clock take."""
        return duration_ms / 1_000


class ScaledClock(SystemClock):
    """Time that runs `scale` times as fast since `anchor_wall_ms`: now = anchor + (real now - anchor) * scale.

    Processes started with the same scale and anchor agree on the time, also after a restart.
    """

    def __init__(self, scale: float, anchor_wall_ms: Millis) -> None:
        if not 0 < scale <= MAX_SCALE:
            raise ConfigError(f"a clock's scale is above 0 and at most {MAX_SCALE:g}, not {scale:g}")
        self._scale = scale
        self._anchor = anchor_wall_ms

    def now(self) -> Millis:
        """Milliseconds since the Unix epoch, as this clock has it."""
        return self._anchor + int((wall_ms() - self._anchor) * self._scale)

    def real_seconds(self, duration_ms: Millis) -> float:
        """How many real seconds `duration_ms` of this clock take."""
        return duration_ms / 1_000 / self._scale
