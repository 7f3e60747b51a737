"""Cron schedules, watches and the clock: when a line fires, what was missed, and what a jump of the clock says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest

from bot.adapters.clock import ScaledClock, wall_ms
from bot.adapters.codec import event_text
from bot.core.alert import Alert
from bot.core.source import Source
from bot.engine.alarms import Alarms
from bot.engine.clockwatch import ClockWatch
from bot.engine.engine import Engine
from bot.engine.following import BookFollower
from bot.engine.ports import Clock
from bot.engine.schedule import CronSchedules, Fires
from bot.engine.watches import Watches
from bot.testing import FakeClock, MemoryStore
from policies.book import Match, Watch
from policies.sources import Schedule

SHARD = "trading-core"
MINUTE = 60_000
HOUR = 60 * MINUTE
NEW_YORK = "America/New_York"
OPENING = Schedule(
    name="open", system=SHARD, cron="30 6 * * mon-fri", zone=NEW_YORK, grace_ms=5 * MINUTE,
    labels=(("alertname", "MarketOpenCheck"), ("severity", "info")),
)  # fmt: skip


class Book:
    """Schedules and watches, and a note of every alert that came to be matched."""

    def __init__(self, *schedules: Schedule, watches: tuple[Watch, ...] = ()) -> None:
        self.schedules = schedules
        self.watches = watches
        self.alerts: list[Alert] = []

    def match(self, system: str, alert: Alert) -> tuple[Match, ...]:
        if alert not in self.alerts:  # a pass that lost its race is folded again
            self.alerts.append(alert)
        return ()

    def watch(self, system: str, alert: Alert) -> str:
        return ""


class Deaf:
    """Telemetry nobody reads."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def ms(*moment: int, zone: str = NEW_YORK) -> int:
    return int(datetime(*moment, tzinfo=ZoneInfo(zone)).timestamp() * 1_000)  # type: ignore[arg-type]


def engine_at(book: Book, clock: Clock, store: MemoryStore | None = None) -> Engine:
    return Engine(
        store=store or MemoryStore(), book=book, text=event_text, clock=clock, telemetry=Deaf(), shards=[SHARD]
    )


def crons(engine: Engine) -> CronSchedules:
    return CronSchedules(engine, Alarms(engine.store, engine.clock), BookFollower(engine))


# --- when a line fires ---------------------------------------------------------------------------------------------


def test_a_line_fires_by_the_clock_of_its_zone():
    """06:30 in New York stays 06:30 there when the clocks change; a weekend has none."""
    fires = Fires("30 6 * * mon-fri", NEW_YORK)
    found = list(islice(fires.after(ms(2025, 3, 6, 12, 0)), 3))
    assert found == [ms(2025, 3, 7, 6, 30), ms(2025, 3, 10, 6, 30), ms(2025, 3, 11, 6, 30)]
    assert found[1] - found[0] == 71 * HOUR  # a weekend that lost an hour
    assert fires.words(found[0]) == "Fri 2025-03-07 06:30 America/New_York"


def test_the_hour_that_autumn_repeats_has_one_fire_of_a_fixed_hour_and_all_of_every_hour():
    """A daily job at 01:30 is not run twice that night; one that runs every hour is."""
    before = ms(2025, 11, 1, 12, 0)
    assert list(islice(Fires("30 1 * * *", NEW_YORK).after(before), 2)) == [
        ms(2025, 11, 2, 1, 30),
        ms(2025, 11, 3, 1, 30),
    ]
    hourly = list(islice(Fires("30 * * * *", NEW_YORK).after(ms(2025, 11, 2, 0, 0)), 4))
    assert [later - earlier for earlier, later in pairwise(hourly)] == [HOUR, HOUR, HOUR]


def test_the_hour_that_spring_skips_still_has_its_fire():
    """02:30 does not exist that night; the job is run an hour later rather than not at all."""
    assert next(Fires("30 2 * * *", NEW_YORK).after(ms(2025, 3, 8, 12, 0))) == ms(2025, 3, 9, 3, 30)


@pytest.mark.parametrize("zone", [NEW_YORK, "Europe/Berlin", "Asia/Jerusalem", "Australia/Lord_Howe", "UTC"])
@pytest.mark.parametrize("line", ["0 0 * * *", "30 0 * * *", "0 0 * * mon", "30 2 * * *", "59 23 * * *"])
def test_every_day_of_a_year_has_its_fire(zone: str, line: str):
    """Also the first midnight after the clocks went forward: no day is left out, and none has two."""
    place = ZoneInfo(zone)
    fires = islice(Fires(line, zone).after(ms(2026, 1, 1, 12, 0, zone=zone)), 400)
    days = [datetime.fromtimestamp(at / 1_000, place).date() for at in fires]
    assert {later - earlier for earlier, later in pairwise(days)} == {timedelta(days=7 if "mon" in line else 1)}


