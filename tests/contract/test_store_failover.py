"""A store behind Sentinels, while its primary changes: nothing that was answered is lost, and replicas are asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from bot.adapters import redis_safety
from bot.adapters.redis_link import connect
from bot.adapters.redis_primary import Behind
from bot.adapters.redis_store import RedisStore
from bot.adapters.seal import Sealer
from bot.adapters.sentinels import Sentinels
from bot.engine.ports import Commit, Committed
from bot.errors import StoreError, StoreUnavailable, StoreUnconfirmed, StoreUnsafe
from bot.sandbox.children import until
from bot.sandbox.topology import Topology, ask, topology
from tests.contract.conftest import KEY
from tests.contract.store_behind import WITHIN, store_of, taken
from tests.contract.store_records import SHARD, change, incident, put, webhook


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Topology]:
    """A primary, its replica and three Sentinels that one test may break."""
    async with topology(tmp_path, on_disk=True) as made:
        yield made


async def fail_over(servers: Topology, *how: str) -> None:
    """Asked of the Sentinels; returns when all of them name the other server."""
    assert await ask(servers.sentinels[0], "SENTINEL", "FAILOVER", servers.master, *how) == "OK"

    async def moved() -> bool:
        question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", servers.master)
        told = [await ask(sentinel, *question) for sentinel in servers.sentinels]
        return all(address and int(address[1]) == servers.replicas[0].port for address in told)

    await until("the Sentinels name the replica primary", moved, within=WITHIN)


async def test_queues_scripts_and_what_is_in_hand_survive_a_coordinated_failover(servers: Topology) -> None:
    """On a new primary, which has never seen a script: what was delivered is pending, the rest comes, commits work."""
    async with store_of(servers) as store:
        for number in range(3):
            await store.append(SHARD, [webhook(f"w{number}")])
        in_hand = await store.read_inbox(SHARD, 2, 1_000)
        await put(store, incident(due=5))
        await fail_over(servers, "COORDINATED")
        await taken(store, "after")
        again, _ = await store.reclaim(SHARD, 0, 10)
        assert [d.delivery for d in again] == [d.delivery for d in in_hand]
        rest = await store.read_inbox(SHARD, 10, 1_000)
        assert [d.entry for d in rest] == [webhook("w2"), webhook("after")]
        acks = tuple(d.delivery for d in (*again, *rest))
        assert isinstance(await store.commit(SHARD, Commit(inbox_acks=acks)), Committed)
        assert await store.claim_due(SHARD, 10, 10) == 1


async def test_nothing_taken_is_lost_when_the_old_primary_goes_on_serving(servers: Topology) -> None:
    """After a plain failover the old primary serves its clients for ten seconds more: nobody is told yes by it."""
    names: list[str] = []
    async with store_of(servers) as store:

        async def send() -> None:
            names.append(f"w{len(names)}")
            await taken(store, names[-1])

        await send()
        async with asyncio.TaskGroup() as group:
            moving = group.create_task(fail_over(servers))
            while not moving.done():
                await send()
        for _ in range(20):
            await send()
        assert (await ask(servers.primary, "ROLE"))[0] == "master"  # it would still have said yes
    async with store_of(servers) as fresh:
        found = {str(d.entry) for d in await fresh.read_inbox(SHARD, 100_000, 1_000)}
    assert [name for name in names if str(webhook(name)) not in found] == []


async def test_an_intent_needs_a_replica_and_other_writes_need_most_sentinels(servers: Topology) -> None:
    """Without its replica the store takes what is not an intent, as long as most Sentinels call its primary so."""
    async with store_of(servers) as store:
        await servers.stop(servers.replicas[0])
        with pytest.raises(StoreUnconfirmed, match="0 of 1 replicas confirmed it"):
            await store.commit(SHARD, Commit(changes=(change(incident()),), intends=True))
        await store.append(SHARD, [webhook("alone")])
        for sentinel in servers.sentinels[:2]:
            await servers.stop(sentinel)

        async def refused() -> str:
            try:
                await store.append(SHARD, [webhook("cut off")])
            except StoreError as error:
                return str(error)
            return ""

        told = await until("the side that may be cut off takes nothing", refused, within=WITHIN)
        assert "most Sentinels do not answer" in told
        await servers.start(servers.replicas[0])
        for sentinel in servers.sentinels[:2]:
            await servers.start(sentinel)
        await taken(store, "back")

        names = (f"inc-again-{number}" for number in count())

        async def confirmed() -> bool:
            try:
                done = await store.commit(SHARD, Commit(changes=(change(incident(next(names))),), intends=True))
            except StoreUnavailable:
                return False
            return isinstance(done, Committed)

        await until("intents are confirmed again", confirmed, within=WITHIN)


async def test_a_replica_is_never_taken_for_the_store(behind_sentinels: Topology) -> None:
    """Whatever a Sentinel said: the server itself is asked for its role, with every connection."""
    client = connect(behind_sentinels.replicas[0].url, primary_only=True)
    with pytest.raises(RedisConnectionError, match="is a replica, not the primary"):
        await client.ping()
    await client.aclose()


async def test_every_server_behind_the_sentinels_is_checked(behind_sentinels: Topology) -> None:
    """A replica that would lose writes once it is primary is refused, and so is a trading system's, under any name."""
    servers, replica = behind_sentinels, behind_sentinels.replicas[0]
    sentinels = Sentinels(servers.sentinel_addresses, servers.master)
    url = servers.primary.url
    try:
        assert await redis_safety.check_all(url, sentinels, accept_weak=False) == ()
        await ask(replica, "CONFIG", "SET", "appendfsync", "everysec")
        with pytest.raises(StoreUnsafe, match=f"appendfsync is everysec, not always on {replica.address}"):
            await redis_safety.check_all(url, sentinels, accept_weak=False)
        await ask(replica, "CONFIG", "SET", "appendfsync", "always")
        theirs = await redis_safety.servers_of("redis://elsewhere:1", servers.sentinel_addresses, servers.master)
        assert theirs == ["redis://elsewhere:1", url, replica.url]
        with pytest.raises(StoreUnsafe, match="also a trading system's Redis"):
            await redis_safety.check_all(url, sentinels, accept_weak=True, target_urls=theirs[2:])
    finally:
        await sentinels.close()


async def test_a_name_the_sentinels_do_not_know_is_told(behind_sentinels: Topology) -> None:
    """The sentence says which name, and how to find the right one."""
    behind = Behind(sentinels=tuple(behind_sentinels.sentinel_addresses), master="nope")
    store = RedisStore("redis://127.0.0.1:1", replica="a", sealer=Sealer(KEY), behind=behind)
    with pytest.raises(StoreUnavailable, match=r"watch nothing called 'nope'.*SENTINEL MASTERS"):
        await store.open()
    await store.close()
