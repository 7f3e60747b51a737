"""Valkey is killed and comes back, at any moment and at the exact ones that hurt: nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.adapters import redis_link
from bot.sandbox.ports import free_ports
from bot.sandbox.topology import Topology, topology
from tests.faults.house import LAST_BEAT_S, open_fault_house
from tests.faults.proxy import Moment, proxied

BACK_S = 10.0  # from the store's first answer to a new alert that was acted upon, and to the outgoing heartbeat
KILLS = 4


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Topology]:
    """One Valkey, on disk, alone."""
    async with topology(tmp_path, replicas=0, sentinels=0, on_disk=True) as made:
        yield made


async def test_a_store_killed_under_load_loses_and_doubles_nothing(servers: Topology) -> None:
    """kill -9 again and again at moments nobody chose, away for a while each time: alerts are refused with 503
    meanwhile, somebody outside misses the heartbeat, and it goes on by itself.
    """
    chance, clock = random.Random(20), asyncio.get_running_loop().time
    async with open_fault_house({"url": servers.primary.url}) as house:
        async with house.loaded():
            for engine in range(KILLS):
                await asyncio.sleep(chance.uniform(0.3, 1.0))
                await house.cut(engine)
                await servers.stop(servers.primary, crash=True)
                lost_at = clock()
                await house.refuses(within=2.0)
                await asyncio.sleep(chance.uniform(0.0, 2.5))
                assert house.beats(lost_at + LAST_BEAT_S, clock()) == 0
                await servers.start(servers.primary)
                await house.acts_again(within=BACK_S)
        await house.beats_again(within=BACK_S)
        for engine in range(KILLS):
            await house.is_cut(engine)
        ends = await house.accounts()
        assert ends["ran"] > 5 * ends["person"], ends


def script(name: str) -> bytes:
    """What a call of this script begins with: the digest it is called by."""
    source = (Path(redis_link.__file__).with_name("lua") / f"{name}.lua").read_bytes()
    return hashlib.sha1(source, usedforsecurity=False).hexdigest().encode()


# Where it hurts: what is on its way when the server dies, and whether it was still done. Only the dead know the answer.
MOMENTS: tuple[tuple[str, bytes, Moment], ...] = (
    ("an alert that may be stored", script("append"), "answer"),
    ("an alert that is not stored", script("append"), "request"),
    ("a delivery that never arrives", b"alerts_received", "said"),
    ("an intent that may be declared", b"intent_declared", "answer"),
    ("an intent that is not declared", b"intent_declared", "request"),
    ("an outcome that may be kept", b"step_succeeded", "answer"),
    ("an outcome that is not kept", b"step_succeeded", "request"),
    ("an effect that never arrives", b"run_step", "said"),
)


async def test_a_store_killed_at_the_exact_moment_loses_and_doubles_nothing(servers: Topology) -> None:
    """In the midst of each kind of exchange, with and without the write having happened, others under way beside it."""
    (port,) = free_ports(1)
    async with (
        proxied(port, servers.primary.port) as way,
        open_fault_house({"url": f"redis://127.0.0.1:{way.port}"}) as house,
    ):
        async with house.loaded():
            for _, mark, moment in MOMENTS:
                await house.acts_again(within=BACK_S)
                trip = way.trip(mark, moment)
                await asyncio.wait_for(trip.sprung.wait(), BACK_S)
                await servers.stop(servers.primary, crash=True)
                await servers.start(servers.primary)
                way.mend()
        await house.acts_again(within=BACK_S)
        ends = await house.accounts()
        assert ends["ran"] > 5 * ends["person"], ends
