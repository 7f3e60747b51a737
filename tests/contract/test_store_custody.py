"""What is looked for in the store beside its records: keys that are none of ours, timers and records taken away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from bot.adapters.redis_store import RedisStore
from bot.core.target import Target
from bot.engine.custody import ALARM, TIMERS, Custody
from bot.engine.ports import Versioned
from bot.testing import FakeClock
from tests.contract.conftest import Bench
from tests.contract.store_records import SHARD, incident, put, webhook

pytestmark = pytest.mark.parametrize("bench", ["valkey", "redis-7.0"], indirect=True)
DUE = 10_000_000


class Said:
    """Takes alarms: what holds now, and what was said in all."""

    def __init__(self) -> None:
        self.now: dict[str, str] = {}
        self.ever: list[str] = []

    async def raise_(self, shard: str, name: str, summary: str, **_: object) -> None:
        self.now[name] = summary
        self.ever.append(name)

    async def clear(self, shard: str, name: str, labels: Sequence[tuple[str, str]] = ()) -> None:
        self.now.pop(name, None)


def custody(bench: Bench, said: Said) -> Custody:
    assert isinstance(bench.store, RedisStore)
    # What is asked of alarms here is all there is of them.
    return Custody(store=bench.store, clock=FakeClock(1_000_000), alarms=said, shards=[SHARD], home="unrouted")  # type: ignore[arg-type]


def key(bench: Bench, name: str) -> str:
    return f"{bench.prefix}:{{{SHARD}}}:{name}"


async def test_an_untouched_store_is_nothing_to_tell(bench: Bench) -> None:
    """Records, timers and lists as Andon made them."""
    said = Said()
    looking = custody(bench, said)
    await put(bench.store, incident(due=DUE), Target(id="target:risk", system=SHARD))
    for _ in range(2):
        await looking.look(SHARD)
    assert said.ever == []


@pytest.mark.parametrize(
    "name", ["inbox", "outbox", "dead", "timers", "keys", "aggregates", "incidents", "open", "sequence", "retired",
             "acknowledged"],
)  # fmt: skip
async def test_a_key_of_another_kind_is_told_by_name(bench: Bench, name: str) -> None:
    """Until it is one of ours again."""
    said = Said()
    looking = custody(bench, said)
    await bench.raw.execute_command("SETRANGE", key(bench, name), 100_000, "9")
    await looking.look(SHARD)
    assert key(bench, name) in said.now[ALARM]
    await bench.raw.delete(key(bench, name))
    await looking.look(SHARD)
    assert said.now == {}


async def test_a_record_that_is_gone_or_does_not_open_is_told(bench: Bench) -> None:
    """Also one that nobody reads, and one whose place in the list is gone with it."""
    said = Said()
    looking = custody(bench, said)
    await put(bench.store, incident("inc-1"), incident("inc-2"), Target(id="target:risk", system=SHARD))
    await looking.look(SHARD)
    await bench.raw.hset(key(bench, "record:inc-1"), "rec", b"forged")
    await looking.look(SHARD)
    assert "inc-1 does not open" in said.now[ALARM]
    await bench.raw.delete(key(bench, "record:inc-1"), key(bench, "record:target:risk"))
    await bench.raw.srem(key(bench, "aggregates"), "inc-2", "target:risk")
    await looking.look(SHARD)
    for words in ("inc-1 is gone", "target:risk is gone", "inc-2 is not listed"):
        assert words in said.now[ALARM]


async def test_timers_taken_away_or_put_off_are_set_again(bench: Bench) -> None:
    """At their own time, once two looks missed them; one that was just claimed is left alone."""
    said = Said()
    looking = custody(bench, said)
    await put(bench.store, incident(due=DUE), incident("inc-2", due=999_999))
    before = await bench.raw.zrange(key(bench, "timers"), 0, -1, withscores=True)
    await bench.raw.delete(key(bench, "timers"))
    await looking.look(SHARD)
    assert said.ever == []
    await looking.look(SHARD)
    ahead = [pair for pair in before if pair[1] == DUE]
    assert await bench.raw.zrange(key(bench, "timers"), 0, -1, withscores=True) == ahead
    await bench.raw.zadd(key(bench, "timers"), {ahead[0][0]: DUE * 9})
    await looking.look(SHARD)
    await looking.look(SHARD)
    assert await bench.raw.zrange(key(bench, "timers"), 0, -1, withscores=True) == ahead
    assert said.ever == [TIMERS, TIMERS]


async def test_a_timer_that_was_claimed_is_not_missing_while_its_entry_waits(bench: Bench) -> None:
    """However long it was overdue, and whatever arrives behind it; it is, once its entry went without being folded."""
    said = Said()
    looking, timers = custody(bench, said), key(bench, "timers")
    await put(bench.store, incident(due=1), incident("inc-2", due=2))
    await bench.store.append(SHARD, [webhook("before")])
    assert await bench.store.claim_due(SHARD, 1_000_000, 10) == 2
    for number in range(3):
        await looking.look(SHARD)
        await bench.store.append(SHARD, [webhook(f"behind-{number}")])
        if not number:  # by now some of what waited is folded
            await bench.raw.xtrim(key(bench, "inbox"), maxlen=3, approximate=False)
    assert said.ever == []
    assert await bench.raw.zcard(timers) == 0
    await bench.raw.delete(key(bench, "inbox"))
    await looking.look(SHARD)
    assert said.ever == [TIMERS]
    assert await bench.raw.zcard(timers) == 2


class Disarmed:
    """A store in which a commit takes an incident's timer away right after the incident was read for the first time."""

    def __init__(self, inner: RedisStore) -> None:
        self._inner = inner
        self._fresh = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def load(self, shard: str, ids: Sequence[str]) -> dict[str, Versioned]:
        found = await self._inner.load(shard, ids)
        if self._fresh:
            self._fresh = False
            await put(self._inner, incident())
        return found


async def test_a_timer_that_a_commit_takes_away_while_one_looks_is_not_missing(bench: Bench) -> None:
    """Nothing was tampered with: nobody is alarmed, and the timer stays away."""
    said = Said()
    await put(bench.store, incident(due=DUE))
    assert isinstance(bench.store, RedisStore)
    looking = Custody(
        store=Disarmed(bench.store), clock=FakeClock(1_000_000), alarms=said, shards=[SHARD], home="unrouted",  # type: ignore[arg-type]  # as above
    )  # fmt: skip
    for _ in range(2):
        await looking.look(SHARD)
    assert said.ever == []
    assert await bench.raw.zrange(key(bench, "timers"), 0, -1) == []
