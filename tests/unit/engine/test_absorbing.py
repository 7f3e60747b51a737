"""Absorbing the inbox: nothing lost, nothing twice, poison set aside and paged. On the store's in-memory twin."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bot.adapters.codec import event_text
from bot.core.alert import Alert
from bot.core.events import Addressed, AlertsReceived
from bot.core.orders import OperatorAcked
from bot.core.plan import Plan
from bot.core.record import Applied, Denied
from bot.engine import engine as engine_module
from bot.engine.engine import Engine
from bot.engine.loop import absorb
from bot.engine.ports import Conflict
from bot.errors import StoreUnavailable
from bot.testing import FakeClock, MemoryStore
from policies.book import Match

SHARD = "trading-core"
PLAN = Plan(policy="watch", system=SHARD, policy_hash="h", mode="auto")
ALERT = Alert(fingerprint="a" * 16, status="firing", labels={"alertname": "Watched"}, starts_at=1_000)


class ByFingerprint:
    """One incident for each fingerprint; counts how often it was asked, and can fail for one of them."""

    def __init__(self) -> None:
        self.poisonous = ""

    def match(self, system: str, alert: Alert) -> tuple[Match, ...]:
        if alert.fingerprint == self.poisonous:
            raise ZeroDivisionError("this alert cannot be folded")
        return (Match(PLAN, f"watch{{{alert.fingerprint}}}", {}),)

    def watch(self, system: str, alert: Alert) -> str:
        return ""

    def current(self, system: str, policy: str) -> Plan:
        return PLAN


class Counting:
    """Telemetry that counts."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def folded(self, shard: str, decision: str, count: int) -> None:
        self.counts[decision] = self.counts.get(decision, 0) + count

    def committed(self, shard: str, seconds: float, events: int) -> None:
        self.counts["commits"] = self.counts.get("commits", 0) + 1

    def conflicted(self, shard: str) -> None:
        self.counts["conflicts"] = self.counts.get("conflicts", 0) + 1

    def dead_lettered(self, shard: str) -> None:
        self.counts["dead"] = self.counts.get("dead", 0) + 1


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def telemetry() -> Counting:
    return Counting()


@pytest.fixture
def engine(store: MemoryStore, telemetry: Counting) -> Engine:
    return make_engine(store, telemetry)


def make_engine(store: MemoryStore, telemetry: Counting) -> Engine:
    return Engine(
        store=store, book=ByFingerprint(), text=event_text, clock=FakeClock(), telemetry=telemetry, shards=[SHARD]
    )


def webhook(*alerts: Alert, name: str = "w") -> AlertsReceived:
    return AlertsReceived(id=name, at=1, source="alertmanager", receiver="andon", alerts=alerts)


async def drain(engine: Engine) -> None:
    """Absorb everything that waits."""
    while deliveries := await engine.store.read_inbox(SHARD, 100, 0):
        await absorb(engine, SHARD, deliveries)


async def test_an_alert_opens_one_incident_and_is_acknowledged(engine, store):
    """The entry is gone from the inbox exactly when its incident is stored."""
    await store.append(SHARD, [webhook(ALERT)])
    await drain(engine)
    assert [line.incident.status for line in await store.incidents(SHARD, closed=True, limit=9)] == ["parked"]
    assert (await store.lag(SHARD))[0] == 0


async def test_a_copy_writes_nothing_but_is_counted(engine, store, telemetry):
    """An exact copy changes no record and adds no link; it is told apart in the counters."""
    await store.append(SHARD, [webhook(ALERT)])
    await drain(engine)
    chain = await store.audit(SHARD, (await store.aggregates(SHARD))[0])
    await store.append(SHARD, [webhook(ALERT, name="copy")])
    await drain(engine)
    assert await store.audit(SHARD, (await store.aggregates(SHARD))[0]) == chain
    assert telemetry.counts["ignored"] == 1
    assert (await store.lag(SHARD))[0] == 0


async def test_a_poison_entry_is_set_aside_and_paged(engine, store, telemetry):
    """What cannot be read goes to the dead letters, and a page goes to the outbox before it does."""
    store.poison(SHARD, "inbox")
    await store.append(SHARD, [webhook(ALERT)])
    await drain(engine)
    assert [reason for _, reason, _ in await store.dead_letters(SHARD, 9)] == ["the record does not carry our seal"]
    effects = [delivery.effect for delivery in await store.read_outbox(SHARD, 99, 0)]
    assert any(effect.kind == "page_oncall" and "set aside" in effect.summary for effect in effects)
    assert len(await store.incidents(SHARD, closed=True, limit=9)) == 1
    assert telemetry.counts["dead"] == 1


async def test_a_flood_of_poison_is_one_page_a_minute(engine, store):
    """Two hundred letters are kept, each of them; the pager hears of them once, and again a minute later."""
    for _ in range(200):
        store.poison(SHARD, "inbox")
    await drain(engine)
    assert len(await store.dead_letters(SHARD, 999)) == 200
    engine.clock.advance(60_000)
    store.poison(SHARD, "inbox")
    await drain(engine)
    pages = [delivery.effect for delivery in await store.read_outbox(SHARD, 99, 0)]
    assert len({page.dedup_key for page in pages}) == len(pages) == 2


