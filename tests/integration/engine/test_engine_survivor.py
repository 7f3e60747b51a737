"""A replica dies and never comes back: another one takes over what it had in hand. Real engines, real store (law 1)."""

from __future__ import annotations

import asyncio

import pytest

from bot.adapters.redis_store import RedisStore
from bot.adapters.seal import Sealer
from bot.engine import runtime
from tests.integration.engine.floor import KEY, SHARD, Floor, Hang

IDLE_MS = 300  # instead of 45 s: the store counts it by its own clock


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(runtime, "RECLAIM_IDLE_MS", IDLE_MS)
    monkeypatch.setattr(runtime, "RECLAIM_EVERY_SECONDS", 0.05)


@pytest.fixture
async def survivor(valkey, floor, impatient):
    """A replica of another name on the same store and target; begun by the test."""
    other = Floor(valkey)
    other.risk, other.people = floor.risk, floor.people
    yield other
    if other._task is not None:
        await other.kill()


async def test_a_dead_replicas_step_is_taken_over(floor, survivor, breach):
    """It died amid the send; whoever is left looks at the target, sends, and reports, without its coming back."""
    hang = Hang()
    floor.risk.before_send = hang
    await floor.fire(breach)
    await asyncio.wait_for(hang.reached.wait(), 5)
    await floor.kill()
    floor.risk.before_send = None
    await survivor.start("r2")
    await survivor.status("mitigated")
    await survivor.quiet()
    assert floor.risk.requests == [0.1]
    assert await survivor.audit_problems() == []


async def test_a_dead_replicas_alerts_are_taken_over(valkey, floor, survivor, breach):
    """Alerts were handed to a replica that died before it looked at them: another one acts on them."""
    await floor.kill()
    dead = RedisStore(valkey, replica="r1", sealer=Sealer(KEY))
    await dead.open()
    floor.store = dead
    await floor.fire(breach)
    assert await dead.read_inbox(SHARD, 10, 1_000)
    await dead.close()
    await survivor.start("r2")
    await survivor.status("mitigated")
    await survivor.quiet()
    assert floor.risk.requests == [0.1]
