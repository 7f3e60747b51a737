"""Sources on the real engine and a real store: silence after a restart, and two replicas on one foreign stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from bot.adapters.embedded import EmbeddedValkey
from bot.adapters.foreign_streams import RedisStreams
from bot.core.source import Source
from bot.core.source_events import SignOfLife, StreamRule, WatchExpected
from bot.engine.alarms import Alarms
from bot.engine.following import BookFollower
from bot.engine.streams import StreamTailer
from policies.sources import StreamSource
from policies.targets import TargetsDocument
from tests.integration.engine.floor import SHARD, Deaf, Floor

WATCH = "source:watch:watchdog"
STREAM = "source:stream:switches"
SOURCE = StreamSource(
    name="switches", system=SHARD, component="redis", key="model.switch.log",
    rules=(StreamRule(name="ExcessiveModelSwitching", count=300, within_ms=300_000),),
)  # fmt: skip


@pytest.fixture
async def foreign(tmp_path: Path) -> AsyncIterator[tuple[str, Any]]:
    """The trading system's own Valkey: its URL, and a client."""
    server = EmbeddedValkey(tmp_path / "foreign")
    url = await server.start()
    async with Redis.from_url(url) as client:
        yield url, client
    await server.stop()


async def source(floor: Floor, name: str) -> Source:
    stored = (await floor.store.load(SHARD, [name])).get(name)
    assert stored is None or isinstance(stored.record, Source)
    return stored.record if stored is not None else Source(id=name, system=SHARD)


async def test_silence_is_noticed_after_a_kill_and_ends_with_a_sign_of_life(floor: Floor):
    """The timer is in the store: whoever runs when it is due, or starts a little later, opens the incident, once."""
    floor.plan = replace(floor.plan, steps=(), healthy="")
    floor.engine.book.plan = floor.plan  # type: ignore[attr-defined]  # the floor's book of one policy
    await floor.engine.tell(SHARD, WATCH, WatchExpected(id="e1", at=1, within_ms=400))
    await floor.kill()
    await floor.start()
    await floor.engine.tell(SHARD, WATCH, WatchExpected(id="e2", at=1, within_ms=400))

    async def opened() -> bool:
        return await floor.incident() is not None

    await floor.until(opened, "an incident about silence")
    incident = await floor.incident()
    assert incident is not None
    ((_, state),) = incident.alerts.items()
    assert (state.alert.name, state.alert.source) == ("AndonSourceSilent", "watch:watchdog")
    await floor.engine.tell(SHARD, WATCH, SignOfLife(id="alive", at=floor.engine.clock.now()))

    async def over() -> bool:
        known = await floor.incident()
        return known is not None and not known.firing

    await floor.until(over, "the end of the silence")
    await floor.quiet()
    assert await floor.audit_problems() == []


async def test_two_replicas_take_every_entry_of_a_stream_once(floor: Floor, valkey: str, foreign: tuple[str, Any]):
    """Both read all of it and race for each batch: 300 are no alert, one more is, whoever is faster."""
    url, client = foreign
    component = {"name": "redis", "role": "store", "connector": "redis", "url": url}
    targets = TargetsDocument.model_validate({"systems": {SHARD: {"components": [component]}}})
    second = Floor(valkey)
    await second.start("r2")
    lines = [RedisStreams(targets, {}) for _ in range(2)]
    try:
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            running = []
            for one, streams in zip((floor, second), lines, strict=True):
                one.engine.book.streams = (SOURCE,)  # type: ignore[attr-defined]
                one.engine.book.plan = replace(one.plan, steps=(), healthy="")  # type: ignore[attr-defined]
                alarms = Alarms(one.store, one.engine.clock)
                tailer = StreamTailer(one.engine, streams, alarms, Deaf(), BookFollower(one.engine), linger_seconds=0)
                running.append(tasks.create_task(tailer.run()))

            async def begun() -> bool:
                return (await source(floor, STREAM)).position == "0-0"

            await floor.until(begun, "the stream's first look")
            for _ in range(30):
                pipe = client.pipeline()
                for _ in range(10):
                    pipe.xadd(SOURCE.key, {"model": "m1"})
                await pipe.execute()
            assert await counted(floor, 300) == {}
            await client.xadd(SOURCE.key, {"model": "m1"})
            assert len(await counted(floor, 301)) == 1
            for task in running:
                task.cancel()
    finally:
        for streams in lines:
            await streams.close()
        await second.stop()  # what it has in hand is finished
    await floor.quiet()
    assert await floor.audit_problems() == []


async def counted(floor: Floor, wanted: int) -> dict[str, Any]:
    """What fires once so many entries are counted."""

    async def reached() -> bool:
        windows = (await source(floor, STREAM)).windows.values()
        return [sum(many for _, many in window.times) for window in windows] == [wanted]

    await floor.until(reached, f"{wanted} entries counted")
    return (await source(floor, STREAM)).raised
