"""A store behind three real Sentinels on a network that drops packets, also one way only: nothing lost or doubled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.faults.house import FaultHouse, open_fault_house
from tests.faults.network import ANDON, ELECTED_S, MASTER, SENTINELS, SERVERS, Network, network

BACK_S = 25.0  # from a new primary, or a network that heals, to a new alert that was acted upon
EVERY_S = 0.5  # between two alerts of a sender: each write waits for two replicas
CUT_S = 7.0  # for more than anybody waits for an answer
LOSSY_S = 8.0
LOSS = 0.1  # of all that passes, sent again after 200 ms


@pytest.fixture
async def net(tmp_path: Path) -> AsyncIterator[Network]:
    """A primary, two replicas, three Sentinels, and a network that works."""
    async with network(tmp_path) as made:
        yield made


@asynccontextmanager
async def house_on(net: Network) -> AsyncIterator[FaultHouse]:
    """Andon on that store, under load from its first alert to the end; then the accounts."""
    servers = net.servers
    store = {"url": servers.primary.url, "sentinels": servers.sentinel_addresses, "master": MASTER}
    async with open_fault_house(store) as house:
        async with house.loaded(EVERY_S):
            await house.acts_again(within=BACK_S)
            yield house
            await house.acts_again(within=BACK_S)
        await house.beats_again(within=BACK_S)
        ends = await house.accounts()
        assert ends["ran"] > ends["person"], ends


async def test_the_sentinels_no_longer_hear_a_primary_that_still_serves(net: Network) -> None:
    """Its answers to the Sentinels are lost, and theirs alone: they elect another, while it goes on saying yes to
    whoever asks. Andon follows them, and what it was told yes for is there.
    """
    async with house_on(net) as house:
        net.cut(net.servers.primary, *SENTINELS, ways=("from",))
        await house.cut(0)
        await net.elected()
        await house.acts_again(within=BACK_S)
        net.heal()
        await house.cut(1)
        for engine in range(2):
            await house.is_cut(engine)


async def test_the_primarys_answers_to_andon_are_lost(net: Network) -> None:
    """All that Andon writes is done, and it hears of none of it; the Sentinels hear the primary well. It refuses, and
    once it is heard again it goes on where the store stands.
    """
    async with house_on(net) as house:
        net.cut(net.servers.primary, ANDON, ways=("from",))
        asking = asyncio.create_task(house.cut(0))  # noqa: TID251  # awaited below
        await house.refuses(within=CUT_S)
        await asyncio.sleep(1.0)
        net.heal()
        await house.acts_again(within=BACK_S)
        await asking
        await house.is_cut(0)
        assert (await net.primary()) is net.servers.primary


async def test_the_primary_is_cut_off_with_requests_on_their_way(net: Network) -> None:
    """Nobody reaches it and it reaches nobody: another is elected. When the cut heals, what was under way arrives late
    at a server that still takes itself for the primary.
    """
    old = net.servers.primary
    async with house_on(net) as house:
        net.cut(old, ANDON, *SENTINELS, *SERVERS)
        asking = asyncio.create_task(house.cut(0))  # noqa: TID251  # awaited below
        async with asyncio.timeout(ELECTED_S):
            await net.elected()
        await house.acts_again(within=BACK_S)
        net.heal()
        await asking
        await house.is_cut(0)


async def test_a_network_that_drops_packets_everywhere(net: Network) -> None:
    """Every tenth packet between any two has to be sent again, sometimes again and again: slower, and all of it right.
    A failover may come of that, or not.
    """
    async with house_on(net) as house:
        net.lose(LOSS)
        for engine in range(2):
            await house.cut(engine)
        await asyncio.sleep(LOSSY_S)
        net.heal()
        for engine in range(2):
            await house.is_cut(engine)
