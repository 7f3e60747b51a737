"""The simulated floor's router and its real Redis: faults that are real, a failover that is followed, nothing lost."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from redis.asyncio import Redis

from bot.sandbox import ctl
from bot.sandbox.children import until

pytestmark = pytest.mark.timeout(90)

WITHIN = 20.0
SLOW_US = 5_000  # the runbook's alert


class Sandbox:
    """A running sandbox: what its ready line said, and its API."""

    def __init__(self, ready: dict[str, Any], session: aiohttp.ClientSession) -> None:
        self.ready = ready
        self._session = session

    async def get(self, path: str) -> Any:
        async with self._session.get(path) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def post(self, path: str, body: object = None, *, status: int = 200) -> Any:
        async with self._session.post(path, json=body) as response:
            assert response.status == status, await response.text()
            return await response.json()

    async def effects(self) -> list[tuple[str, str, Any, Any]]:
        return [(e["author"], e["what"], e["before"], e["after"]) for e in await self.get("/ledger?kind=effect")]

    async def p99(self, *, over: float = 0.0, under: float = float("inf")) -> float:
        """The floor's own measure, once it lies between these bounds."""

        async def look() -> float | None:
            p99 = (await self.get("/redis"))["p99_us"]
            return p99 if p99 is not None and over < p99 < under else None

        return await until(f"p99 over {over} and under {under}", look, within=WITHIN)


Start = Callable[..., Awaitable[Sandbox]]


@contextmanager
def running(folder: Path, *options: str) -> Iterator[dict[str, Any]]:
    """The ready line of one with more options; it must end by SIGTERM."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bot.sandbox", "--valkey-dir", str(folder / "valkey"), *options],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            assert process.wait(15) == 0


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start one of the test's own."""
    async with AsyncExitStack() as stack:

        async def go(*options: str) -> Sandbox:
            ready = stack.enter_context(running(tmp_path, *options))
            return Sandbox(ready, await stack.enter_async_context(aiohttp.ClientSession(ready["url"])))

        yield go


@pytest.fixture(scope="module")
def one_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """One server for all tests that leave it as they found it."""
    with running(tmp_path_factory.mktemp("alone"), "--alone") as ready:
        yield ready


@pytest.fixture(scope="module")
def one_whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A primary, its replica and Sentinels; the first test fails it over, the second harms who is the replica then."""
    with running(tmp_path_factory.mktemp("whole")) as ready:
        yield ready


@pytest.fixture
async def alone(one_alone: dict[str, Any]) -> AsyncIterator[Sandbox]:
    async with aiohttp.ClientSession(one_alone["url"]) as session:
        yield Sandbox(one_alone, session)


@pytest.fixture
async def whole(one_whole: dict[str, Any]) -> AsyncIterator[Sandbox]:
    async with aiohttp.ClientSession(one_whole["url"]) as session:
        yield Sandbox(one_whole, session)


async def test_the_router_switches_until_it_is_paused_and_says_by_whom(start: Start) -> None:
    """The stream carries the sandbox's time in its ids and every field; a pause ends it; owners are kept and told."""
    sandbox = await start("--alone", "--clock", "30@1000000000000")
    await sandbox.post("/faults/switching", {"pattern": "oscillation", "per_minute": 600})
    redis: Any = Redis.from_url(sandbox.ready["valkey_url"], decode_responses=True)
    async with redis:

        async def many() -> bool:
            return bool(await redis.xlen("model.switch.log") > 100)

        await until("more than a hundred switches", many, within=WITHIN)
        paused = await sandbox.post("/api/router/pause", {"owner": "andon", "reason": "too many"})
        assert (paused["state"], paused["owner"], paused["reason"], paused["changed"]) == (
            "paused", "andon", "too many", True,
        )  # fmt: skip
        for symbol in ("BTC-USD", "ETH-USD", "SOL-USD"):
            assert symbol in paused["model"]
        again = await sandbox.post("/api/router/pause", {"owner": "andon", "reason": "too many"})
        assert (again["changed"], again["since"]) == (False, paused["since"])

        async def counted() -> bool:
            async with aiohttp.request("GET", f"{sandbox.ready['url']}/metrics") as response:
                lines = (await response.text()).splitlines()
            totals = [float(line.split()[1]) for line in lines if line.startswith("model_switch_total{")]
            return len(totals) == 3 and sum(totals) == await redis.xlen("model.switch.log")

        await until("the counter and the stream agree", counted, within=WITHIN)
        entries = await redis.xrevrange("model.switch.log", count=20)
        length = await redis.xlen("model.switch.log")
        (newest, fields), *_ = entries
        assert 10 * 1_000_000_000_000 < int(newest.split("-")[0]) <= paused["since"]
        assert set(fields) == {"symbol", "from", "to", "confidence", "latency_ms"}
        status = await sandbox.get("/api/router/status")
        assert (status["state"], status["model"], await redis.xlen("model.switch.log")) == (
            "paused", paused["model"], length,
        )  # fmt: skip
    await sandbox.post("/api/router/pause", {"owner": "quant", "reason": "mine now"})
    resumed = await sandbox.post("/api/router/resume")
    assert (resumed["state"], resumed["owner"], resumed["changed"]) == ("running", "", True)
    assert await sandbox.effects() == [
        ("fault", "switching", "", "oscillation"), ("api", "router", "running", "paused"),
        ("desk", "router_owner", "andon", "quant"), ("api", "router", "paused", "running"),
    ]  # fmt: skip


