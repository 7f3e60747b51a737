"""Tailing foreign streams: from the end at first, each entry once, gaps told, replicas and reloads in between.

On the twins of the store and of the foreign server; time passes only where a test moves it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from bot.adapters.codec import event_text
from bot.core.alert import Alert
from bot.core.plan import Plan
from bot.core.source import Source
from bot.core.source_events import StreamRule
from bot.engine import streams as streams_module
from bot.engine.alarms import Alarms
from bot.engine.engine import Engine
from bot.engine.following import BookFollower
from bot.engine.stream_views import StreamView, progress
from bot.engine.streams import StreamTailer
from bot.testing import FakeClock, MemoryStore
from bot.testing.streams import MemoryStreams
from policies.book import Match
from policies.sources import StreamSource

SHARD = "trading-core"
KEY = "model.switch.log"
RULE = StreamRule(name="ExcessiveModelSwitching", count=2, within_ms=300_000)
SOURCE = StreamSource(name="switches", system=SHARD, component="redis", key=KEY, rules=(RULE,))
PLAN = Plan(policy="any", system=SHARD, policy_hash="h", mode="auto")


class Book:
    """One incident for each alert name, and the streams of this test."""

    def __init__(self, *streams: StreamSource) -> None:
        self.streams = streams

    def match(self, system: str, alert: Alert) -> tuple[Match, ...]:
        return (Match(PLAN, f"any{{{alert.name}}}", {}),)

    def watch(self, system: str, alert: Alert) -> str:
        return ""

    def current(self, system: str, policy: str) -> Plan:
        return PLAN


class Deaf:
    """Telemetry nobody reads."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class Listening:
    """A replica that tails."""

    def __init__(self, store: MemoryStore, foreign: MemoryStreams, *streams: StreamSource) -> None:
        self.clock = FakeClock()
        self.store = store
        self.foreign = foreign
        self.engine = Engine(
            store=store, book=Book(*(streams or (SOURCE,))), text=event_text, clock=self.clock, telemetry=Deaf(),
            shards=[SHARD],
        )  # fmt: skip
        self.follower = BookFollower(self.engine)
        self.alarms = Alarms(store, self.clock)
        self.tailer = StreamTailer(self.engine, foreign, self.alarms, Deaf(), self.follower, linger_seconds=0)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.tailer.run())
            yield
            task.cancel()

    def switch(self, number: int) -> str:
        at = self.clock.now() + number
        return self.foreign.add(KEY, {"model": "m1"}, f"{at}-0")

    async def source(self) -> Source:
        stored = (await self.store.load(SHARD, ["source:stream:switches"])).get("source:stream:switches")
        assert stored is None or isinstance(stored.record, Source)
        return stored.record if stored is not None else Source(id="source:stream:switches", system=SHARD)

    async def stands_at(self, position: str) -> Source:
        while (source := await self.source()).position != position:
            await asyncio.sleep(0)
        return source

    async def incidents(self) -> list[str]:
        return sorted(line.incident.key for line in await self.store.incidents(SHARD, closed=True, limit=9))


@pytest.fixture
def listening() -> Listening:
    return Listening(MemoryStore(), MemoryStreams())


async def test_it_begins_at_the_end_and_opens_one_incident_past_the_count(listening: Listening):
    """What was written before Andon listened is no alert; the third entry within the window is one, once."""
    for number in range(-9, 0):
        listening.switch(number)
    async with listening.running():
        await listening.stands_at(f"{listening.clock.now() - 1}-0")
        for number in (1, 2):
            last = listening.switch(number)
        await listening.stands_at(last)
        assert await listening.incidents() == []
        for number in (3, 4, 5):
            last = listening.switch(number)
        await listening.stands_at(last)
    assert await listening.incidents() == ["any{ExcessiveModelSwitching}"]


