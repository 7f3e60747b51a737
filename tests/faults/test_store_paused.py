"""`CLIENT PAUSE`: a store that answers nobody, or no writer, for less and for longer than anybody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.sandbox.topology import Topology, topology
from tests.faults.house import LAST_BEAT_S, open_fault_house
from tests.faults.servers import tell

SHORT_MS, LONG_MS = 1_500, 8_000  # everybody waits five seconds: the door, the engine, an intent
BACK_S = 10.0  # from the end of a pause to a new alert that was acted upon
TIME_LIMIT_S = 6.5  # from the beginning of a long pause to the first 503


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Topology]:
    """One Valkey, on disk, alone."""
    async with topology(tmp_path, replicas=0, sentinels=0, on_disk=True) as made:
        yield made


@pytest.mark.parametrize("which", ["WRITE", "ALL"])
async def test_a_store_that_holds_everything_up(servers: Topology, which: str) -> None:
    """A short pause costs only time: nothing is refused. A long one is an outage: 503, no heartbeat; and what was sent
    to it before anybody gave up is carried out late, and still nothing is doubled.
    """
    clock = asyncio.get_running_loop().time
    async with open_fault_house({"url": servers.primary.url}) as house:
        async with house.loaded():
            await house.acts_again(within=BACK_S)
            await tell(servers.primary, "CLIENT", "PAUSE", str(SHORT_MS), which)
            await house.cut(0)
            await house.is_cut(0)
            await house.acts_again(within=BACK_S)
            assert house.refused.total() == 0
            await tell(servers.primary, "CLIENT", "PAUSE", str(LONG_MS), which)
            paused_at = clock()
            cutting = asyncio.create_task(house.cut(1))  # noqa: TID251  # awaited below
            refused_at = await house.refuses(within=TIME_LIMIT_S)
            await asyncio.sleep(paused_at + LONG_MS / 1_000 - clock())
            assert house.beats(refused_at, clock()) == 0
            assert house.beats(paused_at + LAST_BEAT_S, clock() - LAST_BEAT_S) == 0
            await house.acts_again(within=BACK_S)
            await cutting
        await house.beats_again(within=BACK_S)
        await house.is_cut(1)
        ends = await house.accounts()
        assert ends["ran"] > 3 * ends["person"], ends
