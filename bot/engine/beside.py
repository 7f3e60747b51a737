"""What keeps the parts that run beside the engine alive: one of them that fails costs itself a moment, not the bot.

Used by `bot.engine.runtime` for every part that it is given `beside` the engine's own loops (sources, watches, the
reload, retention …). A part that raises, or returns, is logged, told by an alarm (`AndonPartFailed`, by its name),
waited for a little and begun again; once it has gone well for `WELL_SECONDS` the alarm is over. The engine's own loops
are not kept like this: what they cannot handle must end the process, for its successor starts from what is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias

import structlog

from bot.engine.alarms import Alarms

ALARM: Final = "AndonPartFailed"
BACKOFF_SECONDS: Final = (0.5, 2.0, 5.0, 15.0, 30.0)  # the last for ever: back soon after the cause is gone
WELL_SECONDS: Final = 60.0  # longer than the longest pause, so that failing at every start never counts as going well

Eternal: TypeAlias = Callable[[], Coroutine[Any, Any, None]]  # runs until cancelled

log = structlog.get_logger(__name__)


class Keeper:
    """Runs parts for ever. `replica` tells apart who says so; `shard` takes the alarms."""

    def __init__(self, alarms: Alarms, *, shard: str, replica: str) -> None:
        self._alarms = alarms
        self._shard = shard
        self._replica = replica

    async def keep(self, name: str, begin: Eternal) -> None:
        """Run the part, again and again if need be, until cancelled."""
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            problem = await self._run(name, begin)
            failures = 0 if loop.time() - began >= WELL_SECONDS else failures
            summary = (
                f"a part of Andon ({name}) {problem}, and is begun again and again; meanwhile its work is not done: "
                "read Andon's log, and mend what it names or restart Andon"
            )
            await self._alarms.raise_(self._shard, ALARM, summary, labels=self._labels(name))
            await asyncio.sleep(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])
            failures += 1

    async def _run(self, name: str, begin: Eternal) -> str:
        """Run it once, and say how that ended. A supervision point: no part ends the process."""
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(self._going_well(name))
                await begin()
                watching.cancel()
        except Exception as error:
            log.exception("part_failed", part=name)
            cause = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
            return f"failed ({type(cause).__name__})"
        log.error("part_returned", part=name)
        return "ended by itself"

    async def _going_well(self, name: str) -> None:
        await asyncio.sleep(WELL_SECONDS)
        await self._alarms.clear(self._shard, ALARM, self._labels(name))  # also what a predecessor said

    def _labels(self, name: str) -> tuple[tuple[str, str], ...]:
        return (("part", name), ("replica", self._replica))