async def test_a_restart_goes_on_from_the_commit(listening: Listening):
    """What was written while Andon was away is read afterwards; what was read before counts on, and once."""
    async with listening.running():
        await listening.stands_at("0-0")
        for number in (1, 2):
            last = listening.switch(number)
        await listening.stands_at(last)
    last = listening.switch(3)
    again = Listening(listening.store, listening.foreign)
    async with again.running():
        source = await again.stands_at(last)
    (window,) = source.windows.values()
    assert sum(many for _, many in window.times) == 3
    assert await again.incidents() == ["any{ExcessiveModelSwitching}"]


async def test_two_replicas_count_each_entry_once():
    """Both read everything; the position takes each batch from one of them."""
    foreign, store = MemoryStreams(), MemoryStore("a")
    source = replace(SOURCE, rules=(replace(RULE, count=900),))
    first, second = Listening(store, foreign, source), Listening(store.twin("b"), foreign, source)
    async with first.running(), second.running():
        await first.stands_at("0-0")
        for number in range(1, 401):
            last = first.switch(number)
            if number % 50 == 0:
                await asyncio.sleep(0)
        stood = await first.stands_at(last)
    (window,) = stood.windows.values()
    assert sum(many for _, many in window.times) == 400


async def test_what_was_trimmed_while_andon_was_away_is_told_with_its_number(listening: Listening):
    """Five were written and one is left: four were lost, and a person hears of it."""
    async with listening.running():
        await listening.stands_at("0-0")
        await listening.stands_at(listening.switch(0))
    for number in range(1, 6):
        last = listening.switch(number)
    listening.foreign.trim(KEY, 1)
    async with listening.running():
        await listening.stands_at(last)
    assert await listening.incidents() == ["any{AndonStreamGap}"]
    (line,) = await listening.store.incidents(SHARD, closed=True, limit=9)
    (state,) = line.incident.alerts.values()
    assert "4 entries were trimmed" in state.alert.annotations["summary"]


async def test_a_failover_to_a_replica_that_lagged_is_told_and_followed(listening: Listening):
    """What the new primary never had was counted already; what is written next is read, though its id is lower."""
    async with listening.running():
        await listening.stands_at("0-0")
        for number in (1, 2, 30):
            last = listening.switch(number)
        await listening.stands_at(last)
    listening.foreign.fall_back(KEY, 1)
    async with listening.running():
        await listening.stands_at(f"{listening.clock.now() + 2}-0")
        source = await listening.stands_at(listening.switch(10))
    assert "any{AndonStreamGap}" in await listening.incidents()
    (window,) = source.windows.values()
    assert sum(many for _, many in window.times) == 3


async def test_what_fires_ends_with_a_look_that_finds_nothing_more_and_not_before(listening: Listening):
    """While its server is away, time ends nothing; when it is back and nothing more came, the alert is over."""
    async with listening.running():
        await listening.stands_at("0-0")
        for number in (1, 2, 3):
            last = listening.switch(number)
        await listening.stands_at(last)
        listening.foreign.down = True
        listening.clock.advance(RULE.within_ms)
        await asyncio.sleep(0.2)  # two tries
        assert (await listening.source()).raised
        listening.foreign.down = False
        while (await listening.source()).raised:
            await asyncio.sleep(0)


async def test_a_reload_starts_and_ends_tails(listening: Listening):
    """The book is swapped: the stream that is gone is read no more, the new one is."""
    other = replace(SOURCE, name="gates", key="gate.decisions")
    async with listening.running():
        await listening.stands_at("0-0")
        listening.engine.book = Book(other)
        listening.follower.poke()
        while "source:stream:gates" not in await listening.store.aggregates(SHARD):
            await asyncio.sleep(0)
        listening.switch(1)
        await asyncio.sleep(1.2)  # the old tail's longest wait
        last = listening.switch(2)
        assert (await listening.source()).position != last


