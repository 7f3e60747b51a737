"""Several `andon serve` on one store, under load, with the simulated trading system's ledger as the judge.

The store is one real Valkey, the trading system one real `bot.sandbox`; every replica is a process with a data
directory and a door of its own. Orders are `http.call`s (delivery `once`, known by their case): a case that stands
twice in the ledger was doubled. What the store says is read from it directly, so that a replica that hangs cannot
hide it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple
from zlib import crc32

import aiohttp
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from bot.adapters.embedded import EmbeddedValkey
from bot.adapters.redis_store import RedisStore
from bot.adapters.seal import Sealer
from bot.core.audit import is_bounded, verify
from bot.core.words import SYSTEM_TARGET
from bot.sandbox.children import Child, python, until
from bot.sandbox.ports import free_port
from tests.faults.crew_documents import ORDER, SERVICE, SYSTEM, documents

WITHIN: Final = 60.0  # seconds for one thing to happen, a start included, on a busy machine
TRY_S: Final = 1.0  # a sender waits so long for one replica's answer, then asks another
PAUSE_S: Final = 0.05
ANSWER_MS: Final = 60  # of the trading system, so that there is nearly always an order under way
MOST: Final = 5_000  # incidents looked at; a scenario makes some hundreds
TOLD: Final = 500  # the API tells no more at once
Json = dict[str, Any]


@dataclass
class Replica:
    """One `andon serve`."""

    name: str
    folder: Path
    port: int
    environment: dict[str, str]
    tree: Path | None = None  # another source tree than this one
    child: Child = field(init=False)
    stopped: bool = False

    @property
    def door(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, for the first time or again; it may not be ready yet."""
        self.stopped = False
        self.child = await Child.start(
            self.name, python("bot.cli", "serve"), self.folder / "log", environment=self.environment,
            directory=self.tree,
        )  # fmt: skip

    def stop(self) -> None:
        """SIGSTOP: it holds whatever it has, and does not know that time passes."""
        self.stopped = True
        os.kill(self.child.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        os.kill(self.child.pid, signal.SIGCONT)
        self.stopped = False

    async def end(self) -> None:
        """SIGTERM, also to one that is stopped."""
        if self.stopped:
            self.go_on()
        await self.child.end()

    def said(self, event: str) -> list[Json]:
        """What it logged under this name."""
        found = []
        for line in (self.folder / "log").read_text(errors="replace").splitlines():
            with suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.get("event") == event:
                    found.append(entry)
        return found


class Seen(NamedTuple):
    """What the judge looks at of an incident."""

    id: str
    case: str
    parent: str
    status: str
    why: str


class Crew:
    """What a scenario holds. Made by `open_crew`."""

    def __init__(self, folder: Path, web: aiohttp.ClientSession, url: str, seed: int, clock: str) -> None:
        self.folder, self.url, self.seed = folder, url, seed
        self.replicas: dict[str, Replica] = {}
        self.accepted: list[str] = []
        self.refused: Counter[int] = Counter()
        self.chance = random.Random(seed)
        self._web = web
        self._clock = clock
        self._sealer = Sealer.from_file(folder / "seal.key")
        self._judge = RedisStore(url, replica="judge", sealer=self._sealer)
        self._raw: Any = Redis.from_url(url)
        self.sandbox_url = ""

    # --- replicas ---------------------------------------------------------------------------------------------------

    async def add(self, name: str, *, tree: Path | None = None, store_url: str = "", ready: bool = True) -> Replica:
        """One more replica; `store_url`: its own way to the store."""
        place = self.folder / name
        (place / "policies").mkdir(parents=True)
        (place / "data").mkdir(mode=0o700)
        shutil.copy(self.folder / "seal.key", place / "data" / "seal.key")
        port = free_port()
        for file, document in documents(port, store_url or self.url, self.sandbox_url).items():
            (place / f"{file}.yaml").write_text(json.dumps(document))  # which is YAML too
        environment = {
            "ANDON_CONFIG": str(place / "andon.yaml"), "ANDON_DATA_DIR": str(place / "data"), "ANDON_REPLICA": name,
            "ANDON_LOG_FORMAT": "json", "ANDON_CLOCK": self._clock,
        }  # fmt: skip
        self.replicas[name] = replica = Replica(name, place, port, environment, tree)
        await replica.start()
        if ready:
            await self.is_ready(replica)
        return replica

    async def is_ready(self, replica: Replica) -> None:
        """Return once it takes webhooks."""

        async def look() -> bool:
            assert replica.child.running, replica.child.tail()
            return (await self.readiness(replica))[0] == 200

        await until(f"{replica.name} is ready", look, within=WITHIN)

    async def readiness(self, replica: Replica) -> tuple[int, Json]:
        """Status and checks of its `/readyz`."""
        async with self._web.get(f"{replica.door}/readyz") as answer:
            return answer.status, (await answer.json())["checks"]

    async def metric(self, replica: Replica, line: str) -> float:
        """The value in the line of `/metrics` that begins so; 0 when there is none."""
        async with self._web.get(f"{replica.door}/metrics") as answer:
            found = [row for row in (await answer.text()).splitlines() if row.startswith(line)]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    async def api(self, replica: Replica, path: str) -> Any:
        """One question at its operators' socket."""
        connector = aiohttp.UnixConnector(str(replica.folder / "data" / "andon.sock"))
        async with (
            aiohttp.ClientSession("http://andon", connector=connector) as session,
            session.get(f"/api/v1{path}") as answer,
        ):
            return await answer.json()

    # --- the sender -------------------------------------------------------------------------------------------------

    async def alert(self, alertname: str, case: str, *, only: str = "") -> None:
        """Post it, to whichever replica, until one has taken it, as a pair of Alertmanagers does."""
        labels = {"alertname": alertname, "case": case, "severity": "critical", "system": SYSTEM}
        alert = {
            "status": "firing", "labels": labels, "annotations": {}, "startsAt": "2026-01-01T00:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "fingerprint": f"{crc32(case.encode()):016x}",
        }  # fmt: skip
        body = {"version": "4", "groupKey": case, "receiver": "andon", "status": "firing", "alerts": [alert]}
        while True:
            replica = self.replicas[only] if only else self.chance.choice(list(self.replicas.values()))
            with suppress(aiohttp.ClientError, TimeoutError):
                async with asyncio.timeout(TRY_S), self._post(replica, body) as answer:
                    if answer.ok:
                        self.accepted.append(case)
                        return
                    self.refused[answer.status] += 1
                    assert answer.status == 503, f"{answer.status}: {await answer.text()}"
            await asyncio.sleep(PAUSE_S)

    def _post(self, replica: Replica, body: Json) -> Any:
        return self._web.post(f"{replica.door}/webhooks/alertmanager", json=body)

    @asynccontextmanager
    async def alerting(
        self, *alertnames: str, every: float = 0.4, ration: asyncio.Semaphore | None = None
    ) -> AsyncIterator[None]:
        """Alerts come in all the time meanwhile, one sender a name; at the end each has been taken.

        `ration`: how many there may be; on a busy machine, where everything takes longer, there are not more for it.
        """
        tag, done = len(self.accepted), asyncio.Event()

        async def send(name: str) -> None:
            for number in count():
                if ration is not None:
                    await ration.acquire()
                if done.is_set():
                    return
                await self.alert(name, f"{name.lower()}-{tag}-{number}")
                await asyncio.sleep(every)

        async with asyncio.TaskGroup() as senders:
            for name in alertnames:
                senders.create_task(send(name))
            try:
                yield
            finally:
                done.set()
                for _ in alertnames if ration is not None else ():
                    ration.release()

    # --- the judge --------------------------------------------------------------------------------------------------

    async def requests(self) -> list[Json]:
        """Every order the trading system ever got, from its own ledger."""
        async with self._web.get(f"{self.sandbox_url}/ledger", params={"kind": "request"}) as answer:
            told = await answer.json()
        return [each for each in told if each["what"] == f"POST {ORDER}"]

    async def orders(self) -> Counter[str]:
        """How often each case was ordered."""
        return Counter(json.loads(each["body"])["reason"] for each in await self.requests())

    async def ordered(self, case: str) -> bool:
        """Whether this case was."""
        return (await self.orders())[case] > 0

    async def incidents(self, by: Replica | None = None) -> dict[str, list[Seen]]:
        """Every incident that an alert opened, by case; where a rung ran a step beside it, that step's own.

        `by`: as a replica tells it, where this build cannot read the store.
        """
        if by is None:
            found = [line.incident for line in await self._judge.incidents(SYSTEM, closed=True, limit=MOST)]
            lines = [Seen(i.id, i.group.get("case", ""), i.parent, i.status, i.why) for i in found]
        else:
            told = (await self.api(by, f"/incidents?all=1&limit={TOLD}"))["incidents"]
            assert len(told) < TOLD
            lines = [Seen(i["id"], i["group"].get("case", ""), i["parent"], i["status"], i["why"]) for i in told]
        ran = {each.parent: each for each in lines if each.parent}
        cases: dict[str, list[Seen]] = {}
        for each in lines:
            if not each.parent:
                cases.setdefault(each.case, []).append(ran.get(each.id, each))
        return cases

    async def held(self, queue: str, replica: str) -> int:
        """How many deliveries a replica has in hand."""
        with suppress(ResponseError):  # no group yet
            rows = await self._raw.xpending_range(f"andon:{{{SYSTEM}}}:{queue}", "andon", "-", "+", MOST, replica)
            return len(rows)
        return 0

    async def events(self, aggregate: str) -> list[Json]:
        """Every event of an aggregate's chain with what was decided about it."""
        chain = await self._judge.audit(SYSTEM, aggregate)
        return [line for link in chain for line in json.loads(link.body)["events"]]

    async def rungs_ran(self) -> bool:
        """Whether beside every `Late` its rung's step has been run, or was left to a person."""
        incidents = await self.incidents()
        late = [incidents[case][0] for case in self.accepted if case.startswith("late")]
        return all(each.parent and each.status in ("mitigated", "resolved", "closed", "parked") for each in late)

    async def quiet(self, within: float = WITHIN) -> None:
        """Return once nothing waits and nothing is under way: every delivery was acknowledged."""

        async def look() -> bool:
            return await self._judge.lag(SYSTEM) == (0, 0)

        await until("every delivery is acknowledged", look, within=within)

    async def accounts(self, by: Replica | None = None) -> Counter[str]:
        """Nothing doubled, nothing lost, nothing claimed twice, and the audit explains it; how the cases ended."""
        orders, incidents = await self.orders(), await self.incidents(by)
        assert [case for case, times in orders.items() if times > 1] == []
        assert set(orders) <= set(incidents)
        assert [case for case in self.accepted if len(incidents.get(case, ())) != 1] == []  # one claim per episode
        if by is not None:
            assert (await self.api(by, "/audit/verify"))["ok"]
        intended = await self._judged(whole=by is None)
        assert {each["key"] for each in await self.requests()} <= intended
        assert await self._judge.dead_letters(SYSTEM, 10) == []
        ends = {case: _end(incidents[case][0], orders[case]) for case in self.accepted}
        assert [
            (case, incidents[case][0].status, incidents[case][0].why) for case, end in ends.items() if not end
        ] == []
        paged = self.pages()
        assert [case for case, end in ends.items() if end == "person" and not paged[incidents[case][0].id]] == []
        assert [key for key, times in self.pages(SERVICE).items() if times > 1] == []  # one rung, one page
        return Counter(ends.values())

    async def _judged(self, *, whole: bool) -> set[str]:
        """Every chain is `whole` (if asked) and folds no event twice; every intent that was ever declared."""
        intended: set[str] = set()
        for aggregate in await self._judge.aggregates(SYSTEM):
            chain = await self._judge.audit(SYSTEM, aggregate)
            if whole:
                stored = (await self._judge.load(SYSTEM, [aggregate]))[aggregate]
                assert verify(chain, stored.head, stored.version, bounded=is_bounded(aggregate)) == ()
            applied = [line["event"] for link in chain for line in json.loads(link.body)["events"]
                       if line["decision"] == "applied"]  # fmt: skip
            once = [each["id"] for each in applied if each["kind"] in ("timer_fired", "slot_granted", "schedule_due")]
            assert [name for name, times in Counter(once).items() if times > 1] == []
            declared = [each["id"] for each in applied if each["kind"] == "intent_declared"]
            if aggregate != SYSTEM_TARGET:  # which hands on to a component what that one then refuses
                assert len(declared) == len(set(declared))
            intended |= {each["intent"] for each in applied if each["kind"] == "intent_declared"}
        return intended

    def pages(self, service: str = "") -> Counter[str]:
        """How many different pages (to `service`) there were about each incident; a repeated key is the same page."""
        told = {
            (entry["incident_id"], entry["dedup_key"])
            for replica in self.replicas.values()
            for entry in replica.said("PAGE")
            if service in ("", entry["service"])
        }
        return Counter(incident for incident, _ in told)

    async def close(self) -> None:
        """Every replica ends, and the judge."""
        for replica in self.replicas.values():
            await replica.end()
        await self._judge.close()
        await self._raw.aclose()

    def story(self) -> str:
        """The ends of all logs."""
        return f"seed {self.seed}\n" + "\n".join(each.child.tail()[-3_000:] for each in self.replicas.values())


def _end(incident: Seen, orders: int) -> str:
    if incident.status == "parked":
        return "person"
    return "ran" if orders and incident.status in ("mitigated", "resolved", "closed") else ""


@asynccontextmanager
async def open_crew(*names: str, seed: int = 7, clock: str = "") -> AsyncIterator[Crew]:
    """Replicas of these names at work; cleared away afterwards, the ends of their logs with any failure."""
    folder = Path(tempfile.mkdtemp(prefix="andon-crew-"))  # short: a unix socket's path has some 100 bytes
    try:
        async with AsyncExitStack() as stack:
            web = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)))
            server = EmbeddedValkey(folder / "store")
            url = await server.start()
            stack.push_async_callback(server.stop)
            crew = Crew(folder, web, url, seed, clock)
            stack.push_async_callback(crew.close)
            await _sandbox(stack, crew)
            try:
                await _all(crew, names)
                yield crew
            except BaseException as problem:
                problem.add_note(crew.story())
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _sandbox(stack: AsyncExitStack, crew: Crew) -> None:
    command = python(
        "bot.sandbox", "--with-parent", "--alone", "--valkey-dir", str(crew.folder / "sandbox"),
        "--answer-ms", str(ANSWER_MS),
    )  # fmt: skip
    child = await Child.start("sandbox", command, crew.folder / "sandbox.log", ready_line=True)
    stack.push_async_callback(child.end)
    crew.sandbox_url = json.loads(await child.first_line(WITHIN))["url"]


async def _all(crew: Crew, names: Sequence[str]) -> None:
    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(crew.add(name))
