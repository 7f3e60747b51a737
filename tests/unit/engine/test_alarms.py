"""What Andon says about itself: once, never lost, never in the way of whoever says it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from bot.core.alert import Alert
from bot.core.events import AlertsReceived
from bot.engine.alarms import ANEW_MS, MAX_UNSAID, REPEAT_MS, Alarms
from bot.testing import FakeClock, MemoryStore
from tests.unit.engine.ears import House

SHARD = "unrouted"
NAME = "AndonAlertmanagerUnreachable"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def alarms(store: MemoryStore, clock: FakeClock) -> Alarms:
    return Alarms(store, clock, retry_seconds=0.001)


async def said(store: MemoryStore) -> list[Alert]:
    """Every alert in the inbox that was not read yet."""
    entries = [delivery.entry for delivery in await store.read_inbox(SHARD, 1_000, 0)]
    return [alert for entry in entries if isinstance(entry, AlertsReceived) for alert in entry.alerts]


async def test_an_alarm_is_an_alert_like_any_other(store: MemoryStore, clock: FakeClock, alarms: Alarms) -> None:
    """Critical unless said otherwise, so the catch-all pages; its source and label tell that Andon speaks of itself."""
    await alarms.raise_(SHARD, NAME, "no answer for 3 min", labels=[("alertmanager", "a")])
    [alert] = await said(store)
    assert (alert.name, alert.severity, alert.source, alert.status) == (NAME, "critical", "andon", "firing")
    assert alert.labels["andon"] == "self"
    assert alert.labels["alertmanager"] == "a"
    assert alert.annotations == {"summary": "no answer for 3 min"}
    assert alert.starts_at == clock.now()
    assert len(alert.fingerprint) == 16


async def test_a_state_that_lasts_is_one_firing(store: MemoryStore, clock: FakeClock, alarms: Alarms) -> None:
    """Said at every look, it is stored once; after a while again, as a copy of the same firing."""
    for _ in range(5):
        await alarms.raise_(SHARD, NAME, "no answer")
    clock.advance(REPEAT_MS)
    await alarms.raise_(SHARD, NAME, "no answer")
    first, second = await said(store)
    assert (first.fingerprint, first.starts_at) == (second.fingerprint, second.starts_at)


async def test_labels_tell_alarms_apart_and_severity_does_not(
    store: MemoryStore, clock: FakeClock, alarms: Alarms
) -> None:
    """Two Alertmanagers away are two alarms; one that got graver is still the same."""
    await alarms.raise_(SHARD, NAME, "no answer", labels=[("alertmanager", "a")], severity="warning")
    await alarms.raise_(SHARD, NAME, "no answer", labels=[("alertmanager", "b")])
    clock.advance(REPEAT_MS)
    await alarms.raise_(SHARD, NAME, "no answer", labels=[("alertmanager", "a")], severity="critical")
    warning, other, critical = await said(store)
    assert warning.fingerprint != other.fingerprint
    assert warning.fingerprint == critical.fingerprint


async def test_clearing_ends_the_same_firing_once(store: MemoryStore, clock: FakeClock, alarms: Alarms) -> None:
    """Same fingerprint, same severity (what took the firing takes its end), not older than the firing."""
    await alarms.raise_(SHARD, NAME, "no answer", severity="error")
    clock.advance(10)
    await alarms.clear(SHARD, NAME)
    await alarms.clear(SHARD, NAME)
    firing, end = await said(store)
    assert (end.status, end.fingerprint, end.severity) == ("resolved", firing.fingerprint, "error")
    assert end.starts_at >= firing.starts_at


async def test_what_a_predecessor_raised_is_cleared_too(store: MemoryStore, alarms: Alarms) -> None:
    """After a restart nobody remembers what was raised: the first clear is said, the next ones are not."""
    for _ in range(3):
        await alarms.clear(SHARD, NAME)
    [end] = await said(store)
    assert (end.status, end.severity) == ("resolved", "critical")


async def test_raised_after_a_clear_it_is_a_new_firing(store: MemoryStore, clock: FakeClock, alarms: Alarms) -> None:
    """Otherwise what a person dismissed would stay dismissed for ever."""
    await alarms.raise_(SHARD, NAME, "no answer")
    clock.advance(10)
    await alarms.clear(SHARD, NAME)
    clock.advance(10)
    await alarms.raise_(SHARD, NAME, "no answer")
    first, _, second = await said(store)
    assert second.starts_at == first.starts_at + 20


async def test_a_state_that_another_replica_thinks_over_is_heard_again() -> None:
    """Its end is about what that replica sees, even when its own firing was the later one; what we still say counts."""
    house = House()
    ours, others = Alarms(house.store, house.clock), Alarms(house.store, house.clock)
    await ours.raise_(SHARD, NAME, "no answer")
    house.clock.advance(10_000)
    await others.raise_(SHARD, NAME, "no answer")
    house.clock.advance(10_000)
    await others.clear(SHARD, NAME)
    await house.work()
    assert await house.alarms() == []
    house.clock.advance(REPEAT_MS)
    await ours.raise_(SHARD, NAME, "no answer")
    await house.work()
    assert await house.alarms() == [NAME]


async def test_an_occurrence_fires_anew_but_a_flood_is_one(
    store: MemoryStore, clock: FakeClock, alarms: Alarms
) -> None:
    """A second loss is news, also to somebody who dismissed the first; a thousand in a minute are one."""
    for _ in range(1_000):
        await alarms.raise_(SHARD, NAME, "an alert was lost", anew=True)
    clock.advance(ANEW_MS)
    await alarms.raise_(SHARD, NAME, "an alert was lost", anew=True)
    first, second = await said(store)
    assert second.starts_at == first.starts_at + ANEW_MS


async def test_a_store_that_is_away_hears_it_when_it_is_back(store: MemoryStore, alarms: Alarms) -> None:
    """Whoever raises an alarm is never failed; what was not stored is kept, in order, and tried again."""
    store.down = "disk full"
    await alarms.raise_(SHARD, NAME, "no answer")
    store.down = ""
    await alarms.clear(SHARD, NAME)
    assert await store.lag(SHARD) == (0, 0), "its end must not overtake it"
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(alarms.run())
        await asyncio.wait_for(_lag(store, 2), 5)
        running.cancel()
    assert [alert.status for alert in await said(store)] == ["firing", "resolved"]


async def test_what_is_kept_is_bounded(store: MemoryStore, alarms: Alarms) -> None:
    """A store that stays away does not fill the memory."""
    store.down = "disk full"
    for number in range(MAX_UNSAID + 10):
        await alarms.raise_(SHARD, NAME, "no answer", labels=[("alertmanager", str(number))])
    store.down = ""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(alarms.run())
        await _lag(store, MAX_UNSAID)
        running.cancel()
    assert len(await said(store)) == MAX_UNSAID


async def _lag(store: MemoryStore, count: int) -> None:
    """Return once `count` entries wait in the inbox."""
    while True:
        with suppress(Exception):
            if (await store.lag(SHARD))[0] >= count:
                return
        await asyncio.sleep(0)
