"""Andon's ears with real programs around them: Prometheus and Alertmanager outside, door, engine and Valkey within.

In this process, so that the bounds of law 13 (ten minutes, three minutes) can be seconds; nothing is simulated but the
metric. Alertmanager posts as it is told by `send_resolved`, the anti-entropy asks it, the sweeper keeps the time.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web

from bot.adapters.alertmanager_api import AlertmanagerApi
from bot.adapters.clock import SystemClock
from bot.adapters.embedded import EmbeddedValkey
from bot.adapters.http_app import Addresses, Listen, build, serve
from bot.adapters.metrics import Metrics
from bot.adapters.redis_store import RedisStore
from bot.adapters.seal import Sealer
from bot.core.effects import PageOncall
from bot.core.incident import Incident
from bot.engine.alarms import Alarms
from bot.engine.antientropy import Antientropy
from bot.engine.following import BookFollower
from bot.engine.loop import Heartbeat, fold_forever
from bot.engine.sweeper import Sweeper
from bot.engine.watches import Watches
from bot.sandbox.children import until
from bot.sandbox.ports import free_port
from handlers.routing import Route
from policies.book import PolicyBook, Watch
from tests.acceptance.harness import deploy_files, services
from tests.acceptance.harness.services import Service
from tests.integration.door_twin import TwinServices

SYSTEM = "trading-core"
TOKEN = "acceptance-token"
EVERY_MS = 500  # between two looks
SETTLE_MS = 4_000  # until an Alertmanager is believed
PATIENCE_MS = 2_000
FED_WITHIN_MS = 10_000
# What fires is told again every second, not every minute: Prometheus finds its Alertmanagers only after five, and what
# it told nobody before (the Watchdog) would come a minute late.
RESEND = "--rules.alert.resend-delay=1s"
STEP_WITHIN = 25.0


class Listener:
    """What a scenario holds. Made by `listening`."""

    def __init__(self, folder: Path, session: aiohttp.ClientSession, stack: AsyncExitStack) -> None:
        self.folder = folder
        self.var = 0.9
        self.alertmanager: Service
        self.prometheus: Service
        self._session = session
        self._stack = stack
        self._store: RedisStore
        self._runs = 0
        self.antientropy: Antientropy

    async def incident(self, alertname: str, shard: str = SYSTEM, *, firing: bool = True) -> Incident:
        """The incident of this alert, once the alert is there and fires, or no longer does."""

        async def look() -> Incident | None:
            for line in await self._store.incidents(shard, closed=True, limit=50):
                for state in line.incident.alerts.values():
                    if state.alert.name == alertname and state.firing == firing:
                        return line.incident
            return None

        return await until(f"{alertname} {'fires' if firing else 'is over'} here", look, within=STEP_WITHIN)

    async def fires(self, alertname: str) -> bool:
        """Whether the alert is thought to fire now."""
        lines = await self._store.incidents(SYSTEM, closed=True, limit=50)
        return any(told.name == alertname for line in lines for told in line.incident.firing)

    async def pages(self, shard: str) -> list[PageOncall]:
        """Pages that wait to be sent, each read once."""
        effects = [delivery.effect for delivery in await self._store.read_outbox(shard, 100, 0)]
        return [effect for effect in effects if isinstance(effect, PageOncall)]

    async def listed(self, alertname: str, *, there: bool = True) -> None:
        """Return once Alertmanager lists the alert, or no longer does."""
        url = f"http://{self.alertmanager.address}/api/v2/alerts"

        async def look() -> bool:
            async with self._session.get(url, params={"filter": f'alertname="{alertname}"'}) as response:
                return bool(await response.json()) == there

        await until(f"Alertmanager {'lists' if there else 'forgets'} {alertname}", look, within=STEP_WITHIN)

    async def looks(self, count: int) -> None:
        """`count` more whole looks by the anti-entropy."""
        for _ in range(count):
            await self.antientropy.look()

    async def standing(self, incident: Incident, kind: str) -> str:
        """Why the incident's alerts stand so, asked as before a risky action; a look is shared for a second."""

        async def look() -> str:
            standing = await self.antientropy.standing(SYSTEM, incident.firing)
            return standing.why if standing.kind == kind else ""

        return await until(f"the alerts are {kind}", look, within=STEP_WITHIN)

    async def silence(self, alertname: str) -> None:
        """Somebody silences the alert in Alertmanager, and it has taken effect."""
        base = f"http://{self.alertmanager.address}/api/v2"
        times = {"startsAt": "2020-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z"}
        matchers = [{"name": "alertname", "value": alertname, "isRegex": False}]
        body = {"matchers": matchers, "createdBy": "acceptance", "comment": "maintenance", **times}
        async with self._session.post(f"{base}/silences", json=body) as response:
            assert response.status == 200, await response.text()

        async def look() -> bool:
            async with self._session.get(f"{base}/alerts", params={"active": "false"}) as response:
                return any(alert["labels"]["alertname"] == alertname for alert in await response.json())

        await until(f"{alertname} is silenced", look, within=STEP_WITHIN)

    async def start_alertmanager(self, config: Path, address: str = "") -> None:
        """A fresh one: what an earlier one kept is not there."""
        self._runs += 1
        where = self.folder / f"alertmanager-{self._runs}"
        where.mkdir()
        self.alertmanager = await services.alertmanager(
            self._stack, self._session, config, where, f"alertmanager-{self._runs}", address
        )

    async def restart_alertmanager_empty(self) -> None:
        """Killed, its data removed, started again at the same place."""
        await self.alertmanager.child.kill()
        await self.start_alertmanager(self.folder / "alertmanager.yml", self.alertmanager.address)

    async def open(self, *, send_resolved: bool, posts: bool) -> None:
        """Start everything; `posts` False: Alertmanager's webhooks go nowhere."""
        valkey = EmbeddedValkey(self.folder / "valkey")
        self._stack.push_async_callback(valkey.stop)
        self._store = RedisStore(
            await valkey.start(), replica="listener", sealer=Sealer.from_file(self.folder / "seal.key")
        )
        self._stack.push_async_callback(self._store.close)
        await self._store.open()
        routes = [Route(system=SYSTEM, matches=lambda labels: labels.get("system") == SYSTEM)]
        twin = TwinServices(store=self._store, clock=SystemClock(), routes=routes)  # type: ignore[arg-type]
        watch = Watch("watchdog", SYSTEM, lambda labels: labels["alertname"] == "Watchdog", 4_000)
        twin.engine.book = PolicyBook({}, watches=[watch] if posts else [])
        tasks = await self._stack.enter_async_context(_Tasks())
        alarms = Alarms(self._store, twin.clock)
        address = await self._open_door(tasks, twin, alarms)
        metric = await self._serve_metric()
        config = self._alertmanager_config(address if posts else f"127.0.0.1:{free_port()}", send_resolved)
        await self.start_alertmanager(config)
        api = AlertmanagerApi("a", f"http://{self.alertmanager.address}", every_ms=EVERY_MS)
        self._stack.push_async_callback(api.close)
        self.antientropy = Antientropy(
            twin.engine, twin.clock, [api], alarms,
            routes=routes, settle_ms=SETTLE_MS, fed_within_ms=FED_WITHIN_MS, patience_ms=PATIENCE_MS,
        )  # fmt: skip
        heartbeat = Heartbeat()
        sweeper = Sweeper(self._store, twin.clock, Metrics(), twin.shards, heartbeat)
        twin.engine.on_timer(sweeper.expect)
        for shard in twin.shards:
            tasks.start(fold_forever(twin.engine, shard, heartbeat, _nothing))
        tasks.start(sweeper.run())
        tasks.start(self.antientropy.run())
        tasks.start(Watches(twin.engine, BookFollower(twin.engine)).run())
        rules = deploy_files.prometheus(
            self.folder, trading_core=metric, andon=address, alertmanagers=[self.alertmanager.address]
        )
        self.prometheus = await services.prometheus(self._stack, self._session, rules, self.folder, RESEND)

    async def _open_door(self, tasks: _Tasks, twin: TwinServices, alarms: Alarms) -> str:
        where: asyncio.Future[Addresses] = asyncio.get_running_loop().create_future()
        stop = asyncio.Event()
        tasks.start(serve(build(twin, alarms), Listen(port=0), stop, where.set_result))
        return (await where).webhooks.removeprefix("http://")

    async def _serve_metric(self) -> str:
        async def answer(_: web.BaseRequest) -> web.Response:
            return web.Response(text=f'trading_var_pct{{symbol="BTC-USD"}} {self.var}\n')

        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return f"127.0.0.1:{runner.addresses[0][1]}"

    def _alertmanager_config(self, andon: str, send_resolved: bool) -> Path:
        path = deploy_files.alertmanager(self.folder, andon=andon, token=TOKEN)
        config = yaml.safe_load(path.read_text())
        config["receivers"][0]["webhook_configs"][0]["send_resolved"] = send_resolved
        for route in config["route"]["routes"]:
            route |= {"group_wait": "200ms", "group_interval": "1s", "repeat_interval": "1s"}
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        return path


class _Tasks:
    """Eternal tasks that end with the scenario."""

    async def __aenter__(self) -> _Tasks:
        self._group = asyncio.TaskGroup()
        self._running: list[asyncio.Task[None]] = []
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._running:
            task.cancel()
        await self._group.__aexit__(None, None, None)

    def start(self, work: object) -> None:
        self._running.append(self._group.create_task(work))  # type: ignore[arg-type]


async def _nothing() -> None:
    """Nothing to take up when idle: there is one replica."""


@asynccontextmanager
async def listening(*, send_resolved: bool = True, posts: bool = True) -> AsyncIterator[Listener]:
    """A listener and the programs around it; cleared away afterwards, logs with any failure."""
    services.require(1)
    folder = Path(tempfile.mkdtemp(prefix="andon-ears-"))  # short: a unix socket's path has some 100 bytes
    try:
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            listener = Listener(folder, session, stack)
            try:
                await listener.open(send_resolved=send_resolved, posts=posts)
                yield listener
            except BaseException as problem:
                for log in sorted(folder.glob("*.log")) + sorted(folder.glob("*/*.log")):
                    problem.add_note(f"--- {log.name}\n" + "\n".join(log.read_text().splitlines()[-20:]))
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
