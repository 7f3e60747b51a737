"""How a closed incident leaves the store once it is archived, on the twin, the embedded Valkey and Redis 7.0."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.engine.ports import Commit, Committed, KeyClaim
from bot.errors import RecordForged
from tests.contract.conftest import Bench
from tests.contract.store_records import SHARD, change, incident, put


async def closed(bench: Bench, name: str = "inc-1", opened_at: int = 1) -> None:
    """An incident with its key and two links, closed."""
    record = incident(name, opened_at)
    claim = KeyClaim(record.key, None, name)
    assert isinstance(await bench.store.commit(SHARD, Commit(changes=(change(record),), claims=(claim,))), Committed)
    await put(bench.store, replace(record, status="closed", closed_at=opened_at + 5))


async def test_a_closed_incident_goes_with_everything_it_left(bench: Bench) -> None:
    """Record, chain and its place in every list are gone; its neighbour is untouched; once is enough."""
    await closed(bench, "inc-1")
    await closed(bench, "inc-2", 2)
    assert await bench.store.retire(SHARD, "inc-1", 2) is True
    assert list(await bench.store.load(SHARD, ["inc-1", "inc-2"])) == ["inc-2"]
    assert await bench.store.audit(SHARD, "inc-1") == []
    assert await bench.store.resolve_keys(SHARD, ["key-of-inc-1", "key-of-inc-2"]) == {
        "key-of-inc-1": "inc-1",  # a tombstone: the same firing must not become the same incident again
        "key-of-inc-2": "inc-2",
    }
    assert await bench.store.aggregates(SHARD) == ["inc-2"]
    assert [line.incident.id for line in await bench.store.incidents(SHARD, closed=True, limit=9)] == ["inc-2"]
    assert await bench.store.oldest_incidents(SHARD, 9, skip=0, limit=9) == ["inc-2"]
    assert await bench.store.retire(SHARD, "inc-1", 2) is False
    assert (await bench.store.retired(SHARD), await bench.store.retired("py-rt")) == (1, 0)


async def test_what_is_open_or_has_changed_stays(bench: Bench) -> None:
    """Only exactly what was archived is removed: not an open incident, not another version, not a target."""
    await put(bench.store, incident("inc-open"))
    assert await bench.store.retire(SHARD, "inc-open", 1) is False
    await closed(bench)
    assert await bench.store.retire(SHARD, "inc-1", 1) is False
    assert await bench.store.retire(SHARD, "inc-none", 1) is False
    assert sorted(await bench.store.load(SHARD, ["inc-1", "inc-open"])) == ["inc-1", "inc-open"]
    assert len(await bench.store.audit(SHARD, "inc-1")) == 2


async def test_a_key_that_points_at_a_later_incident_stays(bench: Bench) -> None:
    """The problem came back as another incident; retiring the old one does not hide the new one."""
    await closed(bench)
    claim = KeyClaim("key-of-inc-1", "inc-1", "inc-2")
    await bench.store.commit(SHARD, Commit(changes=(change(incident("inc-2", 9)),), claims=(claim,)))
    assert await bench.store.retire(SHARD, "inc-1", 2) is True
    assert await bench.store.resolve_keys(SHARD, ["key-of-inc-1"]) == {"key-of-inc-1": "inc-2"}


async def test_the_oldest_come_first_page_by_page(bench: Bench) -> None:
    """Open and closed alike, no younger than asked for."""
    for number in (3, 1, 2, 7):
        await put(bench.store, incident(f"inc-{number}", number))
    assert await bench.store.oldest_incidents(SHARD, 3, skip=0, limit=2) == ["inc-1", "inc-2"]
    assert await bench.store.oldest_incidents(SHARD, 3, skip=2, limit=2) == ["inc-3"]
    assert await bench.store.oldest_incidents("py-rt", 3, skip=0, limit=2) == []


async def test_the_newest_are_named_without_being_read(bench: Bench) -> None:
    """Open and closed alike, so many as are asked for; what was retired is not named."""
    for number in (3, 1, 7):
        await put(bench.store, incident(f"inc-{number}", number))
    await closed(bench, "inc-2", 2)
    assert await bench.store.newest_incidents(SHARD, 9) == ["inc-7", "inc-3", "inc-2", "inc-1"]
    assert await bench.store.newest_incidents(SHARD, 2) == ["inc-7", "inc-3"]
    assert await bench.store.newest_incidents("py-rt", 9) == []
    assert await bench.store.retire(SHARD, "inc-2", 2) is True
    assert await bench.store.newest_incidents(SHARD, 9) == ["inc-7", "inc-3", "inc-1"]


@pytest.mark.parametrize("bench", ["valkey", "redis-7.0"], indirect=True)
async def test_a_forged_record_is_never_removed(bench: Bench) -> None:
    """Retention is no way to make a forgery disappear."""
    await closed(bench)
    place = f"{bench.prefix}:{{{SHARD}}}:record:inc-1"
    sealed = await bench.raw.hget(place, "rec")
    await bench.raw.hset(place, "rec", sealed.replace(b'"episode":0', b'"episode":9'))
    with pytest.raises(RecordForged, match="inc-1"):
        await bench.store.retire(SHARD, "inc-1", 2)
    assert await bench.raw.exists(place)


@pytest.mark.parametrize("bench", ["valkey", "redis-7.0"], indirect=True)
@pytest.mark.parametrize("name", ["open", "aggregates", "incidents", "audit:inc-1", "retired"])
async def test_a_retirement_that_cannot_be_whole_removes_nothing(bench: Bench, name: str) -> None:
    """A key of another type is found before the first write."""
    await closed(bench)
    place = f"{bench.prefix}:{{{SHARD}}}:"
    await bench.raw.execute_command("SET", place + name, "not what Andon put here")
    before = sorted(await bench.raw.keys(f"{bench.prefix}:*"))
    with pytest.raises(RecordForged, match="WRONGTYPE"):
        await bench.store.retire(SHARD, "inc-1", 2)
    assert sorted(await bench.raw.keys(f"{bench.prefix}:*")) == before
