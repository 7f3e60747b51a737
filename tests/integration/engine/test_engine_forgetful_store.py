"""A store that forgets what it had acknowledged: put back from a copy under a running engine, and under none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from bot.adapters.codec import encode_entry
from bot.adapters.redis_store import RedisStore
from bot.adapters.seal import Sealer
from bot.core.events import AlertsReceived
from bot.core.system_machine import state_of
from bot.core.words import SYSTEM_TARGET
from bot.engine.ports import Commit
from bot.errors import StoreForgot
from tests.integration.engine.floor import KEY, PLAN, SHARD, STEP, Floor

ONCE = replace(PLAN, steps=(replace(STEP, delivery="once"),))


class Copy:
    """Everything a server holds, taken at one moment and put back at another."""

    def __init__(self, url: str) -> None:
        self._client = Redis.from_url(url)
        self._keys: dict[bytes, bytes] = {}

    async def take(self) -> None:
        self._keys = {key: await self._client.dump(key) async for key in self._client.scan_iter()}

    async def put_back(self) -> None:
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.flushall()
            for key, value in self._keys.items():
                pipe.restore(key, 0, value)
            await pipe.execute()

    async def add(self, stream: str, sealed: bytes, entry: str) -> None:
        await self._client.xadd(stream, {b"e": sealed}, id=entry)

    async def close(self) -> None:
        await self._client.aclose()


@pytest.fixture
async def copy(valkey: str):
    made = Copy(valkey)
    yield made
    await made.close()


async def _recalled(floor: Floor, intent: str) -> bool:
    stored = (await floor.store.load(SHARD, ["target:risk-engine"])).get("target:risk-engine")
    return stored is not None and any(each.intent == intent for each in stored.record.recalled)


async def _goes_on(floor: Floor) -> bool:
    return not floor.store.marks.lost(SHARD) and state_of(await floor.target(SYSTEM_TARGET)) == "active"


async def test_what_a_forgetful_store_lost_is_not_done_a_second_time(valkey, breach, copy):
    """A `once` action was done, and the store is put back to before the alert: the same alert again sends nothing."""
    floor = Floor(valkey, ONCE)
    await floor.start()
    await floor.arm()
    await floor.quiet()
    await copy.take()
    await floor.fire(breach)
    await floor.until(lambda: _requested(floor, 1), "the action")
    await floor.quiet()
    (intent,) = floor.people.disk.intents
    await copy.put_back()
    await floor.until(lambda: _recalled(floor, intent), "the intent told again")
    await floor.until(lambda: _goes_on(floor), "automation going on")
    assert any("forgotten writes it had confirmed" in page for page in floor.people.pages)
    floor.risk.kelly = 0.25  # somebody has raised it again: only the intent tells that it was done
    await floor.fire(breach)
    await floor.status("parked")
    await floor.quiet()
    assert floor.risk.requests == [0.1]
    assert await floor.audit_problems() == []
    await floor.kill()


async def test_the_same_turn_under_another_intent_is_not_done_a_second_time(valkey, breach, copy):
    """A second life may count its runs otherwise: what is recalled for its incident, episode and step counts."""
    floor = Floor(valkey, ONCE)
    await floor.start()
    await floor.arm()
    await floor.quiet()
    await copy.take()
    await floor.fire(breach)
    await floor.until(lambda: _requested(floor, 1), "the action")
    await floor.quiet()
    (intent,) = floor.people.disk.intents.values()
    floor.people.disk.intents = {"another-run": replace(intent, intent="another-run")}
    floor.people.disk.systems["another-run"] = SHARD
    await copy.put_back()
    await floor.until(lambda: _recalled(floor, "another-run"), "the intent told again")
    await floor.until(lambda: _goes_on(floor), "automation going on")
    floor.risk.kelly = 0.25
    await floor.fire(breach)
    await floor.status("parked")
    await floor.quiet()
    assert floor.risk.requests == [0.1]
    await floor.kill()


async def test_a_replica_that_was_away_learns_at_start_that_the_store_has_forgotten(valkey, breach, copy):
    """Killed, the store put back, started again: the journal's marks tell, before anything is acted upon."""
    floor = Floor(valkey, ONCE)
    await floor.start()
    await floor.arm()
    await floor.quiet()
    await copy.take()
    await floor.fire(breach)
    await floor.until(lambda: _requested(floor, 1), "the action")
    await floor.quiet()
    await floor.people.note(floor.store.marks.marks())
    await floor.kill()
    await copy.put_back()
    await floor.start()
    await floor.until(lambda: _recalled(floor, next(iter(floor.people.disk.intents))), "the intent told again")
    await floor.until(lambda: _goes_on(floor), "automation going on")
    await floor.fire(breach)
    await floor.until(lambda: _settled(floor), "the incident's end")
    assert floor.risk.requests == [0.1]
    await floor.kill()


