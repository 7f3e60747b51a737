"""A bell: heard at once, later, or not at all; and by a task that is cancelled meanwhile."""

from __future__ import annotations

import asyncio

from bot.engine.bell import Bell

SOON, LONG = 0.01, 30.0


async def test_what_rang_before_is_heard_at_once_and_once() -> None:
    """Twice before anybody listens is heard once."""
    bell = Bell()
    bell.ring()
    bell.ring()
    assert await bell.heard(LONG)
    assert not await bell.heard(SOON)


async def test_who_listens_is_woken() -> None:
    """Long before the time is over."""
    bell = Bell()
    asyncio.get_running_loop().call_later(SOON, bell.ring)
    async with asyncio.timeout(LONG / 2):
        assert await bell.heard(LONG)


async def test_what_was_hushed_is_not_heard() -> None:
    """Whoever looks anyway needs not be told."""
    bell = Bell()
    bell.ring()
    bell.hush()
    assert not await bell.heard(SOON)


async def test_a_listener_that_is_cancelled_ends_and_the_next_one_hears() -> None:
    """Also what rings while nobody listens, in between."""
    bell = Bell()
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(bell.heard(LONG))
        await asyncio.sleep(0)
        listening.cancel()
    assert listening.cancelled()
    bell.ring()
    assert await bell.heard(LONG)
