"""Chat and pager: in order, apart, never silent. On the twins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from bot.adapters.codec import event_text
from bot.core.effects import PageOncall, PostMessage, ResolvePage
from bot.core.events import Budget
from bot.core.words import SYSTEM_TARGET
from bot.engine.dispatch import MAX_POSTS, Dispatch
from bot.engine.engine import Engine
from bot.engine.judge import Hands
from bot.engine.loop import Heartbeat
from bot.engine.ports import Commit
from bot.engine.speech import CHAT_TRIES, PagerVoice
from bot.errors import RecordForged
from bot.testing import FakeClock, MemoryChat, MemoryJournal, MemoryPager, MemoryStore

SHARD = "trading-core"


class Deaf:
    """Telemetry nobody reads."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class Desk:
    """A dispatcher with its chat, pager and store."""

    def __init__(self) -> None:
        self.store, self.chat, self.pager = MemoryStore(), MemoryChat(), MemoryPager()
        engine = Engine(
            store=self.store, book=None, text=event_text, clock=FakeClock(), telemetry=Deaf(), shards=[SHARD]
        )
        hands = Hands(
            engine=engine, toolbox=None, targets=None, evidence=None, journal=MemoryJournal(), chat=self.chat,
            budget=Budget(),
        )  # fmt: skip
        self.dispatch = Dispatch(hands, self.pager, Deaf(), SHARD, Heartbeat())

    async def put(self, *effects: PostMessage | PageOncall) -> None:
        await self.store.commit(SHARD, Commit(effects=effects))

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not holds():
                await asyncio.sleep(0.001)

    async def waiting(self) -> int:
        return (await self.store.lag(SHARD))[1]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(desk.dispatch.read_forever(tasks)),
            tasks.create_task(desk.dispatch.chat_forever()),
            tasks.create_task(desk.dispatch.page_forever()),
        ]
        yield desk
        for task in running:
            task.cancel()


def post(number: int) -> PostMessage:
    return PostMessage(id=f"post/{number}", incident="inc-1", channel="#ops", topic="opened", text=f"message {number}")


def page(number: int = 1) -> PageOncall:
    return PageOncall(
        id=f"page/{number}", incident="inc-1", service="pm", severity="critical", dedup_key=f"k{number}", summary="look"
    )


async def test_messages_come_out_in_order_and_are_acknowledged(desk):
    """Fifty messages, in the order they were said."""
    await desk.put(*(post(number) for number in range(50)))
    await desk.until(lambda: len(desk.chat.posts) == 50)
    assert desk.chat.texts() == [f"message {number}" for number in range(50)]
    async with asyncio.timeout(5):
        await desk.dispatch.drained()
    assert await desk.waiting() == 0


async def test_a_chat_that_is_down_never_delays_a_page(desk):
    """Twenty messages wait for a dead chat; the page behind them goes out at once."""
    desk.chat.broken = "channel_not_found"
    await desk.put(*(post(number) for number in range(20)), page())
    await desk.until(lambda: len(desk.pager.pages) == 1)
    assert desk.chat.posts == []


async def test_a_chat_that_hangs_with_thousands_waiting_delays_no_page(desk):
    """More posts than this process keeps: the rest stays with the store, and the page behind them goes out."""
    hanging = asyncio.Event()
    take = desk.chat.post

    async def hang(message, shard):
        await hanging.wait()
        return await take(message, shard)

    desk.chat.post = hang
    for start in range(0, MAX_POSTS + 300, 100):
        await desk.put(*(post(number) for number in range(start, start + 100)))
    await desk.put(page())
    await desk.until(lambda: len(desk.pager.pages) == 1)
    hanging.set()
    await desk.until(lambda: len(desk.chat.posts) >= MAX_POSTS)


async def test_a_record_that_is_forged_stops_neither_pages_nor_the_bot(desk):
    """The page goes out and is acknowledged; the record that cannot be trusted is told nothing."""
    load = desk.store.load

    async def forged(shard, ids):
        if any(name.startswith("inc-") for name in ids):
            raise RecordForged("inc-1: its MAC does not hold")
        return await load(shard, ids)

    desk.store.load = forged
    await desk.put(page())
    await desk.until(lambda: len(desk.pager.pages) == 1)
    async with asyncio.timeout(5):
        await desk.dispatch.drained()
    assert await desk.waiting() == 0


async def test_a_defect_of_the_chat_adapter_costs_the_message_and_not_the_bot(desk):
    """An exception nobody foresaw: the next message and the page still go out."""
    take = desk.chat.post

    async def trips(message, shard):
        if message.id == "post/1":
            raise ZeroDivisionError("a defect")
        return await take(message, shard)

    desk.chat.post = trips
    await desk.put(post(1), post(2), page())
    await desk.until(lambda: desk.chat.texts() == ["message 2"] and len(desk.pager.pages) == 1)


