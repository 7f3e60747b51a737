"""Retention: archived first, removed after, and never the one without the other. On the twins of store and archive."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bot.core.audit import link
from bot.core.events import AlertsReceived
from bot.core.incident import Incident, StepResult
from bot.core.plan import Plan
from bot.engine.alarms import Alarms
from bot.engine.ports import Archived, Change, Commit, Committed, KeyClaim
from bot.engine.retention import LAST_KEPT, Retention
from bot.errors import StoreUnavailable
from bot.testing import FakeClock, MemoryArchive, MemoryStore
from policies.book import PolicyBook, built_in

SHARD = "trading-core"
DAY = 86_400_000
HOUR = 3_600_000


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


def keeping(
    store: MemoryStore, archive: MemoryArchive, clock: FakeClock, after_ms: int = 30 * DAY, policies: str = ""
) -> Retention:
    """`policies` that are in force."""
    usual = built_in(SHARD)
    book = PolicyBook({SHARD: replace(usual, plans=dict.fromkeys(policies.split(), usual.catch_all.plan))})
    return Retention(
        store=store, archive=archive, clock=clock, alarms=Alarms(store, clock), shards=[SHARD], after_ms=after_ms,
        book=lambda: book,
    )  # fmt: skip


async def incident(
    store: MemoryStore, name: str, opened_at: int, closed_at: int | None, policy: str = "", *, acted: bool = True
) -> None:
    """An incident of two links, open or closed; of a policy, whose action was done or did not come up."""
    plan = Plan(policy=policy, system=SHARD, policy_hash="h1", mode="auto") if policy else None
    done = StepResult(step="cut", episode=1, outcome="verified", at=opened_at, why="seen")
    results = (done,) if policy and acted else ()
    record = Incident(id=name, key=f"key-{name}", system=SHARD, opened_at=opened_at, plan=plan, results=results)
    first = link("", 1, '{"n":1}')
    claim = KeyClaim(record.key, None, name)
    opening = Commit(changes=(Change(record, 0, first, {}),), claims=(claim,))
    assert isinstance(await store.commit(SHARD, opening), Committed)
    if closed_at is not None:
        over = replace(record, status="closed", closed_at=closed_at)
        await store.commit(SHARD, Commit(changes=(Change(over, 1, link(first.hash, 2, '{"n":2}'), {}),)))


async def alarms_of(store: MemoryStore) -> list[tuple[str, str, str]]:
    """(alarm, status, summary) of what was said since the last look."""
    entries = [delivery.entry for delivery in await store.read_inbox(SHARD, 100, 0)]
    told = [alert for entry in entries if isinstance(entry, AlertsReceived) for alert in entry.alerts]
    return [(alert.name, alert.status, alert.annotations.get("summary", "")) for alert in told]


async def test_only_what_has_been_closed_long_enough_leaves(store, archive, clock):
    """Not what is open, however old; not what closed lately, however long ago it opened."""
    now = clock.now()
    await incident(store, "inc-open", now - 90 * DAY, None)
    await incident(store, "inc-lately", now - 80 * DAY, now - 30 * DAY + 1)
    await incident(store, "inc-old", now - 31 * DAY, now - 30 * DAY)
    assert await keeping(store, archive, clock).sweep() == 1
    assert list(archive.kept) == ["inc-old"]
    assert (archive.kept["inc-old"].version, len(archive.kept["inc-old"].audit)) == (2, 2)
    assert await store.aggregates(SHARD) == ["inc-lately", "inc-open"]
    clock.advance(1)
    assert await keeping(store, archive, clock).sweep() == 1
    assert await store.aggregates(SHARD) == ["inc-open"]


async def test_the_last_few_of_each_policy_stay_however_old(store, archive, clock):
    """Whoever decides about the next one is shown how they went, also of what people order; all others go."""
    for number in range(10):
        await incident(store, f"inc-a{number}", 100 + 2 * number, 200, "rare")
        await incident(store, f"inc-b{number}", 101 + 2 * number, 200, "order" if number < 3 else "gone")
    retention = keeping(store, archive, clock, policies="rare")
    assert await retention.sweep() == 10 - LAST_KEPT + 7
    kept = [f"inc-a{number}" for number in range(10 - LAST_KEPT, 10)] + ["inc-b0", "inc-b1", "inc-b2"]
    assert await store.aggregates(SHARD) == kept
    assert await retention.sweep() == 0
    await incident(store, "inc-a99", 300, 301, "rare")
    assert await keeping(store.twin("b"), archive, clock, policies="rare").sweep() == 1
    assert await store.aggregates(SHARD) == [*kept[1:LAST_KEPT], "inc-a99", *kept[LAST_KEPT:]]
    assert len(archive.kept) == 12


async def test_what_has_nothing_to_tell_or_no_policy_any_more_goes(store, archive, clock):
    """An incident whose action never came up is shown to nobody; a policy that is gone decides nothing."""
    await incident(store, "inc-quiet", 1, 2, "rare", acted=False)
    await incident(store, "inc-old", 1, 2, "withdrawn")
    await incident(store, "inc-told", 1, 2, "rare")
    assert await keeping(store, archive, clock, policies="rare").sweep() == 2
    assert await store.aggregates(SHARD) == ["inc-told"]
    assert await keeping(store, archive, clock).sweep() == 1


async def test_those_that_stay_hold_up_no_page(store, archive, clock):
    """More of them than one page: what comes after them goes all the same, in the same round."""
    names = [f"p{number}" for number in range(40)]
    for number, name in enumerate(names * LAST_KEPT):
        await incident(store, f"inc-{number:03}", 1 + number, 400, name)
    await incident(store, "inc-next", 500, 501, "p0")
    await incident(store, "inc-other", 502, 503)
    assert await keeping(store, archive, clock, policies=" ".join(names)).sweep() == 2
    assert sorted(archive.kept) == ["inc-000", "inc-other"]


async def test_one_that_cannot_go_is_told_by_its_own_name(store, archive, clock):
    """The one whose turn it is, not the one that made it so; and it stays."""
    for number in range(LAST_KEPT + 1):
        await incident(store, f"inc-{number}", 1 + number, 20, "rare")
    store._shard(SHARD).chains["inc-0"].pop()
    assert await keeping(store, archive, clock, policies="rare").sweep() == 0
    ((_, _, summary),) = await alarms_of(store)
    assert "inc-0: " in summary


async def test_what_cannot_be_archived_stays_and_is_told_once(store, archive, clock):
    """A full disk: nothing is removed, one alarm however often it fails, and it is over when it works again."""
    for number in range(3):
        await incident(store, f"inc-{number}", 1, 2)
    archive.broken = "No space left on device"
    retention = keeping(store, archive, clock)
    assert await retention.sweep() == 0
    clock.advance(HOUR)
    assert await retention.sweep() == 0
    assert len(await store.aggregates(SHARD)) == 3
    ((name, status, summary), *again) = await alarms_of(store)
    assert (name, status) == ("AndonArchiveFailed", "firing")
    assert "No space left" in summary
    assert all(each[1] == "firing" for each in again)
    archive.broken = ""
    assert await retention.sweep() == 3
    assert [(name, status) for name, status, _ in await alarms_of(store)] == [("AndonArchiveFailed", "resolved")]


async def test_a_chain_that_does_not_hold_is_neither_archived_nor_removed(store, archive, clock):
    """An archive must not turn a tampered chain into a sealed one; the others go on."""
    await incident(store, "inc-bad", 1, 2)
    await incident(store, "inc-good", 1, 2)
    store._shard(SHARD).chains["inc-bad"].pop()
    assert await keeping(store, archive, clock).sweep() == 1
    assert list(archive.kept) == ["inc-good"]
    ((_, _, summary),) = await alarms_of(store)
    assert "inc-bad" in summary
    assert "cut off" in summary


async def test_a_crash_between_archive_and_store_is_finished_by_the_next_round(store, archive, clock):
    """Kept and not yet removed: the next round, here or elsewhere, removes it; its lost reply harms nothing."""

    class Dying(MemoryStore):
        async def retire(self, *_: object) -> bool:
            raise StoreUnavailable("the process is gone")

    dying = Dying()
    dying._shards = store._shards
    await incident(store, "inc-1", 1, 2)
    assert await keeping(dying, archive, clock).sweep() == 0
    assert list(archive.kept) == await store.aggregates(SHARD) == ["inc-1"]
    store.lose_reply = {"retire"}
    await keeping(store, archive, clock).sweep()
    assert await store.aggregates(SHARD) == []
    assert await keeping(store, archive, clock).sweep() == 0
    assert list(archive.kept) == ["inc-1"]


async def test_an_incident_that_changed_while_it_was_archived_stays(store, archive, clock):
    """Only exactly what was archived is removed; the next round archives what it has become."""

    class Slow(MemoryArchive):
        async def keep(self, closed: Archived, at: int) -> None:
            await super().keep(closed, at)
            chain = await store.audit(SHARD, "inc-1")
            if len(chain) == 2:
                newer = link(chain[-1].hash, 3, '{"n":3}')
                await store.commit(SHARD, Commit(changes=(Change(closed.incident, 2, newer, {}),)))

    await incident(store, "inc-1", 1, 2)
    retention = keeping(store, Slow(), clock)
    assert await retention.sweep() == 0
    assert await store.aggregates(SHARD) == ["inc-1"]
    assert await retention.sweep() == 1


async def test_replicas_at_once_do_no_harm(store, archive, clock):
    """Each incident is kept, and gone, whoever was first."""
    for number in range(20):
        await incident(store, f"inc-{number:02}", 1, 2)
        await incident(store, f"inc-rare{number:02}", 1 + number, 40, "rare")
    async with asyncio.TaskGroup() as tasks:
        for name in "ab":
            tasks.create_task(keeping(store.twin(name), archive, clock, policies="rare").sweep())
    await keeping(store, archive, clock, policies="rare").sweep()
    assert await store.aggregates(SHARD) == [f"inc-rare{number}" for number in range(20 - LAST_KEPT, 20)]
    assert len(archive.kept) == 40 - LAST_KEPT


async def test_a_store_that_is_away_is_not_the_archives_failure(store, archive, clock):
    """No alarm of ours and no crash; the next round tries again."""

    class Away(MemoryStore):
        async def oldest_incidents(self, *_: object, **__: object) -> list[str]:
            raise StoreUnavailable("connection refused")

    assert await keeping(Away(), archive, clock).sweep() == 0


async def test_zero_keeps_everything_for_ever(store, archive, clock):
    """`after: 0s` switches retention off."""
    await incident(store, "inc-1", 1, 2)
    assert await keeping(store, archive, clock, after_ms=0).sweep() == 0
    assert await store.aggregates(SHARD) == ["inc-1"]


async def test_more_than_a_page_goes_in_one_round(store, archive, clock):
    """Pages of ids are read on past those that stay."""
    now = clock.now()
    for number in range(250):
        await incident(store, f"inc-open{number}", 1, None)
    await incident(store, "inc-old", now - 40 * DAY, now - 40 * DAY)
    assert await keeping(store, archive, clock).sweep() == 1


@pytest.mark.looptime
async def test_a_round_is_made_at_the_start_and_then_every_hour(store, archive, clock):
    """What comes of age later goes with a later round; time here is the loop's own."""
    retention = keeping(store, archive, clock)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(retention.run())
        await incident(store, "inc-1", clock.now(), clock.now())
        await asyncio.sleep(60)
        clock.advance(30 * DAY)
        await asyncio.sleep(3_500)
        assert await store.aggregates(SHARD) == ["inc-1"]
        await asyncio.sleep(60)
        assert await store.aggregates(SHARD) == []
        running.cancel()
