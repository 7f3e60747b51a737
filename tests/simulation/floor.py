"""The simulated trading floor: components with ledgers of their own, evidence, chat and pager, all behind the wire.

`runner` makes one Floor for each run. The ledgers are what the oracle believes: who asked what of a component, when it
left, when it arrived and what it changed; who was paged, when, and what was taken back; what chat was told. Nothing in
them comes from Andon's own records.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from bot.adapters.evidence_values import age_error, json_at, plain_value, time_ms
from bot.core.alert import Alert
from bot.core.effects import PageOncall, PostMessage, ResolvePage
from bot.core.events import Budget
from bot.core.plan import EvidenceDecl
from bot.core.reading import Reading
from bot.core.words import JsonText, Millis
from bot.engine.action_ports import Component, EvidenceReader, HttpReply, ReadPoint, Toolbox
from bot.engine.alarms import Alarms
from bot.engine.antientropy import Antientropy
from bot.engine.connector_ports import ProcessTarget, ProgramTarget, RedisTarget
from bot.engine.engine import Engine
from bot.engine.ports import Chat, Clock, Pager
from bot.engine.standing import View
from bot.errors import DeliveryError, DeliveryUncertain, NotSent, SourceError, TargetError, Unknown
from handlers.alertmanager_api import HeldAlert
from policies.book import PolicyBook
from policies.loader import Loaded
from tests.simulation import policies_floor
from tests.simulation.components import Arrival, Machine, machines
from tests.simulation.people import Desk
from tests.simulation.senders import Alertmanager
from tests.simulation.wire import Port

if TYPE_CHECKING:
    from tests.simulation.wire import Line
    from tests.simulation.world import World

TARGET: Final = Port(name="target", refused=NotSent, unanswered=Unknown, patience_s=2.0)
EVIDENCE: Final = Port(name="evidence", refused=NotSent, unanswered=Unknown, patience_s=2.0)
CHAT: Final = Port(name="chat", refused=DeliveryError, unanswered=DeliveryUncertain, patience_s=3.0)
PAGER: Final = Port(name="pager", refused=DeliveryError, unanswered=DeliveryUncertain, patience_s=3.0)
UPTIME_MS: Final[Millis] = 3_600_000  # it runs for long enough to be believed
ALERTMANAGER: Final = Port(name="alertmanager", refused=SourceError, unanswered=SourceError, patience_s=2.0)

TIGHT: Final = Budget(limit=2, within_ms=45_000, reserve=1)
RESTING: Final = ("resolved", "parked", "awaiting_approval")
_WELL: Final = (
    ("risk-engine", "stress", 0.5), ("model-router", "restless", 0.0), ("feed-a", "state", "fresh"),
    ("feed-b", "state", "fresh"),
)  # fmt: skip

Kind = Literal["page", "resolve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paged:
    """One request at the pager. `opened`: it opened a page, rather than repeating one that is open."""

    at: Millis
    kind: Kind
    key: str
    service: str
    incident: str
    effect: str
    summary: str = ""
    opened: bool = False


@dataclass(slots=True)
class PagerService:
    """The pager as PagerDuty is one: a dedup key that is open is one page, a resolved one opens anew."""

    ledger: list[Paged] = field(default_factory=list)
    open: dict[str, Paged] = field(default_factory=dict)

    def page(self, at: Millis, page: PageOncall) -> str:
        opened = page.dedup_key not in self.open
        told = Paged(
            at=at, kind="page", key=page.dedup_key, service=page.service, incident=page.incident, effect=page.id,
            summary=page.summary, opened=opened,
        )  # fmt: skip
        self.ledger.append(told)
        self.open.setdefault(page.dedup_key, told)
        return page.dedup_key

    def resolve(self, at: Millis, page: ResolvePage) -> str:
        self.ledger.append(
            Paged(
                at=at, kind="resolve", key=page.dedup_key, service=page.service, incident=page.incident, effect=page.id
            )
        )
        self.open.pop(page.dedup_key, None)
        return page.dedup_key


@dataclass(slots=True)
class ChatService:
    """What people read, in the order it arrived."""

    ledger: list[tuple[Millis, PostMessage]] = field(default_factory=list)

    def post(self, at: Millis, message: PostMessage) -> str:
        self.ledger.append((at, message))
        return f"post-{len(self.ledger)}"


@dataclass(frozen=True, slots=True)
class FloorHands:
    """What one incarnation of a replica works with."""

    toolbox: Toolbox
    targets: LineTargets
    evidence: EvidenceReader
    chat: Chat
    pager: Pager


class Floor:
    """Everything outside Andon that a run has, and the ledgers of it."""

    shards: tuple[str, ...] = (policies_floor.SHARD,)

    def __init__(self, world: World) -> None:
        self.world = world
        options = dict(world.script.setup.floor)
        self.variant = options.get("variant", "base")
        self.adopted: list[tuple[Millis, str, str]] = []  # when, replica ("": all), variant: what reloads put in force
        self.poisoned: list[Millis] = []
        self.machines: dict[str, Machine] = machines()
        self.pager = PagerService()
        self.chat = ChatService()
        self.desk = Desk(self)
        self.sender = Alertmanager(self)
        loaded = self.loaded()
        budget = loaded.andon.budget
        self.budget = Budget(limit=budget.limit, within_ms=budget.within, reserve=budget.reserve)
        if options.get("budget") == "tight":
            self.budget = TIGHT
        self.armed = loaded.armed

    @property
    def now(self) -> Millis:
        """True milliseconds since the run began."""
        return self.world.now

    def loaded(self, variant: str = "") -> Loaded:
        """The configuration in force, or a variant of it."""
        return policies_floor.house(variant or self.variant)

    def book(self) -> PolicyBook:
        """The policies in force."""
        book = self.loaded().book
        assert book is not None  # `house` loads nothing that has problems
        return book

    def hands(self, line: Line) -> FloorHands:
        """The floor as one incarnation reaches it."""
        targets = LineTargets(self, line)
        return FloorHands(
            policies_floor.catalogue(), targets, LineEvidence(self, line), LineChat(self, line), LinePager(self, line),
        )  # fmt: skip

    def antientropy(self, engine: Engine, clock: Clock, alarms: Alarms, line: Line) -> Antientropy:
        """What compares the Alertmanager's list with what Andon believes."""
        return Antientropy(engine, clock, [LineAlertmanager(self, line)], alarms, routes=self.sender.routes)

    def begin(self) -> None:
        """The people and the sender of alerts begin to live."""
        self.world.spawn("alertmanager", self.sender.run())
        self.world.spawn("desk", self.desk.run())

    async def is_at_rest(self) -> bool:
        """Whether nothing is under way any more, as far as can be told cheaply; the oracle judges it."""
        store, shard = self.world.servers.truth, self.shards[0]
        if await store.lag(shard) != (0, 0) or self.sender.is_busy:
            return False
        lines = await store.incidents(shard, closed=False, limit=1_000)
        return all(line.incident.status in RESTING for line in lines)

    def adopt(self, variant: str, replica: str) -> None:
        """A reload puts a variant in force, everywhere or in one replica."""
        self.adopted.append((self.now, replica, variant))
        self.world.trace.note("reload", variant, replica or "everywhere")
        if replica:
            found = self.world.replicas.get(replica)
            if found is not None:
                found.adopt(self.loaded(variant).book)
            return
        self.variant = variant
        self.world.adopt(self.book())

    def poison(self) -> None:
        """Something without a seal is put into the inbox, past every door."""
        self.poisoned.append(self.now)
        self.world.trace.note("somebody", "plants", "an entry without a seal")
        self.world.servers.poison(self.shards[0], "inbox")

    def calm(self) -> None:
        """The trouble on the floor is over."""
        self.world.trace.note("floor", "calm", "every alert ends, every figure is well")
        self.desk.busy = False
        for component, name, value in _WELL:
            if self.machines[component].state.get(name) != value:
                self.machines[component].by_hand(self.now, name, value)
        self.sender.calm()

    def reading(self, component: str, path: str) -> JsonText:
        """What `GET path` answers at a component."""
        return self.machines[component].read(path, self.world.wall, self.now)


