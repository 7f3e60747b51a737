"""A running `andon serve` as a process: reloaded by signal, by file and a hundred times under load; stopped by its
kill switch while the store is dead."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bot.adapters.clock import wall_ms
from bot.adapters.kill_switch import FILE, KillSwitch
from bot.sandbox.children import Child, python, until
from bot.sandbox.ports import free_port
from tests.acceptance.harness.services import answers

WITHIN = 20.0
SYSTEM = "trading-core"
TIMEOUT = aiohttp.ClientTimeout(total=10)
INSPECT, CUT = "GET /api/risk/status", "POST /api/risk/emergency-reduce"


class RiskApi:
    """The trading system's risk API: holds Kelly, keeps every request, and answers reads only while `gate` is open."""

    def __init__(self) -> None:
        self.kelly, self.url = 0.25, ""
        self.reads = 0
        self.cuts: list[dict[str, Any]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def status(self, _: web.Request) -> web.Response:
        self.reads += 1
        await self.gate.wait()
        return web.json_response({"kelly_fraction": self.kelly})

    async def cut(self, request: web.Request) -> web.Response:
        self.cuts.append(await request.json())
        self.kelly = self.cuts[-1]["kelly_fraction"]
        return web.json_response({"ok": True})


class Andon:
    """`andon serve` on a small floor of its own."""

    def __init__(self, folder: Path, risk: RiskApi) -> None:
        self.folder, self.risk = folder, risk
        self.port = free_port()
        self.environment = {
            "ANDON_CONFIG": str(folder / "configs" / "andon.yaml"), "ANDON_DATA_DIR": str(folder / "data"),
        }  # fmt: skip
        (folder / "configs" / "policies").mkdir(parents=True)
        self.write("andon.yaml", f"systems: [{SYSTEM}]\nlisten: {{port: {self.port}}}\narmed: [cut]\n"
                   f"routes: [{{match: ['system=\"{SYSTEM}\"'], system: {SYSTEM}}}]\n")  # fmt: skip
        self.write("people.yaml", f"people: [{{id: demo-oncall, os_uid: {os.getuid()}}}]\n")
        self.write("targets.yaml", f"""
systems:
  {SYSTEM}:
    components:
      - name: risk-engine
        role: risk
        connector: http
        url: {risk.url}
        allow: ["{INSPECT}", "{CUT}"]
        read: {{kelly_fraction: {{http: /api/risk/status, json: kelly_fraction}}}}
""")  # fmt: skip
        self.write("policies/p.yaml", policies("one"))

    def write(self, name: str, text: str) -> None:
        """As an editor does: whole or not at all."""
        path = self.folder / "configs" / name
        draft = path.with_name(f".{path.name}.draft")
        draft.write_text(text)
        draft.replace(path)

    async def start(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.child = await Child.start(
            "andon", python("bot.cli", "serve"), self.folder / "log", environment=self.environment
        )
        await answers(session, self.child, f"http://127.0.0.1:{self.port}/readyz")

    async def post(self, name: str, instance: str) -> int:
        """One alert; the HTTP status."""
        alert = {
            "status": "firing", "labels": {"alertname": name, "severity": "warning", "system": SYSTEM,
            "instance": instance}, "annotations": {}, "startsAt": "2026-01-01T00:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z", "fingerprint": f"{abs(hash((name, instance))):016x}"[:16],
        }  # fmt: skip
        body = {"version": "4", "groupKey": "g", "receiver": "andon", "status": "firing", "alerts": [alert]}
        async with self.session.post(f"http://127.0.0.1:{self.port}/webhooks/alertmanager", json=body) as response:
            return response.status

    async def check(self, name: str) -> str:
        async with self.session.get(f"http://127.0.0.1:{self.port}/readyz") as response:
            return str((await response.json())["checks"][name]["detail"])

    async def metric(self, line: str) -> float:
        async with self.session.get(f"http://127.0.0.1:{self.port}/metrics") as response:
            found = [row for row in (await response.text()).splitlines() if row.startswith(line)]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    async def api(self, path: str) -> Any:
        connector = aiohttp.UnixConnector(str(self.folder / "data" / "andon.sock"))
        async with (
            aiohttp.ClientSession("http://andon", connector=connector, timeout=TIMEOUT) as session,
            session.get(f"/api/v1{path}") as response,
        ):
            return await response.json()

    async def command(self, *arguments: str) -> Any:
        process = await asyncio.create_subprocess_exec(
            *python("bot.cli", *arguments, "--json"), stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **self.environment},
        )  # fmt: skip
        output, _ = await asyncio.wait_for(process.communicate(), WITHIN)
        assert process.returncode == 0, output
        return json.loads(output)

    async def frozen(self) -> bool:
        """Whether the system's automation is frozen, and by the bot that saw the switch."""
        systems = (await self.api("/status")).get("systems", [])  # an error while the store is away
        return any(each["frozen"].get("target:*", {}).get("by") == "kill-switch" for each in systems[:1])


def policies(tag: str) -> str:
    """Two policies; what says `tag` changes with every set, and with it the hashes."""
    return f"""
system: {SYSTEM}
labels: [instance]
policies:
  - {{name: watch, match: ['alertname="Load"'], group_by: [instance], mode: shadow, channel: "#{tag}"}}
  - name: cut
    match: ['alertname="Cut"']
    mode: auto
    channel: "#{tag}"
    plan:
      - action: risk.reduce_kelly
        with: {{kelly_fraction: 0.1, reason: "test"}}
"""


@asynccontextmanager
async def andon(folder: Path) -> AsyncIterator[Andon]:
    risk = RiskApi()
    app = web.Application()
    app.router.add_get("/api/risk/status", risk.status)
    app.router.add_post("/api/risk/emergency-reduce", risk.cut)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    risk.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    running = Andon(folder, risk)
    try:
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            await running.start(session)
            try:
                yield running
            except BaseException as problem:
                problem.add_note(running.child.tail())
                raise
    finally:
        await running.child.end()
        await runner.cleanup()


async def test_a_signal_and_a_file_change_reload_the_process(tmp_path: Path) -> None:
    """SIGHUP neither kills it nor needs a change; a wrong set is named on /readyz, which stays ready."""
    async with andon(tmp_path) as running:
        os.kill(running.child.pid, signal.SIGHUP)

        async def unchanged() -> bool:
            return await running.metric('andon_config_reloads_total{outcome="unchanged"}') == 1

        await until("the signal is obeyed", unchanged, within=WITHIN)
        running.write("people.yaml", "people: [{id: demo-oncall, os_iud: 1}]\n")

        async def refused() -> bool:
            return "os_iud" in await running.check("configuration")

        await until("the wrong set is told", refused, within=WITHIN)
        running.write("people.yaml", f"people: [{{id: demo-lead, os_uid: {os.getuid()}}}]\n")

        async def known() -> bool:
            return (await running.command("freeze", "--reason", "x"))["decisions"][0]["why"].count("demo-lead") == 1

        await until("the new person is known", known, within=WITHIN)
        assert await running.metric("andon_config_valid") == 1
        assert (await running.command("reload"))["ok"]
        key = (await running.command("audit", "key"))["key"]
        await running.child.end()
    (signed,) = (tmp_path / "data" / "checkpoints").glob("*/*.jsonl")
    assert key in signed.read_text()
    assert '"target:*"' in signed.read_text(), "the freeze was committed after the first checkpoint: a stop signs it"


async def test_reloaded_every_100_ms_under_load_it_loses_nothing(tmp_path: Path) -> None:
    """Every accepted alert has its one incident, whichever set was in force; wrong sets in between change nothing."""
    async with andon(tmp_path) as running:
        accepted: list[str] = []
        done = asyncio.Event()

        async def load() -> None:
            number = 0
            while not done.is_set():
                number += 1
                if await running.post("Load", f"i{number}") == 200:
                    accepted.append(f"i{number}")
                await asyncio.sleep(0.02)

        async def rewrite() -> None:
            for number in range(60):  # a set stays for a second: what changes all the time is never taken
                wrong = number // 10 % 3 == 1
                running.write("policies/p.yaml", policies(f"set-{number // 10}") if not wrong else "policies: [\n")
                os.kill(running.child.pid, signal.SIGHUP)
                await asyncio.sleep(0.1)
            running.write("policies/p.yaml", policies("last"))
            done.set()

        await asyncio.gather(load(), rewrite())

        async def settled() -> bool:
            return len(await load_incidents(running)) >= len(accepted)

        await until("every alert has its incident", settled, within=WITHIN)
        assert len(accepted) > 50
        assert sorted(await load_incidents(running)) == sorted(accepted)
        assert await running.metric('andon_config_reloads_total{outcome="applied"}') >= 3
        assert await running.metric('andon_config_reloads_total{outcome="refused"}') >= 1

        async def valid() -> bool:
            return await running.metric("andon_config_valid") == 1

        await until("the last set is in force", valid, within=WITHIN)
        assert (await running.command("audit", "verify"))["ok"]


async def load_incidents(running: Andon) -> list[str]:
    listed = (await running.api("/incidents?all=1&limit=500"))["incidents"]
    return [each["group"]["instance"] for each in listed if each["policy"] == "watch"]


async def test_the_kill_switch_holds_while_the_store_is_dead(tmp_path: Path) -> None:
    """Thrown with the store killed in the middle of a step: when the store is back, nothing reaches the target; nor
    does anything start by itself when the switch is released."""
    async with andon(tmp_path) as running:
        running.risk.gate.clear()
        assert await running.post("Cut", "a") == 200
        await until("the step looks at the target", _reads(running.risk), within=WITHIN)
        os.kill(int(_store_pid(running)), signal.SIGKILL)
        # Thrown in this process, at once: a command that starts slowly would find the look at the target given up.
        switch = KillSwitch(running.folder / "data" / "journal" / FILE)
        switch.engage(at=wall_ms(), by="demo-oncall", uid=os.getuid(), reason="it trades in circles")
        running.risk.gate.set()

        await until("the store is back and automation frozen", running.frozen, within=WITHIN)
        incident = await _ended(running)
        assert running.risk.cuts == []
        assert "kill switch" in json.dumps(incident)
        assert "trades in circles" in await running.check("kill_switch")
        assert (await running.command("kill-switch", "--status"))["engaged"]
        await running.command("kill-switch", "--release")
        assert await running.post("Cut", "b") == 200
        await until("the switch is seen released", _released(running), within=WITHIN)
        assert await running.frozen()
        assert running.risk.cuts == []


def _reads(risk: RiskApi):
    async def look() -> bool:
        return risk.reads > 0

    return look


def _released(running: Andon):
    async def look() -> bool:
        return await running.check("kill_switch") == "not engaged"

    return look


async def _ended(running: Andon) -> Any:
    async def look() -> Any:
        listed = (await running.api("/incidents?all=1"))["incidents"]
        mine = [each for each in listed if each["policy"] == "cut"]
        return await running.api(f"/incidents/{mine[0]['id']}") if mine and mine[0]["status"] == "parked" else None

    return await until("the step ends without a request", look, within=60)


def _store_pid(running: Andon) -> str:
    """The embedded server's process, from the pid file in the data directory."""
    return next((running.folder / "data").rglob("*.pid")).read_text()


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short, for the unix socket's sake."""
    return tmp_path_factory.mktemp("h")
