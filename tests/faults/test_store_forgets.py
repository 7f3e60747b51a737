"""A store that has thrown away what it confirmed: noticed, told, put right from the journal, and nothing done twice."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from bot.sandbox.children import until
from bot.sandbox.topology import Topology, free_ports, topology
from tests.faults.house import FaultHouse, open_fault_house
from tests.faults.proxy import Proxy, proxied
from tests.faults.servers import tell

NOTICED_S = 5.0  # from the store's first answer to the page: an idle replica asks every second
BACK_S = 10.0  # from then to a new alert that was acted upon
FORGOTTEN = 6  # cases, at the least, that are done and then forgotten
QUIET_S = 3.0  # the journal notes the marks every two seconds


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Topology]:
    """One Valkey with a replica, which nobody waits for."""
    async with topology(tmp_path, replicas=1, sentinels=0, on_disk=True) as made:
        yield made


class Past:
    """What the store was at one moment, and the ways back to it."""

    def __init__(self, servers: Topology, way: Proxy) -> None:
        self._servers = servers
        self._way = way
        self._folder = servers.primary.folder
        self._sizes: dict[Path, int] = {}

    async def remember(self) -> None:
        """Now. The replica hears nothing from here on, and there is a backup."""
        await tell(self._servers.primary, "WAIT", "1", "1000")
        await tell(self._servers.replicas[0], "REPLICAOF", "NO", "ONE")
        await tell(self._servers.primary, "SAVE")
        shutil.copy(self._folder / "dump.rdb", self._folder / "backup.rdb")
        self._sizes = {path: path.stat().st_size for path in (self._folder / "appendonlydir").glob("*.incr.aof")}

    async def cut_short(self) -> None:
        """A crash, and the end of the append-only file is gone: a disk that lied about what it had written."""
        await self._servers.stop(self._servers.primary, crash=True)
        assert self._sizes
        for path, size in self._sizes.items():
            assert path.stat().st_size > size
            with path.open("r+b") as file:
                file.truncate(size)
        await self._servers.start(self._servers.primary)

    async def restored(self) -> None:
        """Somebody puts the backup back."""
        await self._servers.stop(self._servers.primary, crash=True)
        shutil.rmtree(self._folder / "appendonlydir")
        shutil.copy(self._folder / "backup.rdb", self._folder / "dump.rdb")
        config = self._folder / "node.conf"
        config.write_text(config.read_text().replace("appendonly yes", "appendonly no"))
        await self._servers.start(self._servers.primary)
        await tell(self._servers.primary, "CONFIG", "SET", "appendonly", "yes")

    async def replaced(self) -> None:
        """The primary dies, and somebody makes the replica primary that had stopped following long ago."""
        await self._servers.stop(self._servers.primary, crash=True)
        self._way.lead_to(self._servers.replicas[0].port)


WAYS: tuple[Callable[[Past], Awaitable[None]], ...] = (Past.cut_short, Past.restored, Past.replaced)


async def told(house: FaultHouse) -> None:
    """Return once a page says so."""

    async def look() -> bool:
        return any("forgotten writes it had confirmed" in page["summary"] for page in house.said("PAGE"))

    await until("a page says that the store has forgotten", look, within=NOTICED_S)


async def do_and_forget(house: FaultHouse, past: Past) -> Counter[str]:
    """Something that is remembered, and much that will not be; what the ledger says then."""
    await house.acts_again(within=BACK_S)
    await asyncio.sleep(QUIET_S)
    await past.remember()
    async with house.loaded():
        await house.cut(0)
        await house.is_cut(0)
        for desk in range(FORGOTTEN):
            await house.ran(f"work-{desk % 4}-{1 + desk // 4}")
    return house.runs()


async def all_again(house: FaultHouse) -> None:
    """Every sender repeats what still fires, as Alertmanager does."""
    for case in dict.fromkeys(house.accepted):
        if case.startswith("work"):
            desk = case.split("-")[1]
            await house.alert(f"Work{desk if desk.isdigit() else 4}", case)
        else:
            await house.alert(case.replace("cut-", "Cut"), case)


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
        await told(house)
        await house.acts_again(within=BACK_S)
        await all_again(house)
        async with house.loaded():
            await house.acts_again(within=BACK_S)
        await house.accounts(forgetful=True)
        assert done <= house.runs()
        assert house.said("intent_recalled")


async def test_it_is_noticed_also_at_the_next_start(servers: Topology):
    """Andon was away when the store went back: its journal remembers, and it tells before it acts."""
    (port,) = free_ports(1)
    async with (
        proxied(port, servers.primary.port) as way,
        open_fault_house({"url": f"redis://127.0.0.1:{way.port}"}) as house,
    ):
        past = Past(servers, way)
        done = await do_and_forget(house, past)
        await asyncio.sleep(QUIET_S)
        await house.andon.kill()
        await past.restored()
        await house.serve()
        await told(house)
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
