"""What a store does where a newer Andon has written: it leaves the shard alone, hands over, and says why (adr/0012)."""

from __future__ import annotations

import pytest

from bot.adapters import codec
from bot.adapters.redis_keys import ShardKeys
from bot.adapters.redis_store import RedisStore
from bot.adapters.seal import Sealer
from bot.core.events import AlertsReceived
from bot.core.record import SCHEMA_VERSION
from bot.engine.loop import RECLAIM_IDLE_MS
from bot.engine.ports import Commit, Conflict
from bot.errors import ConfigError, StoreNewer
from tests.contract.conftest import KEY, Bench
from tests.contract.store_records import SHARD, change, incident, message, put, webhook

pytestmark = pytest.mark.parametrize("bench", ["valkey", "redis-7.0"], indirect=True)

LATER = SCHEMA_VERSION + 1


def later(encoded: bytes) -> bytes:
    """The same as the next version would write it: its number, and one field more."""
    return b"%d " % LATER + encoded.partition(b" ")[2][:-1] + b',"one_field_more":1}'


async def write_later(bench: Bench, queue: str) -> None:
    """What a newer Andon beside this one puts into a queue, under our seal."""
    stream = getattr(ShardKeys.of(bench.prefix, SHARD), queue)
    plain = codec.encode_entry(webhook("later")) if queue == "inbox" else codec.encode_effect(message("later"))
    await bench.raw.xadd(stream, {"e": Sealer(KEY).seal(stream, later(plain))})


async def change_later(bench: Bench) -> None:
    """A newer Andon's next version of `inc-1`, under our seal."""
    before = (await bench.store.load(SHARD, ["inc-1"]))["inc-1"]
    keys, entry = ShardKeys.of(bench.prefix, SHARD), change(incident(), before).audit
    context = keys.record_context("inc-1", entry.seq, entry.hash)
    sealed = Sealer(KEY).seal(context, later(codec.encode_record(incident())))
    await bench.raw.hset(keys.record("inc-1"), mapping={"ver": entry.seq, "head": entry.hash, "rec": sealed})


async def test_a_later_record_ends_the_work_on_its_shard_and_on_no_other(bench: Bench) -> None:
    """Once met, nothing of the shard is read or written, not even appended; what it holds stays byte by byte."""
    store = bench.store
    assert isinstance(store, RedisStore)
    await put(store, incident())
    before = (await store.load(SHARD, ["inc-1"]))["inc-1"]
    await change_later(bench)
    keys = ShardKeys.of(bench.prefix, SHARD)
    there = await bench.raw.hgetall(keys.record("inc-1"))

    lost = await store.commit(SHARD, Commit(changes=(change(incident(hold=9), before),)))
    assert lost == Conflict(stale=("inc-1",))  # a change folded from what it was before
    with pytest.raises(StoreNewer, match=f"{SHARD}.*schema version {LATER}"):
        await store.load(SHARD, ["inc-1"])
    for call in (
        store.append(SHARD, [webhook()]), store.read_inbox(SHARD, 1, 0), store.read_outbox(SHARD, 1, 0),
        store.reclaim(SHARD, 0, 1), store.load(SHARD, ["inc-2"]), store.claim_due(SHARD, 1, 1),
        store.commit(SHARD, Commit(effects=(message(),))), store.lag(SHARD), store.next_due(SHARD),
    ):  # fmt: skip
        with pytest.raises(StoreNewer):
            await call
    assert await bench.raw.hgetall(keys.record("inc-1")) == there
    assert await bench.raw.xlen(keys.inbox) == 0
    assert list(store.left_to_newer) == [SHARD]
    await store.append("py-rt", [webhook()])
    assert len(await store.read_inbox("py-rt", 1, 0)) == 1


