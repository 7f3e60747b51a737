"""Timers: claimed when due and not before, once, by whoever sweeps first. On the twins."""

from __future__ import annotations

import asyncio

from bot.core.audit import link
from bot.core.incident import Incident
from bot.core.record import Timer
from bot.engine.loop import Heartbeat
from bot.engine.ports import Change, Commit
from bot.engine.sweeper import Sweeper
from bot.testing import FakeClock, MemoryStore

SHARD = "trading-core"


class Lateness:
    """Telemetry that keeps how late timers were, in seconds."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def timer_lateness(self, shard: str, seconds: float) -> None:
        self.seconds.append(seconds)


async def armed(store: MemoryStore, name: str, due: int) -> None:
    """An incident that waits for one timer."""
    record = Incident(id=f"inc-{name}", key=name, system=SHARD, timers={name: Timer(due=due, token=f"t-{name}")})
    change = Change(record=record, expected=0, audit=link("", 1, "{}"), timers_before={})
    await store.commit(SHARD, Commit(changes=(change,)))


def sweeper(store: MemoryStore, clock: FakeClock, lateness: Lateness | None = None) -> Sweeper:
    return Sweeper(store, clock, lateness or Lateness(), [SHARD], Heartbeat())


async def test_nothing_is_claimed_early():
    """One millisecond before it is due, a timer is left alone."""
    store, clock = MemoryStore(), FakeClock()
    await armed(store, "hold", clock.now() + 1_000)
    clock.advance(999)
    assert await sweeper(store, clock).sweep() == 0
    clock.advance(1)
    assert await sweeper(store, clock).sweep() == 1


async def test_two_sweepers_claim_a_timer_once():
    """The claim is the move into the inbox; the second sweeper finds nothing to move."""
    store, clock = MemoryStore(), FakeClock()
    await armed(store, "hold", clock.now())
    claimed = await asyncio.gather(sweeper(store, clock).sweep(), sweeper(store.twin("second"), clock).sweep())
    assert sorted(claimed) == [0, 1]
    fired = [delivery.entry.event for delivery in await store.read_inbox(SHARD, 9, 0)]
    assert [(event.kind, event.name, event.token) for event in fired] == [("timer_fired", "hold", "t-hold")]


async def test_more_than_one_batch_is_claimed_in_one_sweep():
    """After an outage thousands are due at once; one sweep moves them all, in bounded scripts."""
    store, clock = MemoryStore(), FakeClock()
    for number in range(1_203):
        await armed(store, f"n{number}", clock.now() - number)
    assert await sweeper(store, clock).sweep() == 1_203


async def test_a_sooner_timer_moves_the_wake_up():
    """A commit that sets a timer due sooner than the next wake-up brings the wake-up forward."""
    store, clock, lateness = MemoryStore(), FakeClock(), Lateness()
    await armed(store, "late", clock.now() + 3_600_000)
    sweeping = sweeper(store, clock, lateness)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(sweeping.run())
        async with asyncio.timeout(5):
            while sweeping._next is None:
                await asyncio.sleep(0)
            await armed(store, "soon", clock.now() + 50)
            clock.advance(50)
            sweeping.expect(clock.now())
            while not lateness.seconds:
                await asyncio.sleep(0)
        running.cancel()
    assert [delivery.entry.event.name for delivery in await store.read_inbox(SHARD, 9, 0)] == ["soon"]
