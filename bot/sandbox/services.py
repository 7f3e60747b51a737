"""Two services that depend on the Redis primary: they write to it all the time, and know what was acknowledged.

risk-harmoniser and strategist, as the runbook names them. Each is given an address when it is started and keeps to it,
as REDIS_URL does: after a failover it must be restarted on the new one (`POST /api/services/NAME/restart`). A write is
one bit in a bitmap of the service's own, numbered in order; `missing` compares what was acknowledged with what the
primary has now, so that a single lost write shows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from redis.exceptions import RedisError

from bot.core.words import Millis
from bot.sandbox.ledger import Ledger
from bot.sandbox.store import Store, client, in_time

NAMES = ("risk-harmoniser", "strategist")
WRITE_SECONDS = 0.01  # real time between two writes of one service: some 90 a second
AGAIN_SECONDS = 0.1  # after a write that failed
START_SECONDS = 0.3  # a restart takes that long before the first write: health has something to wait for
MAX_WRITES = 8_000_000  # bits of one bitmap, a megabyte: a day; then the next one begins

Status: TypeAlias = Literal["starting", "healthy", "down"]


@dataclass(frozen=True, slots=True)
class Account:
    """What one service's writes have come to. `lost`: acknowledged, and not there."""

    acknowledged: int
    present: int
    lost: int


@dataclass(slots=True)
class _Bitmap:
    """The writes of one key: how many were begun, and which were acknowledged."""

    number: int = 0
    begun: int = 0
    acknowledged: bytearray = field(default_factory=bytearray)

    def acknowledge(self, sequence: int) -> None:
        """As SETBIT numbers them: the highest bit of the first byte is 0."""
        byte = sequence >> 3
        if byte >= len(self.acknowledged):
            self.acknowledged.extend(bytes(byte + 1 - len(self.acknowledged)))
        self.acknowledged[byte] |= 0x80 >> (sequence & 7)


class Service:
    """One of them. `run` writes until cancelled; `restart` gives it another address."""

    def __init__(self, name: str, address: str, ledger: Ledger, now: Callable[[], Millis]) -> None:
        self.name = name
        self.address = address
        self.status: Status = "starting"
        self.started_at = now()
        self.writes = 0
        self._ledger = ledger
        self._now = now
        self._bitmap = _Bitmap()
        self._restarted = asyncio.Event()

    def health(self) -> dict[str, object]:
        """For `GET /api/services/NAME/health`."""
        return {
            "status": self.status,
            "redis": self.address,
            "started_at": self.started_at,
            "writes": self.writes,
            "updated_at": self._now(),
        }

    def restart(self, address: str) -> None:
        """Stop, and start again on `address`. Every restart is an effect, also one that changes nothing."""
        self._ledger.effect(f"service:{self.name}", author="api", before=self.address, after=address, reason="restart")
        self.address = address
        self.status = "starting"
        self.started_at = self._now()
        self._restarted.set()

    async def run(self) -> None:
        """Live from restart to restart, for ever."""
        while True:
            self._restarted.clear()
            connection = client(self.address)
            try:
                await self._pause(START_SECONDS)
                while not self._restarted.is_set():
                    await self._write(connection)
            finally:
                await connection.aclose()

    async def account(self, store: Store) -> Account:
        """Acknowledged writes against what the primary has. Raises RedisError or OSError when it cannot be asked."""
        known = bytes(self._bitmap.acknowledged)
        count = self.writes
        raw = await store.read("GET", self._key)
        there = int.from_bytes((raw or b"")[: len(known)].ljust(len(known), b"\0"))
        lost = (int.from_bytes(known) & ~there).bit_count()
        return Account(count, count - lost, lost)

    @property
    def _key(self) -> str:
        return f"writes:{self.name}:{self._bitmap.number}"

    async def _write(self, connection: Any) -> None:
        if self._bitmap.begun >= MAX_WRITES:
            self._bitmap = _Bitmap(self._bitmap.number + 1)
            self.writes = 0
        bitmap, sequence = self._bitmap, self._bitmap.begun
        bitmap.begun += 1
        try:
            await in_time(connection.execute_command("SETBIT", self._key, sequence, 1))  # never tried again
        except (RedisError, OSError):  # read-only by now, or gone: nothing was acknowledged
            if not self._restarted.is_set():
                self.status = "down"
            await self._pause(AGAIN_SECONDS)
            return
        bitmap.acknowledge(sequence)
        self.writes += 1
        if not self._restarted.is_set():
            self.status = "healthy"
        await self._pause(WRITE_SECONDS)

    async def _pause(self, seconds: float) -> None:
        """Real time, cut short by a restart."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):  # wait_for of Python 3.11 may swallow a cancellation here
                await self._restarted.wait()
