"""Failovers by the real actions on real servers: nothing acknowledged is lost, the unsafe is refused (row T3)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.sandbox.topology import topology
from tests.contract.failover_floor import desk, hammered, lost

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
TIMES = 20


async def test_twenty_failovers_lose_no_acknowledged_write(tmp_path: Path) -> None:
    """Back and forth under writers that never rest: every write that was acknowledged is on the last primary.

    Through Sentinels, and beside it, on other servers, through the server's own FAILOVER.
    """
    told = await asyncio.gather(_hammer(tmp_path / "sentinel", 3), _hammer(tmp_path / "server", 0))
    for acknowledged, missing, errors in told:
        assert missing == 0
        assert acknowledged > 1_000
        assert min(errors) > 0, "every writer met a primary that was none any more"
    print(f"{TIMES} failovers each; acknowledged and lost by Sentinel, by the server: {[one[:2] for one in told]}")


async def _hammer(folder: Path, sentinels: int) -> tuple[int, int, list[int]]:
    async with topology(folder, sentinels=sentinels) as floor, desk(floor) as ours:
        async with hammered(floor) as writers:
            await ours.there_and_back(TIMES)
        return *await lost(await ours.primary(), writers), [writer.errors for writer in writers]
