"""What a store was at one moment, the ways back to it, and what must happen when it goes one of them."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from pathlib import Path
from typing import Final

from bot.core.words import SYSTEM_TARGET
from bot.sandbox.children import until
from bot.sandbox.topology import Topology
from tests.faults.house import BUSY, FaultHouse
from tests.faults.proxy import Proxy
from tests.faults.servers import tell

NOTICED_S: Final = 8.0  # from the store's first answer to the page: an idle replica asks every second
BACK_S: Final = 10.0  # from then to a new alert that was acted upon
FORGOTTEN: Final = 6  # cases, at the least, that are done and then forgotten
NOTED_S: Final = 3.0  # the journal notes the marks every two seconds


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


async def forgetting_is_told(house: FaultHouse) -> None:
    """Return once a page says so."""

    async def look() -> bool:
        told = [page["summary"] for page in house.said("PAGE") if page["incident_id"] == SYSTEM_TARGET]
        return any("forg" in why and "automation is stopped until" in why for why in told)  # forgot, or forgotten

    await until("a page says that the store has forgotten", look, within=NOTICED_S)


async def do_and_forget(house: FaultHouse, past: Past) -> Counter[str]:
    """Something that is remembered, and much that will not be; what the ledger says then."""
    await house.acts_again(within=BACK_S)
    await asyncio.sleep(NOTED_S)
    await past.remember()
    async with house.loaded():
        await house.cut(0)
        await house.is_cut(0)
        for desk in range(FORGOTTEN):
            await house.ran(f"work-{desk % BUSY}-{1 + desk // BUSY}")
    return house.runs()


async def all_again(house: FaultHouse) -> None:
    """Every sender repeats what still fires, as Alertmanager does."""
    for case in dict.fromkeys(house.accepted):
        if case.startswith("work"):
            desk = case.split("-")[1]
            await house.alert(f"Work{desk if desk.isdigit() else BUSY}", case)
        else:
            await house.alert(case.replace("cut-", "Cut"), case)