async def test_one_entry_that_breaks_the_fold_holds_up_no_other(engine, store):
    """A defect that one alert triggers costs that alert's entry, which pages, and nothing else."""
    engine.book.poisonous = "b" * 16
    bad = replace(ALERT, fingerprint="b" * 16)
    good = replace(ALERT, fingerprint="c" * 16)
    await store.append(SHARD, [webhook(ALERT, name="1"), webhook(bad, name="2"), webhook(good, name="3")])
    await drain(engine)
    assert len(await store.incidents(SHARD, closed=True, limit=9)) == 2
    assert [reason for _, reason, _ in await store.dead_letters(SHARD, 9)] == [
        "ZeroDivisionError: this alert cannot be folded"
    ]
    assert (await store.lag(SHARD))[0] == 0


async def test_an_entry_larger_than_a_commit_is_folded_in_several(engine, store, telemetry):
    """2,000 alerts in one webhook become 2,000 incidents, in commits of bounded size, acknowledged with the last."""
    alerts = tuple(replace(ALERT, fingerprint=f"{number:016x}") for number in range(2_000))
    await store.append(SHARD, [webhook(replace(ALERT, fingerprint="f" * 16), name="small"), webhook(*alerts)])
    await drain(engine)
    assert len(await store.incidents(SHARD, closed=True, limit=9_999)) == 2_001
    assert telemetry.counts["commits"] >= 2_000 // engine_module.MAX_LETTERS
    assert (await store.lag(SHARD))[0] == 0


async def test_a_crash_between_the_commits_of_one_entry_loses_and_doubles_nothing(engine, store, telemetry):
    """The entry comes again, what was folded is recognised, the rest is folded."""
    alerts = tuple(replace(ALERT, fingerprint=f"{number:016x}") for number in range(engine_module.MAX_LETTERS + 50))
    await store.append(SHARD, [webhook(*alerts)])
    commit, calls = store.commit, 0

    async def dies_at_the_second(shard, what):
        nonlocal calls
        calls += 1
        if calls == 2:
            raise StoreUnavailable("killed")
        return await commit(shard, what)

    store.commit = dies_at_the_second
    with pytest.raises(StoreUnavailable):
        await absorb(engine, SHARD, await store.read_inbox(SHARD, 10, 0))
    store.commit = commit
    again = make_engine(store, telemetry)
    inbox, _ = await store.reclaim(SHARD, 0, 100)
    await absorb(again, SHARD, inbox)
    incidents = await store.incidents(SHARD, closed=True, limit=9_999)
    assert len(incidents) == len(alerts)
    assert {line.version for line in incidents} == {1}
    assert (await store.lag(SHARD))[0] == 0


async def test_two_replicas_that_race_for_one_key_open_one_incident(store, telemetry):
    """Both have folded before either commits: the key's compare-and-set decides, and the loser finds a copy."""
    other = store.twin("second")
    both_folded = asyncio.Barrier(2)
    for replica in (store, other):
        replica.commit = meeting_first(replica.commit, both_folded)
    work = []
    for replica in (store, other):
        await replica.append(SHARD, [webhook(ALERT, name=replica.replica)])
        work.append((make_engine(replica, telemetry), await replica.read_inbox(SHARD, 10, 0)))
    await asyncio.gather(*(engine.absorb(SHARD, deliveries) for engine, deliveries in work))
    assert len(await store.incidents(SHARD, closed=True, limit=9)) == 1
    assert telemetry.counts["conflicts"] == 1
    assert (await store.lag(SHARD))[0] == 0


def meeting_first(commit, barrier):
    """`commit`, but the first call waits for the other replica's first call."""
    met = False

    async def call(shard, what):
        nonlocal met
        if not met:
            met = True
            await barrier.wait()
        return await commit(shard, what)

    return call


async def test_a_stale_cache_loses_the_race_and_reads_again(store, telemetry):
    """Another replica changed the record meanwhile: compare-and-set notices, and nothing is overwritten."""
    one, two = make_engine(store, telemetry), make_engine(store.twin("second"), telemetry)
    await store.append(SHARD, [webhook(ALERT)])
    await drain(one)
    incident = (await store.incidents(SHARD, closed=True, limit=1))[0].incident.id
    ack = OperatorAcked(id="ack", at=1, by="demo-oncall")
    assert isinstance(await two.tell(SHARD, incident, ack), Applied)
    await one.tell(SHARD, incident, replace(ack, id="ack-2", by="demo-approver"))
    assert (await store.incidents(SHARD, closed=True, limit=1))[0].incident.acknowledged_by == "demo-oncall"


