"""Clocks never wake anybody early, and a scaled one agrees with itself across processes."""

from __future__ import annotations

import asyncio

import pytest

from bot.adapters.clock import ScaledClock, SystemClock, wall_ms
from bot.errors import ConfigError


@pytest.mark.parametrize("scale", [1.0, 60.0, 1_000.0])
async def test_a_sleeper_is_never_woken_early(scale: float) -> None:
    """Timers fire at or after their time, whatever the scale."""
    clock = ScaledClock(scale, wall_ms())
    due = clock.now() + int(20 * scale)
    await clock.sleep_until(due)
    assert clock.now() >= due


async def test_the_past_needs_no_sleep() -> None:
    """A due time that has passed returns without yielding to the clock."""
    async with asyncio.timeout(0.5):
        await SystemClock().sleep_until(wall_ms() - 10_000)


def test_a_scaled_clock_starts_at_its_anchor_and_runs_faster() -> None:
    """Two processes with one anchor have one time; durations in real seconds are divided."""
    anchor = wall_ms() - 1_000
    clock, other = ScaledClock(60, anchor), ScaledClock(60, anchor)
    assert clock.now() >= anchor + 60_000
    assert 0 <= other.now() - clock.now() < 60_000
    assert clock.real_seconds(60_000) == 1.0
    assert SystemClock().real_seconds(1_500) == 1.5


@pytest.mark.parametrize("scale", [0.0, -1.0, 1e6, float("nan")])
def test_a_scale_that_makes_no_sense_is_refused(scale: float) -> None:
    """Time stands still, runs backwards or outruns every timer."""
    with pytest.raises(ConfigError):
        ScaledClock(scale, 0)
