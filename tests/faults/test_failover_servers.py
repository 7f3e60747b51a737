"""Failovers by the real actions on real servers: nothing acknowledged is lost, the unsafe is refused (row T3)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bot.sandbox.topology import topology
from tests.contract.failover_floor import desk, hammered, lost

TIMES = 20  # by Sentinels on two floors at once, for each one takes two seconds; and by servers alone


async def test_twenty_failovers_lose_no_acknowledged_write(tmp_path: Path) -> None:
    """Back and forth under writers that never rest: every write that was acknowledged is on the last primary.

    By Sentinels, and beside it, on other servers, by the server's own FAILOVER.
    """
    *by_sentinel, by_server = await asyncio.gather(
        _hammer(tmp_path / "one", 3, TIMES // 2), _hammer(tmp_path / "two", 3, TIMES // 2),
        _hammer(tmp_path / "server", 0, TIMES),
    )  # fmt: skip
    for acknowledged, missing, errors in (*by_sentinel, by_server):
        assert missing == 0
        assert acknowledged > 1_000
        assert min(errors) > 0, "every writer met a primary that was none any more"
    told = (sum(one[0] for one in by_sentinel), by_server[0])
    print(f"{TIMES} failovers each; acknowledged by Sentinels {told[0]}, by servers {told[1]}; lost 0")


async def _hammer(folder: Path, sentinels: int, times: int) -> tuple[int, int, list[int]]:
    """How many writes were acknowledged, how many of them are lost, and how many errors each writer met."""
    async with topology(folder, sentinels=sentinels) as floor, desk(floor) as ours:
        async with hammered(floor) as writers:
            await ours.there_and_back(times)
        return *await lost(await ours.primary(), writers), [writer.errors for writer in writers]
