"""`POST /api/v1/reload`: look at the configuration files now, and say what came of it.

Mounted by `http_app`. 200 with what changed and what waits for a restart; 409 with every problem when the files are
refused and the set before them stays in force. Only people in people.yaml may ask.
"""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import web

from bot.adapters import http_orders
from bot.adapters.desk import Order
from bot.adapters.http_errors import as_json
from bot.adapters.http_services import Services


class Housekeeping:
    """Orders about the process itself."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def mount(self, app: web.Application) -> None:
        """Add the routes to an application."""
        http_orders.mount(app, self._services, {"/api/v1/reload": self._reload})

    async def _reload(self, request: web.Request, order: Order) -> web.Response:
        """What the newest files are: in force from now on, or refused."""
        outcome = await self._services.reload()
        body = asdict(outcome)
        if outcome.ok:
            return as_json(body)
        fix = "mend the files (`andon check` names file and line); they are looked at again as soon as they change"
        return as_json({"error": outcome.summary, "fix": fix, **body}, status=409)
