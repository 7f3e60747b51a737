"""The simulated trading-core's HTTP face: the runbook's API, Prometheus metrics, the ledger, and faults to inject.

Put together from `api_risk`, `api_router` and `api_redis`; here are health, metrics, alerts, the ledger and what every
request goes through. Only `/api/…` requests enter the ledger; scrapes and looking at it do not.

Like the real thing it is a plain target: no keys, no fences, no refusal to raise Kelly. What must not be doubled has to
be prevented on Andon's side, and the ledger shows whether it was.
"""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bot.sandbox.api_redis import RedisApi
from bot.sandbox.api_risk import RiskApi
from bot.sandbox.api_router import RouterApi
from bot.sandbox.floor import Floor
from bot.sandbox.ledger import Ledger

MAX_BODY = 16 * 1024  # bytes; the largest honest request is under 300
MAX_NOTED = 1_000  # characters of a body that the ledger keeps


def build(floor: Floor, *, answer_ms: int = 0) -> web.Application:
    """The application for one simulated system.

    `answer_ms`: how long every answer of its API takes; what was asked for is done before.
    """
    app = web.Application(client_max_size=MAX_BODY, middlewares=[_slow(answer_ms), _noting(floor.ledger)])
    face = _Face(floor)
    app.add_routes(
        [
            web.get("/health", face.health),
            web.get("/metrics", face.metrics),
            web.get("/ledger", face.ledger),
            web.get("/alerts", face.alerts),
            *RiskApi(floor).routes(),
            *RouterApi(floor.routing).routes(),
            *RedisApi(floor).routes(),
            *floor.history.routes(),
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


def _noting(ledger: Ledger) -> Middleware:
    """A middleware that writes every `/api/` request and its answer into the ledger."""

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith("/api/") or request.path.startswith(
            "/api/v1/"
        ):  # a look at metrics is no request
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
            ledger.request(
                f"{request.method} {request.path}",
                status=status,
                body=body,
                key=request.headers.get("Idempotency-Key", ""),
                fence=request.headers.get("X-Fence", ""),
            )
        return response

    return note


class _State(Collector):
    """Reads what the router and the probe show at the moment of a scrape."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor

    def collect(self) -> list[Metric]:
        """The runbook's names; latency only while it is measured, so that its absence can be seen."""
        switches = CounterMetricFamily("model_switch", "Switches of the model that serves a symbol", labels=["symbol"])
        for symbol, count in self._floor.routing.switched.items():
            switches.add_metric([symbol], count)
        latency = GaugeMetricFamily("redis_latency_p99", "Round trip of a PING to the primary, 99th percentile, us")
        if self._floor.probe.p99_us is not None:
            latency.add_metric([], self._floor.probe.p99_us)
        return [switches, latency]


class _Face:
    """Handlers that look at the whole."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._registry = CollectorRegistry()
        self._registry.register(_State(floor))
        self._var = Gauge("trading_var_pct", "Value at risk, percent of equity", ["symbol"], registry=self._registry)
        self._kelly = Gauge("trading_kelly_fraction", "Kelly fraction in force", registry=self._registry)
        self._position = Gauge("trading_position_usd", "Position, US dollars", ["symbol"], registry=self._registry)

    async def health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "healthy", "trading": "on" if self._floor.risk.trading else "off"})

    async def metrics(self, _request: web.Request) -> web.Response:
        self._kelly.set(self._floor.risk.kelly_fraction)
        for reading in self._floor.risk.readings:
            self._var.labels(reading.symbol).set(reading.var_pct)
            self._position.labels(reading.symbol).set(reading.position_usd)
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def ledger(self, request: web.Request) -> web.Response:
        return web.json_response(self._floor.ledger.entries(request.query.get("kind", "")))

    async def alerts(self, _request: web.Request) -> web.Response:
        """Who raises alerts here: the sandbox itself, or somebody who scrapes it."""
        poster = self._floor.poster
        return web.json_response({"by": "scraper"} if poster is None else poster.status())