async def test_a_copy_is_told_from_what_is_stored_not_from_a_stale_cache(store, telemetry):
    """The cache says "fires already", the store says "ended": an alert that fires again is then no copy."""
    one, two = make_engine(store, telemetry), make_engine(store.twin("second"), telemetry)
    await store.append(SHARD, [webhook(ALERT, replace(ALERT, fingerprint="b" * 16))])
    await drain(one)
    await store.append(SHARD, [webhook(replace(ALERT, status="resolved", ends_at=2_000))])
    await drain(two)
    await store.append(SHARD, [webhook(ALERT)])
    await drain(one)
    incidents = [line.incident for line in await store.incidents(SHARD, closed=True, limit=9)]
    again = next(incident for incident in incidents if ALERT.fingerprint in incident.alerts)
    assert again.alerts[ALERT.fingerprint].firing


async def test_an_end_is_not_lost_to_a_stale_key(store, telemetry):
    """The cache says "no such incident", another replica opened it meanwhile: the end reaches it."""
    one, two = make_engine(store, telemetry), make_engine(store.twin("second"), telemetry)
    over = replace(ALERT, status="resolved", ends_at=2_000)
    await store.append(SHARD, [webhook(over)])
    await drain(one)
    await store.append(SHARD, [webhook(ALERT)])
    await drain(two)
    await store.append(SHARD, [webhook(over)])
    await drain(one)
    (line,) = await store.incidents(SHARD, closed=True, limit=9)
    assert line.incident.firing == ()


async def test_a_lost_reply_is_not_a_second_effect(engine, store):
    """The commit happened, its reply was lost: folding again finds it done, and the outbox holds it once."""
    store.lose_reply.add("commit")
    await store.append(SHARD, [webhook(ALERT)])
    deliveries = await store.read_inbox(SHARD, 10, 0)
    with pytest.raises(StoreUnavailable):
        await engine.absorb(SHARD, deliveries)
    before = (await store.lag(SHARD))[1]
    await engine.absorb(SHARD, deliveries)
    assert (await store.lag(SHARD))[1] == before
    assert len(await store.incidents(SHARD, closed=True, limit=9)) == 1


async def test_an_event_for_an_incident_that_does_not_exist_is_denied(engine):
    """A mistyped id gets an answer, not a record."""
    decision = await engine.tell(SHARD, "inc-nowhere", OperatorAcked(id="x", at=1, by="demo-oncall"))
    assert decision == Denied("there is no incident inc-nowhere")


async def test_an_addressed_event_is_folded_by_its_aggregate(engine, store):
    """Timers and operators' events reach the incident through the inbox as well."""
    await store.append(SHARD, [webhook(ALERT)])
    await drain(engine)
    incident = (await store.incidents(SHARD, closed=True, limit=1))[0].incident.id
    await store.append(SHARD, [Addressed(to=incident, event=OperatorAcked(id="a", at=1, by="demo-oncall"))])
    await drain(engine)
    assert (await store.incidents(SHARD, closed=True, limit=1))[0].incident.acknowledged_by == "demo-oncall"


async def test_a_store_that_is_away_loses_nothing(engine, store):
    """The entry stays until the store can commit it."""
    await store.append(SHARD, [webhook(ALERT)])
    deliveries = await store.read_inbox(SHARD, 10, 0)
    store.down = "connection refused"
    with pytest.raises(StoreUnavailable):
        await absorb(engine, SHARD, deliveries)
    store.down = ""
    assert (await store.lag(SHARD))[0] == 1
    await absorb(engine, SHARD, deliveries)
    assert len(await store.incidents(SHARD, closed=True, limit=9)) == 1


async def test_one_record_that_no_race_can_be_won_for_holds_up_no_other(engine, store):
    """A damaged record loses every compare-and-set: its entry is set aside and paged, all others go on."""
    commit = store.commit

    async def refuses_one(shard, what):
        if any("b" * 16 in getattr(change.record, "key", "") for change in what.changes):
            return Conflict(stale=("inc-damaged",))
        return await commit(shard, what)

    store.commit = refuses_one
    bad = replace(ALERT, fingerprint="b" * 16)
    await store.append(SHARD, [webhook(ALERT, name="1"), webhook(bad, name="2")])
    await drain(engine)
    assert len(await store.incidents(SHARD, closed=True, limit=9)) == 1
    ((_, reason, _),) = await store.dead_letters(SHARD, 9)
    assert "races" in reason


async def test_an_alert_for_a_retired_incident_opens_a_new_one_whatever_the_cache_says(store, telemetry):
    """A replica that still knows the old key, and has learned that its incident is gone, loses no alert."""
    ours, theirs = make_engine(store, telemetry), make_engine(store.twin("b"), telemetry)
    await store.append(SHARD, [webhook(ALERT)])
    await drain(ours)
    ((_, incident),) = store._shard(SHARD).keys.items()
    found = store._shard(SHARD).records[incident]
    gone = replace(found, record=replace(found.record, status="closed", timers={}), version=found.version + 1)
    store._shard(SHARD).records[incident] = gone
    assert await theirs.store.retire(SHARD, incident, gone.version)
    assert isinstance(await ours.tell(SHARD, incident, OperatorAcked(id="op-1", at=1, by="x")), Denied)
    await store.append(SHARD, [webhook(replace(ALERT, starts_at=2_000), name="w2")])
    await drain(ours)
    (line,) = await store.incidents(SHARD, closed=True, limit=9)
    assert line.incident.id != incident
