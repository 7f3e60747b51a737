"""Everything that one simulated trading-core consists of, as its HTTP handlers hold it.

Made by `assembly`. `restore` is the desk's: what people do after an incident, and Andon never does by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.sandbox.alerts import AlertPoster
from bot.sandbox.faults import Faults
from bot.sandbox.history import History
from bot.sandbox.ledger import Ledger
from bot.sandbox.probe import Probe
from bot.sandbox.routing import Routing
from bot.sandbox.services import Service
from bot.sandbox.store import Store
from bot.sandbox.trading_core import TradingCore


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The parts. `poster` is None where a real Alertmanager watches."""

    risk: TradingCore
    routing: Routing
    services: dict[str, Service]
    store: Store
    faults: Faults
    probe: Probe
    ledger: Ledger
    history: History
    poster: AlertPoster | None = None

    async def restore(self, reason: str) -> bool:
        """Every fault ends, Kelly and the book are at their baseline, trading is on, the router runs, the replica
        follows. Nothing is failed back: whoever is primary stays it. Returns whether Kelly moved."""
        self.faults.calm()
        self.routing.mend()
        self.routing.resume(author="desk", owner="desk", reason=reason)
        changed = await self.risk.restore(reason=reason)
        if self.faults.replica_state != "up":
            await self.faults.replica("up")
        return changed
