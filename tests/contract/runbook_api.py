"""What the connector and evidence suites act on: a targets.yaml, and a TCP server whose every byte a test decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from policies.targets import TargetsDocument


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
