"""The model router's API of the simulated trading-core, and its fault. Routed by `server`.

Pause and resume are the runbook's paths; the status is what a real router would be asked to add. A plain target:
anybody resumes what anybody paused, and a second owner takes a pause over.
"""

from __future__ import annotations

from typing import cast

from aiohttp import web

from bot.sandbox.ledger import Author
from bot.sandbox.requests import json_object, json_or_nothing, number, one_of, sentence
from bot.sandbox.router import FAULT_PER_MINUTE, MAX_PER_MINUTE, PATTERNS, Pattern
from bot.sandbox.routing import Routing

ANDON = "andon"  # as it calls itself; whoever else moves the router is a person at the desk


class RouterApi:
    """Handlers over one router."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing

    def routes(self) -> list[web.RouteDef]:
        """What `server` adds to the application."""
        return [
            web.get("/api/router/status", self.status),
            web.post("/api/router/pause", self.pause),
            web.post("/api/router/resume", self.resume),
            web.post("/faults/switching", self.fault),
        ]

    async def status(self, _request: web.Request) -> web.Response:
        """Whether it runs, which model serves each symbol, whose pause it is, and the rate."""
        return web.json_response(self._routing.status())

    async def pause(self, request: web.Request) -> web.Response:
        """{"owner", "reason"}, both optional: the runbook posts nothing."""
        body = await json_or_nothing(request)
        owner, reason = sentence(body, "owner"), sentence(body, "reason")
        changed = self._routing.pause(author=_author(owner), owner=owner, reason=reason)
        return web.json_response(self._routing.status() | {"changed": changed})

    async def resume(self, request: web.Request) -> web.Response:
        """As `pause`."""
        body = await json_or_nothing(request)
        owner, reason = sentence(body, "owner"), sentence(body, "reason")
        changed = self._routing.resume(author=_author(owner), owner=owner, reason=reason)
        return web.json_response(self._routing.status() | {"changed": changed})

    async def fault(self, request: web.Request) -> web.Response:
        """{"pattern", "per_minute"} makes it switch too often, {"clear": true} ends that."""
        body = await json_object(request)
        if body.get("clear") is True:
            self._routing.mend()
        else:
            pattern = cast(Pattern, one_of(body, "pattern", PATTERNS))
            rate = number(body, "per_minute", low=1.0, high=MAX_PER_MINUTE, default=FAULT_PER_MINUTE)
            self._routing.break_down(pattern, rate)
        return web.json_response(self._routing.status())


def _author(owner: str) -> Author:
    return "api" if owner in ("", ANDON) else "desk"
