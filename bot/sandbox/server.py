"""The simulated trading-core's HTTP face: the runbook's API, Prometheus metrics, the ledger, and faults to inject.

The runbook's API: `GET /health`, `POST /api/risk/emergency-reduce`, `POST /api/stop-trading`, `/api/start-trading`.
`GET /api/risk/status` is not in the runbook: Andon must be able to read the Kelly fraction and whether trading is on,
so the sandbox offers what a real system would be asked to add. Only `/api/…` requests enter the ledger; scrapes and
looking at it do not.

Like the real thing it is a plain target: no keys, no fences, no refusal to raise Kelly. What must not be doubled has to
be prevented on Andon's side, and the ledger shows whether it was.
"""

from __future__ import annotations

import asyncio
import json

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from bot.sandbox.alerts import AlertPoster
from bot.sandbox.trading_core import TradingCore

MAX_BODY = 16 * 1024  # bytes; the largest honest request is under 300
MAX_NOTED = 1_000  # characters of a body that the ledger keeps


def build(system: TradingCore, poster: AlertPoster | None, *, answer_ms: int = 0) -> web.Application:
    """The application for one simulated system; `poster` is None where a real Alertmanager watches it.

    `answer_ms`: how long every answer of its API takes; what was asked for is done before.
    """
    app = web.Application(client_max_size=MAX_BODY, middlewares=[_slow(answer_ms), _noting(system)])
    face = _Face(system, poster)
    app.add_routes(
        [
            web.get("/health", face.health),
            web.get("/metrics", face.metrics),
            web.get("/ledger", face.ledger),
            web.get("/alerts", face.alerts),
            web.get("/api/risk/status", face.risk_status),
            web.post("/api/risk/emergency-reduce", face.emergency_reduce),
            web.post("/api/stop-trading", face.stop_trading),
            web.post("/api/start-trading", face.start_trading),
            web.post("/faults/var", face.fault_var),
            web.post("/desk/restore", face.desk_restore),
        ]
    )
    return app


def _slow(answer_ms: int) -> Middleware:
    """A middleware that holds the answers of `/api/` back."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if answer_ms and request.path.startswith("/api/"):
            await asyncio.sleep(answer_ms / 1_000)
        return response

    return middleware


def _noting(system: TradingCore) -> Middleware:
    """A middleware that writes every `/api/` request and its answer into the ledger."""

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith("/api/"):
            return await handler(request)
        body = (await request.text())[:MAX_NOTED]
        status = 500
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as refusal:
            status = refusal.status
            raise
        finally:
            system.ledger.request(
                f"{request.method} {request.path}",
                status=status,
                body=body,
                key=request.headers.get("Idempotency-Key", ""),
                fence=request.headers.get("X-Fence", ""),
            )
        return response

    return note


class _Face:
    """The handlers, one method a route."""

    def __init__(self, system: TradingCore, poster: AlertPoster | None) -> None:
        self._system = system
        self._poster = poster
        self._registry = CollectorRegistry()
        self._var = Gauge("trading_var_pct", "Value at risk, percent of equity", ["symbol"], registry=self._registry)
        self._kelly = Gauge("trading_kelly_fraction", "Kelly fraction in force", registry=self._registry)
        self._position = Gauge("trading_position_usd", "Position, US dollars", ["symbol"], registry=self._registry)

    async def health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "healthy", "trading": "on" if self._system.trading else "off"})

    async def metrics(self, _request: web.Request) -> web.Response:
        self._kelly.set(self._system.kelly_fraction)
        for reading in self._system.readings:
            self._var.labels(reading.symbol).set(reading.var_pct)
            self._position.labels(reading.symbol).set(reading.position_usd)
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def ledger(self, request: web.Request) -> web.Response:
        return web.json_response(self._system.ledger.entries(request.query.get("kind", "")))

    async def alerts(self, _request: web.Request) -> web.Response:
        """Who raises alerts here: the sandbox itself, or somebody who scrapes it."""
        return web.json_response({"by": "scraper"} if self._poster is None else self._poster.status())

    async def risk_status(self, _request: web.Request) -> web.Response:
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
        body = await _json_object(request)
        fraction = _number(body, "kelly_fraction", low=0.0, high=1.0)
        reason = body.get("reason")
        if not isinstance(reason, str) or not reason.strip():
            raise _refusal("reason", "a sentence saying why is needed")
        changed = await self._system.set_kelly(fraction, author="api", reason=reason)
        return web.json_response({"kelly_fraction": self._system.kelly_fraction, "changed": changed})

    async def stop_trading(self, request: web.Request) -> web.Response:
        return await self._switch_trading(request, on=False)

    async def start_trading(self, request: web.Request) -> web.Response:
        return await self._switch_trading(request, on=True)

    async def _switch_trading(self, request: web.Request, *, on: bool) -> web.Response:
        """The runbook calls both without a body; a reason is kept where one is given."""
        body = await _json_object(request) if await request.text() else {}
        reason = body.get("reason", "")
        if not isinstance(reason, str):
            raise _refusal("reason", "a sentence saying why, or nothing")
        changed = await self._system.set_trading(on, author="api", reason=reason)
        return web.json_response({"trading": "on" if on else "off", "changed": changed})

    async def fault_var(self, request: web.Request) -> web.Response:
        """{"symbol", "var_pct"} stresses a symbol, {"symbol", "clear": true} ends that; "*" clears them all."""
        body = await _json_object(request)
        symbol = body.get("symbol")
        if body.get("clear") is True and symbol == "*":
            for name in self._system.symbols:
                await self._system.clear(name)
        elif symbol not in self._system.symbols:
            raise _refusal("symbol", f"one of {', '.join(self._system.symbols)}")
        elif body.get("clear") is True:
            await self._system.clear(str(symbol))
        else:
            await self._system.stress(str(symbol), _number(body, "var_pct", low=0.01, high=100.0))
        return web.json_response({"var_pct": {reading.symbol: reading.var_pct for reading in self._system.readings}})

    async def desk_restore(self, _request: web.Request) -> web.Response:
        """What people at the desk do after an incident, and Andon never does by itself: back to normal, Kelly too."""
        changed = await self._system.restore(reason="back to normal, by hand")
        return web.json_response({"kelly_fraction": self._system.kelly_fraction, "changed": changed})


async def _json_object(request: web.Request) -> dict[str, object]:
    try:
        body = json.loads(await request.text())
    except ValueError:
        raise _refusal("body", "not JSON") from None
    if not isinstance(body, dict):
        raise _refusal("body", "not a JSON object")
    return body


def _number(body: dict[str, object], name: str, *, low: float, high: float) -> float:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise _refusal(name, f"a number from {low} to {high} is needed")
    return float(value)


def _refusal(field: str, message: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(
        text=json.dumps({"error": f"{field}: {message}", "field": field}), content_type="application/json"
    )
