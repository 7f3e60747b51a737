"""A Slack in memory and a board in front of it, on a loop whose time passes at once; for the tests of the board.

`Wall` keeps every message with all that it ever showed, and can be away, throttle, lose answers and be slow. It notes
each call with its time, so that a test can say how fast it went.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count, pairwise

from bot.adapters.slack.board.board import Board, Manner
from bot.adapters.slack.board.chat import SlackChat
from bot.adapters.slack.board.shelf import Line
from bot.adapters.slack.board.shelf_twin import MemoryShelf
from bot.adapters.slack.board.sights import Sight, StormSight
from bot.adapters.slack.cards.shapes import Message
from bot.adapters.slack.line.api import SlackRefusedError, SlackThrottledError
from bot.adapters.slack.line.pacing import POST, UPDATE, Pace
from bot.core.effects import PostMessage, Topic
from bot.core.incident import Incident
from bot.core.plan import Plan
from bot.core.words import JsonText, Millis
from bot.engine.alarms import Alarms
from bot.engine.ports import Store
from bot.errors import DeliveryError, DeliveryUncertain
from bot.testing import MemoryStore
from bot.testing.clock import START
from tests.contract.store_records import SHARD, put
from tests.contract.store_records import incident as record

PER_THREAD = 20  # lines of one message, as the plain drawing joins them


class LoopClock:
    """Wall time that passes with the loop's."""

    def now(self) -> Millis:
        return START + int(asyncio.get_running_loop().time() * 1000)

    def real_seconds(self, duration_ms: Millis) -> float:
        return duration_ms / 1000


@dataclass
class Posted:
    """One message, with all that it ever showed."""

    channel: str
    ts: str
    name: str
    nonce: str
    thread: str
    aloud: bool
    shown: list[str]

    @property
    def text(self) -> str:
        return self.shown[-1]


@dataclass
class Wall:
    """Implements `placing.Slack`."""

    names: Mapping[str, str] = field(default_factory=lambda: {"ops": "C0000OPS", "pm": "C00000PM"})
    messages: dict[tuple[str, str], Posted] = field(default_factory=dict)
    calls: list[tuple[float, str, str]] = field(default_factory=list)  # (seconds, method, channel) of what was taken
    down: bool = False
    lose: int = 0  # answers to lose after the effect
    throttle: dict[str, float] = field(default_factory=dict)  # method -> Retry-After, until taken away
    refuse: dict[str, str] = field(default_factory=dict)  # channel -> code
    delay: Callable[[], float] = lambda: 0.05
    throttled: int = 0
    tries: int = 0
    _count: int = 0

    async def _call(self, method: str, channel: str) -> None:
        self.tries += 1
        await asyncio.sleep(self.delay())
        if self.down:
            raise DeliveryError("Slack cannot be reached: ClientConnectorError")
        if method in self.throttle:
            self.throttled += 1
            raise SlackThrottledError(method, self.throttle[method])
        if channel in self.refuse:
            raise SlackRefusedError(method, self.refuse[channel])
        if method in (POST, UPDATE):
            self.calls.append((asyncio.get_running_loop().time(), method, channel))

    def _answer(self) -> None:
        if self.lose:
            self.lose -= 1
            raise DeliveryUncertain("no answer from Slack within 10 s")

    async def post(
        self, channel: str, message: Message, *, name: str = "", nonce: str = "", thread: str = "", aloud: bool = False
    ) -> str:
        await self._call(POST, channel)
        self._count += 1
        ts = f"{(START / 1000) + asyncio.get_running_loop().time():.0f}.{self._count:06d}"
        self.messages[(channel, ts)] = Posted(channel, ts, name, nonce, thread, aloud, [message.text])
        self._answer()
        return ts

    async def update(self, channel: str, ts: str, message: Message, *, name: str = "") -> None:
        await self._call(UPDATE, channel)
        if (channel, ts) not in self.messages:
            raise SlackRefusedError(UPDATE, "message_not_found")
        self.messages[(channel, ts)].shown.append(message.text)
        self._answer()

    async def delete(self, channel: str, ts: str) -> None:
        await self._call("chat.delete", channel)
        if self.messages.pop((channel, ts), None) is None:
            raise SlackRefusedError("chat.delete", "message_not_found")

    async def find(self, channel: str, *, name: str, nonce: str, oldest: float, thread: str = "") -> str:
        await self._call("conversations.history", channel)
        for (where, ts), posted in reversed(self.messages.items()):
            same = posted.name == name and (not nonce or posted.nonce == nonce)
            if where == channel and same and posted.thread == thread and float(ts) >= oldest:
                return ts
        return ""

    async def join(self, channel: str) -> None:
        await self._call("conversations.join", channel)

    async def channels(self, wanted: Collection[str]) -> Mapping[str, str]:
        await self._call("conversations.list", "")
        return self.names

    async def probe(self) -> Mapping[str, object]:
        await self._call("auth.test", "")
        return {"url": "https://team.slack.test/"}

    def named(self, beginning: str) -> list[Posted]:
        """Messages whose name begins so, in the order they were posted."""
        return [posted for posted in self.messages.values() if posted.name.startswith(beginning)]

    def closest(self) -> float:
        """The least time between two messages (or edits) of one channel, in seconds."""
        by_channel: dict[str, list[float]] = defaultdict(list)
        for at, _, channel in self.calls:
            by_channel[channel].append(at)
        return min((b - a for times in by_channel.values() for a, b in pairwise(times)), default=99)


