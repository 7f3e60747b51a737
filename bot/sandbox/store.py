"""The simulated floor's Redis as its own programs see it: who is primary now, and writes that follow a failover.

Made by `assembly` over a `Topology`. `follow` asks the Sentinels and tells whoever listens; `write` puts a batch on
the primary of this moment and says whether it was taken, so that the publishing loops outlive every failover: what was
not taken is written again with the next round.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from bot.sandbox.topology import Node, Topology

FOLLOW_SECONDS = 0.2  # between two questions to the Sentinels; they need over a second for a failover
ANSWER_SECONDS = 2.0  # for one write; a slow server of the faults takes 20 ms
_GONE = "equal or smaller"  # XADD's error for an id that the stream has already: an earlier try was taken after all

Command: TypeAlias = tuple[str | int | float, ...]

T = TypeVar("T")


class Store:
    """Primary and replicas by their roles of now. One event loop owns it."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._servers = {node.address: node for node in (topology.primary, *topology.replicas)}
        self._clients = {address: client(address) for address in self._servers}
        self._sentinels = [client(node.address) for node in topology.sentinels]
        self._primary = topology.primary.address
        self._moved: list[Callable[[str, str], None]] = []

    @property
    def topology(self) -> Topology:
        """The servers, to stop and start them."""
        return self._topology

    @property
    def primary(self) -> Node:
        """The server that the Sentinels last called primary."""
        return self._servers[self._primary]

    @property
    def replica(self) -> Node | None:
        """The other one, where there is one."""
        return next((node for address, node in self._servers.items() if address != self._primary), None)

    def listen(self, moved: Callable[[str, str], None]) -> None:
        """Tell `moved` the old and the new address after every failover."""
        self._moved.append(moved)

    async def follow(self) -> None:
        """Ask the Sentinels who is primary, for ever."""
        while True:
            for sentinel in self._sentinels:
                with contextlib.suppress(RedisError, OSError):
                    question = ("SENTINEL", "GET-PRIMARY-ADDR-BY-NAME", self._topology.master)
                    host, port = await in_time(sentinel.execute_command(*question))
                    self._is_primary(f"{host.decode()}:{port.decode()}")
                    break
            await asyncio.sleep(FOLLOW_SECONDS)

    async def write(self, commands: Sequence[Command]) -> bool:
        """All of them in one transaction on the primary. False: nobody took them, try again later."""
        if not commands:
            return True
        try:
            pipeline = self._clients[self._primary].pipeline(transaction=True)
            for command in commands:
                pipeline.execute_command(*command)
            answers = await in_time(pipeline.execute(raise_on_error=False))
        except (RedisError, OSError):  # it is read-only by now, or gone: the Sentinels will say who is primary
            return False
        return all(not isinstance(answer, ResponseError) or _GONE in str(answer) for answer in answers)

    async def read(self, *command: str) -> Any:
        """One command on the primary, bytes as they are. Raises RedisError or OSError."""
        return await in_time(self._clients[self._primary].execute_command(*command))

    async def close(self) -> None:
        """Give back the connections."""
        for each in (*self._clients.values(), *self._sentinels):
            with contextlib.suppress(RedisError, OSError):
                await each.aclose()

    def _is_primary(self, address: str) -> None:
        if address == self._primary or address not in self._servers:
            return
        before, self._primary = self._primary, address
        for moved in self._moved:
            moved(before, address)


def client(address: str) -> Any:
    """A client of this one server that fails at once instead of trying again by itself; use it with `in_time`.

    It has no time limit of its own: redis-py's is `asyncio.wait_for`, which in Python 3.11 swallows a cancellation that
    comes at the wrong moment, and tasks that write all the time meet that moment. (redis-py's annotations of replies
    only hinder.)
    """
    host, _, port = address.rpartition(":")
    return Redis(
        host=host, port=int(port), socket_timeout=None, socket_connect_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )  # fmt: skip


async def in_time(answer: Awaitable[T]) -> T:
    """The answer, or TimeoutError (an OSError) after ANSWER_SECONDS."""
    async with asyncio.timeout(ANSWER_SECONDS):
        return await answer
