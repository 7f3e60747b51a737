"""The rules of deploy/prometheus that the sandbox keeps itself where no Prometheus runs, as pure functions.

`alerts` asks them on every reading and posts what they find. Thresholds and labels are those of
deploy/prometheus/rules/trading-core.yml, so that the same policies match either way.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bot.sandbox.model import Reading

SYSTEM = "trading-core"
VAR_BREACH, LATENCY_HIGH = "VaRBreach", "RedisLatencyHigh"
VAR_PCT = 1.8  # 90 % of the 2.0 % limit
LATENCY_US = 5_000.0  # the runbook's 5 ms
CONSECUTIVE = 8  # measures in a row, four a second: two seconds, for one slow moment is nothing to act on
_COMMON = {"instance": "sandbox", "job": SYSTEM, "system": SYSTEM}


@dataclass(frozen=True, slots=True)
class Condition:
    """What one alert of a rule says while it fires. `key` tells it from the rule's others."""

    key: str
    labels: dict[str, str] = field(hash=False)
    summary: str
    threshold: str
    value: str = field(compare=False)  # as measured last; a figure that moves is no other alert


def var_breach(readings: tuple[Reading, ...]) -> tuple[Condition, ...]:
    """Row T2: one alert for each symbol whose VaR is over the threshold."""
    return tuple(
        Condition(
            reading.symbol,
            {**_COMMON, "alertname": VAR_BREACH, "severity": "critical", "symbol": reading.symbol},
            f"VaR of {reading.symbol} is over {VAR_PCT} % (90 % of the 2.0 % limit)",
            f"{VAR_PCT} %",
            f"{reading.var_pct:.2f} %",
        )
        for reading in readings
        if reading.var_pct > VAR_PCT
    )


class LatencyHigh:
    """Row T3: p99 over 5 ms for two seconds; it ends as soon as it is not. Counts measures, so it needs no clock.

    `limit_us` is another limit than the runbook's, for a machine that is busy with everything else.
    """

    def __init__(self, limit_us: float = LATENCY_US) -> None:
        self._limit_us = limit_us
        self._over = 0

    def look(self, p99_us: float | None) -> tuple[Condition, ...] | None:
        """What fires after this measure; None where nothing was measured: then all stays as it was."""
        if p99_us is None:
            return None
        self._over = self._over + 1 if p99_us > self._limit_us else 0
        if self._over < CONSECUTIVE:
            return ()
        labels = {**_COMMON, "alertname": LATENCY_HIGH, "severity": "warning"}
        limit = f"{self._limit_us:g} µs"
        return (Condition(LATENCY_HIGH, labels, f"Redis p99 latency is over {limit}", limit, f"{p99_us:.0f} µs"),)