async def test_after_a_failover_the_floor_goes_on_and_no_acknowledged_write_is_lost(whole: Sandbox) -> None:
    """A slow primary is failed over by its Sentinels, coordinated: publishing and the probe follow, the services fail
    until they are restarted on the new address, every acknowledged write is there, and the desk fails nothing back."""
    sandbox = whole
    before = await sandbox.get("/redis")
    assert sandbox.ready["replica_url"] == f"redis://{before['replica']}/0"
    await sandbox.p99(under=SLOW_US)
    await sandbox.post("/faults/latency", {"cause": "slow_commands"})
    await sandbox.p99(over=SLOW_US)
    host, _, port = sandbox.ready["sentinels"][0].partition(":")
    async with Redis(host=host, port=int(port), protocol=2) as sentinel:
        await sentinel.execute_command("SENTINEL", "FAILOVER", sandbox.ready["master"], "COORDINATED")

    async def moved() -> bool:
        return bool((await sandbox.get("/redis"))["primary"] == before["replica"])

    await until("the floor knows the new primary", moved, within=WITHIN)
    await sandbox.p99(under=SLOW_US)
    for name in ("risk-harmoniser", "strategist"):
        await until(f"{name} is down", lambda name=name: _status(sandbox, name, "down"), within=WITHIN)
        code = await asyncio.to_thread(ctl.main, [sandbox.ready["url"], "restart", name, before["replica"]])
        assert code == 0
        await until(f"{name} is healthy", lambda name=name: _status(sandbox, name, "healthy"), within=WITHIN)
    async with Redis.from_url(sandbox.ready["replica_url"]) as primary:
        await primary.delete("metrics:var_pct:BTC-USD")

        async def published() -> bool:
            return bool(await primary.exists("metrics:var_pct:BTC-USD"))

        await until("the readings are published there", published, within=WITHIN)
    await sandbox.post("/desk/restore")
    after = await sandbox.get("/redis")
    assert (after["primary"], after["replica"]) == (before["replica"], before["primary"])
    assert after["fault"] == {"cause": "", "server": "", "replica": "up"}
    writes = await sandbox.get("/ledger/writes")
    assert writes["lost"] == 0
    assert all(account["acknowledged"] > 0 for account in writes["services"].values())
    assert ("redis", "redis_primary", before["primary"], before["replica"]) in await sandbox.effects()


async def test_a_replica_goes_stale_and_down_and_comes_back(whole: Sandbox) -> None:
    """Stale: it answers, its link is down and its offset stands still. Down: nobody there. Up: it follows again."""
    sandbox = whole
    address = (await sandbox.get("/redis"))["replica"]
    await sandbox.post("/faults/replica", {"state": "stale"})
    async with Redis.from_url(f"redis://{address}") as replica:
        info = await replica.info("replication")
        assert (info["role"], info["master_link_status"]) == ("slave", "down")
    await sandbox.post("/faults/replica", {"state": "down"})
    host, _, port = address.partition(":")
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection(host, int(port))
    refused = await sandbox.post("/faults/latency", {"cause": "slow_commands", "server": "replica"}, status=409)
    assert "the replica is down" in refused["error"]
    await sandbox.post("/faults/replica", {"state": "up"})
    async with Redis.from_url(f"redis://{address}") as replica:
        assert (await replica.info("replication"))["master_link_status"] == "up"


