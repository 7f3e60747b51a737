"""A TCP door to the store's unix socket that shuts at a word: what follows stays inside until it is opened again.

One replica goes through it. When the word passes on its way to the store, the store gets it and its answer is kept
back: the moment between the commit of an intent and its first byte, held open for as long as a test likes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_CHUNK = 65_536


class Gate:
    """`shut_at` a word; `shut` is set once it has passed; `open` lets everything out."""

    def __init__(self, socket: str) -> None:
        self.url = ""
        self.shut = asyncio.Event()
        self._socket = socket
        self._word = b""
        self._opened = asyncio.Event()
        self._opened.set()
        self._pumps: set[asyncio.Task[None]] = set()

    def shut_at(self, word: bytes) -> None:
        """Keep every answer back from the moment this passes on its way to the store."""
        self._word = word

    def open(self) -> None:
        """Let out what was kept."""
        self._word = b""
        self._opened.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        inside, outside = await asyncio.open_unix_connection(self._socket)
        pumps = [
            asyncio.create_task(self._there(reader, outside)), asyncio.create_task(self._back(inside, writer)),  # noqa: TID251  # ended by `gated`
        ]  # fmt: skip
        self._pumps.update(pumps)
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for end in (outside, writer):
            end.close()

    async def end(self) -> None:
        """Every connection breaks."""
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _there(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            if self._word and self._word in data:
                self._opened.clear()
                self.shut.set()
            writer.write(data)
            await writer.drain()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            await self._opened.wait()
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def gated(store_url: str) -> AsyncIterator[Gate]:
    """A gate before the store at this unix:// address."""
    gate = Gate(store_url.removeprefix("unix://"))
    server = await asyncio.start_server(gate.serve, "127.0.0.1", 0)
    gate.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    try:
        yield gate
    finally:
        server.close()
        await gate.end()
