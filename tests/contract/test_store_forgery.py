"""What somebody with access to the server can do to the store's records, and how it shows (laws 2 and 10)."""

from __future__ import annotations

import pytest

from bot.adapters.redis_store import RedisStore
from bot.adapters.seal import Sealer
from bot.core.audit import verify
from bot.engine.ports import Commit, Committed, KeyClaim
from bot.errors import ConfigError, RecordForged, StoreError
from tests.contract.conftest import Bench
from tests.contract.store_records import SHARD, change, incident, message, put, webhook

pytestmark = pytest.mark.parametrize("bench", ["valkey", "redis-7.0"], indirect=True)


def key(bench: Bench, name: str) -> str:
    return f"{bench.prefix}:{{{SHARD}}}:{name}"


async def test_an_edited_record_is_never_loaded(bench: Bench) -> None:
    """One changed byte, and the record is refused by name."""
    await put(bench.store, incident())
    sealed = await bench.raw.hget(key(bench, "record:inc-1"), "rec")
    await bench.raw.hset(key(bench, "record:inc-1"), "rec", sealed.replace(b'"episode":0', b'"episode":9'))
    with pytest.raises(RecordForged, match="inc-1"):
        await bench.store.load(SHARD, ["inc-1"])


async def test_a_record_put_in_anothers_place_is_never_loaded(bench: Bench) -> None:
    """A seal holds for its own key only."""
    await put(bench.store, incident("inc-1"), incident("inc-2"))
    await bench.raw.hset(key(bench, "record:inc-2"), mapping=await bench.raw.hgetall(key(bench, "record:inc-1")))
    with pytest.raises(RecordForged, match="inc-2"):
        await bench.store.load(SHARD, ["inc-2"])


async def test_an_earlier_version_under_the_present_number_is_never_loaded(bench: Bench) -> None:
    """Putting back yesterday's record is a forgery too: its seal names its version and its audit link."""
    await put(bench.store, incident())
    old = await bench.raw.hget(key(bench, "record:inc-1"), "rec")
    await put(bench.store, incident())
    await bench.raw.hset(key(bench, "record:inc-1"), "rec", old)
    with pytest.raises(RecordForged):
        await bench.store.load(SHARD, ["inc-1"])


@pytest.mark.parametrize("field", ["ver", "head", "rec"])
async def test_an_incomplete_record_is_never_loaded(bench: Bench, field: str) -> None:
    """A record that lost a part is forged, not absent."""
    await put(bench.store, incident())
    await bench.raw.hdel(key(bench, "record:inc-1"), field)
    with pytest.raises(RecordForged, match="incomplete"):
        await bench.store.load(SHARD, ["inc-1"])


async def test_a_redirected_incident_key_is_not_followed(bench: Bench) -> None:
    """Nobody can lead alerts into another incident by rewriting a pointer."""
    commit = Commit(
        changes=(change(incident("inc-1")), change(incident("inc-2"))),
        claims=(KeyClaim("key-1", None, "inc-1"), KeyClaim("key-2", None, "inc-2")),
    )
    assert isinstance(await bench.store.commit(SHARD, commit), Committed)
    await bench.raw.hset(key(bench, "keys"), "key-1", await bench.raw.hget(key(bench, "keys"), "key-2"))
    with pytest.raises(RecordForged):
        await bench.store.resolve_keys(SHARD, ["key-1"])


