"""Latency that is real: each cause makes one Valkey server, or the way to it, slow for everybody who asks.

Nothing is pretended in a figure: a PING takes long because the server does not get to it. `faults` runs one of these
at a time, until it is cancelled; each leaves the server as it was.

* `slow_commands`: a client that keeps the server busy, `stall_ms` at a time; SLOWLOG shows it.
* `clients`: hundreds of connections that all ask at once, each for something cheap; CLIENT LIST shows them.
* `memory`: `maxmemory` is nearly used up and the server stands still for moments, as one that swaps does. The moments
  are CLIENT PAUSEs: a server cannot be made to swap without starving the machine it runs on.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

from redis.exceptions import RedisError

from bot.sandbox import store
from bot.sandbox.topology import Node

STALL_MS = 12  # of one slow command or standstill: over the 5 ms of the alert, far under a Sentinel's patience
MAX_STALL_MS = 200  # more would let Sentinels doubt the server
QUICK_HZ, USUAL_HZ = (
    "200",
    "10",
)  # how often the server sees that a pause is over; at ten a second, stalls would be long
STALL_GAP = 0.012  # seconds in which it answers between two of them
CROWD = 300  # connections
CROWD_GAP = 0.02  # seconds between two rounds of all of them
HEADROOM = 1.06  # maxmemory over what is used: 94 % used
BALLAST_BYTES = 32 * 1024 * 1024  # so that the headroom is megabytes, and writes go on
SPARE_CONNECTIONS = 40  # left free for everybody else while the crowd is there
AGAIN_SECONDS = 0.1  # after an error: the server is restarting, or down
_BALLAST, _BOOK = "sandbox:ballast", "sandbox:book"
_BOOK_BYTES = 500_000  # counting its bits takes some 30 us; more of it for longer stalls
_ASK = f"*2\r\n$8\r\nBITCOUNT\r\n${len(_BOOK)}\r\n{_BOOK}\r\n".encode()


async def slow_commands(node: Node, stall_ms: int) -> None:
    """One client, one slow command after the other."""
    async with _connected(node) as client:
        while True:
            await _quietly(client, "DEBUG", "SLEEP", f"{stall_ms / 1_000:g}")


async def memory(node: Node, stall_ms: int) -> None:
    """Nearly full, and standing still every few milliseconds."""
    async with _connected(node) as client:
        await _quietly(client, "SETRANGE", _BALLAST, str(BALLAST_BYTES - 1), "x")
        info = await client.info("memory")
        await _quietly(client, "CONFIG", "SET", "maxmemory", str(int(info["used_memory"] * HEADROOM)))
        await _quietly(client, "CONFIG", "SET", "hz", QUICK_HZ)
        try:
            while True:
                await _quietly(client, "CLIENT", "PAUSE", str(stall_ms), "ALL")
                await asyncio.sleep(STALL_GAP)
        finally:
            await _quietly(client, "CONFIG", "SET", "maxmemory", "0")
            await _quietly(client, "CONFIG", "SET", "hz", USUAL_HZ)
            await _quietly(client, "CLIENT", "UNPAUSE")
            await _quietly(client, "DEL", _BALLAST)  # of no use where the server is a replica by now


async def clients(node: Node, stall_ms: int) -> None:
    """A crowd that asks in chorus, with hardly a connection left for others."""
    async with _connected(node) as client:
        await _quietly(client, "SETRANGE", _BOOK, str(_BOOK_BYTES * stall_ms // STALL_MS - 1), "x")
        connected = int((await client.info("clients"))["connected_clients"])
        before = int((await client.config_get("maxclients"))["maxclients"])
        await _quietly(client, "CONFIG", "SET", "maxclients", str(connected + CROWD + SPARE_CONNECTIONS))
        try:
            with _crowd(node) as crowd:
                for one in crowd:
                    one.send(_ASK)
                while True:
                    for one in crowd:
                        _ask(one)
                    await asyncio.sleep(CROWD_GAP)
        finally:
            await _quietly(client, "CONFIG", "SET", "maxclients", str(before))


@contextlib.contextmanager
def _crowd(node: Node) -> Iterator[list[socket.socket]]:
    """Raw connections: hundreds of clients of a library would slow the sandbox instead of the server."""
    host, _, port = node.address.rpartition(":")
    with contextlib.ExitStack() as stack:
        crowd = []
        for _ in range(CROWD):
            one = stack.enter_context(socket.create_connection((host, int(port)), 1.0))
            one.setblocking(False)
            crowd.append(one)
        yield crowd


def _ask(one: socket.socket) -> None:
    """Ask again, once the last answer is here: what is not answered yet must not pile up. Closed ones ask nobody."""
    with contextlib.suppress(OSError):  # nothing is there yet
        if one.recv(4_096):
            one.send(_ASK)


@contextlib.asynccontextmanager
async def _connected(node: Node) -> AsyncIterator[Any]:
    connection = store.client(node.address)
    try:
        yield connection
    finally:
        await connection.aclose()


async def _quietly(client: Any, *command: str) -> None:
    """One command; a server that is away or does not take it changes nothing."""
    try:
        await store.in_time(client.execute_command(*command))
    except (RedisError, OSError):
        await asyncio.sleep(AGAIN_SECONDS)
