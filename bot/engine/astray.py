"""Timers that a clock set which ran ahead: found, and set again from now, instead of ringing an hour or a day late.

Run beside the engine. It looks only while this machine's clock agrees with the store's: to a clock that is behind,
everything was set in the future. It looks at the start, for this machine's clock may have been put right while Andon
was down; whenever this machine's clock is put back (`bot.engine.clockwatch` pokes); and now and then, for a replica
whose clock was wrong and that never came back. What it finds it rings; `bot.core.early` sets it again.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from bot.core.early import AHEAD_MS, ASTRAY, is_astray, is_dated_ahead
from bot.core.events import TimerFired
from bot.core.target import Target
from bot.core.words import Millis
from bot.engine.engine import Engine
from bot.engine.ports import Record
from bot.errors import StoreError

LOOK_SECONDS: Final = 600.0
RETRY_SECONDS: Final = 1.0  # while the store is away
MAX_LOOKED_AT: Final = 1_000  # open incidents of a system, the newest: about 60 ms of the loop, every ten minutes
NOT_INCIDENTS: Final = ("target:", "source:")  # how the ids of all other aggregates begin

log = structlog.get_logger(__name__)


class Astray:
    """Looks at every shard."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._poked = asyncio.Event()

    def poke(self) -> None:
        """This machine's clock went back: look now."""
        self._poked.set()

    async def run(self) -> None:
        """Look, and wait for the next reason to, until cancelled."""
        while True:
            self._poked.clear()
            wait = LOOK_SECONDS
            try:
                await self.look()
            except StoreError as error:
                log.warning("store_unavailable", loop="astray", error=str(error))
                wait = RETRY_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._poked.wait()

    async def look(self) -> int:
        """Ring every timer that is astray; returns how many. Raises StoreError."""
        if abs(await self._engine.store.time() - self._engine.clock.now()) > AHEAD_MS:
            return 0  # two clocks, and nobody knows which is right
        return sum([await self._look_at(shard) for shard in self._engine.shards])

    async def _look_at(self, shard: str) -> int:
        store, rung = self._engine.store, 0
        lines = await store.incidents(shard, closed=False, limit=MAX_LOOKED_AT)
        others = [name for name in await store.aggregates(shard) if name.startswith(NOT_INCIDENTS)]
        records: list[Record] = [line.incident for line in lines]
        records += [found.record for found in (await store.load(shard, others)).values()]
        for record in records:
            now = self._engine.clock.now()
            for name, timer in record.timers.items():
                if is_astray(timer, now):
                    log.warning("timer_astray", shard=shard, aggregate=record.id, timer=name, due=timer.due)
                    await self._tell(shard, record, now, name, timer.token)
                    rung += 1
            if isinstance(record, Target) and is_dated_ahead(record, now):
                await self._tell(shard, record, now)
                rung += 1
        return rung

    async def _tell(self, shard: str, record: Record, now: Millis, name: str = "", token: str = "") -> None:
        event = TimerFired(id=f"{ASTRAY}{token or record.id}:{now}", at=now, name=name, token=token)
        await self._engine.tell(shard, record.id, event)
