"""`andon serve` on a store behind Sentinels, with a sender who repeats what was not taken, and a ledger that counts.

The store is real: a primary, two replicas, three Sentinels, on disk (`bot.sandbox.topology`). Three policies: `work`
runs a program once for each case (delivery `once`, so that nothing may ever run twice), `ask` asks before it does,
`wait` pages two seconds later. The program writes its case into a file, which is the target's ledger.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any
from zlib import crc32

import aiohttp

from bot.client import Place, UnavailableError, connect
from bot.sandbox.children import Child, python, until
from bot.sandbox.ports import free_port
from bot.sandbox.topology import Topology, topology
from tests.acceptance.harness import services

SYSTEM, ONCALL, SERVICE, MASTER = "trading-core", "demo-oncall", "demo-pager", "andon-store"
SIGNED = {"by": ONCALL, "reason": "each case once", "until": "2099-01-01T00:00:00Z"}
DOWN_AFTER_MS, FAILOVER_TIMEOUT_MS = 1_000, 2_000
WITHIN = 20.0  # seconds for what a case leads to, on a busy machine, a failover included
PAUSE = 0.05  # of the sender before it sends again what was not taken
Json = dict[str, Any]

LEDGER = """\
import os, sys
with open(sys.argv[1], "a") as ledger:
    ledger.write(sys.argv[2] + "\\n")
    ledger.flush()
    os.fsync(ledger.fileno())
