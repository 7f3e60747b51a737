"""Two trading systems under one `andon serve`, on a real Valkey that somebody else can write to behind its back.

`work` orders something by HTTP once for each case, `ask` asks a person before it does, `wait` pages an hour later.
The orders' ledger is the target's own. What Andon says about a forgery is looked for where people look: pages and
alarms in its log, dead letters, `/readyz`.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import aiohttp
from redis.asyncio import Redis

from bot.client import Place, connect
from bot.sandbox.children import Child, python, until
from bot.sandbox.ports import free_port
from bot.sandbox.topology import Topology, topology
from tests.faults.target import Target, trading_system

ONE, OTHER = "trading-core", "py-rt"
ONCALL: Final = "demo-oncall"
WITHIN: Final = 30.0  # seconds for what an alert leads to, on a busy machine
STARTS: Final = 60.0  # until it is ready; two seconds where nothing else runs
Json = dict[str, Any]
SAID: Final = ("PAGE", "alarm_raised", "set_aside", "record_forged", "writes_lost", "PAGE_NOT_TAKEN")


class PlantedHouse:
    """What a scenario holds. Made by `open_planted_house`."""

    def __init__(self, folder: Path, web: aiohttp.ClientSession, servers: Topology, target: Target, raw: Redis) -> None:
        self.folder = folder
        self.target = target
        self.raw = raw
        self._servers = servers
        self._web = web
        self._port = free_port()
        self._read_to = 0
        self.andon: Child

    # --- what comes in ----------------------------------------------------------------------------------------------

    async def alert(self, name: str, case: str, system: str = ONE, *, status: str = "firing") -> int:
        """One webhook, sent once; the answer's status."""
        labels = {"alertname": name, "case": case, "severity": "critical", "system": system}
        alert = {
            "status": status, "labels": labels, "annotations": {}, "startsAt": "2026-01-01T00:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "",
            "fingerprint": f"{crc32((name + system + case).encode()):016x}",
        }  # fmt: skip
        body = {"version": "4", "groupKey": case, "receiver": "andon", "status": status, "alerts": [alert]}
        async with self._web.post(f"http://127.0.0.1:{self._port}/webhooks/alertmanager", json=body) as answer:
            return answer.status

    async def acts(self, case: str, system: str = ONE) -> None:
        """Return once a new alert there was acted upon, exactly once so far."""
        await until(f"{system} takes {case}", lambda: self._taken("Work", case, system), within=WITHIN)
        await self.ran(case)

    async def _taken(self, name: str, case: str, system: str) -> bool:
        return await self.alert(name, case, system) == 200

    async def ran(self, case: str, within: float = WITHIN) -> None:
        """Return once the case was ordered."""

        async def look() -> bool:
            return self.target.ledger[case] > 0

        await until(f"{case} is ordered", look, within=within)

    # --- what is seen -----------------------------------------------------------------------------------------------

    def ledger(self) -> Counter[str]:
        """Orders by case, by the target's own word."""
        return Counter(self.target.ledger)

    def mark(self) -> None:
        """From here on `said` counts."""
        self._read_to = (self.folder / "andon.log").stat().st_size

    def lines(self) -> list[Json]:
        """Every line logged since `mark`."""
        with (self.folder / "andon.log").open("rb") as log:
            log.seek(self._read_to)
            text = log.read().decode(errors="replace")
        found = []
        for line in text.splitlines():
            with suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict):
                    found.append(entry)
        return found

    def said(self) -> list[str]:
        """What a person was told since `mark`: pages, alarms, dead letters; each in a few words."""
        return [
            f"{entry['event']}: {entry.get('summary') or entry.get('reason') or entry.get('error') or entry.get('why')}"
            for entry in self.lines()
            if entry.get("event") in SAID
        ]

    async def ready(self) -> tuple[bool, str]:
        """Whether /readyz says so, and its text."""
        async with self._web.get(f"http://127.0.0.1:{self._port}/readyz") as answer:
            return answer.status == 200, await answer.text()

    async def ask(self, method: str, path: str, body: Json | None = None) -> Json:
        """One question or order at the operators' socket."""
        async with connect(Place(socket=self.folder / "data" / "andon.sock")) as api:
            return await api.get(path) if method == "GET" else await api.post(path, body)

    async def incident(self, case: str, status: str = "") -> Json:
        """The case's line, once there is one (in this status)."""

        async def look() -> Json | None:
            for line in (await self.ask("GET", "/incidents?all=1&limit=500"))["incidents"]:
                if line["group"].get("case") == case and status in ("", line["status"]):
                    return dict(line)
            return None

        return await until(f"{case} is {status or 'there'}", look, within=WITHIN)

    async def question(self, case: str) -> Json:
        """The case's decision card, once people are asked."""

        async def look() -> Json | None:
            line = await self.incident(case)
            found: Json | None = (await self.ask("GET", f"/incidents/{line['id']}"))["decision"]
            return found

        return await until(f"{case} asks people", look, within=WITHIN)

    # --- behind its back --------------------------------------------------------------------------------------------

    def key(self, name: str, shard: str = ONE) -> str:
        return f"andon:{{{shard}}}:{name}"

    async def copy(self, *keys: str) -> dict[str, bytes]:
        """Those of these keys that exist, as DUMP gives them."""
        dumped = [(key, await self.raw.dump(key)) for key in keys]
        return {key: value for key, value in dumped if value is not None}

    async def put_back(self, copied: Mapping[str, bytes]) -> None:
        """These keys, byte for byte."""
        for key, value in copied.items():
            await self.raw.restore(key, 0, value, replace=True)

    # --- the process ------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Write the configuration, start `andon serve`, wait until it is ready."""
        configs = self.folder / "configs"
        (configs / "policies").mkdir(parents=True)
        for name, document in _documents(self._port, self._servers.primary.url, self.target).items():
            (configs / f"{name}.yaml").write_text(json.dumps(document))  # which is YAML too
        await self.serve()

    async def serve(self, *, ready: bool = True) -> None:
        """Start it, for the first time or again."""
        self.andon = await Child.start(
            "andon", python("bot.cli", "serve"), self.folder / "andon.log", environment={
                "ANDON_CONFIG": str(self.folder / "configs" / "andon.yaml"),
                "ANDON_DATA_DIR": str(self.folder / "data"), "ANDON_SOCKET": str(self.folder / "data" / "andon.sock"),
                "ANDON_LOG_FORMAT": "json",
            },
        )  # fmt: skip
        if ready:
            await until("it is ready", self._is_ready, within=STARTS)

    async def _is_ready(self) -> bool:
        assert self.andon.running, self.andon.tail()
        return (await self.ready())[0]

    async def end(self) -> None:
        """Whatever was started last."""
        if hasattr(self, "andon"):
            await self.andon.end()