async def test_a_message_that_chat_refuses_is_given_up_after_its_tries(desk):
    """It does not hold up the next one for ever, and the outbox is not filled with it."""
    tries = 0
    take = desk.chat.post

    async def refuse_the_first(message, shard):
        nonlocal tries
        if message.id == "post/1":
            tries += 1
            desk.chat.broken = "no"
        else:
            desk.chat.broken = ""
        return await take(message, shard)

    desk.chat.post = refuse_the_first
    await desk.put(post(1), post(2))
    await desk.until(lambda: desk.chat.texts() == ["message 2"])
    assert tries == CHAT_TRIES
    async with asyncio.timeout(5):
        await desk.dispatch.drained()
    assert await desk.waiting() == 0


async def test_a_page_that_nobody_takes_stays_in_the_outbox(desk):
    """A page is never given up: it waits, and the next reclaim says it again."""
    desk.pager.broken = "503"
    await desk.put(page())
    async with asyncio.timeout(5):
        while await desk.store.read_outbox(SHARD, 1, 0):
            await asyncio.sleep(0)
        await desk.until(desk.dispatch._idle.is_set)
    assert await desk.waiting() == 1
    desk.pager.broken = ""
    async with asyncio.TaskGroup() as tasks:
        _, outbox = await desk.store.reclaim(SHARD, 0, 10)
        desk.dispatch.take(outbox, tasks)
    await desk.until(lambda: len(desk.pager.pages) == 1)
    async with asyncio.timeout(5):
        await desk.dispatch.drained()
    assert await desk.waiting() == 0


async def test_an_effect_that_cannot_be_read_is_set_aside(desk):
    """A forged effect is never performed; it stands among the dead letters with its reason, and pages."""
    desk.store.poison(SHARD, "outbox")
    await desk.put(post(1))  # the store's reader wakes for what comes through a commit
    await desk.until(lambda: len(desk.pager.pages) == 1)
    assert [reason for _, reason, _ in await desk.store.dead_letters(SHARD, 9)] == [
        "the record does not carry our seal"
    ]
    assert "set aside" in desk.pager.pages[0].summary


async def test_a_page_is_not_overtaken_by_its_own_taking_back(desk):
    """Refused, then taken back, then said again: the order stays page, taken back, so that none is left open."""
    desk.pager.broken = "503"
    taken_back = ResolvePage(id="unpage/1", incident="inc-1", service="pm", dedup_key="k1")
    await desk.put(page(), taken_back)
    async with asyncio.timeout(5):
        while desk.dispatch._in_hand or await desk.store.read_outbox(SHARD, 1, 0):
            await asyncio.sleep(0)
    desk.pager.broken = ""
    async with asyncio.TaskGroup() as tasks:
        _, outbox = await desk.store.reclaim(SHARD, 0, 10)
        desk.dispatch.take(outbox, tasks)
    await desk.until(lambda: len(desk.pager.resolved) == 1)
    assert len(desk.pager.pages) == 1
    assert desk.pager.open == {}


async def test_a_page_that_another_replica_said_is_taken_back_here():
    """It was refused here and is never handed out here again: its taking back waits for it once, and not for good."""
    pager = MemoryPager()
    here, there = PagerVoice(pager), PagerVoice(pager)
    taken_back = ResolvePage(id="unpage/1", incident="inc-1", service="pm", dedup_key="k1")
    pager.broken = "503"
    assert await here.say(page(), 1) is None
    pager.broken = ""
    assert await there.say(page(), 2)
    assert await here.say(taken_back, 3) is None
    assert await here.say(taken_back, 4)
    assert pager.open == {}


@pytest.mark.parametrize(
    ("about", "owner", "key"),
    [
        ("inc-1", SYSTEM_TARGET, f"{SHARD}:freeze:1"),
        (SYSTEM_TARGET, SYSTEM_TARGET, f"{SHARD}:freeze:1"),
        ("target:halt", "target:halt", f"{SHARD}:halt:freeze:1"),
    ],
)
async def test_whose_page_it_is_hears_that_it_went_out(desk, about, owner, key):
    """Also where it came up with an incident: here it is over by then, and is taken back."""
    await desk.put(replace(page(), incident=about, owner=owner, dedup_key=key))
    await desk.until(lambda: len(desk.pager.resolved) == 1)
    assert (len(desk.pager.pages), desk.pager.open) == (1, {})