def test_every_quarter_of_an_hour_has_its_fire_through_both_changes():
    """By the instants, whatever the clocks show: none left out, none twice, in order."""
    for start in (ms(2026, 3, 7, 12, 0), ms(2026, 10, 31, 12, 0)):
        found = list(islice(Fires("*/15 * * * *", NEW_YORK).after(start), 200))
        assert found == [start + (number + 1) * 15 * MINUTE for number in range(200)]
        middle = found[60]
        assert next(Fires("*/15 * * * *", NEW_YORK).after(middle)) == middle + 15 * MINUTE


def test_missed_fires_are_counted_and_the_newest_named():
    """Also over an outage longer than a day, and none when none was due."""
    hourly = Fires("0 * * * *", "UTC")
    start = ms(2025, 1, 1, 0, 0, zone="UTC")
    assert hourly.missed(start, start + HOUR - 1) == (0, None)
    assert hourly.missed(start, start + HOUR) == (1, start + HOUR)
    assert hourly.missed(start, start + 50 * HOUR + 1) == (50, start + 50 * HOUR)
    yearly = Fires("0 0 1 jan *", "UTC")
    assert yearly.missed(start - 1, start + 40 * 24 * HOUR) == (1, start)


# --- telling it ----------------------------------------------------------------------------------------------------


async def test_each_fire_is_told_once_by_any_number_of_replicas():
    """Two replicas, one fire, one alert dated by when it was due; what was due before the first start is not missed."""
    clock, book = FakeClock(ms(2025, 1, 7, 6, 0)), Book(OPENING)
    store = MemoryStore("a")
    first, second = crons(engine_at(book, clock, store)), crons(engine_at(book, clock, store.twin("b")))
    planned = [(one, await one.plan(book)) for one in (first, second)]
    for one, followed in planned:
        assert await one.tell_due(followed) == ms(2025, 1, 7, 6, 30)
    clock.advance(30 * MINUTE + 500)
    for one, followed in planned:
        assert await one.tell_due(followed) == ms(2025, 1, 8, 6, 30)
    (alert,) = book.alerts
    assert (alert.name, alert.starts_at) == ("MarketOpenCheck", ms(2025, 1, 7, 6, 30))


async def test_an_outage_is_told_as_missed_after_the_next_start():
    """Down over two fires: one alert names the newest and the count, and nothing is run late."""
    clock, book, store = FakeClock(ms(2025, 1, 6, 6, 0)), Book(OPENING), MemoryStore()
    before = crons(engine_at(book, clock, store))
    await before.tell_due(await before.plan(book))
    clock.advance(26 * HOUR)
    after = crons(engine_at(book, clock, store))
    await after.tell_due(await after.plan(book))
    (alert,) = book.alerts
    assert alert.name == "AndonScheduleMissed"
    assert "Tue 2025-01-07 06:30 America/New_York, and 1 before it" in alert.annotations["summary"]


async def test_a_replica_that_slept_does_not_call_missed_what_another_told():
    """Paused for an hour, it wakes at the next fire: it asks what was told meanwhile before it counts."""
    clock, store = FakeClock(ms(2025, 1, 7, 0, 0, zone="UTC")), MemoryStore("a")
    book = Book(
        Schedule(name="open", system=SHARD, cron="0 * * * *", zone="UTC", grace_ms=MINUTE, labels=OPENING.labels)
    )
    awake, asleep = crons(engine_at(book, clock, store)), crons(engine_at(book, clock, store.twin("b")))
    told, untold = await awake.plan(book), await asleep.plan(book)
    for _ in range(3):
        clock.advance(HOUR)
        await awake.tell_due(told)
    clock.advance(HOUR)
    await asleep.tell_due(untold)
    assert {alert.name for alert in book.alerts} == {"MarketOpenCheck"}


async def test_a_reload_takes_a_schedule_away_and_another_line_begins_anew():
    """What the new line would have had before it was written is nobody's miss."""
    clock, store = FakeClock(ms(2025, 1, 7, 6, 0)), MemoryStore()
    book = Book(OPENING)
    engine = engine_at(book, clock, store)
    schedules = crons(engine)
    await schedules.tell_due(await schedules.plan(book))
    clock.advance(24 * HOUR)
    engine.book = Book(Schedule(name="open", system=SHARD, cron="* * * * *", zone="UTC", grace_ms=MINUTE, labels=()))
    await schedules.tell_due(await schedules.plan(engine.book))
    assert engine.book.alerts == []
    engine.book = Book()
    assert await schedules.tell_due(await schedules.plan(engine.book)) is None
    stored = (await store.load(SHARD, ["source:schedule:open"]))["source:schedule:open"].record
    assert isinstance(stored, Source)
    assert stored.cron == ""


