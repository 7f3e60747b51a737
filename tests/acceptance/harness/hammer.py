"""A client of a Redis behind Sentinels that writes as fast as it is answered, and knows what was acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from bot.sandbox.children import until
from bot.sandbox.topology import Node, ask

KEY = "hammer:written"
ANSWER_SECONDS = 10.0  # a write waits while a coordinated failover holds writes back, three seconds at most
AGAIN_SECONDS = 0.005  # after an error: for a moment after a failover Sentinels still name the old primary


class Hammer:
    """It keeps its connection for as long as that works, as the client does that a failover may cheat."""

    def __init__(self, sentinels: tuple[Node, ...], master: str) -> None:
        self.acknowledged: list[int] = []
        self.errors = 0
        self.servers: list[str] = []  # that took its writes, in order
        self._sentinels = sentinels
        self._master = master
        self._stopped = False  # by a word: redis-py can lose a cancellation (asyncio.wait_for of Python 3.11)

    def stop(self) -> None:
        """It ends after the write it is at."""
        self._stopped = True

    async def run(self) -> None:
        """Write numbers, each once, acknowledged or not; an error leads back to the Sentinels."""
        number = 0
        while not self._stopped:
            address = await self._primary()
            client = _client(address)
            try:
                while not self._stopped:
                    number += 1
                    await client.execute_command("RPUSH", KEY, number)
                    self.acknowledged.append(number)
                    if self.servers[-1:] != [address]:
                        self.servers.append(address)
            except (RedisError, OSError, TimeoutError):
                self.errors += 1
                await asyncio.sleep(AGAIN_SECONDS)
            finally:
                await client.aclose()

    async def writes_on(self, address: str) -> None:
        """Return once this server takes its writes."""

        async def look() -> bool:
            return self.servers[-1:] == [address]

        await until(f"{address} takes writes", look, within=ANSWER_SECONDS)

    async def lost(self) -> int:
        """How many of the writes that were acknowledged so far the primary does not have."""
        acknowledged = list(self.acknowledged)
        client = _client(await self._primary())
        try:
            kept = {int(value) for value in await client.execute_command("LRANGE", KEY, "0", "-1")}
        finally:
            await client.aclose()
        return len(set(acknowledged) - kept)

    async def _primary(self) -> str:
        """As the first Sentinel that answers says."""
        for sentinel in self._sentinels:
            if found := await ask(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._master):
                return f"{found[0]}:{found[1]}"
        raise AssertionError("no Sentinel answers")


@asynccontextmanager
async def hammering(sentinels: tuple[Node, ...], master: str) -> AsyncIterator[Hammer]:
    """It hammers meanwhile."""
    hammer = Hammer(sentinels, master)
    async with asyncio.TaskGroup() as group:
        group.create_task(hammer.run())
        try:
            yield hammer
        finally:
            hammer.stop()


def _client(address: str) -> Any:
    host, _, port = address.rpartition(":")
    return Redis(
        host=host, port=int(port), single_connection_client=True, protocol=2, retry=Retry(NoBackoff(), 0),
        socket_timeout=ANSWER_SECONDS,
    )  # fmt: skip
