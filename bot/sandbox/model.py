"""How the simulated trading-core's risk moves: VaR and positions follow the Kelly fraction, with a lag.

Pure but for its own state: time and the seed are arguments. `trading_core` advances it and publishes what it reads;
faults and Kelly changes reach it through the HTTP API in `server`.

The book follows the Kelly fraction exponentially (`response_ms` is the time constant), because Kelly sizes *new*
trades and old ones run off. A symbol's VaR is its base VaR, times its stress (1 when nothing is wrong), times how far
the book stands from the baseline Kelly of 0.25: a stressed 2.4 % becomes 0.96 % once Kelly has gone to 0.10.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from bot.core.words import Millis

BASELINE_KELLY = 0.25  # where trading-core starts, and what base VaR and positions are quoted at
NOISE = 0.004  # relative standard deviation of a reading: visible on a chart, far too small to cross a threshold


@dataclass(frozen=True, slots=True)
class Symbol:
    """One traded symbol. VaR in percent of equity, position in US dollars, both at the baseline Kelly."""

    name: str
    base_var_pct: float
    base_position_usd: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What one symbol shows now: VaR in percent, position in US dollars."""

    symbol: str
    var_pct: float
    position_usd: float


SYMBOLS: tuple[Symbol, ...] = (
    Symbol("BTC-USD", 1.10, 410_000.0),
    Symbol("ETH-USD", 0.95, 260_000.0),
    Symbol("SOL-USD", 1.25, 120_000.0),
)


class RiskModel:
    """The moving state. Not thread-safe; one event loop owns it."""

    def __init__(self, *, now: Millis, seed: int, response_ms: Millis, symbols: tuple[Symbol, ...] = SYMBOLS) -> None:
        self._symbols = {symbol.name: symbol for symbol in symbols}
        self._random = random.Random(seed)  # noqa: S311 - noise on a chart, no secret
        self._response_ms = response_ms
        self._at = now
        self._kelly = BASELINE_KELLY
        self._book = BASELINE_KELLY  # the Kelly fraction the open book corresponds to; follows `_kelly`
        self._stress = {symbol.name: 1.0 for symbol in symbols}
        self._stress_goal = dict(self._stress)
        self._readings = self._read()

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names of the traded symbols."""
        return tuple(self._symbols)

    @property
    def kelly_fraction(self) -> float:
        """The Kelly fraction in force for new trades."""
        return self._kelly

    @property
    def readings(self) -> tuple[Reading, ...]:
        """What every symbol showed at the last `advance`."""
        return self._readings

    def advance(self, now: Millis) -> None:
        """Let time pass up to `now`; an earlier time than the last one changes nothing."""
        passed = max(0, now - self._at)
        self._at = max(self._at, now)
        share = 1.0 - math.exp(-passed / self._response_ms)
        self._book += (self._kelly - self._book) * share
        for name, goal in self._stress_goal.items():
            self._stress[name] += (goal - self._stress[name]) * share
        self._readings = self._read()

    def set_kelly(self, fraction: float, now: Millis) -> None:
        """Put a Kelly fraction in force; VaR and positions follow from `now` on."""
        self.advance(now)
        self._kelly = fraction

    def stress(self, symbol: str, var_pct: float, now: Millis) -> None:
        """A fault: the symbol's VaR jumps to `var_pct` (at today's book) and stays stressed until cleared."""
        self.advance(now)
        unstressed = self._symbols[symbol].base_var_pct * self._book / BASELINE_KELLY
        self._stress[symbol] = self._stress_goal[symbol] = var_pct / unstressed
        self._readings = self._read()

    def clear(self, symbol: str, now: Millis) -> None:
        """The fault is over: stress runs off with the model's lag."""
        self.advance(now)
        self._stress_goal[symbol] = 1.0

    def restore(self, now: Millis) -> None:
        """Back to where it started, at once: no stress, baseline Kelly, and a book that corresponds to it."""
        self.advance(now)
        self._kelly = self._book = BASELINE_KELLY
        self._stress = dict.fromkeys(self._symbols, 1.0)
        self._stress_goal = dict(self._stress)
        self._readings = self._read()

    def _read(self) -> tuple[Reading, ...]:
        scale = self._book / BASELINE_KELLY
        return tuple(
            Reading(
                symbol=name,
                var_pct=round(symbol.base_var_pct * self._stress[name] * scale * self._random.gauss(1.0, NOISE), 4),
                position_usd=round(symbol.base_position_usd * scale, 2),
            )
            for name, symbol in self._symbols.items()
        )