@dataclass
class Hand:
    """One replica's way to the wall, which keeps the pace as `api.SlackApi` does. Implements `placing.Slack`."""

    wall: Wall
    pace: Pace = field(default_factory=Pace)
    cut: bool = False  # this replica alone does not reach it

    async def post(
        self, channel: str, message: Message, *, name: str = "", nonce: str = "", thread: str = "", aloud: bool = False
    ) -> str:
        with self._paced(POST, channel):
            return await self.wall.post(channel, message, name=name, nonce=nonce, thread=thread, aloud=aloud)

    async def update(self, channel: str, ts: str, message: Message, *, name: str = "") -> None:
        with self._paced(UPDATE, channel):
            await self.wall.update(channel, ts, message, name=name)

    @contextmanager
    def _paced(self, method: str, channel: str) -> Iterator[None]:
        seconds = asyncio.get_running_loop().time
        if self.cut:
            raise DeliveryError("Slack cannot be reached from here")
        self.pace.take(method, channel, seconds())
        try:
            yield
        except SlackThrottledError as error:
            self.pace.throttled(method, error.seconds, seconds())
            raise
        finally:
            self.pace.done(channel, seconds())

    async def delete(self, channel: str, ts: str) -> None:
        await self.wall.delete(channel, ts)

    async def find(self, channel: str, *, name: str, nonce: str, oldest: float, thread: str = "") -> str:
        return await self.wall.find(channel, name=name, nonce=nonce, oldest=oldest, thread=thread)

    async def join(self, channel: str) -> None:
        await self.wall.join(channel)

    async def channels(self, wanted: Collection[str]) -> Mapping[str, str]:
        return await self.wall.channels(wanted)

    async def probe(self) -> Mapping[str, object]:
        return await self.wall.probe()


