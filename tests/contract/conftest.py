"""The stores the contract suite runs on: the twin in memory, the simulation's servers, the embedded Valkey, Debian's
Redis 7.0, and Valkey with a replica behind Sentinels.

Servers are started once a module; each test has a prefix of its own, so tests do not see each other's keys.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from redis import Redis as SyncRedis
from redis.asyncio import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import BusyLoadingError, ConnectionError
from redis.retry import Retry

from bot.adapters.embedded import EmbeddedValkey
from bot.adapters.redis_primary import Behind
from bot.adapters.redis_store import RedisStore
from bot.adapters.seal import Sealer
from bot.engine.ports import Store
from bot.sandbox.topology import Topology, topology
from bot.testing import MemoryStore
from tests.simulation.servers import Servers
from tests.simulation.store import SimulatedStore
from tests.simulation.trace import Trace
from tests.simulation.wire import Wire

KEY = bytes(range(32))
_PREFIXES = (f"t{number}" for number in count())
REDIS_CONF = """\
port 0
unixsocket {folder}/redis.sock
unixsocketperm 700
dir {folder}
logfile {folder}/redis.log
appendonly yes
appendfsync always
save ""
maxmemory-policy noeviction
"""


@dataclass
class Bench:
    """A store under test, what makes further replicas of it, and a way in behind its back (None: in memory)."""

    store: Store
    replica: Callable[[str], Awaitable[Store]]
    raw: Any = None
    prefix: str = ""
    opened: list[Any] = field(default_factory=list)
    servers: Servers | None = None  # the simulated ones

    def poison(self, shard: str, queue: str) -> Awaitable[object] | None:
        """Put unsealed bytes into a queue."""
        behind = self.store if isinstance(self.store, MemoryStore) else self.servers
        if behind is not None:
            behind.poison(shard, "inbox" if queue == "inbox" else "outbox")
            return None
        added: Awaitable[object] = self.raw.xadd(f"{self.prefix}:{{{shard}}}:{queue}", {"e": b"forged"})
        return added


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's redis-server on a unix socket, with the settings that Andon demands."""
    binary = shutil.which("redis-server")
    if binary is None:
        missing = "redis-server is missing; install it: apt-get install redis-server"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("redis")
    (folder / "redis.conf").write_text(REDIS_CONF.format(folder=folder))
    process = subprocess.Popen([binary, str(folder / "redis.conf")], stdout=subprocess.DEVNULL)
    url = f"unix://{folder}/redis.sock"
    try:
        wait_until_it_answers(url)
        yield url
    finally:
        process.kill()  # its data is the test's; asked to end, it would wait for a replica that never comes
        process.wait(10)


def wait_until_it_answers(url: str) -> None:
    patient = Retry(ConstantBackoff(0.02), 500)
    with SyncRedis.from_url(url, retry=patient, retry_on_error=[BusyLoadingError, ConnectionError]) as client:
        client.ping()


@pytest.fixture(scope="module")
def valkey_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of the module's Valkey; each test starts it and finds what the one before left."""
    return tmp_path_factory.mktemp("andon")


@pytest.fixture(scope="session")
def behind_sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    """A primary, its replica and three Sentinels, with the settings that Andon demands; on a loop of their own."""
    servers = topology(tmp_path_factory.mktemp("sentinels"), on_disk=True)
    with ThreadPoolExecutor(1) as thread, asyncio.Runner() as runner:
        yield thread.submit(runner.run, servers.__aenter__()).result()
        thread.submit(runner.run, servers.__aexit__(None, None, None)).result()


class _Prompt(Random):
    """On a real loop delays are real, and they are not what is tested here."""

    def uniform(self, a: float, b: float) -> float:
        return 0.0


def _simulated() -> Bench:
    """The simulation's store, on the real loop: its follower confirms every write, and nothing is wrong."""
    loop: Any = asyncio.get_running_loop()
    trace = Trace(loop.time)
    servers = Servers(loop, trace, followed=True, confirmed=True, lag_s=0.0)
    wire = Wire(loop, trace, _Prompt(), lambda point: None)

    async def replica(name: str) -> Store:
        return SimulatedStore(wire.line(name, 1), servers)

    return Bench(SimulatedStore(wire.line("a", 1), servers), replica, servers=servers)


@pytest.fixture(params=["memory", "simulated", "valkey", "redis-7.0", "sentinels"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """A store under test, once for each kind."""
    if request.param == "memory":
        memory = MemoryStore("a")

        async def twin(name: str) -> Store:
            return memory.twin(name)

        yield Bench(memory, twin)
        return
    if request.param == "simulated":
        yield _simulated()
        return
    if request.param == "valkey":
        embedded = EmbeddedValkey(request.getfixturevalue("valkey_folder"))
        url = await embedded.start()
        try:
            async with _over(url) as made:
                yield made
        finally:
            await embedded.stop()
        return
    if request.param == "sentinels":
        servers: Topology = request.getfixturevalue("behind_sentinels")
        behind = Behind(sentinels=tuple(servers.sentinel_addresses), master=servers.master)
        async with _over(servers.primary.url, behind) as made:
            yield made
        return
    async with _over(request.getfixturevalue("redis_url")) as made:
        yield made


class _over:
    """The store of replica `a` on the server at `url`, or `behind` Sentinels, under a prefix of its own."""

    def __init__(self, url: str, behind: Behind | None = None) -> None:
        self._url = url
        self._behind = behind
        self._prefix = next(_PREFIXES)
        self._opened: list[RedisStore] = []

    async def _replica(self, name: str) -> Store:
        store = RedisStore(
            self._url, replica=name, sealer=Sealer(KEY), prefix=self._prefix, behind=self._behind,
            wait_replicas=int(self._behind is not None),
        )  # fmt: skip
        self._opened.append(store)
        await store.open()
        return store

    async def __aenter__(self) -> Bench:
        self._raw: Any = Redis.from_url(self._url)
        return Bench(await self._replica("a"), self._replica, self._raw, self._prefix)

    async def __aexit__(self, *_: object) -> None:
        for store in self._opened:
            await store.close()
        await self._raw.aclose()
