"""A store behind Sentinels, cut in two: the side that may lose tells nobody yes, and work goes on wherever it is safe.

Two replicas and three Sentinels, as recommended. A cut is imitated: to those here, a server that is stopped is one that
does not answer.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterable
from itertools import count
from pathlib import Path

import pytest

from bot.adapters.redis_store import RedisStore
from bot.adapters.sentinels import Sentinels
from bot.engine.ports import Commit, Committed
from bot.errors import StoreUnavailable
from bot.sandbox.children import until
from bot.sandbox.topology import Node, Topology, ask, topology
from tests.contract.store_behind import WITHIN, store_of, taken
from tests.contract.store_records import SHARD, change, incident, webhook

IDS = (f"inc-{number}" for number in count())
NEVER_MS = 600_000  # nobody is called down in this test


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Topology]:
    """A primary, two replicas and three Sentinels that one test may break."""
    async with topology(tmp_path, replicas=2, on_disk=True, down_after_ms=1_000) as made:
        yield made


async def intend(store: RedisStore) -> str:
    """Declare an intent; returns its incident."""
    name = next(IDS)
    done = await store.commit(SHARD, Commit(changes=(change(incident(name)),), intends=True))
    assert isinstance(done, Committed)
    return name


async def intended(store: RedisStore) -> str:
    """Declare intents until one is confirmed; returns its incident."""

    async def once() -> str:
        try:
            return await intend(store)
        except StoreUnavailable:
            return ""

    return str(await until("an intent is confirmed", once, within=WITHIN))


async def refuses(store: RedisStore) -> None:
    """Neither an intent nor an alert is taken, and the sentence says what to look for."""
    with pytest.raises(StoreUnavailable, match="may be the side that is cut off"):
        await intend(store)
    with pytest.raises(StoreUnavailable, match="may be the side that is cut off"):
        await store.append(SHARD, [webhook("cut off")])


def signalled(servers: Topology, nodes: Iterable[Node], number: signal.Signals) -> None:
    """SIGSTOP: cut off from here. SIGCONT: back."""
    for node in nodes:
        os.kill(servers.pid(node), number)


async def test_what_the_losing_side_of_a_cut_answers_is_never_lost(servers: Topology) -> None:
    """Primary, one replica and one Sentinel on Andon's side: the replica confirms, and is not enough. Then the other
    side elects its own replica, the cut heals, and everything that was answered with yes is there.
    """
    near, far = (servers.primary, servers.replicas[0], servers.sentinels[0]), servers.replicas[1]
    async with store_of(servers) as store:
        await store.append(SHARD, [webhook("before")])
        before = await intend(store)
        for sentinel in servers.sentinels[1:]:
            await servers.stop(sentinel, crash=True)
        signalled(servers, [far], signal.SIGSTOP)
        await refuses(store)
    signalled(servers, near, signal.SIGSTOP)
    signalled(servers, [far], signal.SIGCONT)
    for sentinel in servers.sentinels[1:]:
        await servers.start(sentinel)

    async def elected() -> bool:
        told = await ask(servers.sentinels[1], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", servers.master)
        return bool(told) and int(told[1]) == far.port

    await until("the other side elects its replica", elected, within=2 * WITHIN)
    signalled(servers, near, signal.SIGCONT)
    async with store_of(servers) as fresh:
        after = await intended(fresh)
        assert set(await fresh.load(SHARD, [before, after])) == {before, after}
        assert webhook("before") in [d.entry for d in await fresh.read_inbox(SHARD, 100, 1_000)]


async def test_without_any_sentinel_what_all_replicas_have_is_safe(servers: Topology) -> None:
    """Whoever is elected has it. Once a replica is missing too, this may be the losing side, and nothing is taken."""
    async with store_of(servers) as store:
        await intend(store)
        for sentinel in servers.sentinels:
            await servers.stop(sentinel, crash=True)
        for _ in range(3):
            await intend(store)
            await store.append(SHARD, [webhook("all have it")])
        await servers.stop(servers.replicas[1], crash=True)
        await refuses(store)


async def test_the_loss_of_one_replica_stops_nothing(servers: Topology) -> None:
    """The other one confirms and most Sentinels vouch; the standing says what is missing, until it is back."""
    async with store_of(servers) as store:
        await intend(store)
        assert store.standing == "writes are confirmed by every replica (2)"
        await servers.stop(servers.replicas[1], crash=True)
        for _ in range(3):
            await intend(store)
            await store.append(SHARD, [webhook("one has it")])
        assert store.standing.startswith("1 of 2 replicas confirm writes")
        await servers.start(servers.replicas[1])

        async def whole() -> bool:
            await store.append(SHARD, [webhook("more")])
            return store.standing.startswith("writes are confirmed by every replica")

        await until("both replicas confirm again", whole, within=WITHIN)


async def test_sentinels_that_do_not_hear_the_primary_do_not_vouch_for_it(tmp_path: Path) -> None:
    """Andon reaches both sides of a cut: the far Sentinels name the old primary until they have elected another."""
    async with topology(tmp_path, replicas=2, on_disk=True, down_after_ms=NEVER_MS) as servers:
        for node in (servers.primary, *servers.replicas):
            await ask(node, "ACL", "SETUSER", "watcher", "on", ">secret", "~*", "&*", "+@all")
        for sentinel in servers.sentinels[1:]:
            setting = ("auth-user", "watcher", "auth-pass", "secret")
            assert await ask(sentinel, "SENTINEL", "SET", servers.master, *setting) == "OK"
        await servers.converge()
        asked = Sentinels(servers.sentinel_addresses, servers.master)
        try:
            async with store_of(servers) as store:
                await intend(store)
                await servers.stop(servers.replicas[1], crash=True)
                await intended(store)  # they vouch for it
                await ask(servers.primary, "ACL", "SETUSER", "watcher", "nocommands")  # their pings fail

                async def refused() -> str:
                    try:
                        await intend(store)
                    except StoreUnavailable as error:
                        return str(error)
                    return ""

                told = await until("intents are refused", refused, within=WITHIN)
                assert "do not hear the primary" in told
                said = await asked.primary()
                assert said.is_majority
                assert said.silent > 1.0
                await ask(servers.primary, "ACL", "SETUSER", "watcher", "+@all")
                await taken(store, "heard again")
        finally:
            await asked.close()
