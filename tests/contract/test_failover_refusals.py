"""What makes a failover unsafe, made true on real servers: each is refused with the figure that was seen (row T3)."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.engine.action_ports import Proceed, ReadBack, Unfit
from bot.errors import NotSent, Unknown
from bot.sandbox.children import until
from bot.sandbox.topology import Node, Topology, ask, topology
from remediations.redis_failback import RedisFailback
from remediations.redis_failover import RedisFailover
from tests.contract.failover_floor import ARGUMENTS, Desk, desk, figures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
FAST = '{"reason":"x","slow_us":100000}'  # 0.1 s: what the slow server here takes, and no busy machine does
OLD = Path("/usr/bin/redis-server")  # 7.0: its Sentinels know no COORDINATED


async def _refused(ours: Desk, arguments: str = ARGUMENTS) -> str:
    found = await ours.inspect(arguments=arguments)
    assert isinstance(found, Unfit), found
    return found.why


async def _refused_soon(ours: Desk, words: str) -> str:
    """Refused in these words, as soon as the servers have noticed."""

    async def look() -> str:
        found = await ours.inspect()
        return found.why if isinstance(found, Unfit) and words in found.why else ""

    return await until(f"refused: {words}", look, within=15)


@asynccontextmanager
async def _frozen(floor: Topology, *nodes: Node) -> AsyncIterator[None]:
    """Servers that hold their connections and say nothing (SIGSTOP), as in a long pause of their machine."""
    for node in nodes:
        os.kill(floor.pid(node), signal.SIGSTOP)
    try:
        yield
    finally:
        for node in nodes:
            os.kill(floor.pid(node), signal.SIGCONT)


async def test_every_unsafe_case_is_refused_with_its_figure(tmp_path: Path) -> None:
    """One floor, one trouble after the other, each mended again; in the end it may be failed over, and back."""
    async with topology(tmp_path, down_after_ms=30_000) as floor, desk(floor) as ours:
        (replica,) = floor.replicas
        assert isinstance(await ours.inspect(), Proceed)

        # the replica's link is cut, and the primary goes on without it
        await ask(replica, "REPLICAOF", "127.0.0.1", "1")
        await ask(floor.primary, "SET", "key", "x" * 5_000)
        why = await _refused_soon(ours, "follows 127.0.0.1:1")
        assert floor.primary.address in why
        await ask(replica, "REPLICAOF", "127.0.0.1", str(floor.primary.port))
        await floor.converge()

        # it takes writes of its own
        await ask(replica, "CONFIG", "SET", "replica-read-only", "no")
        assert "is no read-only replica" in await _refused(ours)
        await ask(replica, "CONFIG", "SET", "replica-read-only", "yes")

        # its background save fails
        await ask(replica, "CONFIG", "SET", "dir", str(replica.folder))
        (replica.folder / "dump.rdb").mkdir()
        await ask(replica, "BGSAVE")
        why = await _refused_soon(ours, "the last background save failed")
        assert f"replica {replica.address} cannot keep its data" in why
        (replica.folder / "dump.rdb").rmdir()
        await ask(replica, "BGSAVE")
        await until("it can save again", lambda: _fit(ours), within=10)

        # it is slow itself: every PING waits while a command sleeps
        async with _sleeping(replica, 0.2):
            assert "is slow itself: p99" in await _refused(ours, FAST)

        # two of three Sentinels are away
        async with _frozen(floor, *floor.sentinels[:2]):
            assert "only 1 of 3 Sentinels answer and agree" in await _refused(ours)
        await until("the Sentinels are back", lambda: _fit(ours), within=60)  # 30 s more where that took over 2 s

        # a second server calls itself primary
        await ask(replica, "REPLICAOF", "NO", "ONE")
        why = await _refused(ours)
        assert "split brain" in why or "no replica" in why
        await ask(replica, "REPLICAOF", "127.0.0.1", str(floor.primary.port))
        await floor.converge()

        # it is down
        await floor.stop(replica, crash=True)
        assert f"replica {replica.address} is down" in await _refused(ours)
        await floor.start(replica)
        await floor.converge()
        await until("it may be failed over again", lambda: _fit(ours), within=15)

        # after a failover only people bring it home
        _, seen = await ours.run()
        assert seen.as_wanted is True, seen
        assert f"the only replica is at {floor.primary.address}" in await _refused(ours)
        assert isinstance(await ours.inspect(RedisFailback), Proceed)


async def test_a_lost_answer_is_proved_by_epoch_and_role(tmp_path: Path) -> None:
    """The request was taken and nobody heard of it: one look proves that it was done, and it is never sent again."""
    async with topology(tmp_path) as floor, desk(floor) as ours:
        found = await ours.inspect()
        assert isinstance(found, Proceed)
        assert (await ours.read_back(found)).as_wanted is False, "nothing was sent, so nothing is proved"
        look = await ours.connector.look()
        await ours.connector.fail_over(look, figures(found)["replica"])  # and here Andon dies
        seen = await until("it is proved", lambda: _proved(ours, found), within=10)
        assert seen
        with pytest.raises(NotSent, match=r"the servers changed|at home"):
            await RedisFailover().send(ours.context(), found)
        assert (await ours.connector.look()).epoch == figures(found)["epoch"] + 1


async def test_a_promotion_by_hand_that_forgets_writes_is_not_called_done(tmp_path: Path) -> None:
    """Somebody promoted the replica while the primary went on: all looks as wanted, and acknowledged writes are gone.

    The same without a write in between loses nothing, which the histories of both servers prove.
    """
    async with topology(tmp_path, sentinels=0) as floor, desk(floor) as ours:
        (replica,) = floor.replicas
        for node in (floor.primary, replica):  # its PINGs to replicas are bytes of the history, too
            await ask(node, "CONFIG", "SET", "repl-ping-replica-period", "3600")
        await until("the replica has everything", lambda: _alike(floor.primary, replica), within=15)
        found = await ours.inspect()
        assert isinstance(found, Proceed)
        await ask(replica, "REPLICAOF", "NO", "ONE")
        assert await ask(floor.primary, "SET", "order", "acknowledged") == "OK"
        await ask(floor.primary, "REPLICAOF", "127.0.0.1", str(replica.port))
        seen = await until("it follows", lambda: _settled(ours, found), within=15)
        assert await ask(replica, "GET", "order") is None
        assert seen.as_wanted is None
        assert f"it moved to {replica.address}, epoch 0 → 0, and nothing shows by whom; writes may be lost" in seen.why
        assert "had to copy everything" in seen.why

        await until("it has everything again", lambda: _alike(replica, floor.primary), within=15)
        back = await ours.inspect(RedisFailback)
        assert isinstance(back, Proceed)
        await ask(floor.primary, "REPLICAOF", "NO", "ONE")
        await ask(replica, "REPLICAOF", "127.0.0.1", str(floor.primary.port))
        seen = await until("it follows again", lambda: _settled(ours, back), within=15)
        assert seen.as_wanted is True, seen


async def test_an_old_primary_that_never_comes_back_is_not_called_done(tmp_path: Path) -> None:
    """It died as it handed over: the new one works and has no replica, which a person must know."""
    async with topology(tmp_path) as floor, desk(floor) as ours:
        found = await ours.inspect()
        assert isinstance(found, Proceed)
        await floor.stop(floor.primary, crash=True)
        await until("the Sentinels promoted the replica", lambda: _is_primary(floor.replicas[0]), within=30)
        seen = await ours.read_back(found)
        assert seen.as_wanted is not True
        assert "not back as a replica" in seen.why or "called primary" in seen.why, seen.why


async def test_a_server_that_stops_in_the_middle_leaves_it_unknown(tmp_path: Path) -> None:
    """Without an answer from its primary the request's fate is unknown, and the look afterwards says nothing else."""
    async with topology(tmp_path, sentinels=0) as floor, desk(floor) as ours:
        found = await ours.inspect()
        assert isinstance(found, Proceed)
        look = await ours.connector.look()
        async with _frozen(floor, floor.primary):
            with pytest.raises((Unknown, NotSent)):
                await ours.connector.fail_over(look, figures(found)["replica"])
            assert (await ours.read_back(found)).as_wanted is not True


