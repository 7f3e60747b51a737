"""Real Sentinels, asked by many at the same moment: everybody hears the same primary."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bot.adapters.sentinels import Sentinels
from bot.sandbox.topology import HOST, topology

ASKERS = 12  # evidence, diagnosis, action and stream of one system, several times over


async def test_whoever_asks_while_others_do_is_answered_too(tmp_path: Path) -> None:
    """More askers than connections: they wait for a millisecond, and none is told that no Sentinel answers."""
    async with topology(tmp_path) as servers:
        sentinels = Sentinels(servers.sentinel_addresses, servers.master)
        try:
            told = await asyncio.gather(*(sentinels.primary() for _ in range(ASKERS)))
        finally:
            await sentinels.close()
    assert {each.server for each in told} == {(HOST, servers.primary.port)}
