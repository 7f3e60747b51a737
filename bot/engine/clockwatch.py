"""Notices when the wall clock jumps, by the monotonic clock, and says so.

Timers, schedules, leases and the age of evidence all go by the wall clock. A jump forward makes everything due that
lies in between: timers fire early, and schedules past their grace are reported as missed. A jump back makes timers late
by as much, and lets old evidence look fresh. A person is told the size and decides; the only thing put right is what
the clock set while it ran ahead (`bot.engine.astray`).
A scaled clock is judged by what its time takes in real seconds. Run by `bot.engine.runtime`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from bot.engine.alarms import Alarms
from bot.engine.ports import Clock, Telemetry

JUMP_SECONDS = 1.0  # NTP slews by half a millisecond a second; a step this large was made on purpose or by a fault
LOOK_SECONDS = 1.0  # nothing announces a jump, so it is looked for

log = structlog.get_logger(__name__)


class ClockWatch:
    """Compares the two clocks, look by look."""

    def __init__(
        self,
        clock: Clock,
        alarms: Alarms,
        telemetry: Telemetry,
        *,
        shard: str,
        went_back: Callable[[], None] = lambda: None,
    ) -> None:
        """`went_back` is called when the clock was put back: whatever was dated by it meanwhile lies in the future."""
        self._clock = clock
        self._alarms = alarms
        self._telemetry = telemetry
        self._shard = shard
        self._went_back = went_back
        self._wall = 0
        self._monotonic = 0.0

    async def run(self) -> None:
        """Look once a second, for ever."""
        self.begin()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    def begin(self) -> None:
        """Take both clocks as they are."""
        self._wall, self._monotonic = self._clock.now(), asyncio.get_running_loop().time()

    async def look(self) -> float:
        """Compare what has passed on both since the last look; returns the jump in real seconds, 0 for none."""
        wall, monotonic = self._wall, self._monotonic
        self.begin()
        jump = self._clock.real_seconds(self._wall - wall) - (self._monotonic - monotonic)
        if abs(jump) < JUMP_SECONDS:
            return 0.0
        log.error("clock_jumped", seconds=round(jump, 3))
        self._telemetry.clock_jumped(jump)
        if jump < 0:
            self._went_back()
        direction = "forward: timers fire early" if jump > 0 else "back: timers fire late, and old evidence looks fresh"
        await self._alarms.raise_(
            self._shard,
            "AndonClockJumped",
            f"the clock of this machine jumped {abs(jump):.1f} s {direction}; check its time (chronyc tracking, "
            "timedatectl) and what fired or did not fire around now",
            anew=True,
        )
        return jump
