"""A clock that stands still until it is moved. Implements `ports.Clock`."""

from __future__ import annotations

import asyncio

from bot.core.words import Millis

START: Millis = 1_700_000_000_000  # 2023-11-14T22:13:20Z: late enough that nothing computed from it is negative


class FakeClock:
    """`advance` moves time and wakes whoever sleeps until then."""

    def __init__(self, now: Millis = START) -> None:
        self._now = now
        self._sleepers: list[tuple[Millis, asyncio.Event]] = []

    def now(self) -> Millis:
        """The time it was moved to last."""
        return self._now

    def advance(self, duration_ms: Millis) -> Millis:
        """Move time on and wake the sleepers whose time has come; returns the new time."""
        self._now += duration_ms
        due = [sleeper for sleeper in self._sleepers if sleeper[0] <= self._now]
        self._sleepers = [sleeper for sleeper in self._sleepers if sleeper[0] > self._now]
        for _, awake in sorted(due, key=lambda sleeper: sleeper[0]):
            awake.set()
        return self._now

    async def sleep_until(self, due: Millis) -> None:
        """Returns once the clock was moved to `due` or past it."""
        if due <= self._now:
            return
        awake = asyncio.Event()
        sleeper = (due, awake)
        self._sleepers.append(sleeper)
        try:
            await awake.wait()
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)

    @property
    def sleeping_until(self) -> Millis | None:
        """The earliest time somebody sleeps until: where a test would move the clock next."""
        return min((due for due, _ in self._sleepers), default=None)

    def real_seconds(self, duration_ms: Millis) -> float:
        """As many as on a real clock."""
        return duration_ms / 1000
