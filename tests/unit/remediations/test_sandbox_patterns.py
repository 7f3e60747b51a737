"""What the simulated router does when it breaks is what the diagnosis says it does, at any rate and from any seed."""

from __future__ import annotations

import pytest

from bot.sandbox.router import ModelRouter, Pattern
from remediations.diagnosis_kit import StreamEntry
from remediations.kit import Cause
from remediations.model_switching import COUNT, OSCILLATION, PINGPONG, RANDOM, SLOW, judge

NOW = 1_700_000_000_000


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("per_minute", [30.0, 60.0, 1_200.0])
@pytest.mark.parametrize(
    ("pattern", "row"), [("pingpong", PINGPONG), ("random", RANDOM), ("slow", SLOW), ("oscillation", OSCILLATION)]
)
def test_each_fault_is_told(pattern: Pattern, row: Cause, per_minute: float, seed: int) -> None:
    """Normal switching goes on beside the fault, and hides none of the four."""
    router = ModelRouter(now=NOW, seed=seed, symbols=("BTC-USD", "ETH-USD", "SOL-USD"))
    router.advance(NOW + 600_000)
    router.break_down(pattern, per_minute, NOW + 600_000)
    switches = router.advance(NOW + 600_000 + int(102 * 60_000 / per_minute))  # as many as raise the alert
    entries = [
        StreamEntry(one.at, {
            "symbol": one.symbol, "from": one.from_, "to": one.to,
            "confidence": str(one.confidence), "latency_ms": str(one.latency_ms),
        })
        for one in switches
    ]  # fmt: skip
    found = judge(entries[-COUNT:])
    assert (found.cause, found.fix) == (row.cause, row.fix), found.summary
