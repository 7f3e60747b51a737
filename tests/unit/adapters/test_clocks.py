"""A scaled clock agrees with itself across processes."""

from __future__ import annotations

import pytest

from bot.adapters.clock import ScaledClock, SystemClock, wall_ms
from bot.errors import ConfigError


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
