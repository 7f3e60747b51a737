"""The runbook's risk API of the simulated trading-core, the VaR fault, and the desk's way back to normal.

`GET /api/risk/status` is not in the runbook: Andon must be able to read the Kelly fraction and whether trading is on,
so the sandbox offers what a real system would be asked to add. Routed by `server`.
"""

from __future__ import annotations

from aiohttp import web

from bot.sandbox.floor import Floor
from bot.sandbox.requests import json_object, json_or_nothing, number, one_of, refusal, sentence

RESTORED = "back to normal, by hand"


class RiskApi:
    """Handlers over one floor."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._system = floor.risk

    def routes(self) -> list[web.RouteDef]:
        """What `server` adds to the application."""
        return [
            web.get("/api/risk/status", self.status),
            web.post("/api/risk/emergency-reduce", self.emergency_reduce),
            web.post("/api/stop-trading", self.stop_trading),
            web.post("/api/start-trading", self.start_trading),
            web.post("/faults/var", self.fault),
            web.post("/desk/restore", self.restore),
        ]

    async def status(self, _request: web.Request) -> web.Response:
        """Kelly, trading, and VaR by symbol, dated."""
        system = self._system
        return web.json_response(
            {
                "kelly_fraction": system.kelly_fraction,
                "trading": "on" if system.trading else "off",
                "var_pct": {reading.symbol: reading.var_pct for reading in system.readings},
                "updated_at": system.updated_at,
            }
        )

    async def emergency_reduce(self, request: web.Request) -> web.Response:
        """The runbook's first remedy; it would also raise Kelly."""
        body = await json_object(request)
        fraction = number(body, "kelly_fraction", low=0.0, high=1.0)
        changed = await self._system.set_kelly(fraction, author="api", reason=sentence(body, "reason", needed=True))
        return web.json_response({"kelly_fraction": self._system.kelly_fraction, "changed": changed})

    async def stop_trading(self, request: web.Request) -> web.Response:
        """Halt."""
        return await self._switch_trading(request, on=False)

    async def start_trading(self, request: web.Request) -> web.Response:
        """Trade again."""
        return await self._switch_trading(request, on=True)

    async def _switch_trading(self, request: web.Request, *, on: bool) -> web.Response:
        """The runbook calls both without a body; a reason is kept where one is given."""
        reason = sentence(await json_or_nothing(request), "reason")
        changed = await self._system.set_trading(on, author="api", reason=reason)
        return web.json_response({"trading": "on" if on else "off", "changed": changed})

    async def fault(self, request: web.Request) -> web.Response:
        """{"symbol", "var_pct"} stresses a symbol, {"symbol", "clear": true} ends that; "*" clears them all."""
        body = await json_object(request)
        symbol = body.get("symbol")
        if body.get("clear") is True and symbol == "*":
            for name in self._system.symbols:
                await self._system.clear(name)
        elif symbol not in self._system.symbols:
            raise refusal("symbol", f"one of {', '.join(self._system.symbols)}")
        elif body.get("clear") is True:
            await self._system.clear(str(symbol))
        else:
            await self._system.stress(str(symbol), number(body, "var_pct", low=0.01, high=100.0))
        return web.json_response({"var_pct": {reading.symbol: reading.var_pct for reading in self._system.readings}})

    async def restore(self, request: web.Request) -> web.Response:
        """What people at the desk do after an incident, and Andon never does by itself: back to normal, Kelly too.

        {"only": "risk"} leaves the router and Redis as they are.
        """
        only = one_of(await json_or_nothing(request), "only", ("", "risk"))
        back = self._system.restore(reason=RESTORED) if only else self._floor.restore(RESTORED)
        changed = await back
        return web.json_response({"kelly_fraction": self._system.kelly_fraction, "changed": changed})
