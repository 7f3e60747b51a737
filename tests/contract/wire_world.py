"""An `HttpWorld` behind a real server on loopback, reached through the real connectors: a trial over the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from aiohttp import web

from bot.adapters.connectors import Connectors
from bot.engine.action_ports import ActionContext
from bot.errors import NotSent, Rejected
from bot.testing.action_contract import SYSTEM, HttpWorld, Mood, Request
from bot.testing.action_world import STATE_PAGE, State
from policies.targets import TargetsDocument

SILENCE_SECONDS = 0.15  # how long a trial waits for an answer that never comes
NOBODY_HOME = "http://127.0.0.1:1"


class WireWorld:
    """Serves what the HttpWorld declares. `unanswered`: how the answer to a request that was done goes missing."""

    def __init__(self, world: HttpWorld, unanswered: Literal["silent", "torn", "failing"] = "silent") -> None:
        self.mood: Mood = "well"
        self.requests: Sequence[Request] = []
        self.vague = False
        self._world = world
        self._unanswered = unanswered
        self._received: list[Request] = []
        self._late: list[tuple[str, str]] = []
        self._over = asyncio.Event()

    @property
    def state(self) -> State:
        """What `Trial.meanwhile` changes, as in the HttpWorld."""
        return self._world.state

    def snapshot(self) -> object:
        """The state as the server has it."""
        return self._world.snapshot()

    def context(self, *, component: str | None = None) -> ActionContext:
        """What the action gets: real connectors."""
        made = self._world.context(component=component)
        return replace(made, targets=self._away if self.mood == "away" else self._connectors)

    async def settle(self) -> None:
        """Let what was late take effect."""
        due, self._late = self._late, []
        for line, body in due:
            self._world.apply(line, body)

    async def __aenter__(self) -> WireWorld:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.requests = self._received
        self._connectors = Connectors(self._targets(f"http://{host}:{port}"), {}, send_seconds=SILENCE_SECONDS)
        self._away = Connectors(self._targets(NOBODY_HOME), {}, send_seconds=SILENCE_SECONDS)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        await self._connectors.close()
        await self._away.close()
        await self._runner.cleanup()

    def _targets(self, url: str) -> TargetsDocument:
        """targets.yaml as an operator would write it for this component."""
        world = self._world
        component = {
            "name": world.component,
            "role": world.place.role or "any",
            "connector": "http",
            "url": url,
            "allow": [*world.routes, *(f"GET {path}" for path in world.pages)],
            "read": {name: {"http": STATE_PAGE, "json": name} for name in world.state},
            "floors": dict(world.place.floors),
        }
        return TargetsDocument.model_validate({"systems": {SYSTEM: {"components": [component]}}})

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            if self.mood == "unreadable":
                return web.Response(status=503)
            return web.json_response(self._world.pages[request.path](self._world.state))
        line, body = f"{request.method} {request.path}", await request.text()
        self._received.append(
            Request(line, request.headers.get("Idempotency-Key", ""), int(request.headers.get("X-Fence", "0")))
        )
        match self.mood:
            case "refusing":
                return web.json_response({"error": "not now"}, status=422)
            case "lost" | "late":
                if self.mood == "late":
                    self._late.append((line, body))
                await self._over.wait()
        try:
            self._world.apply(line, body)
        except (NotSent, Rejected) as error:
            return web.json_response({"error": str(error)}, status=422)
        if self.mood == "unanswered":
            if self._unanswered == "failing":
                return web.json_response({"error": "afterwards"}, status=500)
            if self._unanswered == "silent":
                await self._over.wait()
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"ok": True})