"""


class StoreHouse:
    """What a scenario holds. Made by `open_store_house`."""

    def __init__(self, folder: Path, web: aiohttp.ClientSession, servers: Topology) -> None:
        self.folder = folder
        self.servers = servers
        self.accepted: list[str] = []  # cases answered with 2xx
        self.refused: Counter[int] = Counter()  # answers that were none, by status
        self._web = web
        self._port = free_port()
        self.andon: Child

    # --- the sender -------------------------------------------------------------------------------------------------

    async def alert(self, alertname: str, case: str) -> None:
        """Post it until it is taken, as Alertmanager does."""
        labels = {"alertname": alertname, "case": case, "severity": "critical", "system": SYSTEM}
        alert = {
            "status": "firing", "labels": labels, "annotations": {}, "startsAt": "2026-01-01T00:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "fingerprint": f"{crc32(case.encode()):016x}",
        }  # fmt: skip
        body = {"version": "4", "groupKey": case, "receiver": "andon", "status": "firing", "alerts": [alert]}
        while True:
            async with self._web.post(f"http://127.0.0.1:{self._port}/webhooks/alertmanager", json=body) as answer:
                if answer.ok:
                    self.accepted.append(case)
                    return
                self.refused[answer.status] += 1
                assert answer.status == 503, f"{answer.status}: {await answer.text()}"
            await asyncio.sleep(PAUSE)

    async def keep_alerting(self, every: float) -> None:
        """Case after case, until cancelled."""
        for number in count():
            await self.alert("Work", f"work-{number}")
            await asyncio.sleep(every)

    @asynccontextmanager
    async def alerting(self, every: float = 0.1) -> AsyncIterator[None]:
        """Alerts come in all the time meanwhile."""
        sender = asyncio.create_task(self.keep_alerting(every))  # noqa: TID251  # cancelled below, and awaited
        try:
            yield
        finally:
            sender.cancel()
            with suppress(asyncio.CancelledError):
                await sender

    # --- what is seen -----------------------------------------------------------------------------------------------

    def runs(self) -> Counter[str]:
        """How often the program ran, by case."""
        ledger = self.folder / "ledger"
        return Counter(ledger.read_text().split()) if ledger.exists() else Counter()

    async def ask(self, method: str, path: str, body: Json | None = None) -> Json:
        """One question or order at the operators' socket, repeated while Andon says that its store is away."""
        async with connect(Place(socket=self.folder / "data" / "andon.sock")) as api:

            async def once() -> Json | None:
                with suppress(UnavailableError):
                    if method == "GET":
                        return await api.get(path)
                    return await api.post(path, body, key=f"order{path.replace('/', '.')}")  # the same each time
                return None

            return await until(f"{method} {path}", once, within=WITHIN)

    async def incidents(self) -> dict[str, Json]:
        """Every incident's line, by case."""
        listed = (await self.ask("GET", "/incidents?all=1&limit=500"))["incidents"]
        return {each["group"]["case"]: each for each in listed if not each["parent"]}

    async def question(self, case: str) -> Json:
        """The case's decision card, once people are asked."""

        async def look() -> Json | None:
            line = (await self.incidents()).get(case)
            return (await self.ask("GET", f"/incidents/{line['id']}"))["decision"] if line else None

        return await until(f"{case} asks people", look, within=WITHIN)

    async def settled(self) -> dict[str, str]:
        """What became of every accepted `work` case, once each has an outcome: it ran, or why a person has it."""

        async def look() -> dict[str, str] | None:
            lines, runs = await self.incidents(), self.runs()
            ends = {case: _end(lines.get(case), runs[case]) for case in self.accepted if case.startswith("work")}
            return ends if all(ends.values()) else None

        return await until("every accepted alert is accounted for", look, within=2 * WITHIN)

    def pages(self, incident: str) -> int:
        """How many different pages the ladder sent for an incident; what repeats a dedup key is the same page."""
        keys = set()
        for line in (self.folder / "andon.log").read_text(errors="replace").splitlines():
            with suppress(ValueError):
                entry = json.loads(line)
                if entry.get("event") == "PAGE" and entry["service"] == SERVICE and entry["incident_id"] == incident:
                    keys.add(entry["dedup_key"])
        return len(keys)

    async def ran(self, case: str) -> None:
        """Return once the program ran for this case."""

        async def look() -> bool:
            return self.runs()[case] > 0

        await until(f"the program runs for {case}", look, within=WITHIN)

    # --- processes and files ----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Write the configuration, start `andon serve`, and wait until it is ready."""
        configs = self.folder / "configs"
        (configs / "policies").mkdir(parents=True)
        script = self.folder / "ledger.py"
        script.write_text(LEDGER)
        script.chmod(0o644)  # what a group may write to is not run
        program = f"{sys.executable} {script} {self.folder / 'ledger'}"
        run = {
            "action": "command.run",
            "component": "tools",
            "with": {"program": program, "arguments": ["${labels.case}"]},
        }
        store = {"url": self.servers.primary.url, "sentinels": self.servers.sentinel_addresses, "master": MASTER}
        wait = {"ladder": [{"after": "2s", "page": {"service": SERVICE, "severity": "critical"}}]}
        documents: dict[str, Json] = {
            "andon": {
                "systems": [SYSTEM], "armed": ["work", "ask", "wait"], "listen": {"port": self._port}, "store": store,
                "routes": [{"match": [f'system="{SYSTEM}"'], "system": SYSTEM}],
                "budget": {"limit": 250, "within": "1s", "reserve": 3},
            },
            "people": {
                "people": [{"id": ONCALL, "os_uid": os.getuid()}],
                "rosters": {"approvers": [{"system": SYSTEM, "risk": "critical", "people": [ONCALL]}]},
            },
            "targets": {"systems": {SYSTEM: {"components": [
                {"name": "tools", "role": "tools", "connector": "command", "allow": [program]}
            ]}}},
            "policies/store": {
                "system": SYSTEM, "labels": ["case"],
                "policies": [_policy("work", plan=[run]), _policy("ask", plan=[run]), _policy("wait", **wait)],
                "pre_authorised": [{"action": "command.run", "policy": "work", **SIGNED}],
            },
        }  # fmt: skip
        for name, document in documents.items():
            (configs / f"{name}.yaml").write_text(json.dumps(document))  # which is YAML too
        self.andon = await Child.start(
            "andon", python("bot.cli", "serve"), self.folder / "andon.log", environment={
                "ANDON_CONFIG": str(configs / "andon.yaml"), "ANDON_DATA_DIR": str(self.folder / "data"),
                "ANDON_SOCKET": str(self.folder / "data" / "andon.sock"), "ANDON_LOG_FORMAT": "json",
            },
        )  # fmt: skip
        await services.answers(self._web, self.andon, f"http://127.0.0.1:{self._port}/readyz")


def _policy(name: str, **more: Any) -> Json:
    return {
        "name": name, "match": [f'alertname="{name.title()}"'], "group_by": ["case"], "mode": "auto",
        "channel": "#store", **more,
    }  # fmt: skip


def _end(line: Json | None, runs: int) -> str:
    if line is None:
        return ""
    if runs:
        return "ran"
    return str(line["why"]) if line["status"] in ("parked", "waiting") else ""


@asynccontextmanager
async def open_store_house() -> AsyncIterator[StoreHouse]:
    """Andon at work on such a store; cleared away afterwards, the end of its log with any failure."""
    folder = Path(tempfile.mkdtemp(prefix="andon-store-"))  # short: a unix socket's path has some 100 bytes
    try:
        async with AsyncExitStack() as stack:
            servers = await stack.enter_async_context(topology(
                folder / "servers", replicas=2, master=MASTER, down_after_ms=DOWN_AFTER_MS,
                failover_timeout_ms=FAILOVER_TIMEOUT_MS, on_disk=True,
            ))  # fmt: skip
            web = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)))
            house = StoreHouse(folder, web, servers)
            try:
                await house.start()
                stack.push_async_callback(house.andon.end)
                yield house
            except BaseException as problem:
                if hasattr(house, "andon"):
                    problem.add_note(house.andon.tail())
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
