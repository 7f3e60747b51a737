"""From many concurrent requests to few durable writes: whoever arrives while a write is under way joins the next one.

`http_ingress` awaits `Intake.store`, which returns only when the entries are durable. One append per shard is under way
at any time, so entries stay in the order they came and each fsync carries as many of them as arrived meanwhile.
Everything waits in memory only until its sender has been answered; what was not stored, the sender sends again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

import structlog
from prometheus_client import CollectorRegistry, Histogram

from bot.core.events import AlertsReceived
from bot.engine.ports import Store
from bot.errors import StoreError, StoreUnavailable

log = structlog.get_logger(__name__)

MAX_WAITING_ALERTS: Final = 20_000  # about 2 kB each: 40 MB of alerts in flight, then senders are told to come back
MAX_WAITING_BYTES: Final = 67_108_864  # of bodies, three times that in memory: large alerts count as what they are
MAX_BATCH_ENTRIES: Final = 256  # past this an append gains little and holds up everybody in it
MAX_BATCH_ALERTS: Final = 4_000  # about 2 MB on the wire
ROUNDS_TO_JOIN: Final = 2  # of the loop, microseconds each: requests just read join this write, half as many are needed
APPEND_SECONDS: Final = 5.0  # a store slower than this is away; Alertmanager's own deadline is 10 s or more


@dataclass(slots=True)
class _Lane:
    """One shard's waiting entries, and whether somebody is writing them."""

    waiting: list[tuple[AlertsReceived, asyncio.Future[None]]] = field(default_factory=list)
    writing: bool = False


class Intake:
    """The coalescer. An async context: leaving it writes what still waits, then refuses."""

    def __init__(self, store: Store, registry: CollectorRegistry, *, max_alerts: int = MAX_WAITING_ALERTS) -> None:
        self._store = store
        self._max_alerts = max_alerts
        self._lanes: dict[str, _Lane] = {}
        self._tasks = asyncio.TaskGroup()
        self._alerts = self._bytes = 0
        self._open = False
        self._sizes = Histogram(
            "andon_append_entries",
            "Entries per durable write",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=registry,
        )

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        # Without the exception: a cancelled owner must not cancel writes whose senders still wait (bounded in time).
        await self._tasks.__aexit__(None, None, None)

    async def store(self, entries: Mapping[str, AlertsReceived], size: int = 0) -> None:
        """Return when every entry is durable in its shard; `size`: bytes of the body they came in.

        Raises StoreUnavailable; then any of them may be.
        """
        alerts = 0
        for entry in entries.values():
            alerts += len(entry.alerts)
        if not self._open:
            raise StoreUnavailable("this replica is shutting down")
        if self._alerts + alerts > self._max_alerts:
            raise StoreUnavailable(f"{self._alerts} alerts wait for the store already")
        if self._bytes + size > MAX_WAITING_BYTES:
            raise StoreUnavailable(f"{self._bytes} bytes of alerts wait for the store already")
        self._alerts += alerts
        self._bytes += size
        try:
            waits = [self._enqueue(shard, entry) for shard, entry in entries.items()]
            if len(waits) == 1:
                await waits[0]
                return
            for outcome in await asyncio.gather(*waits, return_exceptions=True):
                if outcome is not None:
                    raise outcome
        finally:
            self._alerts -= alerts
            self._bytes -= size

    def _enqueue(self, shard: str, entry: AlertsReceived) -> asyncio.Future[None]:
        lane = self._lanes.get(shard)
        if lane is None:
            lane = self._lanes[shard] = _Lane()  # as many as there are shards, which are configured
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lane.waiting.append((entry, done))
        if not lane.writing:
            lane.writing = True
            self._tasks.create_task(self._drain(shard, lane))
        return done

    async def _drain(self, shard: str, lane: _Lane) -> None:
        """Write batch after batch until nothing waits."""
        try:
            while lane.waiting:
                for _ in range(ROUNDS_TO_JOIN):
                    await asyncio.sleep(0)
                batch = _take(lane)
                error = await self._append(shard, [entry for entry, _ in batch])
                for _, done in batch:
                    if done.done():  # its request was given up
                        continue
                    if error is None:
                        done.set_result(None)
                    else:
                        done.set_exception(error)
        finally:
            lane.writing = False

    async def _append(self, shard: str, entries: list[AlertsReceived]) -> StoreUnavailable | None:
        """One durable write. A supervision point: whatever goes wrong, the senders hear "not stored"."""
        self._sizes.observe(len(entries))
        try:
            async with asyncio.timeout(APPEND_SECONDS):
                await self._store.append(shard, entries)
        except TimeoutError:
            log.warning("append_timed_out", shard=shard, entries=len(entries), seconds=APPEND_SECONDS)
            return StoreUnavailable(f"the store did not answer within {APPEND_SECONDS:g} s")
        except StoreError as error:
            log.warning("append_failed", shard=shard, entries=len(entries), error=str(error))
            return StoreUnavailable(str(error))
        except Exception:
            log.exception("append_failed", shard=shard, entries=len(entries))
            return StoreUnavailable("the store failed in an unforeseen way")
        return None


def _take(lane: _Lane) -> list[tuple[AlertsReceived, asyncio.Future[None]]]:
    """The next batch: at least one entry, at most as many as one write should carry."""
    count = alerts = 0
    for entry, _ in lane.waiting[:MAX_BATCH_ENTRIES]:
        alerts += len(entry.alerts)
        if count and alerts > MAX_BATCH_ALERTS:
            break
        count += 1
    batch, lane.waiting = lane.waiting[:count], lane.waiting[count:]
    return batch