def _documents(port: int, store: str, target: Target) -> dict[str, Json]:
    signed = {"by": ONCALL, "reason": "each case once", "until": "2099-01-01T00:00:00Z"}
    desk = {"name": "desk", "role": "desk", "connector": "http", "url": target.url, "allow": ["POST /orders"]}
    order = {
        "action": "http.call", "component": "desk",
        "with": {"method": "POST", "path": "/orders", "body": {"case": "${labels.case}"}},
    }  # fmt: skip
    both = (ONE, OTHER)
    documents: dict[str, Json] = {
        "andon": {
            "systems": list(both), "armed": [f"{each}/{name}" for each in both for name in ("work", "ask", "wait")],
            "listen": {"port": port}, "store": {"url": store},
            "routes": [{"match": [f'system="{each}"'], "system": each} for each in both],
            "budget": {"limit": 250, "within": "1s", "reserve": 3},
            "heartbeat": {"url": f"{target.url}/heartbeat", "every": "1s"},
        },
        "people": {
            "people": [{"id": ONCALL, "os_uid": os.getuid()}],
            "rosters": {"approvers": [{"system": each, "risk": "critical", "people": [ONCALL]} for each in both]},
        },
        "targets": {"systems": {each: {"components": [desk]} for each in both}},
    }  # fmt: skip
    for each in both:
        documents[f"policies/{each}"] = {
            "system": each, "labels": ["case"],
            "policies": [
                _policy("work", plan=[order]),
                _policy("ask", plan=[order]),
                _policy("wait", ladder=[{"after": "1h", "page": {"service": "demo-pager", "severity": "critical"}}]),
            ],
            "pre_authorised": [{"action": "http.call", "policy": "work", **signed}],
        }  # fmt: skip
    return documents


def _policy(name: str, **more: Any) -> Json:
    return {
        "name": name, "match": [f'alertname="{name.title()}"'], "group_by": ["case"], "mode": "auto",
        "channel": "#planted", **more,
    }  # fmt: skip


@asynccontextmanager
async def open_planted_house() -> AsyncIterator[PlantedHouse]:
    """Andon at work on such a store; cleared away afterwards, the end of its log with any failure."""
    folder = Path(tempfile.mkdtemp(prefix="andon-plant-"))  # short: a unix socket's path has some 100 bytes
    (folder / "data").mkdir(mode=0o700)
    try:
        async with AsyncExitStack() as stack:
            servers = await stack.enter_async_context(
                topology(folder / "servers", replicas=0, sentinels=0, on_disk=True)
            )
            target = await stack.enter_async_context(trading_system(1))
            web = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)))
            raw = Redis.from_url(servers.primary.url)
            stack.push_async_callback(raw.aclose)
            house = PlantedHouse(folder, web, servers, target, raw)
            stack.push_async_callback(house.end)
            try:
                await house.begin()
                yield house
            finally:
                if hasattr(house, "andon"):  # pytest shows what is printed with a failure; a note it does not get here
                    print(house.andon.tail())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
