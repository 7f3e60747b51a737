"""What every shelf promises the board, on the twin in memory and on the embedded Valkey."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.adapters.embedded import EmbeddedValkey
from bot.adapters.redis_link import RedisLink
from bot.adapters.seal import Sealer
from bot.adapters.slack.board import redis_shelf, shelf_twin
from bot.adapters.slack.board.redis_shelf import RedisShelf
from bot.adapters.slack.board.shelf import (
    MAX_LINE,
    Line,
    Placed,
    Posting,
    Shelf,
    incident_of,
    lost_name,
    read_lost,
    stray_name,
)
from bot.adapters.slack.board.shelf_twin import MemoryShelf
from bot.errors import StoreUnavailable
from bot.testing import FakeClock

_PREFIXES = (f"shelf{number}" for number in count())


@dataclass
class Bench:
    """A shelf, another replica's hand on it, and the server behind them (None: in memory)."""

    shelf: Shelf
    other: Shelf
    clock: FakeClock
    raw: Any = None
    prefix: str = ""


@pytest.fixture(scope="module")
def valkey_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shelf")


@pytest.fixture(params=["memory", "valkey"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """A shelf under test, once for each kind."""
    clock = FakeClock()
    if request.param == "memory":
        memory = MemoryShelf(clock)
        yield Bench(memory, memory, clock)
        return
    embedded = EmbeddedValkey(request.getfixturevalue("valkey_folder"))
    url = await embedded.start()
    prefix, sealer = next(_PREFIXES), Sealer(bytes(32))
    shelves = [RedisShelf(RedisLink(url), sealer, clock, prefix=prefix) for _ in range(2)]
    raw = RedisLink(url)
    try:
        yield Bench(shelves[0], shelves[1], clock, raw, prefix)
    finally:
        for each in (*shelves, raw):
            await each.close()
        await embedded.stop()


def a_line(number: int, text: str = "words") -> Line:
    return Line(
        id=f"effect-{number}", shard="core", incident="inc-1", channel="", topic="acted", text=text, at=number
    )  # fmt: skip


async def test_one_replica_leads_until_its_lease_ends_or_is_given_back(bench: Bench) -> None:
    """Two replicas never lead at once, the one that does keeps on, and one that resigns lets the other at once."""
    assert await bench.shelf.lead("a", 60_000)
    assert not await bench.other.lead("b", 60_000)
    assert await bench.shelf.lead("a", 60_000)
    await bench.other.resign("b")  # not its own to give
    assert not await bench.other.lead("b", 60_000)
    await bench.shelf.resign("a")
    assert await bench.other.lead("b", 60_000)


async def test_what_is_nudged_twice_is_taken_once_longest_waiting_first(bench: Bench) -> None:
    """Nudges of every replica reach whoever leads, as a set."""
    await bench.shelf.nudge(["core|inc-2"])
    bench.clock.advance(1)
    await bench.other.nudge(["core|inc-1", "core|inc-2"])
    assert await bench.shelf.nudged(1, 0) == ["core|inc-2"]
    assert await bench.shelf.nudged(10, 0) == ["core|inc-1"]
    assert await bench.shelf.nudged(10, 0) == []


async def test_a_leader_that_waits_is_woken_by_the_first_nudge(bench: Bench) -> None:
    """Long before its time is up."""
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        waiting = group.create_task(bench.shelf.nudged(10, 9_000))
        await asyncio.sleep(0.01)
        await bench.other.nudge(["core|inc-1"])
    assert waiting.result() == ["core|inc-1"]


async def test_a_line_waits_in_order_until_it_is_said_and_is_kept_once(bench: Bench) -> None:
    """A copy of an effect is not said again, not even after the first was; a day later its id is forgotten."""
    assert [await bench.shelf.say(a_line(number)) for number in (1, 2, 1)] == [True, True, False]
    first, second = await bench.other.lines(10)
    assert (replace(first, delivery=""), replace(second, delivery="")) == (a_line(1), a_line(2))
    assert [line.id for line in await bench.other.lines(10, first.delivery)] == ["effect-2"]
    assert await bench.other.lines(10, second.delivery) == []
    await bench.other.said([first.delivery])
    await bench.other.said([first.delivery])
    assert [line.id for line in await bench.shelf.lines(10)] == ["effect-2"]
    assert not await bench.shelf.say(a_line(1))
    bench.clock.advance(86_400_001)
    assert await bench.shelf.say(a_line(1))


async def test_a_place_is_put_only_by_whoever_saw_the_last_one(bench: Bench) -> None:
    """Of two replicas that put from one revision, one is refused and nothing of it is kept."""
    mark = Posting(nonce="n1", at=5, lines=("1-0",), facts='{"level":1}')
    made = await bench.shelf.put(Placed(name="card:core|inc-1", channel="C1", posting=mark))
    assert made is not None
    assert made.revision == 1
    assert await bench.other.put(Placed(name="card:core|inc-1", channel="C2")) is None
    assert await bench.other.place("card:core|inc-1") == made
    stands = await bench.other.put(replace(made, ts="1.1", posting=None, look="abc", over=True))
    assert await bench.shelf.put(replace(made, ts="2.2")) is None
    assert dict(await bench.shelf.places()) == {"card:core|inc-1": stands}
    await bench.shelf.drop(["card:core|inc-1", "card:core|inc-9"])
    assert await bench.shelf.place("card:core|inc-1") is None
    assert await bench.shelf.put(Placed(name="card:core|inc-1")) is not None


@pytest.mark.parametrize("bench", ["valkey"], indirect=True)
async def test_a_place_or_line_without_our_seal_is_not_believed(bench: Bench) -> None:
    """A forged place says only that a message must be looked for; a forged line is never said."""
    made = await bench.shelf.put(Placed(name="card:core|inc-1", channel="C1", ts="1.1"))
    assert made is not None
    base = f"{bench.prefix}:{{{bench.prefix}}}:slack:"
    (stored,) = [await bench.raw.ask("HGET", f"{base}places", "card:core|inc-1")]
    await bench.raw.ask("HSET", f"{base}places", "card:core|inc-2", stored)  # genuine, and elsewhere
    await bench.raw.ask("XADD", f"{base}lines", "*", "e", b"x" * 40)
    found = await bench.shelf.place("card:core|inc-2")
    assert found is not None
    assert (found.ts, found.posting) == ("", Posting(nonce="", at=0))
    assert await bench.shelf.put(replace(found, ts="3.3", posting=None)) is not None
    assert await bench.shelf.lines(10) == []
    assert await bench.raw.ask("XLEN", f"{base}lines") == 0


@pytest.mark.parametrize("bench", ["valkey"], indirect=True)
@pytest.mark.parametrize(
    "planted", [("SET", "nobody"), ("SET", "nobody", "PX", "86400000"), ("HSET", "a", "b")], ids=str
)
async def test_what_is_no_lease_keeps_nobody_from_leading(bench: Bench, planted: tuple[str, ...]) -> None:
    """A leader that never steps down, as somebody may plant it, would mean that nothing is shown in Slack for ever."""
    verb, *value = planted
    await bench.raw.ask(verb, f"{bench.prefix}:{{{bench.prefix}}}:slack:leader", *value)
    assert await bench.shelf.lead("a", 10_000)
    assert not await bench.other.lead("b", 10_000)
    await bench.shelf.resign("a")
    assert await bench.other.lead("b", 10_000)


async def test_what_is_to_be_drawn_once_more_is_known_to_the_next_leader(bench: Bench) -> None:
    """Until when an edit may come late, and that a message stands twice, outlive the replica that knew it."""
    card = await bench.shelf.put(Placed(name="card:core|inc-1", channel="C1", ts="1.1", again=30_000))
    double = await bench.shelf.put(Placed(name=stray_name("C1", "1.2"), channel="C1", ts="1.2"))
    assert dict(await bench.other.places()) == {"card:core|inc-1": card, "stray:C1|1.2": double}
    lost = lost_name("card:core|inc-1", "n1")
    assert read_lost(lost) == ("card:core|inc-1", "n1")
    assert [incident_of(name) for name in ("stray:C1|1.2", lost)] == [None, None]


@pytest.mark.parametrize("bench", ["valkey"], indirect=True)
async def test_a_place_kept_before_edits_were_marked_is_read(bench: Bench) -> None:
    """An update of Andon finds its cards where the version before left them."""
    name, fields = "card:core|inc-1", asdict(Placed(name="card:core|inc-1", channel="C1", ts="1.1", revision=1))
    del fields["again"]
    key = f"{bench.prefix}:{{{bench.prefix}}}:slack:places".encode()
    sealed = Sealer(bytes(32)).seal(b"%b|%b|1" % (key, name.encode()), json.dumps(fields).encode())
    await bench.raw.ask("HSET", key, name, b"1 " + sealed)
    found = await bench.shelf.place(name)
    assert found == Placed(name=name, channel="C1", ts="1.1", revision=1)


async def test_lines_that_had_to_go_are_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the most that may wait the oldest go, and the log says how many: cards are drawn from the record anyway."""
    for module in (redis_shelf, shelf_twin):
        monkeypatch.setattr(module, "MAX_LINES", 2)
    with capture_logs() as told:
        for number in range(4):
            assert await bench.shelf.say(a_line(number))
    assert [each.id for each in await bench.shelf.lines(10)] == ["effect-2", "effect-3"]
    assert [each["lines"] for each in told if each["event"] == "slack_lines_dropped"] == [1, 1]


async def test_a_line_longer_than_a_section_is_cut(bench: Bench) -> None:
    """What nobody reads costs no room on the shelf."""
    await bench.shelf.say(a_line(1, "x" * 10_000))
    (line,) = await bench.shelf.lines(10)
    assert len(line.text) == MAX_LINE
    assert line.text.endswith("…")


async def test_a_shelf_that_cannot_be_reached_says_so() -> None:
    """The board waits then; it never takes silence for an empty shelf."""
    nowhere = RedisShelf(RedisLink("unix:///nowhere/redis.sock"), Sealer(bytes(32)), FakeClock())
    with pytest.raises(StoreUnavailable):
        await nowhere.places()
    await nowhere.close()