async def test_an_ordinary_restart_of_the_engine_trips_nothing(floor, breach):
    """What the journal noted is no more than what the store has."""
    await floor.fire(breach)
    await floor.until(lambda: _requested(floor, 1), "the action")
    await floor.quiet()
    await floor.people.note(floor.store.marks.marks())
    await floor.kill()
    await floor.start()
    await floor.quiet()
    assert not floor.store.marks.lost(SHARD)
    assert not any("forgotten" in page for page in floor.people.pages)
    assert floor.store.marks.marks()[SHARD].own > 0


async def test_an_intent_of_the_journal_that_the_store_never_had_is_told_at_start(valkey, breach):
    """Journalled, and killed before the store had it: whoever runs the step finds that it was declared."""
    floor = Floor(valkey, ONCE)
    await floor.start()
    await floor.arm()
    await floor.fire(breach)
    await floor.until(lambda: _requested(floor, 1), "the action")
    await floor.quiet()
    (intent,) = floor.people.disk.intents.values()
    await floor.kill()
    floor.people.disk.intents["only-here"] = replace(intent, intent="only-here")
    floor.people.disk.systems["only-here"] = SHARD
    await floor.start()
    assert await _recalled(floor, "only-here")
    await floor.kill()


async def _requested(floor: Floor, count: int) -> bool:
    return len(floor.risk.requests) >= count


async def _settled(floor: Floor) -> bool:
    incident = await floor.incident()
    return incident is not None and incident.status in ("parked", "verifying", "mitigated")


async def test_an_acknowledgement_from_before_takes_no_new_entry_away(valkey, breach, copy):
    """The store forgets an entry that is in hand, and gives its id to another: that one is still delivered."""
    floor = Floor(valkey)
    await floor.start()
    await floor.arm()
    await floor.quiet()
    await floor.kill()
    store = RedisStore(valkey, replica="r9", sealer=Sealer(KEY))
    await store.open()
    entry = AlertsReceived(id="w", at=1, source="alertmanager", receiver="andon", alerts=(breach,))
    await copy.take()
    await store.append(SHARD, [entry])
    (in_hand,) = await store.read_inbox(SHARD, 10, 1_000)
    await copy.put_back()
    inbox = f"andon:{{{SHARD}}}:inbox"
    raw = Sealer(KEY).seal(inbox.encode(), encode_entry(entry))
    await copy.add(inbox, raw, in_hand.delivery)
    with pytest.raises(StoreForgot):
        await store.commit(SHARD, Commit(inbox_acks=(in_hand.delivery,)))
    assert "forgotten" in store.marks.lost(SHARD)
    await store.commit(SHARD, Commit(inbox_acks=(in_hand.delivery,)))
    (again,) = await store.read_inbox(SHARD, 10, 1_000)
    assert again.delivery == f"{in_hand.delivery}@1"
    await store.commit(SHARD, Commit(inbox_acks=(again.delivery,)))
    assert await store.lag(SHARD) == (0, 0)
    await store.close()
