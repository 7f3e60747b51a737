"""What the action, connector and evidence suites act on: the runbook's API as a small server with a ledger, and a raw
TCP server whose every byte a test decides."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

from aiohttp import web

from policies.targets import TargetsDocument

Mood = Literal["well", "refusing", "failing", "silent", "torn"]


class RunbookApi:
    """trading-core's API in small: takes absolute Kelly values (raising them as gladly), and writes down everything.

    `mood` decides how a POST ends: answered, refused with 422, done but answered 500, done but never answered, done
    but cut off.
    """

    def __init__(self) -> None:
        self.kelly: object = 0.25
        self.trading: object = "on"
        self.mood: Mood = "well"
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.changes: list[float | str] = []
        self.url = ""
        self._over = asyncio.Event()

    async def status(self, _request: web.Request) -> web.Response:
        return web.json_response({"kelly_fraction": self.kelly, "trading": self.trading})

    async def act(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.text() or "{}")
        self.requests.append((f"{request.method} {request.path}", dict(request.headers), body))
        if self.mood == "refusing":
            return web.json_response({"error": "not now"}, status=422)
        wanted = body.get("kelly_fraction", self.kelly)
        if wanted != self.kelly:
            self.kelly = wanted
            self.changes.append(wanted)
        if request.path == "/api/stop-trading" and self.trading != "off":
            self.trading = "off"
            self.changes.append("off")
        if self.mood == "failing":
            return web.json_response({"error": "afterwards"}, status=500)
        if self.mood == "silent":
            await self._over.wait()
        if self.mood == "torn":
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"ok": True})

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[RunbookApi]:
        app = web.Application()
        app.add_routes([web.get("/api/risk/status", self.status), web.post("/api/{tail:.*}", self.act)])
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        try:
            yield self
        finally:
            self._over.set()
            await runner.cleanup()


def targets(url: str, *, read: bool = True, floor: float = 0.05, **more: object) -> TargetsDocument:
    """targets.yaml with one risk engine at `url`."""
    component: dict[str, object] = {
        "name": "risk-engine",
        "role": "risk",
        "connector": "http",
        "url": url,
        "allow": [
            "POST /api/risk/emergency-reduce",
            "POST /api/stop-trading",
            "POST /api/router/pause",
            "GET /api/risk/status",
        ],
        "floors": {"kelly_fraction": floor},
        **more,
    }
    if read:
        fields = ("kelly_fraction", "trading")
        component["read"] = {field: {"http": "/api/risk/status", "json": field} for field in fields}
    return TargetsDocument.model_validate({"systems": {"trading-core": {"components": [component]}}})


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_server(script: Script) -> AsyncIterator[tuple[str, list[int]]]:
    """A TCP server that runs `script` per connection; yields its URL and a list that grows by one per connection."""
    connections: list[int] = []
    open_ones: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        task = asyncio.current_task()
        assert task is not None
        open_ones[task] = writer
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", connections
        for writer in open_ones.values():
            writer.transport.abort()
        await asyncio.gather(*open_ones, return_exceptions=True)


async def request_of(reader: asyncio.StreamReader) -> bytes:
    """The whole request: head and, by its Content-Length, body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(x.split(b":")[1]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length")), 0)
    return head + await reader.readexactly(length)


def answer(status: int, body: bytes = b"{}", extra: bytes = b"") -> bytes:
    """An HTTP/1.1 answer as bytes."""
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), extra, body)
