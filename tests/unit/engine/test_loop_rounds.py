"""When a loop counts as going round: what `/readyz` and the outgoing heartbeat rest on. Time here is the loop's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bot.engine.loop import BLOCK_MS, Heartbeat, fold_forever
from bot.engine.ports import Commit, Committed, Conflict
from bot.engine.sweeper import Sweeper
from bot.errors import StoreUnavailable
from bot.testing import FakeClock, MemoryStore
from tests.unit.engine.ears import SYSTEM, House, alert
from tests.unit.engine.test_sweeping import Lateness

ROUND = BLOCK_MS / 1000


class ReadOnly(MemoryStore):
    """Reads work; while `refuses`, no script that writes does (an ACL, a full disk under one command)."""

    refuses = False

    async def commit(self, shard: str, commit: Commit) -> Committed | Conflict:
        if self.refuses:
            raise StoreUnavailable("NOPERM")
        return await super().commit(shard, commit)

    async def claim_due(self, shard: str, now: int, limit: int) -> int:
        if self.refuses:
            raise StoreUnavailable("NOPERM")
        return await super().claim_due(shard, now, limit)


async def nothing() -> None:
    """When the loop is idle."""


@asynccontextmanager
async def folding(store: ReadOnly, heartbeat: Heartbeat) -> AsyncIterator[House]:
    house = House(store=store)
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(fold_forever(house.engine, SYSTEM, heartbeat, nothing))
        yield house
        loop.cancel()


@pytest.mark.looptime
async def test_a_loop_that_commits_nothing_does_not_go_round() -> None:
    """Idle is well; a batch that the store does not take is not, until it takes it."""
    store, heartbeat = ReadOnly(), Heartbeat()
    async with folding(store, heartbeat) as house:
        await asyncio.sleep(5 * ROUND)
        assert heartbeat.oldest_seconds() <= ROUND
        store.refuses = True
        await house.store.append(SYSTEM, [house.received(alert())])
        await asyncio.sleep(5 * ROUND)
        assert heartbeat.oldest_seconds() >= 4 * ROUND
        store.refuses = False
        await asyncio.sleep(ROUND)
        assert heartbeat.oldest_seconds() <= ROUND


@pytest.mark.looptime
async def test_a_loop_that_never_committed_is_late_too() -> None:
    """It counts from its start, so that failing from the first round on does not look like not being there."""
    store, heartbeat = ReadOnly(), Heartbeat()
    store.refuses = True
    async with folding(store, heartbeat) as house:
        await house.store.append(SYSTEM, [house.received(alert())])
        await asyncio.sleep(5 * ROUND)
        assert heartbeat.oldest_seconds() >= 4 * ROUND


async def test_a_sweep_counts_for_each_shard_that_it_swept() -> None:
    """One shard whose timers cannot be read is late, while the other one is swept again and again."""

    class HalfAway(MemoryStore):
        async def next_due(self, shard: str) -> int | None:
            if shard == SYSTEM:
                raise StoreUnavailable("READONLY")
            return await super().next_due(shard)

    heartbeat = Heartbeat()
    await Sweeper(HalfAway(), FakeClock(), Lateness(), [SYSTEM, "unrouted"], heartbeat).sweep()
    assert list(heartbeat._last) == ["sweeper:unrouted"]