async def test_a_line_that_cannot_be_run_is_an_alarm_and_the_others_go_on():
    """Whatever the linter let through, one schedule is not all of them."""
    clock, store = FakeClock(ms(2025, 1, 7, 6, 0)), MemoryStore()
    bad = Schedule(name="bad", system=SHARD, cron="0 6 1 1-mar *", zone=NEW_YORK, grace_ms=MINUTE, labels=())
    book = Book(bad, OPENING)
    schedules = crons(engine_at(book, clock, store))
    assert await schedules.tell_due(await schedules.plan(book)) == ms(2025, 1, 7, 6, 30)
    (delivery,) = await store.read_inbox(SHARD, 9, 0)
    (alarm,) = delivery.entry.alerts
    assert (alarm.name, alarm.labels["schedule"]) == ("AndonScheduleBroken", "bad")


async def test_a_clock_that_was_ahead_and_is_put_right_fires_again():
    """Without a restart: what was taken a year ahead does not mute the next morning."""
    clock, book = FakeClock(ms(2025, 1, 7, 6, 0)), Book(OPENING)
    schedules = crons(engine_at(book, clock))
    followed = await schedules.plan(book)
    clock.advance(365 * 24 * HOUR)
    await schedules.tell_due(followed)
    clock.advance(-365 * 24 * HOUR)
    assert await schedules.tell_due(followed) == ms(2025, 1, 7, 6, 30)
    clock.advance(31 * MINUTE)
    await schedules.tell_due(followed)
    assert book.alerts[-1].starts_at == ms(2025, 1, 7, 6, 30)


async def test_it_runs_by_itself_also_on_a_scaled_clock():
    """Fires every minute of a clock that runs 1,200 times as fast, told within the second."""
    clock = ScaledClock(1_200, wall_ms())
    every = Schedule(name="tick", system=SHARD, cron="* * * * *", zone="UTC", grace_ms=HOUR, labels=OPENING.labels)
    book = Book(every)
    engine = engine_at(book, clock)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(crons(engine).run())
        while len([alert for alert in book.alerts if alert.name == "MarketOpenCheck"]) < 3:
            await asyncio.sleep(0.01)
        running.cancel()
    due = [alert.starts_at for alert in book.alerts if alert.name == "MarketOpenCheck"]
    assert [at % MINUTE for at in due] == [0] * len(due)
    assert due == sorted(set(due))


# --- watches -------------------------------------------------------------------------------------------------------


async def test_watches_of_the_book_are_armed_and_others_disarmed():
    """Also one that was taken out of the file while Andon was down."""
    clock, store = FakeClock(), MemoryStore()
    watch = Watch(name="watchdog", system=SHARD, matches=lambda labels: True, within_ms=5 * MINUTE)
    book = Book(watches=(watch,))
    engine = engine_at(book, clock, store)
    await Watches(engine, BookFollower(engine)).tell(book)

    async def timers() -> list[int]:
        record = (await store.load(SHARD, ["source:watch:watchdog"]))["source:watch:watchdog"].record
        return [timer.due for timer in record.timers.values()]

    due = await timers()
    assert due == [clock.now() + 5 * MINUTE]
    clock.advance(MINUTE)
    await Watches(engine, BookFollower(engine)).tell(book)
    assert await timers() == due
    empty = Book()
    again = engine_at(empty, clock, store)
    await Watches(again, BookFollower(again)).tell(empty)
    assert await timers() == []


# --- the clock -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("jump", "words"), [(3_600_000, "3600.0 s forward"), (-90_000, "90.0 s back"), (900, "")])
async def test_a_jump_of_the_clock_is_told_once_with_its_size(jump: int, words: str):
    """An hour forward, a minute and a half back; what NTP slews is no jump."""
    store, clock = MemoryStore(), FakeClock()
    watch = ClockWatch(clock, Alarms(store, clock), Deaf(), shard=SHARD)
    watch.begin()
    clock.advance(jump)
    seen = await watch.look()
    assert await watch.look() == 0.0
    deliveries = await store.read_inbox(SHARD, 9, 0)
    if not words:
        assert (seen, deliveries) == (0.0, [])
        return
    assert seen == pytest.approx(jump / 1_000, abs=0.5)
    (alert,) = deliveries[0].entry.alerts
    assert alert.name == "AndonClockJumped"
    assert words in alert.annotations["summary"]
