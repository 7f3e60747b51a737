"""Latency that is real: each cause makes one Valkey server, or the way to it, slow for everybody who asks.

Nothing is pretended in a figure: a PING takes long because the server does not get to it. `faults` runs one of these
at a time, until it is cancelled; each leaves the server as it was.

* `slow_commands`: a client that keeps the server busy, `stall_ms` at a time; SLOWLOG shows it.
* `clients`: hundreds of connections that all ask at once, each for some hundred of the cheapest things there are;
  CLIENT LIST shows them, and SLOWLOG has nothing to show.
* `memory`: `maxmemory` is nearly used up and the server stands still for moments, as one that swaps does. The moments
  are CLIENT PAUSEs: a server cannot be made to swap without starving the machine it runs on.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
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
ROUND = 1.25  # a round of the whole crowd in stalls: a PING that comes in its midst still waits longer than one
ROUND_GAP = 0.002  # seconds between two looks for answers; in longer pauses hundreds of quick PINGs would hide the slow
FEWEST_ASKED, MOST_ASKED = 16, 1_600  # by each in a round; 16,000 bytes are read by a server in one go
MORE = 1.15  # times as much in the next round, when the whole crowd was answered too soon
HEADROOM = 1.06  # maxmemory over what is used: 94 % used
BALLAST_BYTES = 32 * 1024 * 1024  # so that the headroom is megabytes, and writes go on
SPARE_CONNECTIONS = 40  # left free for everybody else while the crowd is there
AGAIN_SECONDS = 0.1  # after an error: the server is restarting, or down
_BALLAST = "sandbox:ballast"
_ASK = b"EXISTS b\r\n"  # nothing is cheaper, and whatever the answer, an error too, it is one line


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
        connected = int((await client.info("clients"))["connected_clients"])
        before = int((await client.config_get("maxclients"))["maxclients"])
        await _quietly(client, "CONFIG", "SET", "maxclients", str(connected + CROWD + SPARE_CONNECTIONS))
        try:
            with _crowd(node) as crowd:
                await _chorus(crowd, ROUND * stall_ms / 1_000)
        finally:
            await _quietly(client, "CONFIG", "SET", "maxclients", str(before))


async def _chorus(crowd: list[socket.socket], seconds: float) -> None:
    """Round after round, for ever, each begun as soon as the last one is answered.

    How much makes a round of `seconds` is found on the way, for machines differ: a round that was shorter, as seen from
    here, was too small for certain, and the next one is larger. On a busy machine rounds get longer, never shorter.
    """
    asked = FEWEST_ASKED
    while True:
        began = time.perf_counter()
        waiting = {one: asked for one in crowd if _send(one, _ASK * asked)}
        while True:
            await asyncio.sleep(ROUND_GAP)  # also where all are closed and nobody waits
            waiting = {one: left for one, due in waiting.items() if (left := due - _answers(one, due)) > 0}
            if not waiting:
                break
        if time.perf_counter() - began < seconds:
            asked = min(MOST_ASKED, int(asked * MORE))


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


def _send(one: socket.socket, asks: bytes) -> bool:
    """Whether it asked; a closed one does not."""
    try:
        return one.send(asks) > 0
    except OSError:
        return False


def _answers(one: socket.socket, due: int) -> int:
    """How many came since the last look; a closed one gets all that were `due`, for it waits no more."""
    try:
        came = one.recv(65_536)
    except BlockingIOError:
        return 0  # nothing is there yet
    except OSError:
        return due
    return came.count(b"\n") if came else due


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
