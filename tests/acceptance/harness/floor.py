"""A trading floor of real programs: sandbox, Prometheus, Alertmanager(s), `andon serve`; and words to move it.

Scenarios read as timelines: `await floor.inject_var("BTC-USD", 2.4)`, `await floor.incident(status="closed")`. Nothing
is simulated between them but trading-core itself. Every wait is on a condition with a deadline, every process is ended
by pid, and when a test fails the logs are in its report.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import yaml

from bot.demo import config as demo_config
from bot.demo.config import Place
from bot.sandbox.children import Child, Unmet, python, until
from bot.sandbox.ports import free_port
from tests.acceptance.harness import deploy_files, services
from tests.acceptance.harness.services import START_WITHIN, Service

TOKEN = "acceptance-token"
STEP_WITHIN = 25.0  # seconds for one thing to happen; the slowest, a resolved alert, takes about five
QUIET_US = 1_000_000  # where Redis is not the matter, a busy machine must not raise its alarm
TIMEOUT = aiohttp.ClientTimeout(total=10)


class Floor:
    """What a scenario holds. Made by `open_floor`.

    A floor for one row overrides `sandbox_options`, `configure` and `latency_us`: from how many microseconds on the
    Redis counts as slow in the rules of Prometheus (0: as shipped).
    """

    sandbox_options: tuple[str, ...] = ("--alone",)  # only the row about Redis needs its replica and Sentinels
    latency_us: int = QUIET_US

    def __init__(self, folder: Path, place: Place, session: aiohttp.ClientSession) -> None:
        self.folder = folder
        self.place = place
        self.prometheus: Service | None = None
        self.alertmanagers: list[Service] = []
        self._session = session
        self._children: list[Child] = []
        self._andon: Child | None = None
        self._sandbox_url = ""

    # --- the trading system -----------------------------------------------------------------------------------------

    async def inject_var(self, symbol: str, var_pct: float) -> None:
        """A symbol's VaR jumps and stays stressed."""
        await self.sandbox("POST", "/faults/var", {"symbol": symbol, "var_pct": var_pct})

    async def desk_restores(self) -> None:
        """People put everything back by hand: faults over, Kelly at 0.25."""
        await self.sandbox("POST", "/desk/restore")

    async def kelly(self) -> float:
        """The Kelly fraction in force."""
        return float((await self.sandbox("GET", "/api/risk/status"))["kelly_fraction"])

    async def var(self, symbol: str) -> float:
        """A symbol's VaR, in percent."""
        return float((await self.sandbox("GET", "/api/risk/status"))["var_pct"][symbol])

    async def effects(self) -> list[dict[str, Any]]:
        """Changes of state that came through the runbook's API, from the target's ledger."""
        return [e for e in await self.sandbox("GET", "/ledger?kind=effect") if e["author"] == "api"]

    async def sandbox(self, method: str, path: str, body: object = None) -> Any:
        """One request to the simulated trading-core."""
        async with self._session.request(method, self._sandbox_url + path, json=body) as response:
            response.raise_for_status()
            return await response.json()

    # --- Andon ------------------------------------------------------------------------------------------------------

    async def incident(self, *, status: str, not_: str = "", within: float = STEP_WITHIN) -> dict[str, Any]:
        """The newest incident, once it is there (another than `not_`) and its status is `status`."""

        async def look() -> dict[str, Any] | None:
            listed = (await self.api("GET", "/incidents?all=1"))["incidents"]
            if not listed or listed[0]["id"] == not_:
                return None
            incident = (await self.api("GET", f"/incidents/{listed[0]['id']}"))["incident"]
            seen.append(f"{incident['status']}: {incident['why']}")
            return dict(incident) if incident["status"] == status else None

        seen: list[str] = []
        try:
            return await until(f"an incident that is {status}", look, within=within)
        except Unmet as problem:
            raise Unmet(f"{problem}; it was {', then '.join(dict.fromkeys(seen)) or 'never there'}") from None

    async def any_incident(self) -> str:
        """The id of the newest incident, as soon as there is one."""

        async def look() -> str | None:
            listed = (await self.api("GET", "/incidents?all=1"))["incidents"]
            return str(listed[0]["id"]) if listed else None

        return await until("an incident opens", look, within=STEP_WITHIN)

    async def alertmanager_knows(self, alertname: str) -> None:
        """Return once the first Alertmanager holds an active alert of this name."""
        url = f"http://{self.alertmanagers[0].address}/api/v2/alerts"

        async def look() -> bool:
            async with self._session.get(url, params={"filter": f'alertname="{alertname}"'}) as response:
                return bool(await response.json())

        await until(f"Alertmanager knows {alertname}", look, within=STEP_WITHIN)

    async def api(self, method: str, path: str, body: object = None) -> Any:
        """One request to the operators' API on the unix socket."""
        async with (
            aiohttp.ClientSession(
                "http://andon", connector=aiohttp.UnixConnector(str(self.place.socket)), timeout=TIMEOUT
            ) as session,
            session.request(method, f"/api/v1{path}", json=body) as response,
        ):
            response.raise_for_status()
            return await response.json()

    async def command(self, *arguments: str) -> tuple[int, Any]:
        """Run `andon … --json`; its exit code and what it printed."""
        process = await asyncio.create_subprocess_exec(
            *python("bot.cli", *arguments, "--json"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env=self._environment,
        )
        output, _ = await asyncio.wait_for(process.communicate(), STEP_WITHIN)
        return process.returncode or 0, json.loads(output)

    @property
    def _environment(self) -> dict[str, str]:
        return demo_config.environment(self.place)

    async def start_andon(self) -> None:
        """Start `andon serve` on this floor's configuration and data, and wait until it is ready."""
        andon = await Child.start(
            "andon", python("bot.cli", "serve"), self.folder / "andon.log", environment=self._environment
        )
        self._andon = andon
        self._children.append(andon)
        await services.answers(self._session, andon, f"http://127.0.0.1:{self.place.port}/readyz")

    async def kill_andon(self) -> None:
        """kill -9."""
        assert self._andon is not None
        await self._andon.kill()

    async def end_andon(self) -> None:
        """SIGTERM to the one that runs; one that was killed gets a successor first, to end what it left behind."""
        if self._andon is None:
            return
        if not self._andon.running:
            await self.start_andon()
        await self._andon.end()

    # --- the rest ---------------------------------------------------------------------------------------------------

    def logs(self) -> str:
        """The ends of all logs."""
        children = {child.name: child for child in self._children}
        return "\n".join(child.tail() for child in children.values())

    def hasten(self, waits: Mapping[str, str]) -> None:
        """Shipped waits replaced: rungs by their `5m`, leases by `lease 15m`, counted times by `within 1m`."""
        for path in (self.place.directory / "policies").glob("*.yaml"):
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
            for policy in document["policies"]:
                parts = (*policy.get("ladder", []), *policy.get("plan", []), *policy.get("evidence", {}).values())
                for part in parts:
                    for key in ("after", "lease", "within"):
                        if key in part:
                            part[key] = waits.get(part[key] if key == "after" else f"{key} {part[key]}", part[key])
            path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")

    def hear_no_streams(self) -> None:
        """Andon counts no streams: what fires comes from Prometheus."""
        for path in (self.place.directory / "policies").glob("*.yaml"):
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
            document.pop("streams", None)
            path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")

    def configure(self, ready: Mapping[str, Any]) -> None:
        """Write Andon's configuration for the sandbox that printed this ready line."""
        demo_config.write_with(self.place, {"http": ready["url"], "redis": ready["valkey_url"]})

    async def start(
        self, stack: AsyncExitStack, *, alertmanagers: int, answer_ms: int, ladder: Mapping[str, str], streams: bool
    ) -> None:
        """Start everything, to be ended in reverse order with `stack`."""
        options = ("--with-parent", "--valkey-dir", str(self.folder / "valkey"), "--answer-ms", str(answer_ms))
        sandbox = await Child.start(
            "sandbox",
            python("bot.sandbox", *options, *self.sandbox_options),
            self.folder / "sandbox.log",
            ready_line=True,
        )
        stack.push_async_callback(sandbox.end)
        self._children.append(sandbox)
        ready = json.loads(await sandbox.first_line(START_WITHIN))
        self._sandbox_url = ready["url"]
        self.configure(ready)
        self.hasten(ladder)
        if not streams:
            self.hear_no_streams()
        stack.push_async_callback(self.end_andon)
        await self.start_andon()
        await self._start_monitoring(stack, alertmanagers, ready["url"].removeprefix("http://"))

    async def _start_monitoring(self, stack: AsyncExitStack, count: int, trading_core: str) -> None:
        andon = f"127.0.0.1:{self.place.port}"
        config = deploy_files.alertmanager(self.folder, andon=andon, token=TOKEN)
        for number in range(1, count + 1):
            name = f"alertmanager-{number}"
            manager = await services.alertmanager(stack, self._session, config, self.folder, name)
            self.alertmanagers.append(manager)
            self._children.append(manager.child)
        addresses = [manager.address for manager in self.alertmanagers]
        config = deploy_files.prometheus(
            self.folder, trading_core=trading_core, andon=andon, alertmanagers=addresses, latency_us=self.latency_us
        )
        self.prometheus = await services.prometheus(stack, self._session, config, self.folder)
        self._children.append(self.prometheus.child)


F = TypeVar("F", bound=Floor)


@asynccontextmanager
async def open_floor(
    kind: type[F] = Floor,
    *,
    alertmanagers: int = 1,
    hold: str = "1s",
    close: str = "3s",
    cooldown: str = "",
    answer_ms: int = 0,
    ladder: Mapping[str, str] | None = None,
    streams: bool = True,
) -> AsyncIterator[F]:
    """A floor in real time, with the shipped policies' hold and close shortened; cleared away afterwards.

    `kind`: the floor of a row that needs its own. `cooldown`: of every step that has one; "" as shipped.

    `answer_ms`: how long the trading system takes to answer. `ladder`: shipped waits, as `hasten` knows them, and those
    here. `streams`: whether Andon counts the trading system's streams itself.
    """
    services.require(alertmanagers)
    folder = Path(tempfile.mkdtemp(prefix="andon-floor-"))  # short: a unix socket's path has some 100 bytes
    token = folder / "webhook.token"
    token.write_text(TOKEN)
    place = Place(
        directory=folder / "configs", data_dir=folder / "data", port=free_port(), urls={},
        token_file=token, hold=hold, close=close, cooldown=cooldown,
    )  # fmt: skip
    try:
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession(timeout=TIMEOUT))
            floor = kind(folder, place, session)
            try:
                await floor.start(
                    stack, alertmanagers=alertmanagers, answer_ms=answer_ms, ladder=ladder or {}, streams=streams
                )
                yield floor
            except BaseException as problem:
                problem.add_note(floor.logs())
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
