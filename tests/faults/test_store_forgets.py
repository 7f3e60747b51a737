"""A store that has thrown away what it confirmed: noticed, told, put right from the journal, and nothing done twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from bot.sandbox.ports import free_ports
from bot.sandbox.topology import Topology, topology
from tests.faults.house import open_fault_house
from tests.faults.past import BACK_S, Past, all_again, do_and_forget, forgetting_is_told
from tests.faults.proxy import proxied


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Topology]:
    """One Valkey with a replica, which nobody waits for."""
    async with topology(tmp_path, replicas=1, sentinels=0, on_disk=True) as made:
        yield made


WAYS: tuple[Callable[[Past], Awaitable[None]], ...] = (Past.cut_short, Past.restored, Past.replaced)


@pytest.mark.parametrize("way_back", WAYS, ids=lambda way: way.__name__)
async def test_what_a_store_forgot_is_not_done_again(servers: Topology, way_back: Callable[[Past], Awaitable[None]]):
    """Andon is at work when the store goes back: automation stops, a page says why, the journal tells the store what
    was promised, and it goes on by itself. The same alerts again do nothing twice.
    """
    (port,) = free_ports(1)
    async with (
        proxied(port, servers.primary.port) as way,
        open_fault_house({"url": f"redis://127.0.0.1:{way.port}"}) as house,
    ):
        past = Past(servers, way)
        done = await do_and_forget(house, past)
        await way_back(past)
        await forgetting_is_told(house)
        await house.acts_again(within=BACK_S)
        await all_again(house)
        async with house.loaded():
            await house.acts_again(within=BACK_S)
        await house.accounts(forgetful=True)
        assert done <= house.runs()
        assert house.said("intent_recalled")
