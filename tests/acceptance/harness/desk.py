"""People at a desk: `andon serve`, its store, a real Alertmanager and the sandbox, for scenarios about who may decide.

Every scenario names its own `case`, a label by which all policies of the desk group, so that many of them share one
process. Alerts go into Alertmanager the way Prometheus puts them there; everybody but one is known by a token over TCP,
`demo-oncall` by that and by the unix socket. Effects and requests are counted in the sandbox's ledger.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from bot.client import Api, Place, connect
from bot.sandbox.alert_rules import VAR_PCT
from bot.sandbox.children import Child, python, until
from bot.sandbox.ports import free_port
from tests.acceptance.harness import services
from tests.acceptance.harness.binaries import binary
from tests.acceptance.harness.services import START_WITHIN

SYSTEM = "trading-core"
ONCALL, APPROVER, SECOND, VISITOR = PEOPLE = ("demo-oncall", "demo-approver", "demo-second", "demo-visitor")
WITHIN = 15.0  # seconds for one thing to happen on a busy machine; most take a tenth of one
TIMEOUT = aiohttp.ClientTimeout(total=10)
HALT, CUT = "POST /api/stop-trading", "POST /api/risk/emergency-reduce"
OVER_PCT = VAR_PCT * 3  # what is left after a cut to 0.1 is still over
Json = dict[str, Any]


class Desk:
    """What a scenario holds. Made by `open_desk`."""

    def __init__(self, folder: Path, web: aiohttp.ClientSession, stack: AsyncExitStack, policies: list[Json]) -> None:
        self.folder = folder
        self._web, self._stack, self._policies = web, stack, policies
        self._port, self._api_port = free_port(), free_port()
        self.stack = stack
        self._sandbox: Child
        self._sandbox_url = self._alertmanager = ""
        self._andon: Child
        self._clock = ""
        self._talks: dict[str, Api] = {}

    # --- people -----------------------------------------------------------------------------------------------------

    async def as_(self, person: str) -> Api:
        """The API as this person sees it: over TCP with their token; "" is `demo-oncall`, at the socket."""
        if person not in self._talks:
            place = Place(socket=self.folder / "data" / "andon.sock")
            if person:
                place = Place(url=f"http://127.0.0.1:{self._api_port}", token=f"token-of-{person}")
            self._talks[person] = await self._stack.enter_async_context(connect(place))
        return self._talks[person]

    async def vote(self, person: str, card: Json, verdict: str = "approve", *, key: str = "", **more: Any) -> str:
        """This person's answer to exactly what the card showed; what came of it. DeclinedError with the reason."""
        api = await self.as_(person)
        body = {"approval": card["approval"], "digest": card["digest"], **more}
        answer = await api.post(f"/incidents/{card['incident']}/{verdict}", body, key=key)
        return str(answer["decisions"][0]["why"])

    async def command(self, *arguments: str) -> tuple[int, Json]:
        """`andon … --json`, typed by whoever sits at the socket; its exit code and what it printed."""
        process = await asyncio.create_subprocess_exec(
            *python("bot.cli", *arguments, "--json"), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **self._environment()},
        )  # fmt: skip
        output, _ = await asyncio.wait_for(process.communicate(), WITHIN)
        return process.returncode or 0, json.loads(output)

    async def people_are(self, *, approvers: tuple[str, ...]) -> None:
        """people.yaml is edited, and in force."""
        self._write_people(approvers)
        await self._reload()

    async def policies_are(self, policies: list[Json]) -> None:
        """The policy file is edited, and in force."""
        self._write_policies(policies)
        await self._reload()

    async def _reload(self) -> None:
        assert (await (await self.as_("")).post("/reload"))["ok"]

    # --- what happens -----------------------------------------------------------------------------------------------

    async def alert(self, case: str, alertname: str) -> None:
        """Prometheus tells Alertmanager, and Alertmanager tells Andon."""
        labels = {"alertname": alertname, "case": case, "severity": "critical", "system": SYSTEM, "symbol": "BTC-USD"}
        url = f"http://{self._alertmanager}/api/v2/alerts"
        async with self._web.post(url, json=[{"labels": labels}]) as response:
            response.raise_for_status()

    async def sandbox(self, method: str, path: str, body: object = None) -> Any:
        """One request to the simulated trading-core, by the desk."""
        async with self._web.request(method, self._sandbox_url + path, json=body) as response:
            response.raise_for_status()
            return await response.json()

    async def calm(self) -> None:
        """Kelly and trading as they were; VaR over its limit."""
        await self.sandbox("POST", "/desk/restore")
        await self.sandbox("POST", "/faults/var", {"symbol": "BTC-USD", "var_pct": OVER_PCT})

    @asynccontextmanager
    async def trading_core_stands_still(self) -> AsyncIterator[None]:
        """It neither answers nor changes meanwhile."""
        os.kill(self._sandbox.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._sandbox.pid, signal.SIGCONT)

    # --- what is seen -----------------------------------------------------------------------------------------------

    async def lines(self, case: str) -> list[Json]:
        """The incidents of a case, newest first, without branches."""
        listed = (await (await self.as_("")).get("/incidents", all=1, limit=500))["incidents"]
        return [each for each in listed if each["group"].get("case") == case and not each["parent"]]

    async def incident(self, case: str, *, status: str = "") -> Json:
        """The record of the case's incident, once it is there with this status."""

        async def look() -> Json | None:
            lines = await self.lines(case)
            if not lines or status not in ("", lines[0]["status"]):
                seen.append(f"{lines[0]['status']}: {lines[0]['why']}" if lines else "not there")
                return None
            return await self.record(lines[0]["id"])

        seen: list[str] = []
        try:
            return await until(f"{case} is {status or 'there'}", look, within=WITHIN)
        except Exception as problem:
            problem.add_note(f"{case} was {', then '.join(dict.fromkeys(seen))}")
            raise

    async def record(self, incident: str) -> Json:
        """One incident's record."""
        return dict((await (await self.as_("")).get(f"/incidents/{incident}"))["incident"])

    async def asked(self, case: str, *, not_: str = "", person: str = "") -> Json:
        """The case's decision card as this person sees it, once there is a question (another one than `not_`)."""
        return await self.question((await self.incident(case))["id"], not_=not_, person=person)

    async def branch(self, case: str) -> str:
        """The incident in which a rung of the case's ladder runs its step, once it has begun."""

        async def look() -> list[str]:
            return list((await self.incident(case))["branches"])

        (branch,) = await until(f"a rung of {case} acts", look, within=WITHIN)
        return branch

    async def question(self, incident: str, *, not_: str = "", person: str = "") -> Json:
        """The incident's decision card, likewise."""
        api = await self.as_(person)

        async def look() -> Json | None:
            card = (await api.get(f"/incidents/{incident}"))["decision"]
            return card if card is not None and card["approval"] != not_ else None

        return await until(f"{incident} asks people", look, within=WITHIN)

    async def result(self, case: str, *, number: int) -> Json:
        """What became of the case's step the `number`-th time, from 1, once it is known."""

        async def look() -> Json | None:
            results = (await self.incident(case))["results"]
            return dict(results[number - 1]) if len(results) >= number else None

        return await until(f"{case} has {number} results", look, within=WITHIN)

    async def requests(self, what: str, case: str = "") -> list[Json]:
        """Requests of Andon's that reached the trading system, for one case (its name is in their reason)."""
        entries = await self.sandbox("GET", "/ledger?kind=request")
        mine = [entry for entry in entries if entry["what"] == what and entry["key"]]
        return [entry for entry in mine if f"({case})" in entry["body"]] if case else mine

    async def done(self, what: str, case: str) -> list[Json]:
        """The requests of a case, once there is one."""
        return await until(f"{what} for {case}", lambda: self.requests(what, case), within=WITHIN)

    def pages(self, incident: str) -> list[tuple[str, str]]:
        """(service, summary) of every page for an incident, in all lives; what repeats a dedup key is the same page."""
        pages: dict[str, tuple[str, str]] = {}
        for line in (self.folder / "andon.log").read_text(errors="replace").splitlines():
            with suppress(ValueError):  # a line cut short by kill -9
                entry = json.loads(line)
                if entry.get("event") == "PAGE" and entry.get("incident_id") == incident:
                    pages.setdefault(entry["dedup_key"], (entry["service"], entry["summary"]))
        return list(pages.values())

    async def paged(self, incident: str, service: str) -> str:
        """The summary of the first page to this service, once there is one."""

        async def look() -> str:
            return next((summary for called, summary in self.pages(incident) if called == service), "")

        return await until(f"{service} is paged for {incident}", look, within=WITHIN)

    async def story(self, incident: str) -> list[tuple[int, str, str]]:
        """(when, event, what was decided and why) from the audit, oldest first."""
        entries = (await (await self.as_("")).get(f"/incidents/{incident}"))["audit"]
        bodies = [json.loads(entry["body"]) for entry in entries]
        return [
            (body["at"], each["event"]["kind"], f"{each['decision']}: {each['why']}")
            for body in bodies
            for each in body["events"]
        ]

    async def audit_verifies(self) -> bool:
        """Every chain holds."""
        return bool((await (await self.as_("")).get("/audit/verify"))["ok"])

    # --- processes and files ----------------------------------------------------------------------------------------

    async def kill(self) -> None:
        """kill -9 of `andon serve`."""
        await self._andon.kill()

    async def start(self, *, clock: str = "") -> None:
        """`andon serve` on what is there, until it is ready; on another clock, if one is given."""
        self._clock = clock or self._clock
        log = self.folder / "andon.log"
        self._andon = await Child.start("andon", python("bot.cli", "serve"), log, environment=self._environment())
        await services.answers(self._web, self._andon, f"http://127.0.0.1:{self._port}/readyz")

    async def end(self) -> None:
        """SIGTERM; one that was killed gets a successor first, to end the store it left behind."""
        if not self._andon.running:
            await self.start()
        await self._andon.end()

    def _environment(self) -> Mapping[str, str]:
        return {
            "ANDON_CONFIG": str(self.folder / "configs" / "andon.yaml"), "ANDON_DATA_DIR": str(self.folder / "data"),
            "ANDON_SOCKET": str(self.folder / "data" / "andon.sock"), "ANDON_LOG_FORMAT": "json",
            "ANDON_CLOCK": self._clock, **self.surroundings(),
        }  # fmt: skip

    async def open(self) -> None:
        """Start everything, to be ended in reverse order."""
        options = ("--with-parent", "--alone", "--valkey-dir", str(self.folder / "valkey"), "--response-ms", "600000")
        self._sandbox = await Child.start(
            "sandbox", python("bot.sandbox", *options), self.folder / "sandbox.log", ready_line=True
        )
        self._stack.push_async_callback(self._sandbox.end)
        ready = json.loads(await self._sandbox.first_line(START_WITHIN))
        self._sandbox_url = ready["url"]
        config = self._write("alertmanager.yml", self._alertmanager_config())
        manager = await services.alertmanager(self._stack, self._web, config, self.folder, "alertmanager")
        self._alertmanager = manager.address
        self._write_configuration(ready)
        self._stack.push_async_callback(self.end)
        await self.start()
        await self.calm()

    def _alertmanager_config(self) -> Json:
        """Each alert a group of its own, told at once."""
        hook = {"url": f"http://127.0.0.1:{self._port}/webhooks/alertmanager"}
        route = {"receiver": "andon", "group_by": ["..."], "group_wait": "50ms", "group_interval": "1s"}
        return {"route": route, "receivers": [{"name": "andon", "webhook_configs": [hook]}]}

    def _write_configuration(self, ready: Json) -> None:
        names = [policy["name"] for policy in self._policies]
        self._write("configs/andon.yaml", {
            "systems": [SYSTEM], "armed": names, "listen": {"port": self._port},
            "api": {"host": "127.0.0.1", "port": self._api_port},
            "routes": [{"match": [f'system="{SYSTEM}"'], "system": SYSTEM}],
            "alertmanagers": [{"name": "main", "url": f"http://{self._alertmanager}"}],
            **self.more_setup(),
        })  # fmt: skip
        reads = {name: {"http": "/api/risk/status", "json": name} for name in ("kelly_fraction", "trading")}
        risk = {
            "name": "risk-engine", "role": "risk", "connector": "http", "url": ready["url"],
            "allow": [HALT, CUT, "GET /api/risk/status"], "read": reads, "floors": {"kelly_fraction": 0.02},
        }  # fmt: skip
        redis = {"name": "redis", "role": "store", "connector": "redis", "url": ready["valkey_url"]}
        self._write("configs/targets.yaml", {"systems": {SYSTEM: {"components": [risk, redis]}}})
        self._write_people((ONCALL, APPROVER, SECOND))
        self._write_policies(self._policies)

    def _write_policies(self, policies: list[Json]) -> None:
        document = {"system": SYSTEM, "labels": ["case", "symbol"], "policies": policies}
        self._write("configs/policies/desk.yaml", document)

    def _write_people(self, approvers: tuple[str, ...]) -> None:
        people: list[Json] = []
        for person in PEOPLE:
            token = self.folder / f"{person}.token"
            token.write_text(f"token-of-{person}")
            people.append({"id": person, "api_token": f"file:{token}", **self.known_as(person)})
        people[0]["os_uid"] = os.getuid()
        rosters = {
            "approvers": self.rosters(approvers),
            "break_glass": [{"system": SYSTEM, "people": [SECOND]}],
        }
        self._write("configs/people.yaml", {"people": people, "rosters": rosters})

    def more_setup(self) -> Json:
        """More of andon.yaml; for a desk with more than this."""
        return {}

    def surroundings(self) -> dict[str, str]:
        """More environment for `andon serve`."""
        return {}

    def rosters(self, approvers: tuple[str, ...]) -> list[Json]:
        """Who may approve what: these people everything."""
        return [{"system": SYSTEM, "risk": "critical", "people": list(approvers)}]

    def known_as(self, person: str) -> Json:
        """More of a person's entry in people.yaml."""
        return {}

    def _write(self, name: str, document: Json) -> Path:
        """As an editor does: whole or not at all."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.draft")
        draft.write_text(json.dumps(document, indent=1))  # which is YAML too
        draft.replace(path)
        return path

    @property
    def ports(self) -> tuple[int, int]:
        """Of the webhook door and of the operators' API."""
        return self._port, self._api_port

    def logs(self) -> str:
        """The ends of the logs."""
        return "\n".join(child.tail() for child in (self._sandbox, self._andon))


