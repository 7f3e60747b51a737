"""How long a server is measured: never longer than there is time for."""

from __future__ import annotations

import asyncio

from bot.adapters.targets_redis_wire import round_trips


async def test_measuring_ends_in_time_though_its_cancellation_is_lost() -> None:
    """As redis-py may lose it: 200 pings of a slow server would take six seconds, and its failover would wait."""
    lost = 0

    async def ping() -> None:
        nonlocal lost
        if not lost:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                lost += 1

    taken = await round_trips(ping, 200, 0.05)
    assert lost == 1
    assert len(taken) < 5, "the time was over, and it went on"


async def test_a_ping_without_an_answer_counts_with_the_time_that_was_waited() -> None:
    """A server that hangs is slow, not unmeasured."""

    async def ping() -> None:
        await asyncio.Event().wait()

    taken = await round_trips(ping, 200, 0.05)
    assert len(taken) == 1
    assert taken[0] >= 0.04


async def test_no_more_pings_than_asked_for() -> None:
    """A quick server is not asked more than was said."""

    async def ping() -> None:
        await asyncio.sleep(0)

    assert len(await round_trips(ping, 20, 10.0)) == 20
