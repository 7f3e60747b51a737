"""The doors over the in-memory store and the real engine: what the ingress and API tests run against."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from bot import ordering
from bot.adapters.archive import FileArchive
from bot.adapters.codec import event_text
from bot.adapters.http_app import Addresses, Doors, Listen, build, serve
from bot.adapters.http_services import Check, PersonToken, Source
from bot.adapters.metrics import Metrics
from bot.core.events import Event, InboxEntry
from bot.core.plan import Plan
from bot.core.record import Decision
from bot.core.words import AggregateId
from bot.engine.action_ports import Component, Inspection, Proceed
from bot.engine.audit_verification import Witnesses
from bot.engine.engine import Engine
from bot.testing import FakeClock, MemoryArchive, MemoryStore
from bot.testing.witnesses import MemoryWitnesses
from handlers.routing import Route
from policies.book import PolicyBook
from policies.people import PeopleDocument
from policies.targets import TargetsDocument
from remediations.catalogue import CATALOGUE

SYSTEM = "trading-core"
PLAN = Plan(policy="var-breach", system=SYSTEM, policy_hash="h1", mode="auto", row="T2")
ROSTER = PeopleDocument.model_validate(
    {
        "people": [{"id": who} for who in ("demo-oncall", "demo-approver", "demo-second", "demo-guest")],
        "rosters": {
            "approvers": [
                {"system": SYSTEM, "risk": "risky", "people": ["demo-oncall", "demo-approver"]},
                {"system": "*", "risk": "critical", "people": ["demo-approver", "demo-second"]},
            ],
            "break_glass": [{"system": SYSTEM, "people": ["demo-second"]}],
        },
    }
)
TARGETS = TargetsDocument.model_validate(
    {
        "systems": {
            SYSTEM: {
                "components": [
                    {
                        "name": "risk-engine",
                        "role": "risk",
                        "connector": "http",
                        "url": "http://127.0.0.1:9",
                        "allow": [],
                    }
                ]
            }
        }
    }
)
CUT = Proceed(before='{"kelly_fraction":0.25}', wanted='{"kelly_fraction":0.1}', arguments="{}")


class WatchedStore(MemoryStore):
    """Counts appends, and holds them back while `gate` is clear."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[tuple[str, int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()

    async def append(self, shard: str, entries: Sequence[InboxEntry]) -> None:
        """As the twin, but watched."""
        self.batches.append((shard, len(entries)))
        self.entered.set()
        await self.gate.wait()
        await super().append(shard, entries)

    async def stored(self, shard: str) -> list[InboxEntry]:
        """Everything durable in a shard's inbox that nobody has read."""
        return [d.entry for d in await self.read_inbox(shard, 1_000, 0) if d.entry is not None]


@dataclass
class TwinServices:
    """Implements `http_services.Services`."""

    store: WatchedStore = field(default_factory=WatchedStore)
    archive: MemoryArchive | FileArchive = field(default_factory=MemoryArchive)
    witnesses: Witnesses = field(default_factory=MemoryWitnesses)
    clock: FakeClock = field(default_factory=FakeClock)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    replica: str = "twin"
    shards: Sequence[str] = (SYSTEM, "py-rt", "unrouted")
    routes: Sequence[Route] = (
        Route(system=SYSTEM, receiver="trading-core"),
        Route(system="py-rt", matches=lambda labels: labels.get("system") == "py-rt"),
    )
    sources: Sequence[Source] = ()
    tokens: Sequence[PersonToken] = ()
    people: dict[int, str] = field(default_factory=dict)
    fingerprint: str = "f" * 64
    unwell: Sequence[Check] = ()
    plans: Sequence[Plan] = (PLAN,)
    document: PeopleDocument = ROSTER
    seen: Inspection = CUT

    def __post_init__(self) -> None:
        self.engine = Engine(
            store=self.store, book=PolicyBook({}), text=event_text, clock=self.clock, telemetry=Metrics(),
            shards=self.shards,
        )  # fmt: skip

    def person_of(self, uid: int) -> str | None:
        return self.people.get(uid)

    def roster(self) -> PeopleDocument:
        return self.document

    def order_plan(self, system: str, action: str, component: str, arguments: Mapping[str, Any], reason: str) -> Plan:
        return ordering.plan(
            CATALOGUE, TARGETS, self.document, system=system, action=action, component=component,
            arguments=arguments, reason=reason, now=self.clock.now(),
        )  # fmt: skip

    async def inspect(self, system: str, plan: Plan) -> Inspection:
        return self.seen

    def policies(self) -> Sequence[Plan]:
        return self.plans

    def policy_fingerprint(self) -> str:
        return self.fingerprint

    def components(self) -> Sequence[Component]:
        return (Component(system=SYSTEM, name="risk-engine", role="risk", reads={}, floors={"kelly_fraction": 0.05}),)

    def checks(self) -> Sequence[Check]:
        return self.unwell

    async def tell(self, shard: str, to: AggregateId, event: Event) -> Decision:
        return await self.engine.tell(shard, to, event)


@dataclass
class Open:
    """Open doors."""

    doors: Doors
    addresses: Addresses
    stop: asyncio.Event
    served: asyncio.Task[None]


@asynccontextmanager
async def opened(services: TwinServices, listen: Listen | None = None) -> AsyncIterator[Open]:
    """Serve for the length of the block, then stop in order."""
    doors = build(services)
    stop = asyncio.Event()
    where: asyncio.Future[Addresses] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        served = tasks.create_task(serve(doors, listen or Listen(port=0), stop, where.set_result))
        await asyncio.wait([served, where], return_when=asyncio.FIRST_COMPLETED)
        if served.done():
            served.result()
        try:
            yield Open(doors, where.result(), stop, served)
        finally:
            stop.set()


def on_socket(tmp_path: Path) -> Listen:
    """Doors with the API on a unix socket."""
    return Listen(port=0, api_socket=tmp_path / "andon.sock")


def webhook(count: int = 1, **changes: Any) -> dict[str, Any]:
    """An Alertmanager notification of `count` alerts; `changes` replace top-level keys."""
    alerts = [
        {
            "status": "firing",
            "labels": {"alertname": "VaRBreach", "symbol": f"SYM{index}", "severity": "critical"},
            "annotations": {"summary": "VaR above 1.8"},
            "startsAt": "2025-01-17T10:00:00.123456789Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "",
            "fingerprint": f"{index:016x}",
        }
        for index in range(count)
    ]
    return {
        "version": "4",
        "groupKey": '{}:{alertname="VaRBreach"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "trading-core",
        "groupLabels": {"alertname": "VaRBreach"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "alerts": alerts,
    } | changes


def raw(count: int = 1, **changes: Any) -> bytes:
    """`webhook` as bytes."""
    return json.dumps(webhook(count, **changes)).encode()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop go round until `condition` holds; the test's time-out bounds it."""
    while not condition():
        await asyncio.sleep(0)
