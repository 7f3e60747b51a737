"""Andon's own directory is full while the store is well: nothing is done that cannot be journalled, nothing is lost."""

from __future__ import annotations

import random
import shutil
import string
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bot.adapters.archive import FileArchive
from bot.adapters.redis_store import RedisStore
from bot.adapters.seal import Sealer
from bot.engine.alarms import Alarms
from bot.engine.ports import Change, Commit, KeyClaim
from bot.engine.retention import Retention
from bot.sandbox.children import until
from bot.sandbox.topology import Topology, topology
from bot.testing import FakeClock
from policies.book import PolicyBook
from tests.contract.archived_incidents import closed
from tests.contract.store_records import SHARD
from tests.faults.house import FaultHouse, open_fault_house
from tests.faults.servers import fill, free, small_disk

BACK_S = 5.0  # from room on the disk to a new alert that was acted upon
TOLD_S = 10.0  # from an alert to the page that says it was not acted upon
KEY = bytes(range(32))
HOUR = 3_600_000


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Topology]:
    """One Valkey, on a disk that is not the one that fills up."""
    async with topology(tmp_path, replicas=0, sentinels=0, on_disk=True) as made:
        yield made


@pytest.fixture
def disk() -> Iterator[Path]:
    """A small file system, for what is under test alone."""
    root = Path(tempfile.mkdtemp(prefix="andon-disk-"))
    try:
        with small_disk(root / "disk", 4) as mounted:
            yield mounted
    finally:
        shutil.rmtree(root, ignore_errors=True)


async def handed_over(house: FaultHouse, case: str) -> str:
    """Why nothing was done about this case, once a person was paged for it."""

    async def look() -> str | None:
        line = (await house.incidents()).get(case)
        return str(line["why"]) if line and line["status"] == "parked" and line["id"] in house.paged() else None

    return await until(f"{case} is handed to a person", look, within=TOLD_S)


async def test_the_journals_disk_full_and_freed(servers: Topology, disk: Path) -> None:
    """Alerts are taken, none is acted upon, each pages with the reason; a restart meanwhile changes nothing; freed, the
    next alert acts by itself, and the journal that was cut short can be read.
    """
    async with open_fault_house({"url": servers.primary.url}, data=disk) as house:
        async with house.loaded():
            await house.acts_again(within=BACK_S)
            fill(disk)
            await house.alert("Work0", "work-full-0")
            assert "the local journal cannot be written" in await handed_over(house, "work-full-0")
            assert "No space left on device" in await handed_over(house, "work-full-0")
            assert house.refused.total() == 0
        done = house.runs()
        await house.andon.kill()
        await house.serve()
        for desk in range(4):
            await house.alert(f"Work{desk}", f"work-full-again-{desk}")
            assert "the local journal cannot be written" in await handed_over(house, f"work-full-again-{desk}")
        assert house.runs() == done
        free(disk)
        async with house.loaded():
            await house.acts_again(within=BACK_S)
            await house.cut(0)
            await house.is_cut(0)
        ends = await house.accounts()
        assert ends["person"] >= 5, ends


async def test_the_archives_disk_full_in_the_midst_and_freed(servers: Topology, disk: Path) -> None:
    """Closed incidents that do not fit stay in the store and raise one alarm; what left is whole; freed, all go."""
    chance = random.Random(4)
    clock = FakeClock()
    clock.advance(24 * HOUR)
    store = RedisStore(servers.primary.url, replica="a", sealer=Sealer(KEY))
    await store.open()
    try:
        names = [f"inc-{number:010d}" for number in range(40)]
        for name in names:
            kept = closed(name, why="".join(chance.choices(string.ascii_letters, k=8_000)))  # does not compress well
            for entry in kept.audit:
                claims = (KeyClaim(kept.incident.key, None, name),) if entry.seq == 1 else ()
                changed = Change(kept.incident, entry.seq - 1, entry, {})
                await store.commit(SHARD, Commit(changes=(changed,), claims=claims))
        archive = FileArchive(disk / "archive", Sealer(KEY))
        alarms = Alarms(store, clock)
        retention = Retention(
            store=store, archive=archive, clock=clock, alarms=alarms, shards=[SHARD], after_ms=HOUR,
            book=lambda: PolicyBook({}),
        )  # fmt: skip
        left_free(disk, 150_000)
        went = await retention.sweep()
        assert 0 < went < len(names)
        assert await retention.sweep() == 0
        alerts = [d.entry.alerts[0] for d in await store.read_inbox(SHARD, 10, 1_000)]
        assert [(alert.name, alert.status) for alert in alerts] == [("AndonArchiveFailed", "firing")]
        verdict = await archive.verify()
        assert (verdict.problems, verdict.listed) == ((), {SHARD: went})
        free(disk)
        assert await retention.sweep() == len(names) - went
        assert [name for _, name in await archive.listed()] == names
        verdict = await archive.verify()
        assert (verdict.problems, verdict.listed) == ((), {SHARD: len(names)})
        assert await store.retired(SHARD) == len(names)
    finally:
        await store.close()


def left_free(disk: Path, size: int) -> None:
    """Fill it up to the last `size` bytes."""
    fill(disk)
    with open(disk / "filler", "r+b") as file:
        file.truncate((disk / "filler").stat().st_size - size)
