"""Replicas that must confirm every intent (`WAIT`): one that is gone, slow, much too slow, and back."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.sandbox.children import until
from bot.sandbox.topology import Topology, topology
from tests.faults.house import FaultHouse, open_fault_house

BACK_S = 10.0  # from a replica that is back to an alert that was acted upon: it is looked for twice, every two seconds
TOLD_S = 12.0  # from an alert to the page that says it was not acted upon; a write waits a second for its replica
SLOW_S = 0.5  # for less than a write waits


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Topology]:
    """A Valkey and its replica; nobody watches them."""
    async with topology(tmp_path, replicas=1, sentinels=0, on_disk=True) as made:
        yield made


async def handed_over(house: FaultHouse, case: str) -> str:
    """Why nothing was done about this case, once a person was paged for it."""

    async def look() -> str | None:
        line = (await house.incidents()).get(case)
        return str(line["why"]) if line and line["status"] == "parked" and line["id"] in house.paged() else None

    return await until(f"{case} is handed to a person", look, within=TOLD_S)


async def test_nothing_is_done_that_no_replica_has_confirmed(servers: Topology) -> None:
    """Without its replica the store takes alerts, and each is handed to a person; with it they are acted upon again."""
    replica = servers.replicas[0]
    async with open_fault_house({"url": servers.primary.url, "wait_replicas": 1}) as house:
        await house.acts_again(within=BACK_S)

        # Slow: everything takes longer, and is done.
        os.kill(servers.pid(replica), signal.SIGSTOP)
        await house.alert("Work0", "work-slow")
        await asyncio.sleep(SLOW_S)
        assert house.runs()["work-slow"] == 0
        os.kill(servers.pid(replica), signal.SIGCONT)
        await house.ran("work-slow")

        # Much too slow: as good as gone.
        os.kill(servers.pid(replica), signal.SIGSTOP)
        await house.alert("Work1", "work-stuck")
        assert "replicas confirmed it" in await handed_over(house, "work-stuck")
        os.kill(servers.pid(replica), signal.SIGCONT)
        await house.acts_again(within=BACK_S)

        # Gone, for many alerts, and back again.
        await servers.stop(replica, crash=True)
        for desk in range(4):
            await house.alert(f"Work{desk}", f"work-gone-{desk}")
        for desk in range(4):
            assert "replicas confirmed it" in await handed_over(house, f"work-gone-{desk}")
            assert house.runs()[f"work-gone-{desk}"] == 0
        await servers.start(replica)
        await house.acts_again(within=BACK_S)

        # Gone while alerts pour in.
        async with house.loaded():
            await house.acts_again(within=BACK_S)
            await servers.stop(replica, crash=True)
            await house.cut(0)
            await asyncio.sleep(2 * SLOW_S)
            await servers.start(replica)
            await house.acts_again(within=BACK_S)
        assert house.refused.total() == 0
        ends = await house.accounts()
        assert ends["ran"] > ends["person"] >= 5, ends
