"""`/healthz`, `/readyz`, `/metrics`: is this process alive, should it get traffic, and what has it been doing.

Healthy means the event loop answers; a restart would help if it did not. Ready means a webhook posted now would be
stored and worked on: the store takes a durable write, the loop keeps up, policies are loaded, the engine's own loops go
round, and nobody has asked this process to stop.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web
from prometheus_client import Gauge
from prometheus_client.aiohttp import make_aiohttp_handler

from bot.adapters.http_errors import as_json
from bot.adapters.http_services import Check, Services
from bot.errors import StoreError

STORE_SECONDS: Final = 2.0  # a probe is asked every few seconds; a store slower than this is not ready
KEPT_SECONDS: Final = 1.0  # an answer serves for this long, so that probing cannot load the store
LAG_EVERY_SECONDS: Final = 0.25
LAG_LIMIT_SECONDS: Final = 0.5  # a loop that wakes this late misses the latencies promised for actions


class LoopWatch:
    """Measures how late the event loop wakes a sleeper. Run by `http_app.serve` beside the doors."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self.lag_seconds = 0.0

    async def run(self) -> None:
        """Until cancelled. Keeps the worse of the newest lag and half the one before, so one bad second is seen."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_EVERY_SECONDS
            await asyncio.sleep(LAG_EVERY_SECONDS)
            self.lag_seconds = max(loop.time() - due, self.lag_seconds / 2)
            self._gauge.set(self.lag_seconds)


class Health:
    """The three pages. `draining` is set by `http_app.serve` when the process is asked to stop."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.watch = LoopWatch(
            Gauge("andon_loop_lag_seconds", "How late the event loop wakes", registry=services.registry)
        )
        self.draining = False
        self._kept: tuple[float, Check] | None = None

    def mount(self, app: web.Application) -> None:
        """Add the pages to an application."""
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", make_aiohttp_handler(self._services.registry))

    async def _healthz(self, _: web.Request) -> web.Response:
        return as_json({"status": "alive", "replica": self._services.replica})

    async def _readyz(self, _: web.Request) -> web.Response:
        checks = await self.checks()
        ready = all(check.ok for check in checks)
        body = {
            "ready": ready,
            "checks": {check.name: {"ok": check.ok, "detail": check.detail} for check in checks},
        }
        return as_json(body, status=200 if ready else 503)

    async def checks(self) -> list[Check]:
        """Everything `/readyz` tells."""
        lag = self.watch.lag_seconds
        fingerprint = self._services.policy_fingerprint()
        policies = len(self._services.policies())
        return [
            await self._store(),
            Check(
                "loop",
                lag <= LAG_LIMIT_SECONDS,
                f"wakes {lag * 1000:.0f} ms late, {LAG_LIMIT_SECONDS * 1000:.0f} allowed",
            ),
            Check(
                "policies",
                bool(fingerprint),
                f"{policies} loaded, {fingerprint[:12]}" if fingerprint else "none loaded",
            ),
            Check("accepting", not self.draining, "shutting down" if self.draining else "yes"),
            *self._services.checks(),
        ]

    async def _store(self) -> Check:
        now = asyncio.get_running_loop().time()
        if self._kept is not None and now - self._kept[0] < KEPT_SECONDS:
            return self._kept[1]
        try:
            async with asyncio.timeout(STORE_SECONDS):
                await self._services.store.check_writable()
            check = Check(
                "store", True, f"durable write took {(asyncio.get_running_loop().time() - now) * 1000:.1f} ms"
            )
        except TimeoutError:
            check = Check("store", False, f"no durable write within {STORE_SECONDS:g} s")
        except StoreError as error:
            check = Check("store", False, str(error))
        self._kept = (now, check)
        return check
