"""A small trading floor around the real engine and a real embedded Valkey: only the trading system is a twin.

`Floor.start()` runs the engine, `Floor.kill()` drops it without any goodbye (every task is cancelled where it stands,
nothing is flushed), `Floor.start()` again is the restart. Waiting is always for a condition on the store or the target.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from bot.adapters.clock import SystemClock
from bot.adapters.codec import event_text
from bot.adapters.redis_store import RedisStore
from bot.adapters.seal import Sealer
from bot.core.action import ActionSpec
from bot.core.alert import Alert
from bot.core.audit import is_bounded, verify
from bot.core.events import AlertsReceived, Budget
from bot.core.incident import Incident
from bot.core.orders import PolicyArmed
from bot.core.plan import EvidenceDecl, Plan, Step, Verify
from bot.core.reading import Reading
from bot.core.target import Target
from bot.core.words import SYSTEM_TARGET
from bot.engine.action_ports import AlreadySo, Proceed, ReadBack
from bot.engine.engine import Engine
from bot.engine.judge import Hands
from bot.engine.ports import Mark, Recollection
from bot.engine.reconcile import Reconciler
from bot.engine.runtime import Runtime
from bot.testing import MemoryJournal
from policies.book import Match
from policies.people import PeopleDocument

SHARD = "trading-core"
KEY = b"k" * 32


class Deaf:
    """Telemetry nobody reads."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class Hang:
    """Where a twin stops for good; `reached` tells that it got there."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()

    async def __call__(self) -> None:
        self.reached.set()
        await asyncio.Event().wait()


@dataclass
class RiskEngine:
    """The target: holds Kelly, counts every request, and can be told to die or hang around a send."""

    kelly: float = 0.25
    requests: list[float] = field(default_factory=list)
    changes: list[tuple[float, float]] = field(default_factory=list)
    before_look: Callable[[], Awaitable[None]] | None = None
    before_send: Callable[[], Awaitable[None]] | None = None
    after_send: Callable[[], Awaitable[None]] | None = None

    async def inspect(self, context: object, arguments: str) -> AlreadySo | Proceed:
        if self.before_look is not None:
            await self.before_look()
        wanted = min(self.kelly, json.loads(arguments)["kelly_fraction"])
        if self.kelly <= wanted:
            return AlreadySo(json.dumps({"kelly_fraction": self.kelly}), f"Kelly is {self.kelly} already")
        after = json.dumps({"kelly_fraction": wanted})
        return Proceed(json.dumps({"kelly_fraction": self.kelly}), after, after)

    async def send(self, context: object, proceed: Proceed) -> None:
        if self.before_send is not None:
            await self.before_send()
        wanted = json.loads(proceed.wanted)["kelly_fraction"]
        self.requests.append(wanted)
        if wanted != self.kelly:
            self.changes.append((self.kelly, wanted))
            self.kelly = wanted
        if self.after_send is not None:
            await self.after_send()

    async def read_back(self, context: object, proceed: Proceed) -> ReadBack:
        is_cut = self.kelly <= json.loads(proceed.arguments)["kelly_fraction"]
        return ReadBack(json.dumps({"kelly_fraction": self.kelly}), is_cut, f"Kelly is {self.kelly}")

    def action(self, name: str) -> RiskEngine:
        return self

    def spec(self, name: str) -> ActionSpec:
        return SPEC

    def diagnosis(self, name: str) -> None:
        return None

    async def read(self, system: str, declared: dict[str, EvidenceDecl], alerts: object, now: int):
        value = 2.4 * self.kelly / 0.25
        return tuple(Reading(name=name, value=value, taken_at=now) for name in declared)


@dataclass
class Notebook:
    """Chat, pager and journal: remembers."""

    posts: list[str] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)
    intents: list[str] = field(default_factory=list)
    switch: str = ""  # why the kill switch is engaged
    disk: MemoryJournal = field(default_factory=MemoryJournal)  # what the journal still knows after a crash

    async def post(self, message, shard) -> str:
        self.posts.append(f"{message.topic}: {message.text}")
        return "post"

    async def page(self, page) -> str:
        self.pages.append(page.summary)
        return "page"

    async def resolve(self, page) -> str:
        return "resolved"

    def killed(self) -> str:
        return self.switch

    async def intend(self, intent, system: str = "") -> None:
        self.intents.append(intent.id)
        await self.disk.intend(intent, system)

    async def conclude(self, intent: str, outcome: str, at: int) -> None:
        self.intents.append(f"{intent}:{outcome}")
        await self.disk.conclude(intent, outcome, at)

    async def recollect(self) -> Recollection:
        return await self.disk.recollect()

    async def note(self, marks: Mapping[str, Mark]) -> None:
        await self.disk.note(marks)


STEP = Step(
    id="0",
    action="risk.reduce_kelly",
    component="risk-engine",
    arguments='{"kelly_fraction":0.1}',
    risk="safe",
    direction="lowers",
    delivery="absolute",
    automatic=True,
    guard="evidence.var > 1.8",
    verify=Verify(until="evidence.var < 1.6", within_ms=5_000, every_ms=100),
)
PLAN = Plan(
    policy="var-breach",
    system=SHARD,
    policy_hash="h1",
    mode="auto",
    evidence={"var": EvidenceDecl(name="var", kind="redis_hash", component="redis", query="x")},
    steps=(STEP,),
    healthy="evidence.var < 1.6",
    hold_ms=150,
    close_ms=300,
)


SPEC = ActionSpec(
    name="risk.reduce_kelly", summary="", delivery="absolute", risk="safe", direction="lowers", pins=("kelly_fraction",)
)
ROSTER = PeopleDocument.model_validate(
    {
        "people": [{"id": name} for name in ("demo-oncall", "demo-approver", "demo-second")],
        "rosters": {
            "approvers": [{"system": SHARD, "risk": "critical", "people": ["demo-approver", "demo-second"]}],
            "break_glass": [{"system": SHARD, "people": ["demo-oncall"]}],
        },
    }
)


class OnePolicy:
    """A book with one plan; `separate`: an incident for each symbol."""

    def __init__(self, plan: Plan, separate: bool, people: PeopleDocument) -> None:
        self.plan = plan
        self.separate = separate
        self.people = people
        self.streams = self.schedules = self.watches = ()

    def watch(self, system: str, alert: Alert) -> str:
        return ""

    def match(self, system: str, alert: Alert) -> tuple[Match, ...]:
        group = {"symbol": alert.labels["symbol"]} if self.separate else {}
        return (Match(self.plan, f"var-breach{group}", group),)

    def current(self, system: str, policy: str) -> Plan:
        return self.plan


class Ahead(SystemClock):
    """Real time, so many milliseconds later: what an engine sees that was away so long."""

    def __init__(self, ahead_ms: int) -> None:
        self._ahead_ms = ahead_ms

    def now(self) -> int:
        return super().now() + self._ahead_ms


class Floor:
    """The engine on a real store, with a twin of the trading system."""

    def __init__(self, url: str, plan: Plan = PLAN) -> None:
        self._url = url
        self.plan = plan
        self.separate = False
        self.ahead_ms = 0
        self.wait_replicas = 0
        self.roster = ROSTER
        self.risk = RiskEngine()
        self.people = Notebook()
        self._task: asyncio.Task[None] | None = None

    async def start(self, replica: str = "r1") -> None:
        self.store = RedisStore(
            self._url, replica=replica, sealer=Sealer(KEY), wait_replicas=self.wait_replicas
        )  # fmt: skip
        await self.store.open()
        self.engine = Engine(
            store=self.store, book=OnePolicy(self.plan, self.separate, self.roster), text=event_text,
            clock=Ahead(self.ahead_ms), telemetry=Deaf(), shards=[SHARD],
        )  # fmt: skip
        hands = Hands(
            engine=self.engine, toolbox=self.risk, targets=None, evidence=self.risk, journal=self.people,
            budget=Budget(), chat=self.people,
        )  # fmt: skip
        self.reconciler = Reconciler(self.engine, self.people, replica=replica)
        await self.reconciler.begin()
        self.runtime = Runtime(hands, self.people, Deaf(), {"reconcile": self.reconciler.run})
        self._task = asyncio.get_running_loop().create_task(self.runtime.run())  # the test is the supervisor

    async def arm(self) -> None:
        armed = PolicyArmed(id="armed", at=1, by="demo-oncall", policy=self.plan.policy)
        await self.engine.tell(SHARD, SYSTEM_TARGET, armed)

    async def kill(self) -> None:
        assert self._task is not None
        self._task.cancel()
        done, _ = await asyncio.wait([self._task], timeout=10)
        assert done, "the runtime does not end when it is cancelled"
        self._task = None
        await self.store.close()

    async def stop(self) -> None:
        assert self._task is not None
        self.runtime.stop()
        await asyncio.wait_for(self._task, 20)
        self._task = None
        await self.store.close()

    async def fire(self, *alerts: Alert) -> None:
        entry = AlertsReceived(id=f"w{len(alerts)}", at=1, source="alertmanager", receiver="andon", alerts=alerts)
        await self.store.append(SHARD, [entry])

    async def until(self, holds: Callable[[], Awaitable[bool]], what: str, seconds: float = 10.0) -> None:
        """Wait for a condition; fail with its name when it does not come true in time."""
        deadline = time.monotonic() + seconds
        while not await holds():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not come true within {seconds} s; {await self.incident()}")
            await asyncio.sleep(0.005)

    async def incident(self) -> Incident | None:
        lines = await self.store.incidents(SHARD, closed=True, limit=1)
        return lines[0].incident if lines else None

    async def status(self, wanted: str) -> Incident:
        async def reached() -> bool:
            incident = await self.incident()
            return incident is not None and incident.status == wanted

        await self.until(reached, f"status {wanted}")
        incident = await self.incident()
        assert incident is not None
        return incident

    async def target(self, name: str = "target:risk-engine") -> Target:
        record = (await self.store.load(SHARD, [name]))[name].record
        assert isinstance(record, Target)
        return record

    async def quiet(self) -> None:
        """Nothing waits in the inbox or the outbox."""

        async def empty() -> bool:
            return await self.store.lag(SHARD) == (0, 0)

        await self.until(empty, "an empty inbox and outbox")

    async def audit_problems(self) -> list[str]:
        problems: list[str] = []
        for aggregate in await self.store.aggregates(SHARD):
            stored = (await self.store.load(SHARD, [aggregate]))[aggregate]
            chain = await self.store.audit(SHARD, aggregate)
            found = verify(chain, stored.head, stored.version, bounded=is_bounded(aggregate))
            problems += [f"{aggregate}: {text}" for text in found]
        return problems


BREACH = Alert(
    fingerprint="f" * 16,
    status="firing",
    labels={"alertname": "VaRBreach", "severity": "critical", "symbol": "BTC-USD"},
    starts_at=1_000_000,
)
OVER = replace(BREACH, status="resolved", ends_at=1_060_000)


async def writer(floor: Floor, alert: Alert) -> None:
    """Store a webhook while no engine runs, as an ingress on another machine would."""
    store = RedisStore(floor._url, replica="ingress", sealer=Sealer(KEY))
    await store.open()
    await store.append(SHARD, [AlertsReceived(id="w", at=1, source="alertmanager", receiver="andon", alerts=(alert,))])
    await store.close()