async def _status(sandbox: Sandbox, name: str, wanted: str) -> bool:
    return bool((await sandbox.get(f"/api/services/{name}/health"))["status"] == wanted)


async def test_a_lost_write_is_found(alone: Sandbox) -> None:
    """The consistency check can fail: a bit that is taken away behind the service's back is counted as lost."""
    sandbox = alone

    async def written() -> bool:
        return bool((await sandbox.get("/api/services/strategist/health"))["writes"] > 10)

    await until("some writes are acknowledged", written, within=WITHIN)
    async with Redis.from_url(sandbox.ready["valkey_url"]) as primary:
        await primary.setbit("writes:strategist:0", 3, 0)
    writes = await sandbox.get("/ledger/writes")
    assert (writes["lost"], writes["services"]["strategist"]["lost"]) == (1, 1)


@pytest.mark.parametrize("cause", ["clients", "memory", "network"])
async def test_other_causes_are_as_slow_and_show_their_signs(alone: Sandbox, cause: str) -> None:
    """Each makes PINGs slow for real; crowd and memory show in INFO; a slow network does not, seen from the server."""
    sandbox = alone
    await sandbox.p99(under=SLOW_US)
    await sandbox.post("/faults/latency", {"cause": cause})
    await sandbox.p99(over=SLOW_US)
    async with Redis.from_url(sandbox.ready["valkey_url"]) as primary:
        info = await primary.info()
    crowded = info["connected_clients"] / int(info["maxclients"]) > 0.8
    full = bool(info["maxmemory"]) and info["used_memory"] / info["maxmemory"] > 0.9
    assert (crowded, full) == (cause == "clients", cause == "memory")
    await sandbox.post("/faults/latency", {"clear": True})
    await sandbox.p99(under=SLOW_US)


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/faults/switching", {"pattern": "wild"}, 400, "pattern"),
        ("/faults/switching", {"pattern": "slow", "per_minute": 0}, 400, "per_minute"),
        ("/faults/latency", {"cause": "gremlins"}, 400, "cause"),
        ("/faults/latency", {"cause": "network", "server": "replica"}, 409, "server"),
        ("/faults/replica", {"state": "stale"}, 409, "state"),
        ("/api/services/web/restart", {"redis": "127.0.0.1:6379"}, 404, "name"),
        ("/api/services/strategist/restart", {"redis": "example.org:6379"}, 400, "redis"),
        ("/api/router/pause", {"owner": 7}, 400, "owner"),
    ],
)
async def test_what_cannot_be_is_refused(alone: Sandbox, path: str, body: object, status: int, field: str) -> None:
    """400 for what is no sense, 404 for what is not there, 409 for what this floor cannot do; none has an effect."""
    sandbox = alone
    before = await sandbox.effects()
    refused = await sandbox.post(path, body, status=status)
    assert refused["field"] == field
    assert await sandbox.effects() == before


async def test_slow_redis_is_told_as_alertmanager_would(start: Start) -> None:
    """RedisLatencyHigh, severity warning, after two slow seconds; resolved once it is quick again."""
    seen: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        seen.put_nowait(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        sandbox = await start("--alone", "--webhook", f"http://127.0.0.1:{runner.addresses[0][1]}/hook")
        await sandbox.post("/faults/latency", {"cause": "slow_commands"})
        firing = await asyncio.wait_for(seen.get(), WITHIN)
        assert (await sandbox.get("/alerts"))["firing"] == ["RedisLatencyHigh"]
        await sandbox.post("/desk/restore")
        resolved = await asyncio.wait_for(seen.get(), WITHIN)
    finally:
        await runner.cleanup()
    assert [body["status"] for body in (firing, resolved)] == ["firing", "resolved"]
    assert firing["groupLabels"] == {"alertname": "RedisLatencyHigh", "system": "trading-core"}
    assert firing["alerts"][0]["labels"]["severity"] == "warning"
