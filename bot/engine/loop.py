"""The loop of one shard: inbox in, commits out, for as long as the process lives.

Run by `bot.engine.runtime`, one task per shard. A store that is away is waited for; an entry whose folding fails is
delivered again and after a few times set aside and paged (`Engine.absorb`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from bot.engine.engine import Engine
from bot.engine.ports import InboxDelivery
from bot.errors import StoreError, StoreUnavailable

BATCH = 256  # inbox entries per read; past 500 the gain is small and one crash redelivers more
BLOCK_MS = 2_000  # below the client's 5 s socket timeout; also how often an idle loop proves that it lives
BACKOFF_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)  # while the store is away
RECLAIM_IDLE_MS = 45_000  # longer than an activity may run (`dispatch.ACTIVITY_SECONDS`), so no live worker is robbed
RECLAIM_EVERY_SECONDS = 10.0

log = structlog.get_logger(__name__)


class Heartbeat:
    """When each loop last went round, by the event loop's clock; `/readyz` reads it."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def beat(self, name: str) -> None:
        self._last[name] = asyncio.get_running_loop().time()

    def oldest_seconds(self) -> float:
        """Seconds since the loop that waited longest went round; infinity before the first round."""
        if not self._last:
            return float("inf")
        return asyncio.get_running_loop().time() - min(self._last.values())


async def fold_forever(
    engine: Engine, shard: str, heartbeat: Heartbeat, when_idle: Callable[[], Awaitable[None]]
) -> None:
    """Absorb the shard's inbox until cancelled.

    A batch in hand is kept until the store takes it. `when_idle` looks for what was handed to this replica and never
    arrived; it is called when nothing came for `BLOCK_MS`, and after every failure to read.
    """
    deliveries: list[InboxDelivery] = []
    failures = 0
    heartbeat.beat(f"inbox:{shard}")  # it begins now; from here on only a round that is whole counts
    while True:
        try:
            if not deliveries:
                deliveries = await engine.store.read_inbox(shard, BATCH, BLOCK_MS)
            idle = not deliveries
            if deliveries:
                await absorb(engine, shard, deliveries)
                deliveries = []
            if idle or failures:
                await when_idle()
            failures = 0
            heartbeat.beat(f"inbox:{shard}")  # a round is whole only when the store took what came of it
        except StoreError as error:
            log.warning("store_unavailable", shard=shard, loop="inbox", error=str(error))
            await asyncio.sleep(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])
            failures += 1


async def absorb(engine: Engine, shard: str, deliveries: list[InboxDelivery]) -> None:
    """Absorb a batch; when folding it fails, each entry by itself, so that one bad entry holds up no other."""
    try:
        await engine.absorb(shard, deliveries)
        return
    except StoreUnavailable:
        raise
    except Exception:  # supervision point: the batch is folded again one by one
        log.exception("fold_failed", shard=shard, entries=len(deliveries))
    for delivery in deliveries:
        try:
            await engine.absorb(shard, [delivery])
        except StoreUnavailable:
            raise
        except Exception as error:  # supervision point: poison is set aside and paged
            log.exception("entry_set_aside", shard=shard, delivery=delivery.delivery)
            await engine.set_aside(shard, delivery, f"{type(error).__name__}: {error}")
