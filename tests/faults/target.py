"""A trading system in the test's own process, over real HTTP: it keeps a ledger of all that it was asked.

Two kinds of component. A *desk* takes orders that are known only by their case: to send one twice is to trade twice. A
*risk engine* has a Kelly fraction that can be set and read. `heartbeats` are Andon's outgoing signs of life.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web

from bot.adapters.clock import SystemClock
from bot.sandbox.ports import free_port

HOST: Final = "127.0.0.1"
ANSWER_S: Final = 0.03  # how long a desk takes to answer, so that there is always something under way
KELLY: Final = 0.25  # in force before anybody cuts it
CUT: Final = 0.1  # what the policy cuts it to


class Target:
    """The system. `url` is its desks' and the heartbeat's address, `risk` that of each risk engine."""

    def __init__(self, engines: int) -> None:
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.ledger: Counter[str] = Counter()  # orders by case
        self.keys: list[str] = []  # the Idempotency-Key of each request that could change something
        self.heartbeats: list[float] = []
        self._clock = SystemClock()
        self.kelly = {free_port(): KELLY for _ in range(engines)}

    @property
    def risk(self) -> list[str]:
        """host:port of every risk engine."""
        return [f"http://{HOST}:{port}" for port in self.kelly]

    async def order(self, request: web.Request) -> web.Response:
        """It is done, then it is answered."""
        self.ledger[str((await request.json())["case"])] += 1
        self.keys.append(request.headers.get("Idempotency-Key", ""))
        await asyncio.sleep(ANSWER_S)
        return web.json_response({})

    async def status(self, request: web.Request) -> web.Response:
        """A risk engine's state, dated."""
        body = {"kelly_fraction": self.kelly[_port(request)], "updated_at": self._clock.now()}
        return web.json_response(body)

    async def reduce(self, request: web.Request) -> web.Response:
        """Sets the Kelly fraction; it would raise it as gladly."""
        self.kelly[_port(request)] = (await request.json())["kelly_fraction"]
        self.keys.append(request.headers.get("Idempotency-Key", ""))
        return web.json_response({})

    async def beat(self, _: web.Request) -> web.Response:
        """Andon says that it is well."""
        self.heartbeats.append(asyncio.get_running_loop().time())
        return web.Response()


def _port(request: web.Request) -> int:
    assert request.transport is not None
    return int(request.transport.get_extra_info("sockname")[1])


@asynccontextmanager
async def trading_system(engines: int = 4) -> AsyncIterator[Target]:
    """It answers until the end."""
    target = Target(engines)
    app = web.Application()
    app.add_routes(
        [
            web.post("/orders", target.order),
            web.post("/heartbeat", target.beat),
            web.get("/api/risk/status", target.status),
            web.post("/api/risk/emergency-reduce", target.reduce),
        ]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        for port in (target.port, *target.kelly):
            await web.TCPSite(runner, HOST, port).start()
        yield target
    finally:
        await runner.cleanup()


Json = dict[str, Any]


def components(target: Target, desks: tuple[str, ...]) -> list[Json]:
    """As targets.yaml lists them."""
    found: list[Json] = [
        {"name": name, "role": "desk", "connector": "http", "url": target.url, "allow": ["POST /orders"]}
        for name in desks
    ]
    for number, url in enumerate(target.risk):
        found.append({
            "name": f"risk-{number}", "role": "risk", "connector": "http", "url": url,
            "allow": ["POST /api/risk/emergency-reduce", "GET /api/risk/status"],
            "read": {"kelly_fraction": {
                "http": "/api/risk/status", "json": "kelly_fraction", "at_json": "updated_at", "max_age": "60s"
            }},
        })  # fmt: skip
    return found