async def test_a_foreign_server_that_stays_away_is_an_alarm(listening: Listening, monkeypatch: pytest.MonkeyPatch):
    """Longer than its bound, a person hears of it; when it is back, that is over, and nothing was missed."""
    monkeypatch.setattr(streams_module, "UNREACHABLE_SECONDS", 0.05)
    async with listening.running():
        await listening.stands_at("0-0")
        await _alert(listening, "resolved")  # of a predecessor, perhaps
        last = listening.switch(1)
        listening.foreign.down = True
        told = await _alert(listening, "firing")
        assert (told.name, told.labels["stream"]) == ("AndonStreamUnreachable", "switches")
        assert "redis cannot be read: ConnectionError" in told.annotations["summary"]
        listening.foreign.down = False
        await _alert(listening, "resolved")
        await listening.stands_at(last)


async def test_a_stream_that_is_read_no_more_is_no_alarm(listening: Listening, monkeypatch: pytest.MonkeyPatch):
    """A reload took it out while it could not be reached: nobody will ever find it well again."""
    monkeypatch.setattr(streams_module, "UNREACHABLE_SECONDS", 0.05)
    listening.foreign.down = True
    async with listening.running():
        await _alert(listening, "firing")
        listening.engine.book = Book(replace(SOURCE, name="other"))
        listening.follower.poke()
        await _alert(listening, "resolved")


async def _alert(listening: Listening, status: str) -> Alert:
    """The next alarm in the inbox, of this status."""
    while True:
        for delivery in await listening.store.read_inbox(SHARD, 9, 0):
            for alert in delivery.entry.alerts:
                if alert.status == status:
                    return alert
        await asyncio.sleep(0)


def test_a_server_that_does_not_count_says_perhaps():
    """Before Redis 7.0 nobody knows how many are gone; that some may be is said all the same."""
    entries = (("7-0", {}), ("8-0", {}))
    view = StreamView(exists=True, first="7-0", last="8-0", length=2, added=None, entries=entries)
    assert "may have been trimmed" in progress(view, "3-0", -1, 10).gap
    assert progress(view, "7-0", -1, 10).gap == ""


def test_a_stream_written_anew_is_told():
    """Fewer entries were ever given than were read: it is another stream under the same key."""
    view = StreamView(exists=True, first="90-0", last="91-0", length=2, added=2, entries=(("90-0", {}), ("91-0", {})))
    step = progress(view, "50-0", 40, 10)
    assert "has lost entries" in step.gap
    assert (step.position, step.added, len(view.entries)) == ("91-0", 2, 2)


@pytest.mark.parametrize(
    ("first", "last", "length", "added"),
    [(1, 110, 100, 100), (500, 649, 150, 150), (540, 649, 110, 150)],
    ids=["a failover that lost as many as came since", "emptied and outgrown", "emptied, outgrown and trimmed"],
)
def test_a_loss_that_new_entries_made_up_for_is_told(first: int, last: int, length: int, added: int):
    """Andon had read 100 up to 100-0: a server that holds more after it than it says were added has lost some."""
    entries = tuple((f"{number}-0", {}) for number in range(max(first, 101), last + 1))
    view = StreamView(True, f"{first}-0", f"{last}-0", length, added, entries)
    assert "has lost entries" in progress(view, "100-0", 100, 200).gap


def test_counting_goes_on_through_full_batches():
    """While there is more to read than one look takes, nothing is taken for lost, and at the end what was is told."""
    entries = tuple((f"{number}-0", {}) for number in range(11, 21))
    first = progress(StreamView(True, "1-0", "30-0", 29, 30, entries), "10-0", 10, 10)
    assert (first.position, first.added, first.caught_up, first.gap) == ("20-0", 20, False, "")
    rest = tuple((f"{number}-0", {}) for number in range(22, 31))
    second = progress(StreamView(True, "1-0", "30-0", 29, 30, rest), "20-0", 20, 10)
    assert second.gap.startswith("1 entry was trimmed or deleted")