def policy(name: str, alertname: str, *, plan: list[Json] | None = None, ladder: list[Json] | None = None) -> Json:
    """A policy of the desk: an incident for each case, with the VaR of its symbol as evidence."""
    var = {"redis_hash": "metrics:var_pct:${labels.symbol}", "field": "value", "at_field": "timestamp",
           "over": "alerts", "take": "max"}  # fmt: skip
    return {
        "name": name, "match": [f'alertname="{alertname}"'], "group_by": ["case"], "mode": "auto",
        "channel": "#desk", "evidence": {"var": var}, "healthy": "evidence.var < 1.6",
        "plan": plan or [], "ladder": ladder or [],
    }  # fmt: skip


def halt(name: str = "action", **more: Any) -> Json:
    """A step that halts trading while VaR is over its limit; its reason names the case. A rung's step is a `run`."""
    why = {"reason": "VaR over its limit (${labels.case})"}
    return {name: "trading.halt", "with": why, "guard": f"evidence.var > {VAR_PCT}", **more}


def cut(name: str = "action", **more: Any) -> Json:
    """A step that cuts Kelly to 0.1, whatever VaR is."""
    why = {"kelly_fraction": 0.1, "reason": "VaR over its limit (${labels.case})"}
    return {name: "risk.reduce_kelly", "with": why, **more}


D = TypeVar("D", bound=Desk)


@asynccontextmanager
async def open_desk(policies: list[Json], kind: type[D] = Desk) -> AsyncIterator[D]:
    """A desk with these policies, all armed; cleared away afterwards, logs with any failure."""
    binary("alertmanager")
    folder = Path(tempfile.mkdtemp(prefix="andon-desk-"))  # short: a unix socket's path has some 100 bytes
    try:
        async with AsyncExitStack() as stack:
            web = await stack.enter_async_context(aiohttp.ClientSession(timeout=TIMEOUT))
            desk = kind(folder, web, stack, policies)
            await desk.open()
            yield desk
    finally:
        shutil.rmtree(folder, ignore_errors=True)