async def test_a_sentinel_that_stood_still_is_not_asked_and_two_of_them_refuse(tmp_path: Path) -> None:
    """It says OK and begins half a minute later, when somebody has long decided otherwise; another is asked instead."""
    async with topology(tmp_path, down_after_ms=30_000) as floor, desk(floor) as ours:
        first, second, _ = floor.sentinels
        await _tilt(floor, first)
        found, seen = await ours.run()
        assert seen.as_wanted is True, (found.before, seen)
        await _tilt(floor, first, second)
        back = await ours.inspect(RedisFailback)
        assert isinstance(back, Unfit)
        assert "only 1 of 3 Sentinels answer and agree on the primary; 2 hold still for 30 s" in back.why


async def _tilt(floor: Topology, *sentinels: Node) -> None:
    """Stop them for more than the 2 s after which they mistrust their clock."""
    async with _frozen(floor, *sentinels):
        await asyncio.sleep(2.5)
    for one in sentinels:
        await until("it mistrusts its clock", lambda one=one: _tilted(one), within=5)


async def _tilted(sentinel: Node) -> bool:
    return "sentinel_tilt:1" in str(await ask(sentinel, "INFO", "sentinel"))


@pytest.mark.skipif(not OLD.exists() and "CI" not in os.environ, reason="apt install redis-server")
async def test_sentinels_without_a_coordinated_failover_are_refused_with_the_reason(tmp_path: Path) -> None:
    """A plain failover loses acknowledged writes, so it is for a person to weigh: the command is told."""
    async with topology(tmp_path, binary=str(OLD)) as floor, desk(floor) as ours:
        why = await _refused(ours)
        assert "COORDINATED" in why
        assert "517 of 1,213 acknowledged writes" in why
        assert f"SENTINEL FAILOVER {floor.master}" in why


async def _fit(ours: Desk) -> bool:
    return isinstance(await ours.inspect(), Proceed)


async def _proved(ours: Desk, found: Proceed) -> bool:
    return (await ours.read_back(found)).as_wanted is True


async def _alike(primary: Node, replica: Node) -> bool:
    """The replica has got every byte that its primary has sent."""
    ours, theirs = await ask(primary, "ROLE"), await ask(replica, "ROLE")
    return bool(ours and theirs) and ours[0] == "master" and theirs[3] == "connected" and ours[1] == theirs[4]


async def _settled(ours: Desk, found: Proceed) -> ReadBack | None:
    """What is read back once nothing is on its way any more."""
    seen = await ours.read_back(found)
    return None if seen.as_wanted is False else seen


async def _is_primary(node: Node) -> bool:
    role = await ask(node, "ROLE")
    return bool(role) and role[0] == "master"


@asynccontextmanager
async def _sleeping(node: Node, seconds: float) -> AsyncIterator[None]:
    """A server whose commands block it again and again."""
    over = asyncio.Event()

    async def sleep() -> None:
        while not over.is_set():
            await ask(node, "DEBUG", "SLEEP", str(seconds))

    async with asyncio.TaskGroup() as group:
        group.create_task(sleep())
        yield
        over.set()