class Plain:
    """Implements `sights.Drawing`, in a few plain words each."""

    def __init__(self) -> None:
        self.broken: set[str] = set()  # incidents that cannot be drawn

    def card(self, sight: Sight, now: Millis) -> Message:
        incident = sight.incident
        if incident.id in self.broken:
            raise ValueError("this cannot be drawn, as the test wants it")
        return Message(f"{incident.id} {incident.status} {incident.why} {sight.link}".strip(), ())

    def question(self, sight: Sight, now: Millis) -> Message | None:
        asked = sight.incident.approval
        if asked is None:
            return None
        return Message(f"{asked.id}? {len(asked.votes)} votes; before: {'; '.join(sight.outcomes)}", ())

    def question_facts(self, sight: Sight) -> JsonText:
        return '{"asked":1}'

    def ended(
        self, kept: JsonText, chain: Sequence[JsonText], incident: Incident | None, now: Millis
    ) -> tuple[Message, bool]:
        why = incident.why if incident is not None else "gone"
        return Message(f"over: {why}", ()), incident is None or incident.status != "acting"

    def facts(self, sight: Sight) -> JsonText:
        return f'{{"acked":"{sight.incident.acknowledged_by}"}}'

    def told(self, before: JsonText, after: JsonText, now: Millis) -> tuple[str, ...]:
        return (f"{before} -> {after}",) if before != after else ()

    def line(self, line: Line) -> str:
        return line.text

    def thread(self, words: Sequence[str], link: str = "") -> tuple[Message, int]:
        used = words[:PER_THREAD]
        return Message("\n".join([*used, *([link] if link else [])]), ()), len(used)

    def elsewhere(self, sight: Sight) -> str:
        return f"{sight.incident.id} is elsewhere"

    def digest(self, sight: StormSight, now: Millis) -> Message:
        ended = sum(one.ended for one in sight.members)
        return Message(f"storm {'on' if sight.on else 'over'}: {len(sight.members)} opened, {ended} over", ())


@dataclass
class Stage:
    """A store, a shelf and a wall, and boards in front of them."""

    wall: Wall = field(default_factory=Wall)
    store: MemoryStore = field(default_factory=MemoryStore)
    drawing: Plain = field(default_factory=Plain)
    manner: Manner = field(default_factory=Manner)
    clock: LoopClock = field(default_factory=LoopClock)
    boards: dict[str, Board] = field(default_factory=dict)
    hands: dict[str, Hand] = field(default_factory=dict)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _nonces: count[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self.shelf = MemoryShelf(self.clock)
        self.alarms = Alarms(self.store, self.clock)

    def begin(self, group: asyncio.TaskGroup, replica: str = "a") -> Board:
        """A replica starts."""
        store: Store = self.store
        hand = self.hands[replica] = Hand(self.wall)
        board = Board(
            shelf=self.shelf, slack=hand, store=store, shards=[SHARD], clock=self.clock, alarms=self.alarms,
            drawing=self.drawing, pace=hand.pace, channel="#ops", home=SHARD, replica=replica,
            nonce=lambda: f"{replica}-{next(self._nonces)}", manner=self.manner,
        )  # fmt: skip
        self.boards[replica] = board
        self.tasks[replica] = group.create_task(board.run())
        return board

    def end(self) -> None:
        """All replicas stop."""
        for task in self.tasks.values():
            task.cancel()

    async def commit(self, *incidents: Incident, by: str = "a") -> None:
        """Somebody commits these, on replica `by`."""
        await put(self.store, *incidents)
        self.boards[by].committed(SHARD, [one.id for one in incidents])

    async def say(self, text: str, about: str = "inc-1", *, channel: str = "", by: str = "a", name: str = "") -> None:
        """The engine says something."""
        chat = SlackChat(self.shelf, self.clock, self.boards[by].nudge)
        topic: Topic = "acted"
        words = PostMessage(id=name or f"m-{about}-{text}", incident=about, channel=channel, topic=topic, text=text)
        await chat.post(words, SHARD)


def incident(name: str = "inc-1", *, opened_at: int = 0, channel: str = "#ops") -> Incident:
    """One that just opened."""

    plan = Plan(policy="var-breach", system=SHARD, policy_hash="h", mode="auto", channel=channel)
    return replace(record(name, opened_at or LoopClock().now()), plan=plan)


@asynccontextmanager
async def begun(stage: Stage | None = None) -> AsyncIterator[Stage]:
    """A stage whose one replica leads; it stops at the end."""
    stage = stage if stage is not None else Stage()
    async with asyncio.TaskGroup() as group:
        stage.begin(group)
        await asyncio.sleep(1)
        yield stage
        stage.end()
