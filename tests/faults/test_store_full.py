"""The store has no room: its memory is used up, or its disk is. Refused while it lasts, and over by itself after it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.sandbox.topology import topology
from tests.faults.house import LAST_BEAT_S, open_fault_house
from tests.faults.servers import fill, free, small_disk, tell

BACK_S = 10.0  # from room in memory to a new alert that was acted upon
RESTARTED_S = 15.0  # the same after a full disk: the embedded server is begun again every five seconds
LASTS_S = 2.5  # how long there is no room: long enough for what is under way to meet it


async def test_memory_used_up_and_freed(tmp_path: Path) -> None:
    """`noeviction`: the store refuses every write in the midst of the load and keeps all it has; then it goes on."""
    clock = asyncio.get_running_loop().time
    async with (
        topology(tmp_path, replicas=0, sentinels=0, on_disk=True) as servers,
        open_fault_house({"url": servers.primary.url}) as house,
    ):
        async with house.loaded():
            for engine in range(2):
                await house.acts_again(within=BACK_S)
                await house.cut(engine)
                await tell(servers.primary, "CONFIG", "SET", "maxmemory", "1mb")
                full_at = await house.refuses(within=2.0)
                await asyncio.sleep(LASTS_S)
                assert house.beats(full_at + LAST_BEAT_S, clock()) == 0
                await tell(servers.primary, "CONFIG", "SET", "maxmemory", "0")
                await house.acts_again(within=BACK_S)
        await house.beats_again(within=BACK_S)
        for engine in range(2):
            await house.is_cut(engine)
        ends = await house.accounts()
        assert ends["ran"] > 5 * ends["person"], ends


@pytest.fixture
def disk() -> Iterator[Path]:
    """A small file system, for what is under test alone."""
    root = Path(tempfile.mkdtemp(prefix="andon-disk-"))
    try:
        with small_disk(root / "disk", 16) as mounted:
            yield mounted
    finally:
        shutil.rmtree(root, ignore_errors=True)


async def test_the_stores_disk_full_and_freed(disk: Path) -> None:
    """The embedded store cannot write its append-only file and ends; Andon begins it again until it can."""
    clock = asyncio.get_running_loop().time
    data = disk.parent / "data"
    data.mkdir(mode=0o700)
    (data / "valkey").symlink_to(disk)
    async with open_fault_house({}, data=data) as house:
        async with house.loaded():
            for engine in range(2):
                await house.acts_again(within=RESTARTED_S)
                await house.cut(engine)
                fill(disk)
                full_at = await house.refuses(within=3.0)
                await asyncio.sleep(LASTS_S)
                assert house.beats(full_at + LAST_BEAT_S, clock()) == 0
                free(disk)
                await house.acts_again(within=RESTARTED_S)
        await house.beats_again(within=BACK_S)
        for engine in range(2):
            await house.is_cut(engine)
        ends = await house.accounts()
        assert ends["ran"] > 5 * ends["person"], ends
