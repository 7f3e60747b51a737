"""The simulation's ground: virtual time, processes paused and killed, a wire that loses, a store that forgets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from random import Random
from typing import Any

import pytest

from bot.core.events import Addressed, TimerFired
from bot.engine.ports import Commit
from bot.errors import NotSent, StoreUnavailable, StoreUnconfirmed, Unknown
from tests.simulation.loop import OWNER, EndlessRun, Owner, VirtualLoop
from tests.simulation.servers import Servers
from tests.simulation.store import SimulatedStore
from tests.simulation.trace import Trace
from tests.simulation.wire import CrashPoint, Line, Port, Trouble, Wire

TARGET = Port(name="target", refused=NotSent, unanswered=Unknown, delay_ms=(1.0, 2.0), patience_s=3.0)
SHARD = "trading-core"
ENTRY = Addressed(to="inc-1", event=TimerFired(id="t", at=1, name="n", token="k"))


class Ground:
    """A loop, a wire and one line on it."""

    def __init__(self, **servers: bool) -> None:
        self.loop = VirtualLoop()
        self.trace = Trace(self.loop.time)
        self.wire = Wire(self.loop, self.trace, Random(7), self.died)
        self.owner = Owner("r1#1")
        self.context = copy_context()
        self.context.run(OWNER.set, self.owner)
        self.line = self.wire.line("r1", 1)
        self.servers = Servers(self.loop, self.trace, **servers)
        self.store = SimulatedStore(self.line, self.servers)
        self.deaths = 0

    def died(self, point: CrashPoint) -> None:
        self.deaths += 1
        self.owner.is_dead = True
        self.line.cut()

    def inside(self, work: Awaitable[Any]) -> asyncio.Task[Any]:
        """A task of the process."""
        return self.loop.create_task(work, context=self.context)

    def run(self, play: Callable[[], Awaitable[Any]]) -> Any:
        """As somebody outside."""
        try:
            return self.loop.run_until_complete(play())
        finally:
            self.loop.dispose()


def test_a_day_passes_at_once() -> None:
    """Virtual time jumps to the next timer, in the order of the timers."""
    loop = VirtualLoop()
    seen: list[tuple[float, str]] = []

    async def nap(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((loop.time(), name))

    async def play() -> None:
        await asyncio.gather(nap("day", 86_400), nap("second", 1), nap("first of two", 5), nap("second of two", 5))

    loop.run_until_complete(play())
    loop.dispose()
    assert seen == [(1, "second"), (5, "first of two"), (5, "second of two"), (86_400, "day")]


def test_a_run_that_waits_for_nothing_is_an_error() -> None:
    """Nobody can wake a task that waits for what nobody does: said at once, not after hours."""
    loop = VirtualLoop()
    with pytest.raises(EndlessRun):
        loop.run_until_complete(loop.create_future())
    loop.dispose()


def test_a_paused_process_does_nothing_until_it_goes_on() -> None:
    """SIGSTOP: its timers go off late, and what came meanwhile is there when it wakes."""
    ground = Ground()
    woke: list[float] = []

    async def work() -> None:
        while True:
            await asyncio.sleep(1)
            woke.append(ground.loop.time())

    async def play() -> None:
        ground.inside(work())
        await asyncio.sleep(2.5)
        ground.owner.is_paused = True
        await asyncio.sleep(10)
        ground.loop.resume(ground.owner)
        await asyncio.sleep(1.2)

    ground.run(play)
    assert woke == [1, 2, 12.5, 13.5]


def test_a_dead_process_says_nothing_more() -> None:
    """SIGKILL: not even its `finally` reaches anything."""
    ground = Ground()
    landed: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(5)
        finally:
            await ground.line.call(TARGET, "goodbye", lambda: landed.append("goodbye"))

    async def play() -> None:
        task = ground.inside(work())
        await asyncio.sleep(1)
        ground.died(CrashPoint(replica="r1"))
        await asyncio.sleep(10)
        task.cancel()
        await asyncio.sleep(10)

    ground.run(play)
    assert landed == []


@pytest.mark.parametrize(
    ("trouble", "error", "lands"),
    [
        (Trouble(refused=1), NotSent, False),
        (Trouble(lose_request=1), Unknown, False),
        (Trouble(lose_reply=1), Unknown, True),
        (Trouble(late=1, late_by=10_000), Unknown, True),
    ],
)
def test_what_is_lost_is_told_as_what_it_is(trouble: Trouble, error: type[Exception], lands: bool) -> None:
    """Refused is provably not sent; without an answer nobody knows, whether it landed, lands later, or never does."""
    ground = Ground()
    ground.wire.troubles.append(trouble)
    landed: list[float] = []

    async def play() -> None:
        with pytest.raises(error):
            await ground.line.call(TARGET, "halt", lambda: landed.append(ground.loop.time()))
        assert ground.loop.time() <= TARGET.patience_s + 0.1
        await asyncio.sleep(60)

    ground.run(play)
    assert len(landed) == lands


def test_a_request_lands_though_its_sender_gave_up() -> None:
    """A time-out at the caller does not call a request back."""
    ground = Ground()
    ground.wire.troubles.append(Trouble(late=1, late_by=1_000))
    landed: list[float] = []

    async def play() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await ground.line.call(TARGET, "halt", lambda: landed.append(ground.loop.time()))
        assert landed == []
        await asyncio.sleep(5)

    ground.run(play)
    assert len(landed) == 1


@pytest.mark.parametrize(("where", "lands"), [("before", 0), ("sent", 1), ("answered", 1)])
def test_a_process_dies_around_the_call_it_is_told_to(where: Any, lands: int) -> None:
    """Before the second call nothing of it leaves; once sent it lands; once answered nothing that follows runs."""
    ground = Ground()
    ground.wire.crash_points.append(CrashPoint(replica="r1", port="target", nth=2, where=where))
    landed: list[str] = []
    after: list[str] = []

    async def work(line: Line) -> None:
        for name in ("first", "second", "third"):
            await line.call(TARGET, name, lambda name=name: landed.append(name))
            after.append(name)

    async def play() -> None:
        ground.inside(work(ground.line))
        await asyncio.sleep(10)

    ground.run(play)
    assert (len(landed), after, ground.deaths) == (1 + lands, ["first"], 1)


def test_a_failover_forgets_what_the_follower_did_not_have() -> None:
    """What was written after the cut is gone, though it was answered; what was written before is there."""
    ground = Ground(followed=True)

    async def play() -> list[Any]:
        await ground.store.append(SHARD, [ENTRY])
        await asyncio.sleep(1)
        ground.servers.leave()
        await ground.store.append(SHARD, [ENTRY, ENTRY])
        assert await ground.store.lag(SHARD) == (3, 0)
        ground.servers.stop("failing over")
        with pytest.raises(StoreUnavailable):
            await ground.store.append(SHARD, [ENTRY])
        ground.servers.fail_over()
        await ground.store.append(SHARD, [ENTRY])
        assert ground.store.marks.lost(SHARD)
        return await ground.store.read_inbox(SHARD, 10, 0)

    assert len(ground.run(play)) == 2


def test_a_confirmed_write_outlives_every_failover() -> None:
    """Where answers wait for the follower, nothing that was answered is ever gone, and an intent says so itself."""
    ground = Ground(followed=True, confirmed=True)

    async def play() -> tuple[int, int]:
        await ground.store.append(SHARD, [ENTRY])
        ground.servers.leave()
        with pytest.raises(StoreUnavailable):
            await ground.store.append(SHARD, [ENTRY])
        with pytest.raises(StoreUnconfirmed):
            await ground.store.commit(SHARD, Commit(intends=True))
        ground.servers.fail_over()
        return await ground.store.lag(SHARD)

    assert ground.run(play) == (1, 0)


def test_a_follower_that_was_away_catches_up() -> None:
    """A replica of the store that missed changes has all of them again soon after it is back."""
    ground = Ground(followed=True)

    async def play() -> tuple[int, int]:
        ground.servers.leave()
        await ground.store.append(SHARD, [ENTRY])
        ground.servers.rejoin()
        await asyncio.sleep(0.1)
        ground.servers.fail_over()
        return await ground.store.lag(SHARD)

    assert ground.run(play) == (1, 0)


def test_a_reader_whose_process_dies_gets_nothing() -> None:
    """An entry that comes after its reader died is handed to the next one who asks."""
    ground = Ground()
    other = SimulatedStore(ground.wire.line("r2", 1), ground.servers)

    async def play() -> list[Any]:
        ground.inside(ground.store.read_inbox(SHARD, 10, 5_000))
        await asyncio.sleep(1)
        ground.died(CrashPoint(replica="r1"))
        await other.append(SHARD, [ENTRY])
        return await other.read_inbox(SHARD, 10, 1_000)

    assert len(ground.run(play)) == 1
