"""The risk of the simulated trading-core as one live system: model, ledger, and the runbook's hashes in its own Valkey.

`api_risk` puts the runbook's HTTP API in front of it; `assembly` makes both. Every `REFRESH_SECONDS` of real time, and
at once after every change, it publishes `metrics:var_pct:<symbol>` and `metrics:position_size_usd:<symbol>`
(`value`, and `timestamp` in milliseconds of the sandbox's clock) — the runbook's fallback for its TimeSeries keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bot.core.words import Millis
from bot.sandbox.ledger import Author, Ledger
from bot.sandbox.model import Reading, RiskModel
from bot.sandbox.store import Command, Store

REFRESH_SECONDS = 0.2  # real time: fresh enough for a live chart and for evidence on a clock scaled up to 60 times

Listener = Callable[[tuple[Reading, ...]], Awaitable[None]]


class TradingCore:
    """The system under the API. One event loop owns it; `run` keeps it alive until cancelled."""

    def __init__(self, model: RiskModel, ledger: Ledger, store: Store, now: Callable[[], Millis]) -> None:
        self.ledger = ledger
        self.now = now
        self.updated_at = now()
        self.trading = True
        self._model = model
        self._store = store
        self._listeners: list[Listener] = []

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names of the traded symbols."""
        return self._model.symbols

    @property
    def kelly_fraction(self) -> float:
        """The Kelly fraction in force."""
        return self._model.kelly_fraction

    @property
    def readings(self) -> tuple[Reading, ...]:
        """VaR and position of every symbol, as last published."""
        return self._model.readings

    def listen(self, listener: Listener) -> None:
        """Tell `listener` every new set of readings (the sandbox's own alerts hang here)."""
        self._listeners.append(listener)

    async def run(self) -> None:
        """Publish for ever."""
        while True:
            await self.refresh()
            await asyncio.sleep(REFRESH_SECONDS)

    async def refresh(self) -> None:
        """Advance the model to now and publish what it shows."""
        self._model.advance(self.now())
        await self._publish()

    async def set_kelly(self, fraction: float, *, author: Author, reason: str) -> bool:
        """Put a Kelly fraction in force. Returns whether that changed anything; only a change is an effect."""
        before = self._model.kelly_fraction
        if fraction == before:
            return False
        self._model.set_kelly(fraction, self.now())
        self.ledger.effect("kelly_fraction", author=author, before=before, after=fraction, reason=reason)
        await self._publish()
        return True

    async def set_trading(self, trading: bool, *, author: Author, reason: str = "") -> bool:
        """Start or stop taking new orders. Returns whether that changed anything; only a change is an effect."""
        before = self.trading
        if trading == before:
            return False
        self.trading = trading
        self.updated_at = self.now()
        self.ledger.effect("trading", author=author, before=before, after=trading, reason=reason)
        return True

    async def restore(self, *, reason: str) -> bool:
        """The desk puts everything back: faults over, baseline Kelly, book rebuilt, trading on.

        Returns whether Kelly moved.
        """
        before = self._model.kelly_fraction
        self._model.restore(self.now())
        changed = self._model.kelly_fraction != before
        if changed:
            self.ledger.effect(
                "kelly_fraction", author="desk", before=before, after=self._model.kelly_fraction, reason=reason
            )
        await self.set_trading(True, author="desk", reason=reason)
        await self._publish()
        return changed

    async def stress(self, symbol: str, var_pct: float) -> None:
        """Inject a VaR fault: the symbol jumps to `var_pct` percent at once."""
        before = next(r.var_pct for r in self.readings if r.symbol == symbol)
        self._model.stress(symbol, var_pct, self.now())
        self.ledger.effect(f"var_pct:{symbol}", author="fault", before=before, after=var_pct, reason="injected")
        await self._publish()

    async def clear(self, symbol: str) -> None:
        """End a symbol's VaR fault; its VaR runs back with the model's lag."""
        before = next(r.var_pct for r in self.readings if r.symbol == symbol)
        self._model.clear(symbol, self.now())
        self.ledger.effect(f"var_pct:{symbol}", author="fault", before=before, after=before, reason="cleared")
        await self._publish()

    async def _publish(self) -> None:
        self.updated_at = self.now()
        readings = self._model.readings
        stamp = str(self.updated_at)
        commands: list[Command] = []
        for reading in readings:
            for name, value in (("var_pct", reading.var_pct), ("position_size_usd", reading.position_usd)):
                key = f"metrics:{name}:{reading.symbol}"
                commands.append(("HSET", key, "value", value, "timestamp", stamp))
        await self._store.write(commands)  # what a failover does not take, the next round publishes
        for listener in self._listeners:
            await listener(readings)
