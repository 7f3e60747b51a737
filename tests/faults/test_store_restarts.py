"""Store and Andon start again, in every order: what was forgotten meanwhile is noticed, and nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.sandbox.ports import free_ports
from bot.sandbox.topology import Topology, topology
from tests.faults.house import open_fault_house
from tests.faults.past import BACK_S, NOTED_S, Past, all_again, do_and_forget, forgetting_is_told
from tests.faults.proxy import proxied


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Topology]:
    """One Valkey with a replica, which nobody waits for."""
    async with topology(tmp_path, replicas=1, sentinels=0, on_disk=True) as made:
        yield made


async def test_it_is_noticed_also_at_the_next_start(servers: Topology):
    """Andon was away when the store went back: its journal remembers, and it tells before it acts."""
    (port,) = free_ports(1)
    async with (
        proxied(port, servers.primary.port) as way,
        open_fault_house({"url": f"redis://127.0.0.1:{way.port}"}) as house,
    ):
        past = Past(servers, way)
        done = await do_and_forget(house, past)
        await asyncio.sleep(NOTED_S)
        await house.andon.kill()
        await past.restored()
        await house.serve()
        await forgetting_is_told(house)
        await all_again(house)
        await house.acts_again(within=BACK_S)
        await house.accounts(forgetful=True)
        assert done <= house.runs()


async def test_ordinary_restarts_of_both_forget_nothing(servers: Topology):
    """Store and Andon are killed and started, in every order, several times: nobody is told that anything is lost."""
    async with open_fault_house({"url": servers.primary.url}) as house:
        async with house.loaded():
            for _ in range(2):
                await house.acts_again(within=BACK_S)
                await servers.stop(servers.primary, crash=True)
                await servers.start(servers.primary)
        for _ in range(2):
            await house.andon.kill()
            await servers.stop(servers.primary)
            await servers.start(servers.primary)
            await house.serve()
            await house.acts_again(within=BACK_S)
        await house.andon.end()
        await house.serve()
        await house.acts_again(within=BACK_S)
        await house.accounts()
