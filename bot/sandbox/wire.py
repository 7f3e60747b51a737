"""A slow network between the trading services and their Redis: a TCP relay that keeps everything for some milliseconds.

Used by `faults`: while it is there, the probe reaches the primary through it. Andon does not: it asks the Sentinels
and goes to the servers themselves, so it sees servers that are quick, on a floor that calls them slow.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from bot.sandbox.topology import HOST


@contextlib.asynccontextmanager
async def wire(address: str, delay: float) -> AsyncIterator[str]:
    """A relay to `address` on a free port, `delay` seconds each way; yields its own address."""
    host, _, port = address.rpartition(":")

    async def relay(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            far, onwards = await asyncio.open_connection(host, int(port))
        except OSError:  # nobody there: as without the relay
            back.close()
            return
        async with asyncio.TaskGroup() as both:
            both.create_task(_carry(near, onwards, delay))
            both.create_task(_carry(far, back, delay))

    server = await asyncio.start_server(relay, HOST, 0)
    try:
        yield f"{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def _carry(from_: asyncio.StreamReader, to: asyncio.StreamWriter, delay: float) -> None:
    """Everything, late; the end too."""
    with contextlib.suppress(OSError):  # either end may be gone
        while piece := await from_.read(65_536):
            await asyncio.sleep(delay)
            to.write(piece)
            await to.drain()
    to.close()