class LineHttp:
    """A component's HTTP API over a line; implements `action_ports.HttpTarget`."""

    def __init__(self, floor: Floor, line: Line, component: str, allow: Sequence[str]) -> None:
        self._floor = floor
        self._line = line
        self._component = component
        self._allow = allow

    async def read(self, path: str) -> HttpReply:
        look = self._floor.reading
        body = await self._line.call(TARGET, f"GET {self._component}{path}", lambda: look(self._component, path))
        return HttpReply(200, body.encode())

    async def send(self, method: str, path: str, body: JsonText, *, idempotency_key: str, fence: int) -> HttpReply:
        if not self.allows(method, path):
            raise NotSent(f"{method} {path} is not allowed at {self._component}")
        floor, line, machine = self._floor, self._line, self._floor.machines[self._component]
        left_at = floor.now

        def arrive() -> HttpReply:
            arrival = Arrival(
                sent_at=left_at, at=floor.now, replica=line.replica, component=self._component,
                request=f"{method} {path}", body=body, key=idempotency_key, fence=fence,
            )  # fmt: skip
            return HttpReply(200, machine.take(arrival).encode())

        return await line.call(TARGET, f"{method} {self._component}{path} {idempotency_key}", arrive)

    def allows(self, method: str, path: str) -> bool:
        return f"{method} {path}" in self._allow

    def by_hand(self, method: str, path: str, body: JsonText) -> str:
        return f"{method} {self._component}{path} {body}".rstrip()


