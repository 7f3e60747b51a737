"""Records that stand behind what was seen of them: sealed by us, and put back by somebody else (laws 2 and 5)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bot.core.audit import AuditEntry
from bot.core.target import Target
from bot.engine.high_water import HighWater, Mark
from bot.engine.ports import Change, Commit, Versioned
from bot.engine.shelf import ShardShelf

SHARD, RISK = "trading-core", "target:risk"


class Records:
    """A store that says what it is told to say."""

    def __init__(self) -> None:
        self.marks = HighWater()
        self.held: dict[str, Versioned] = {}

    def hold(self, version: int, head: str = "", name: str = RISK) -> None:
        self.held[name] = Versioned(Target(id=name, system=SHARD), version, head or f"head-{version}")

    async def load(self, shard: str, ids: Sequence[str]) -> dict[str, Versioned]:
        return {name: self.held[name] for name in ids if name in self.held}


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def shelf(records: Records) -> ShardShelf:
    return ShardShelf(records, SHARD)  # type: ignore[arg-type]  # all of a store that a shelf asks here


async def again(shelf: ShardShelf, name: str = RISK) -> Versioned | None:
    """Read it anew, as after a lost race."""
    shelf.drop([name])
    return await shelf.load(name)


async def test_a_record_that_grew_is_nothing_to_tell(records: Records, shelf: ShardShelf) -> None:
    """Another replica was faster: that is every day's business."""
    for version in (1, 2, 2, 7):
        records.hold(version)
        await again(shelf)
    assert records.marks.lost(SHARD) == ""


@pytest.mark.parametrize(("version", "head"), [(3, "head-3"), (9, "another")], ids=["an older one", "another history"])
async def test_a_record_put_back_stops_its_shard(records: Records, shelf: ShardShelf, version: int, head: str) -> None:
    """Its seal is genuine. It is told in words that name it, once, and nothing is sent for the shard meanwhile."""
    records.hold(9)
    await shelf.load(RISK)
    records.hold(version, head)
    await again(shelf)
    assert records.marks.lost(SHARD).startswith(f"{RISK} stands at version {version}, and version 9 was seen")
    assert records.marks.times(SHARD) == 1
    await again(shelf)
    assert records.marks.times(SHARD) == 1
    assert records.marks.lost("py-rt") == ""


async def test_a_component_that_is_gone_stops_its_shard(records: Records, shelf: ShardShelf) -> None:
    """Deleting `*` would lift a freeze, and deleting a component its fence; an incident may have been archived."""
    records.hold(9)
    records.hold(4, name="inc-1")
    await shelf.prefetch((RISK, "inc-1"), ())
    records.held.clear()
    assert await again(shelf, "inc-1") is None
    assert records.marks.lost(SHARD) == ""
    assert await again(shelf) is None
    assert records.marks.lost(SHARD).startswith(f"{RISK} is gone, and version 9 was seen")


async def test_one_loss_is_told_once(records: Records, shelf: ShardShelf) -> None:
    """After a failover many records are older: they are that loss, and no new one when they are read later."""
    records.hold(9)
    records.hold(5, name="target:router")
    await shelf.prefetch((RISK, "target:router"), ())
    records.marks.restore({SHARD: Mark(20, 20)})
    records.marks.saw(SHARD, records.marks.before(SHARD), Mark(11, 11), wrote=False)
    records.hold(4)
    records.hold(2, name="target:router")
    await again(shelf)
    (loss,) = records.marks.losses().values()
    records.marks.settled(SHARD, loss)
    await again(shelf, "target:router")
    assert records.marks.lost(SHARD) == ""


async def test_what_was_seen_since_a_loss_counts(records: Records, shelf: ShardShelf) -> None:
    """A record that was written after it, from what was cached, and is then put back, is the next loss."""
    records.hold(9)
    await shelf.load(RISK)
    records.hold(8)
    await again(shelf)
    (loss,) = records.marks.losses().values()
    records.marks.settled(SHARD, loss)
    written = AuditEntry(seq=9, previous="head-8", hash="head-9", body="{}")
    record = Target(id=RISK, system=SHARD)
    shelf.committed(Commit(changes=(Change(record=record, expected=8, audit=written, timers_before={}),)))
    await again(shelf)
    assert records.marks.lost(SHARD).startswith(f"{RISK} stands at version 8, and version 9 was seen")


async def test_what_was_written_since_a_loss_told_elsewhere_counts(records: Records, shelf: ShardShelf) -> None:
    """The loss was noticed by a count, and nothing was read between it and what was put back."""
    records.hold(8)
    await shelf.load(RISK)
    records.marks.forgot(SHARD, "a count stands too low")
    (loss,) = records.marks.losses().values()
    records.marks.settled(SHARD, loss)
    written = AuditEntry(seq=9, previous="head-8", hash="head-9", body="{}")
    record = Target(id=RISK, system=SHARD)
    shelf.committed(Commit(changes=(Change(record=record, expected=8, audit=written, timers_before={}),)))
    await again(shelf)
    assert records.marks.lost(SHARD).startswith(f"{RISK} stands at version 8, and version 9 was seen")
