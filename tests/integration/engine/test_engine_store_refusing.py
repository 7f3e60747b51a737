"""A store that can be read and takes nothing (its memory is used up, or no replica is left): quiet, and soon over."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from tests.integration.engine.floor import Floor


@pytest.fixture
async def store(valkey):
    """The server behind the floor, to be told that it is full."""
    async with Redis.from_url(valkey) as client:
        yield client
        await client.config_set("maxmemory", "0")


async def refuse(store: Redis) -> None:
    await store.config_set("maxmemory", "1mb")


async def test_what_was_said_is_not_said_again_while_the_store_takes_nothing(floor: Floor, store, breach):
    """A message that went out and could not be acknowledged is handed out again and again: people hear it once."""
    said = len(floor.people.posts)

    async def full_from_now_on(message, shard, post=floor.people.post):
        await refuse(store)
        return await post(message, shard)

    floor.people.post = full_from_now_on
    await floor.fire(breach)
    async with asyncio.timeout(5):
        while len(floor.people.posts) == said:
            await asyncio.sleep(0.01)
    await asyncio.sleep(3.0)  # an idle inbox looks for what is in hand every two seconds
    assert len(floor.people.posts) == len(set(floor.people.posts))
    await store.config_set("maxmemory", "0")
    await floor.status("mitigated")
    assert len(floor.people.posts) == len(set(floor.people.posts))


async def test_what_the_store_did_not_take_is_taken_up_soon_also_under_load(floor: Floor, store, breach):
    """An outcome meets a full store; once there is room its component is free in seconds, though alerts pour in."""

    async def full() -> None:
        await refuse(store)

    floor.risk.after_send = full
    await floor.fire(breach)
    async with asyncio.timeout(5):
        while not floor.risk.requests:
            await asyncio.sleep(0.01)
    floor.risk.after_send = None
    await asyncio.sleep(0.2)
    await store.config_set("maxmemory", "0")

    async def pour() -> None:
        while True:
            await floor.fire(breach)  # the inbox is never idle
            await asyncio.sleep(0.3)

    async with asyncio.TaskGroup() as group:
        pouring = group.create_task(pour())
        async with asyncio.timeout(3.0):
            await floor.status("mitigated")
        pouring.cancel()
    assert floor.risk.requests == [0.1]
