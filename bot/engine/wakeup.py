"""The sweeper's alarm clock: it rings once, at the next due time.

`Sweeper` sets it; `bot.engine.runtime` makes `SchedulerWakeup` unless it is given another. APScheduler holds this one
job and nothing durable. It lives on the wall clock, which may be set; the sweeper looks by itself every second, so a
clock that jumps costs a second at most. Where time is not the machine's (a simulation), a wake-up of its own comes in.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger


class Wakeup(Protocol):
    """One alarm at a time."""

    def start(self) -> None:
        """Begin; called in the running loop."""
        ...

    def stop(self) -> None:
        """Ring no more."""
        ...

    def set(self, seconds: float, ring: Callable[[], None]) -> None:
        """Ring in so many seconds, in place of what was set before. Nothing before `start`."""
        ...


class SchedulerWakeup:
    """APScheduler's single job."""

    def __init__(self) -> None:
        self._scheduler = AsyncIOScheduler(timezone=UTC)

    def start(self) -> None:
        """Begin; called in the running loop."""
        self._scheduler.start()

    def stop(self) -> None:
        """Ring no more."""
        self._scheduler.shutdown(wait=False)

    def set(self, seconds: float, ring: Callable[[], None]) -> None:
        """Ring in so many seconds, in place of what was set before. Nothing before `start`."""
        if not self._scheduler.running:
            return

        async def job() -> None:  # a plain function would be run in another thread
            ring()

        when = datetime.now(UTC) + timedelta(seconds=seconds)  # noqa: TID251  # APScheduler lives on the wall clock
        self._scheduler.add_job(job, DateTrigger(when), id="wake-up", replace_existing=True, misfire_grace_time=None)
