"""Real servers, the real connector and the real actions, for the tests of failovers; and a writer that never rests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from bot.adapters.targets_redis import RedisConnector
from bot.engine.action_ports import ActionContext, Inspection, Proceed, ReadBack
from bot.errors import Rejected
from bot.sandbox.children import until
from bot.sandbox.topology import HOST, Node, Topology, ask
from bot.testing import MemoryTargets
from remediations.redis_failback import RedisFailback
from remediations.redis_failover import RedisFailover

ALLOW = ("FAILOVER", "SENTINEL FAILOVER", "SET andon:canary")
ARGUMENTS = '{"reason":"Redis p99 above 5 ms","slow_us":400000}'  # a busy test machine is slow, too
WRITERS = 3


class OneRedis(MemoryTargets):
    """Targets whose `redis` is the real connector."""

    def __init__(self, connector: RedisConnector) -> None:
        super().__init__()
        self.connector = connector
        self.add_redis("trading-core", "redis")

    def redis(self, system: str, name: str) -> Any:
        return self.connector


@dataclass
class Desk:
    """What the tests act with: one connector on the topology, as Andon has it."""

    floor: Topology
    connector: RedisConnector
    runs: int = 0

    def context(self) -> ActionContext:
        return ActionContext(
            system="trading-core", component="redis", targets=OneRedis(self.connector), now=self.runs, intent="int-1"
        )

    async def inspect(self, action: type[RedisFailover] = RedisFailover, arguments: str = ARGUMENTS) -> Inspection:
        return await action().inspect(self.context(), arguments)

    async def run(self, action: type[RedisFailover] = RedisFailover) -> tuple[Proceed, ReadBack]:
        """Inspect, send, read back, each on a new object."""
        self.runs += 1
        found = await until("the Sentinels know a good replica again", lambda: self._sent(action), within=15)
        return found, await self.read_back(found)

    async def _sent(self, action: type[RedisFailover]) -> Proceed | None:
        """Right after a failover a Sentinel may not have heard of the new replica; it says so and does nothing."""
        found = await self.inspect(action)
        assert isinstance(found, Proceed), found
        try:
            await action().send(self.context(), found)
        except Rejected as refused:
            if "NOGOODSLAVE" not in str(refused):
                raise
            return None
        return found

    async def read_back(self, found: Proceed) -> ReadBack:
        """With what the intent recorded, and nothing else."""
        recorded = Proceed(before=found.before, wanted="{}", arguments=found.arguments)
        return await RedisFailover().read_back(self.context(), recorded)

    async def there_and_back(self, times: int) -> None:
        """So many failovers in all, each one proved."""
        for n in range(times):
            found, seen = await self.run(RedisFailback if n % 2 else RedisFailover)
            assert seen.as_wanted is True, (n, found.before, seen)

    async def primary(self) -> Node:
        """Who is primary by its own word."""
        roles = [(node, await ask(node, "ROLE")) for node in (self.floor.primary, *self.floor.replicas)]
        (found,) = [node for node, role in roles if role and role[0] == "master"]
        return found


@asynccontextmanager
async def desk(floor: Topology) -> AsyncIterator[Desk]:
    """A desk on these servers."""
    connector = RedisConnector(
        "redis", floor.primary.url, allow=ALLOW, sentinels=floor.sentinel_addresses, master=floor.master
    )
    try:
        yield Desk(floor, connector)
    finally:
        await connector.close()


@dataclass
class Writer:
    """A client that writes as fast as it is answered, keeps its connection for as long as it works, and counts.

    So it is the client that a plain failover cheats: it stays with the old primary until that one refuses.
    """

    floor: Topology
    name: str
    acknowledged: list[int] = field(default_factory=list)
    errors: int = 0
    stopped: bool = False  # by a word, not by a cancellation: redis-py can lose one (asyncio.wait_for of Python 3.11)

    async def run(self) -> None:
        n = 0
        while not self.stopped:
            client = await self._client()
            try:
                while not self.stopped:
                    n += 1
                    await client.execute_command("RPUSH", self.name, n)
                    self.acknowledged.append(n)
            except (RedisError, OSError, TimeoutError):
                self.errors += 1  # n is not acknowledged, and is never written again
                await asyncio.sleep(0.005)
            finally:
                await client.aclose()

    async def _client(self) -> Any:
        """Of the server that calls itself primary, by its own word; any order of asking may be the wrong one."""
        for node in (self.floor.primary, *self.floor.replicas):
            role = await ask(node, "ROLE")
            if role and role[0] == "master":
                return Redis(
                    host=HOST, port=node.port, single_connection_client=True, socket_timeout=5, protocol=2,
                    retry=Retry(NoBackoff(), 0),
                )  # fmt: skip
        return Redis(host=HOST, port=self.floor.primary.port, socket_timeout=5, retry=Retry(NoBackoff(), 0))


@asynccontextmanager
async def hammered(floor: Topology) -> AsyncIterator[list[Writer]]:
    """Writers that run meanwhile."""
    writers = [Writer(floor, f"written-{n}") for n in range(WRITERS)]
    async with asyncio.TaskGroup() as group:
        for writer in writers:
            group.create_task(writer.run())
        try:
            yield writers
        finally:
            for writer in writers:
                writer.stopped = True


async def lost(node: Node, writers: Sequence[Writer]) -> tuple[int, int]:
    """How many writes were acknowledged, and how many of them this server does not have."""
    missing = 0
    for writer in writers:
        kept = {int(value) for value in await ask(node, "LRANGE", writer.name, "0", "-1")}
        missing += len(set(writer.acknowledged) - kept)
    return sum(len(writer.acknowledged) for writer in writers), missing


def figures(found: Proceed) -> dict[str, Any]:
    return dict(json.loads(found.before))
