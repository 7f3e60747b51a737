"""The sandbox's clock: wall time, or wall time run faster from an anchor (`scale@anchor_ms`, as Andon's own)."""

from __future__ import annotations

import time
from dataclasses import dataclass

from bot.core.words import Millis


@dataclass(frozen=True, slots=True)
class SandboxClock:
    """now = anchor + (wall time - anchor) * scale, in milliseconds since the epoch."""

    scale: float = 1.0
    anchor_ms: Millis = 0

    @classmethod
    def parse(cls, text: str) -> SandboxClock:
        """From `scale@anchor_ms`; "" is real time. ValueError when it is neither."""
        if not text:
            return cls()
        scale, at, anchor = text.partition("@")
        if not at or float(scale) <= 0:
            raise ValueError(f"{text!r} is not scale@anchor_ms, such as 20@1767225600000")
        return cls(float(scale), int(anchor))

    def now(self) -> Millis:
        """Milliseconds since the epoch, on this clock."""
        wall = time.time_ns() // 1_000_000
        return int(self.anchor_ms + (wall - self.anchor_ms) * self.scale)