async def test_an_entry_moved_between_queues_is_poison(bench: Bench) -> None:
    """A genuine effect copied into another shard's outbox is not performed."""
    await put(bench.store, incident(), effects=(message(),))
    ((_, fields),) = await bench.raw.xrange(key(bench, "outbox"))
    await bench.raw.xadd(f"{bench.prefix}:{{py-rt}}:outbox", fields)
    (delivery,) = await bench.store.read_outbox("py-rt", 10, 1_000)
    assert delivery.effect is None
    assert "seal" in delivery.problem


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        (["LSET {key} 1 '{edited}'"], "entry 2 was edited"),
        (["LREM {key} 1 '{second}'"], "entry 2 is missing"),
        (["RPOP {key}"], "ends at entry 2"),
        (["RPUSH {key} '{second}'"], "entries were added"),
        (["LSET {key} 0 '{second}'", "LSET {key} 1 '{first}'"], "reordered"),
        (["LSET {key} 1 nonsense"], "edited"),
    ],
    ids=["edit", "deletion", "truncation", "addition", "reordering", "nonsense"],
)
async def test_tampering_with_the_audit_chain_is_found(bench: Bench, tamper: list[str], found: str) -> None:
    """Every kind of change to a stored chain is told, with the entry's number."""
    for _ in range(3):
        await put(bench.store, incident())
    chain_key = key(bench, "audit:inc-1")
    first, second, _ = [row.decode() for row in await bench.raw.lrange(chain_key, 0, -1)]
    edited = second.replace('"test"', '"nothing"')
    parts = {"{key}": chain_key, "{first}": first, "{second}": second, "{edited}": edited}
    for line in tamper:
        words = [word.strip("'") for word in line.split(" ", 3 if line.startswith("LSET") or "LREM" in line else 2)]
        await bench.raw.execute_command(*(parts.get(word, word) for word in words))
    loaded = (await bench.store.load(SHARD, ["inc-1"]))["inc-1"]
    problems = verify(await bench.store.audit(SHARD, "inc-1"), loaded.head, loaded.version)
    assert any(found in problem for problem in problems), problems


@pytest.mark.parametrize(
    "name", ["inbox", "outbox", "timers", "keys", "aggregates", "incidents", "open", "audit:inc-1"]
)
async def test_a_commit_that_cannot_be_written_whole_writes_nothing(bench: Bench, name: str) -> None:
    """A key of another type is found before the first write, wherever it stands in the commit."""
    await bench.raw.execute_command("SET", key(bench, name), "not what Andon put here")
    before = sorted(await bench.raw.keys(f"{bench.prefix}:*"))
    commit = Commit(
        changes=(change(incident(due=5)),),
        claims=(KeyClaim("key-1", None, "inc-1"),),
        effects=(message(),),
        inbox_acks=("1-0",),
    )
    with pytest.raises(RecordForged, match="WRONGTYPE"):
        await bench.store.commit(SHARD, commit)
    assert sorted(await bench.raw.keys(f"{bench.prefix}:*")) == before


async def test_a_replica_with_another_key_does_not_start(bench: Bench) -> None:
    """Otherwise it would take every record for a forgery; the error names both keys."""
    sealer = Sealer(bytes(32))
    connection = bench.raw.connection_pool.connection_kwargs
    stranger = RedisStore(f"unix://{connection['path']}", replica="c", sealer=sealer, prefix=bench.prefix)
    try:
        with pytest.raises(ConfigError, match=sealer.fingerprint):
            await stranger.open()
    finally:
        await stranger.close()


async def test_a_timer_that_nobody_set_is_set_aside(bench: Bench) -> None:
    """A member that is no timer of ours does not block those behind it."""
    await put(bench.store, incident(due=5))
    await bench.raw.zadd(key(bench, "timers"), {b"\xff": 1, b"nonsense": 2})
    assert await bench.store.claim_due(SHARD, 10, 10) == 1
    assert await bench.store.next_due(SHARD) is None
    assert [raw for _, _, raw in await bench.store.dead_letters(SHARD, 10)] == [b"nonsense", b"\xff"]


@pytest.mark.parametrize("count", ["9" * 30, "1.5", "0x10", " 7", "-1", "", "9" * 100_000])
async def test_a_count_that_cannot_be_raised_lets_nothing_be_written(bench: Bench, count: str) -> None:
    """A script that fails at its last command keeps what it wrote before: whatever is no count is seen before that."""
    await put(bench.store, incident())
    for place in ("sequence", "acknowledged"):
        kept = await bench.raw.dump(key(bench, place))
        if place == "sequence":
            await bench.raw.set(key(bench, place), count)
        else:
            await bench.raw.hset(
                key(bench, place), mapping=dict.fromkeys(await bench.raw.hkeys(key(bench, place)), count)
            )
        before = [await bench.raw.hgetall(key(bench, "record:inc-1")), await bench.raw.xlen(key(bench, "inbox"))]
        with pytest.raises(StoreError):
            await put(bench.store, incident(), effects=(message(),))
        with pytest.raises(StoreError):
            await bench.store.append(SHARD, [webhook()])
        after = [await bench.raw.hgetall(key(bench, "record:inc-1")), await bench.raw.xlen(key(bench, "inbox"))]
        assert (after, await bench.raw.xlen(key(bench, "outbox"))) == (before, 0)
        await bench.raw.restore(key(bench, place), 0, kept, replace=True)
    await put(bench.store, incident())