class LineTargets:
    """All components over a line; implements `action_ports.Targets`."""

    def __init__(self, floor: Floor, line: Line) -> None:
        self._floor = floor
        self._line = line
        self._documents = {c.name: c for c in floor.loaded().targets.components(policies_floor.SHARD)}

    def component(self, system: str, name: str) -> Component:
        document = self._documents.get(name)
        if document is None:
            raise TargetError(f"{system} has no component named {name}")
        reads = {
            field: ReadPoint("http", read.http or "", read.json_path, name) for field, read in document.read.items()
        }
        return Component(system, name, document.role, reads, dict(document.floors))

    def http(self, system: str, name: str) -> LineHttp:
        self.component(system, name)
        return LineHttp(self._floor, self._line, name, self._documents[name].allow)

    def redis(self, system: str, name: str) -> RedisTarget:
        raise TargetError(f"{name} of {system} is no Redis")

    def program(self, system: str, name: str) -> ProgramTarget:
        raise TargetError(f"{name} of {system} is not reached by command")

    def process(self, system: str, name: str) -> ProcessTarget:
        raise TargetError(f"{name} of {system} is no process")

    async def read_field(self, system: str, name: str, field: str, now: Millis) -> Reading:
        point = self.component(system, name).reads.get(field)
        if point is None:
            return Reading(name=field, value=None, source=name, error=f"{name} has no readable {field}")
        try:
            reply = await self.http(system, name).read(point.path)
            return Reading(
                name=field, value=plain_value(json_at(json.loads(reply.body), point.field), field), source=name
            )
        except TargetError as error:
            return Reading(name=field, value=None, source=name, error=str(error))


class LineEvidence:
    """Declared evidence over a line; implements `action_ports.EvidenceReader`, with the real rules of freshness."""

    def __init__(self, floor: Floor, line: Line) -> None:
        self._floor = floor
        self._line = line

    async def read(
        self, system: str, declared: Mapping[str, EvidenceDecl], alerts: Sequence[Alert], now: Millis
    ) -> tuple[Reading, ...]:
        return tuple([await self._one(decl, now) for decl in declared.values()])

    async def _one(self, decl: EvidenceDecl, now: Millis) -> Reading:
        look = self._floor.reading
        try:
            body = await self._line.call(
                EVIDENCE, f"evidence {decl.component}{decl.query}", lambda: look(decl.component, decl.query)
            )
            document = json.loads(body)
            value, taken_at = plain_value(json_at(document, decl.field), decl.field), time_ms(document[decl.at_field])
        except TargetError as error:
            return Reading(name=decl.name, value=None, source=decl.component, error=str(error))
        problem = age_error(value, taken_at, now, decl.max_age_ms)
        if problem:
            return Reading(name=decl.name, value=None, taken_at=taken_at, source=decl.component, error=problem)
        return Reading(name=decl.name, value=value, taken_at=taken_at, source=decl.component)


class LineChat:
    """Chat over a line; implements `ports.Chat`."""

    def __init__(self, floor: Floor, line: Line) -> None:
        self._floor = floor
        self._line = line

    async def post(self, message: PostMessage, shard: str) -> str:
        floor = self._floor
        return await self._line.call(CHAT, f"post {message.id}", lambda: floor.chat.post(floor.now, message))


class LinePager:
    """The pager over a line; implements `ports.Pager`."""

    def __init__(self, floor: Floor, line: Line) -> None:
        self._floor = floor
        self._line = line

    async def page(self, page: PageOncall) -> str:
        floor = self._floor
        return await self._line.call(PAGER, f"page {page.dedup_key}", lambda: floor.pager.page(floor.now, page))

    async def resolve(self, page: ResolvePage) -> str:
        floor = self._floor
        return await self._line.call(PAGER, f"unpage {page.dedup_key}", lambda: floor.pager.resolve(floor.now, page))


class LineAlertmanager:
    """The Alertmanager's API over a line; implements `standing.AlertSource`."""

    name = "main"
    receiver = ""
    every_ms: Millis = 10_000

    def __init__(self, floor: Floor, line: Line) -> None:
        self._floor = floor
        self._line = line

    async def look(self) -> View:
        """What it holds now."""
        sender, wall = self._floor.sender, self._floor.world.wall

        def held() -> dict[str, HeldAlert]:
            return {a.fingerprint: _held(a, wall) for a in sender.firing()}

        found = await self._line.call(ALERTMANAGER, "GET alertmanager", held)
        return View(held=found, uptime_ms=UPTIME_MS, fed_ms=1_000)


def _held(alert: Alert, wall: Millis) -> HeldAlert:
    return HeldAlert(alert=alert, receivers=("andon",), muted_by="", settled=True, updated_at=wall)
