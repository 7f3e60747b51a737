"""The shelf's twin in memory. Implements `shelf.Shelf`; used by tests and where nothing need outlive the process.

Several boards that are given the same twin share it, as replicas share the store's. `down`, `asleep` and `resigning`
bring about what happens to real ones. The same contract suite runs on this and on `redis_shelf`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from bot.adapters.slack.board.shelf import MAX_LINES, REMEMBERED_MS, Line, Placed, clipped
from bot.core.words import Millis
from bot.engine.ports import Clock
from bot.errors import StoreUnavailable

log = structlog.get_logger(__name__)


class MemoryShelf:
    """All of it, for all replicas of a test."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._leader: tuple[str, Millis] = ("", 0)
        self._nudged: dict[str, None] = {}
        self._arrived = asyncio.Event()
        self._lines: dict[str, Line] = {}
        self._count = 0
        self._known: dict[str, Millis] = {}
        self._places: dict[str, Placed] = {}
        self.down = False
        self.asleep = ""  # a replica whose word about the lease arrives no more
        self.resigning = True

    def _reach(self) -> None:
        if self.down:
            raise StoreUnavailable("the shelf is down, as the test wants it")

    async def lead(self, replica: str, ttl_ms: Millis) -> bool:
        self._reach()
        if replica == self.asleep:
            raise StoreUnavailable("this replica is asleep, as the test wants it")
        holder, until = self._leader
        now = self._clock.now()
        if holder not in ("", replica) and now < until:
            return False
        self._leader = (replica, now + ttl_ms)
        return True

    async def resign(self, replica: str) -> None:
        self._reach()
        if self._leader[0] == replica and self.resigning:
            self._leader = ("", 0)

    async def nudge(self, names: Sequence[str]) -> None:
        self._reach()
        self._nudged.update(dict.fromkeys(name for name in names if name not in self._nudged))
        if self._nudged:
            self._arrived.set()

    async def nudged(self, limit: int, block_ms: Millis) -> list[str]:
        self._reach()
        if not self._nudged and block_ms > 0:
            self._arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(block_ms / 1000):
                    await self._arrived.wait()
            self._reach()
        names = list(self._nudged)[:limit]
        for name in names:
            del self._nudged[name]
        return names

    async def say(self, line: Line) -> bool:
        self._reach()
        now = self._clock.now()
        self._known = {name: at for name, at in self._known.items() if now - at <= REMEMBERED_MS}
        if line.id in self._known:
            return False
        self._known[line.id] = now
        self._count += 1
        delivery = str(self._count)
        self._lines[delivery] = replace(clipped(line), delivery=delivery)
        while len(self._lines) > MAX_LINES:
            del self._lines[next(iter(self._lines))]
            log.error("slack_lines_dropped", lines=1, waiting=MAX_LINES, fix="the audit has them all")
        return True

    async def lines(self, limit: int, after: str = "") -> list[Line]:
        self._reach()
        return [line for line in self._lines.values() if int(line.delivery) > int(after or 0)][:limit]

    async def said(self, deliveries: Sequence[str]) -> None:
        self._reach()
        for delivery in deliveries:
            self._lines.pop(delivery, None)

    async def place(self, name: str) -> Placed | None:
        self._reach()
        return self._places.get(name)

    async def places(self) -> Mapping[str, Placed]:
        self._reach()
        return dict(self._places)

    async def put(self, placed: Placed) -> Placed | None:
        self._reach()
        kept = self._places.get(placed.name)
        if (kept.revision if kept is not None else 0) != placed.revision:
            return None
        self._places[placed.name] = replace(placed, revision=placed.revision + 1)
        return self._places[placed.name]

    async def drop(self, names: Sequence[str]) -> None:
        self._reach()
        for name in names:
            self._places.pop(name, None)
