"""Foreign streams, the twin and the real thing alike: what a look sees, that waiting ends, and what errors are."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from bot.adapters.embedded import EmbeddedValkey
from bot.adapters.foreign_streams import RedisStreams
from bot.engine.stream_views import BEGINNING, StreamView, progress
from bot.engine.streams import ForeignStreams
from bot.errors import NotSent, Rejected, TargetError
from bot.testing.streams import MemoryStreams
from policies.sources import StreamSource
from policies.targets import TargetsDocument

SOURCE = StreamSource(name="switches", system="trading-core", component="redis", key="model.switch.log")


def targets(url: str, **more: object) -> TargetsDocument:
    component = {"name": "redis", "role": "store", "connector": "redis", "url": url, **more}
    return TargetsDocument.model_validate({"systems": {"trading-core": {"components": [component]}}})


@dataclass
class Bench:
    """The streams under test, and what happens to them."""

    streams: ForeignStreams
    add: Callable[..., Any]
    trim: Callable[[int], Any]
    delete: Callable[[str], Any]
    vanish: Callable[[], Any]
    raw: Any = None


async def _done(value: object) -> object:
    return await value if asyncio.iscoroutine(value) or isinstance(value, asyncio.Future) else value  # type: ignore[misc]


@pytest.fixture(params=["memory", "valkey", "redis-7.0"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    key = SOURCE.key
    if request.param == "memory":
        memory = MemoryStreams()
        yield Bench(
            memory,
            lambda name, **fields: memory.add(key, fields, name),
            lambda keep: memory.trim(key, keep),
            lambda name: memory.delete(key, name),
            lambda: memory.vanish(key),
        )
        return
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "valkey":
            server = EmbeddedValkey(tmp_path)
            stack.push_async_callback(server.stop)
            url = await server.start()
        else:
            url = request.getfixturevalue("redis_url")
        raw: Any = await stack.enter_async_context(Redis.from_url(url))
        await raw.delete(key)
        streams = RedisStreams(targets(url), {})
        stack.push_async_callback(streams.close)
        yield Bench(
            streams,
            lambda name, **fields: raw.xadd(key, fields, id=name),
            lambda keep: raw.xtrim(key, maxlen=keep, approximate=False),
            lambda name: raw.xdel(key, name),
            lambda: raw.delete(key),
            raw,
        )


async def test_a_stream_that_is_not_there(bench: Bench):
    """It is seen as empty, not as an error: it may come any time."""
    assert await bench.streams.view(SOURCE, BEGINNING, 10) == StreamView()
    await bench.streams.wait(SOURCE, BEGINNING, 20)


async def test_entries_after_a_position_in_order_and_bounded(bench: Bench):
    """At most as many as asked for, without the one at the position, with what the server knows of the whole."""
    for number in range(1, 6):
        await _done(bench.add(f"{number}-0", model=f"m{number}"))
    view = await bench.streams.view(SOURCE, "2-0", 2)
    assert [(name, dict(fields)) for name, fields in view.entries] == [
        ("3-0", {"model": "m3"}),
        ("4-0", {"model": "m4"}),
    ]
    assert (view.exists, view.first, view.last, view.length, view.added) == (True, "1-0", "5-0", 5, 5)
    assert (await bench.streams.view(SOURCE, "2-0", 0)).entries == ()


async def test_what_was_trimmed_and_deleted_is_counted(bench: Bench):
    """Together with `progress`: the exact number of entries that nobody read."""
    for number in range(1, 4):
        await _done(bench.add(f"{number}-0", n="x"))
    read = progress(await bench.streams.view(SOURCE, BEGINNING, 10), BEGINNING, 0, 10)
    assert (read.position, read.added, read.gap) == ("3-0", 3, "")
    for number in range(4, 11):
        await _done(bench.add(f"{number}-0", n="x"))
    await _done(bench.trim(4))
    await _done(bench.delete("9-0"))
    view = await bench.streams.view(SOURCE, "3-0", 10)
    step = progress(view, "3-0", 3, 10)
    assert [name for name, _ in view.entries] == ["7-0", "8-0", "10-0"]
    assert step.gap.startswith("4 entries were trimmed or deleted")
    assert (step.position, step.added) == ("10-0", 10)


async def test_a_stream_that_vanished_begins_anew(bench: Bench):
    """Deleted and written again, also with lower ids: nothing new is passed over."""
    await _done(bench.add("5-0", n="x"))
    await _done(bench.vanish())
    gone = progress(await bench.streams.view(SOURCE, "5-0", 10), "5-0", 1, 10)
    assert "the stream is gone" in gone.gap
    await _done(bench.add("2-0", n="y"))
    view = await bench.streams.view(SOURCE, gone.position, 10)
    assert [name for name, _ in view.entries] == ["2-0"]


async def test_waiting_ends_with_the_first_entry(bench: Bench):
    """An entry is noticed at once, not at the next look."""
    await _done(bench.add("1-0", n="x"))
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(bench.streams.wait(SOURCE, "1-0", 60_000))
        await asyncio.sleep(0)
        assert not waiting.done()
        await _done(bench.add("2-0", n="y"))


@pytest.mark.parametrize("bench", ["valkey"], indirect=True)
async def test_a_key_that_is_no_stream_is_refused(bench: Bench):
    """The server's own word, and the stream's name, are in the error."""
    await bench.raw.set(SOURCE.key, "text")
    with pytest.raises(Rejected, match=r"model\.switch\.log"):
        await bench.streams.view(SOURCE, BEGINNING, 10)


@pytest.mark.parametrize("bench", ["valkey"], indirect=True)
async def test_the_least_rights_are_enough(bench: Bench, tmp_path: Path):
    """A user who may only read this one stream; without a right, the error names it."""
    url = f"unix://{bench.raw.connection_pool.connection_kwargs['path']}"
    await bench.raw.acl_setuser(
        "andon", enabled=True, passwords=["+s3cret"], keys=[SOURCE.key],
        commands=["-@all", "+client|setname", "+multi", "+exec", "+xinfo|stream", "+xrange", "+xread"],
    )  # fmt: skip
    await bench.add("1-0", n="x")
    streams = RedisStreams(targets(url, username="andon", credentials="env:PASSWORD"), {"PASSWORD": "s3cret"})
    try:
        assert len((await streams.view(SOURCE, BEGINNING, 10)).entries) == 1
        await streams.wait(SOURCE, BEGINNING, 10)
        await bench.raw.acl_setuser("andon", enabled=True, commands=["-xinfo|stream"])
        with pytest.raises(Rejected, match="xinfo"):
            await streams.view(SOURCE, BEGINNING, 10)
    finally:
        await streams.close()


async def test_a_server_that_is_away_and_comes_back_elsewhere(tmp_path: Path):
    """Our own error while it is away; after a reload that says where it went, reading goes on."""
    here, there = EmbeddedValkey(tmp_path / "a"), EmbeddedValkey(tmp_path / "b")
    streams = RedisStreams(targets(await here.start()), {})
    try:
        assert not (await streams.view(SOURCE, BEGINNING, 10)).exists
        await here.stop()
        for _ in range(2):
            with pytest.raises(NotSent, match="redis cannot be read"):
                await streams.view(SOURCE, BEGINNING, 10)
        streams.replace(targets(await there.start()))
        assert not (await streams.view(SOURCE, BEGINNING, 10)).exists
        streams.replace(TargetsDocument())
        with pytest.raises(TargetError, match="no Redis called 'redis'"):
            await streams.view(SOURCE, BEGINNING, 10)
    finally:
        await streams.close()
        await there.stop()
