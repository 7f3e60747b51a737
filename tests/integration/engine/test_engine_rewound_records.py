"""Records that somebody put back from before an action, counters untouched: what was done once is not done again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from bot.core.system_machine import state_of
from bot.core.words import SYSTEM_TARGET
from tests.integration.engine.floor import PLAN, SHARD, STEP, Floor

ONCE = replace(PLAN, steps=(replace(STEP, delivery="once"),))


class Rewound:
    """The shard's records and pointers as they were, whatever the server counted since."""

    def __init__(self, url: str) -> None:
        self._client = Redis.from_url(url)
        self._kept: dict[bytes, bytes] = {}

    async def _keys(self) -> list[bytes]:
        places = (f"andon:{{{SHARD}}}:record:*", f"andon:{{{SHARD}}}:keys", f"andon:{{{SHARD}}}:audit:*")
        return [key for place in places async for key in self._client.scan_iter(match=place)]

    async def take(self) -> None:
        self._kept = {key: await self._client.dump(key) for key in await self._keys()}

    async def put_back(self) -> None:
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.delete(*await self._keys())
            for key, value in self._kept.items():
                pipe.restore(key, 0, value)
            await pipe.execute()

    async def close(self) -> None:
        await self._client.aclose()


@pytest.fixture
async def rewound(valkey: str) -> AsyncIterator[Rewound]:
    made = Rewound(valkey)
    yield made
    await made.close()


@pytest.fixture
async def done(valkey, breach, rewound) -> AsyncIterator[Floor]:
    """A `once` action was done; everything is as it was before the alert is known to `rewound`."""
    floor = Floor(valkey, ONCE)
    await floor.start()
    await floor.arm()
    await floor.quiet()
    await rewound.take()
    await floor.fire(breach)

    async def requested() -> bool:
        return floor.risk.requests == [0.1]

    await floor.until(requested, "the action")
    await floor.quiet()
    floor.risk.kelly = 0.25  # somebody has raised it again: only the intent tells that it was done
    yield floor
    await floor.kill()


async def _goes_on(floor: Floor) -> bool:
    return not floor.store.marks.lost(SHARD) and state_of(await floor.target(SYSTEM_TARGET)) == "active"


async def _told(floor: Floor) -> bool:
    return any("run `andon audit verify`" in page for page in floor.people.pages)


async def test_rewound_under_a_running_engine(done, breach, rewound):
    """It has seen newer versions: people are told, the journal's intent is told again, and nothing is sent."""
    await rewound.put_back()
    await done.fire(breach)
    await done.until(lambda: _told(done), "a page that says so")
    await done.until(lambda: _goes_on(done), "automation going on")
    await done.fire(breach)
    await done.quiet()
    assert done.risk.requests == [0.1]


async def test_rewound_while_it_was_down(done, breach, rewound):
    """The journal has seen a newer fence."""
    await done.kill()
    await rewound.put_back()
    await done.start()
    await done.until(lambda: _told(done), "a page that says so")
    await done.until(lambda: _goes_on(done), "automation going on")
    await done.fire(breach)
    await done.quiet()
    assert done.risk.requests == [0.1]
