"""What an action may rely on with any Redis, the twin and the real servers alike."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bot.adapters.targets_redis import RedisConnector
from bot.engine.connector_ports import RedisLook, RedisTarget
from bot.errors import NotSent, Rejected, TargetError
from bot.sandbox.children import until
from bot.sandbox.topology import topology
from bot.testing.redis_twin import HEALTHY, MemoryRedis

ALLOW = ["FAILOVER", "SENTINEL FAILOVER", "SET andon:canary", "HSET metrics:*", "DEL metrics:*"]


@dataclass
class Bench:
    """A Redis with one replica and three Sentinels, or none, and a way to crash its replica."""

    target: RedisTarget
    crash_replica: Callable[[], Awaitable[None]]


@pytest.fixture(params=["memory", "memory alone", "valkey", "valkey alone"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    kind, _, alone = request.param.partition(" ")
    if kind == "memory":
        apart = {"sentinels": 0, "agreeing": 0, "quorum": 0, "epoch": 0, "means": "server"} if alone else {}
        twin = MemoryRedis(replace(HEALTHY, **apart), ALLOW)

        async def crash() -> None:
            (replica,) = twin.seen.replicas
            twin.seen = replace(twin.seen, replicas=(replace(replica, error="it is down", p99_us=None),))

        yield Bench(twin, crash)
        return
    async with topology(tmp_path, sentinels=0 if alone else 3) as floor:
        target = RedisConnector(
            "redis", floor.primary.url, allow=ALLOW, sentinels=floor.sentinel_addresses, master=floor.master
        )
        try:
            yield Bench(target, lambda: floor.stop(floor.replicas[0], crash=True))
        finally:
            await target.close()


async def test_a_failover_changes_roles_history_and_epoch(bench: Bench):
    """What proves a failover looks the same; the next write lands on the new primary, the old one refuses it."""
    target = bench.target
    before = await target.look(samples=3)
    old, new = before.primary.address, before.replicas[0].address
    assert before.primary.p99_us
    assert before.means == ("sentinel" if before.sentinels else "server")
    await target.send("SET", "andon:canary", "1")
    await target.fail_over(before, new)

    async def over() -> RedisLook | None:
        with contextlib.suppress(TargetError):
            look = await target.look()
            return look if look.claims == (new,) and all(one.link_up for one in look.replicas) else None
        return None

    after = await until("the failover is over", over, within=15)
    (follower,) = after.replicas
    assert (after.primary.address, after.primary.role, after.home) == (new, "primary", old)
    assert (follower.address, follower.role, follower.of, follower.read_only) == (old, "replica", new, True)
    assert (after.epoch > before.epoch) == bool(before.sentinels)
    assert after.primary.replid == follower.replid != before.primary.replid
    assert after.primary.offset >= before.primary.offset
    assert after.primary.former == follower.former == before.primary.replid, "neither history forked"
    assert after.primary.former_until == follower.former_until > before.primary.offset
    assert follower.run_id == before.primary.run_id != after.primary.run_id == before.replicas[0].run_id
    assert await target.read("GET", "andon:canary") == "1"
    await target.send("SET", "andon:canary", "2")
    with pytest.raises(Rejected, match="read only"):
        await target.send("SET", "andon:canary", "3", at=old)


@pytest.mark.parametrize("bench", ["memory", "valkey alone"], indirect=True)
async def test_what_may_be_read_and_sent(bench: Bench):
    """Reads by the fixed table, writes by the allow list: verb, key or its beginning, and no further keys."""
    target = bench.target
    assert await target.send("HSET", "metrics:var", "value", "2.3", "timestamp", "7") == 2
    assert await target.read("HGETALL", "metrics:var") == ["value", "2.3", "timestamp", "7"]
    assert await target.read("HGET", "metrics:var", "gone") is None
    assert await target.read("ping") == "PONG"
    for command in (("HSET", "prices", "a", "b"), ("DEL", "metrics:a", "prices"), ("SET", "andon", "x"), ("FLUSHALL",)):
        with pytest.raises(NotSent, match="allow list"):
            await target.send(*command)
    for command in (("SET", "andon:canary", "x"), ("CONFIG", "GET", "*"), ("KEYS", "*"), ("CLIENT", "KILL", "x"), ()):
        with pytest.raises(NotSent):
            await target.read(*command)
    assert await target.send("DEL", "metrics:var") == 1


@pytest.mark.parametrize("bench", ["memory", "valkey alone"], indirect=True)
async def test_a_replica_that_is_down(bench: Bench):
    """It is still listed, with an error and without a latency; asked itself, it gets nothing."""
    (replica,) = (await bench.target.look()).replicas
    await bench.crash_replica()
    (seen,) = (await bench.target.look(samples=3)).replicas
    assert (seen.address, bool(seen.error), seen.p99_us) == (replica.address, True, None)
    with pytest.raises(NotSent):
        await bench.target.read("GET", "andon:canary", at=replica.address)


@pytest.mark.parametrize("bench", ["memory", "memory alone", "valkey alone"], indirect=True)
async def test_who_is_no_replica_does_not_become_primary(bench: Bench):
    """Whatever is asked: nothing leaves."""
    look = await bench.target.look()
    for to in (look.primary.address, "127.0.0.1:1"):
        with pytest.raises((NotSent, Rejected)):
            await bench.target.fail_over(look, to)
    with pytest.raises(NotSent, match="for a reason"):
        await bench.target.fail_over(replace(look, means="", why_not="for a reason"), look.replicas[0].address)