@pytest.mark.parametrize("queue", ["inbox", "outbox"])
async def test_what_was_delivered_with_a_later_entry_is_handed_over_uncounted(bench: Bench, queue: str) -> None:
    """Nothing of the batch is poison or lost: a newer Andon finds all of it at its next look, as if never delivered."""
    store = bench.store
    await store.append(SHARD, [webhook("held")])
    (held,) = await store.read_inbox(SHARD, 1, 1_000)
    await store.append(SHARD, [webhook("ours")])
    await put(store, incident(), effects=(message("ours"),))
    await write_later(bench, queue)
    with pytest.raises(StoreNewer):
        await (store.read_inbox(SHARD, 10, 1_000) if queue == "inbox" else store.read_outbox(SHARD, 10, 1_000))
    stream = getattr(ShardKeys.of(bench.prefix, SHARD), queue)
    assert await bench.raw.xlen(stream) == 2 + (queue == "inbox")
    other = await bench.replica("b")
    inbox, outbox = await other.reclaim(SHARD, RECLAIM_IDLE_MS, 1) if queue == "inbox" else ([], [])
    assert [(d.delivery, d.deliveries) for d in inbox] == ([(held.delivery, 1)] if queue == "inbox" else [])
    pending = await bench.raw.xpending_range(stream, "andon", "-", "+", 10)
    assert len(pending) == 2 + (queue == "inbox")
    assert {each["times_delivered"] for each in pending} == {1}
    assert outbox == []


async def test_what_carries_no_seal_of_ours_makes_nobody_stand_back(bench: Bench) -> None:
    """Writing to the server is not enough to stop an Andon: a planted entry of a "later" version is poison."""
    stream = ShardKeys.of(bench.prefix, SHARD).inbox
    await bench.raw.xadd(stream, {"e": b"0" * 16 + later(codec.encode_entry(webhook()))})
    (delivery,) = await bench.store.read_inbox(SHARD, 10, 1_000)
    assert delivery.entry is None
    assert "seal" in delivery.problem


async def test_an_earlier_version_is_refused_at_start_and_a_later_one_takes_the_store_over(bench: Bench) -> None:
    """The way back is refused before anything is read; the way forward keeps what was there."""
    meta = f"{bench.prefix}:{{{bench.prefix}}}:meta"
    await bench.raw.hset(meta, "schema", SCHEMA_VERSION - 1)
    await bench.replica("upgraded")
    assert int(await bench.raw.hget(meta, "schema")) == SCHEMA_VERSION
    await bench.raw.hset(meta, "schema", LATER)
    with pytest.raises(ConfigError, match=f"schema {LATER}.*start that version again"):
        await bench.replica("rolled-back")
    assert int(await bench.raw.hget(meta, "schema")) == LATER


async def test_what_an_earlier_version_left_is_worked_on(bench: Bench) -> None:
    """An entry and a record of the version before are read as ever, and the next commit writes the present one."""
    store, keys = bench.store, ShardKeys.of(bench.prefix, SHARD)
    await put(store, incident())
    stored = await bench.raw.hgetall(keys.record("inc-1"))
    context = keys.record_context("inc-1", int(stored[b"ver"]), stored[b"head"].decode())
    earlier = b"%d " % (SCHEMA_VERSION - 1)
    body = Sealer(KEY).open(context, stored[b"rec"])
    await bench.raw.hset(
        keys.record("inc-1"), "rec", Sealer(KEY).seal(context, earlier + body.partition(b" ")[2])
    )  # fmt: skip
    entry = earlier + codec.encode_entry(webhook()).partition(b" ")[2]
    await bench.raw.xadd(keys.inbox, {"e": Sealer(KEY).seal(keys.inbox, entry)})
    (delivery,) = await store.read_inbox(SHARD, 1, 1_000)
    assert isinstance(delivery.entry, AlertsReceived)
    assert (await store.load(SHARD, ["inc-1"]))["inc-1"].record == incident()
    await put(store, incident(hold=1))
    assert b"%d {" % SCHEMA_VERSION in await bench.raw.hget(keys.record("inc-1"), "rec")
