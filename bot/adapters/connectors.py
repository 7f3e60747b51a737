"""The connectors to every component of every trading system; implements `action_ports.Targets`.

Built once by the composition root from targets.yaml (credentials are resolved then, so a missing one stops the start),
used by actions through `Targets` and by the evidence reader through `redis`, `prometheus` and `http`. Nothing connects
before it is asked to. A reload is two steps, `prepare` and `adopt`: what did not change keeps its connections and its
breaker, what is gone is closed once nothing under way can still use it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import structlog
from pydantic import SecretStr

from bot.adapters import evidence_values, targets_credentials
from bot.adapters.connectors_breaker import Breaker
from bot.adapters.http_target import SEND_SECONDS, HttpConnector
from bot.adapters.targets_command import CommandTarget
from bot.adapters.targets_process import RecordedProcess
from bot.adapters.targets_redis import RedisConnector
from bot.core.reading import Reading
from bot.core.words import Millis
from bot.engine.action_ports import Component, ReadPoint
from bot.errors import ConfigError, TargetError
from policies.targets import ComponentDoc, ReadDoc, TargetsDocument

Place: TypeAlias = tuple[str, str]  # system, component
Connector: TypeAlias = HttpConnector | RedisConnector | CommandTarget | RecordedProcess


LINGER_SECONDS: Final = 45.0  # longer than an activity may run (`dispatch.ACTIVITY_SECONDS`)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Part:
    """One component, its connector, and what that was made from."""

    component: Component
    document: ComponentDoc
    secret: SecretStr | None
    connector: Connector


@dataclass(frozen=True, slots=True)
class Prepared:
    """The connectors of another targets.yaml, ready to be adopted; nothing of it is connected yet."""

    parts: Mapping[Place, _Part]


class Connectors:
    """Every component's connector, by system and name."""

    def __init__(
        self,
        document: TargetsDocument,
        environment: Mapping[str, str],
        *,
        send_seconds: float = SEND_SECONDS,
        killed: Callable[[], str] = lambda: "",
        clock: Callable[[], Millis] = lambda: 0,
    ) -> None:
        """`killed`: who stopped every action and why, or "" (`Journal.killed`); then nothing is sent. `clock`: what the
        time is when an answer is there."""
        self._environment = environment
        self._send_seconds = send_seconds
        self._killed = killed
        self._clock = clock
        self._parts: Mapping[Place, _Part] = {}
        self._retired: deque[tuple[float, Connector]] = deque()
        self._some_retired = asyncio.Event()
        self.adopt(self.prepare(document))

    def prepare(self, document: TargetsDocument) -> Prepared:
        """The connectors that `document` asks for. Changes nothing yet. ConfigError when a credential is missing."""
        parts: dict[Place, _Part] = {}
        for system in document.systems:
            for doc in document.components(system):
                place = (system, doc.name)
                secret = targets_credentials.resolve(
                    doc.credentials, self._environment, owner=f"{doc.name} of {system}"
                )
                known = self._parts.get(place)
                if known is not None and (known.document, known.secret) == (doc, secret):
                    parts[place] = known
                    continue
                try:
                    connector = _connector(doc, secret, self._send_seconds, self._killed)
                except ValueError as error:
                    raise ConfigError(f"{doc.name} of {system}: its address cannot be used: {error}") from error
                parts[place] = _Part(_component(system, doc), doc, secret, connector)
        return Prepared(parts)

    def adopt(self, prepared: Prepared) -> None:
        """Use these from now on. Whoever holds an old connector may finish with it."""
        kept = {id(part.connector) for part in prepared.parts.values()}
        gone = [part.connector for part in self._parts.values() if id(part.connector) not in kept]
        self._parts = prepared.parts
        if gone:
            due = asyncio.get_running_loop().time() + LINGER_SECONDS
            self._retired.extend((due, connector) for connector in gone)
            self._some_retired.set()

    async def close_retired(self) -> None:
        """Close what no activity can use any more, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            while self._retired:
                due, connector = self._retired[0]
                await asyncio.sleep(max(0.0, due - loop.time()))
                await _closed(connector)
                self._retired.popleft()
            self._some_retired.clear()
            await self._some_retired.wait()

    async def close(self) -> None:
        """Close every connection."""
        for connector in [*(part.connector for part in self._parts.values()), *(each for _, each in self._retired)]:
            await _closed(connector)
        self._retired.clear()

    @property
    def components(self) -> tuple[Component, ...]:
        """Every component, in the order of targets.yaml."""
        return tuple(part.component for part in self._parts.values())

    def component(self, system: str, name: str) -> Component:
        """The component as listed. Raises TargetError when it is not."""
        return self._part(system, name).component

    def http(self, system: str, name: str) -> HttpConnector:
        """The component's HTTP API. Raises TargetError when it has none."""
        found = self._find(system, name, "http")
        assert isinstance(found, HttpConnector)
        return found

    def prometheus(self, system: str, name: str) -> HttpConnector:
        """The component's Prometheus. Raises TargetError when it is none."""
        found = self._find(system, name, "prometheus")
        assert isinstance(found, HttpConnector)
        return found

    def redis(self, system: str, name: str) -> RedisConnector:
        """The component's Redis. Raises TargetError when it is none."""
        found = self._find(system, name, "redis")
        assert isinstance(found, RedisConnector)
        return found

    def program(self, system: str, name: str) -> CommandTarget:
        """The programs it allows. Raises TargetError when it is no such component."""
        found = self._find(system, name, "command")
        assert isinstance(found, CommandTarget)
        return found

    def process(self, system: str, name: str) -> RecordedProcess:
        """The process that its pid file names. Raises TargetError when it is no such component."""
        found = self._find(system, name, "process")
        assert isinstance(found, RecordedProcess)
        return found

    def _find(self, system: str, name: str, kind: str) -> Connector:
        part = self._part(system, name)
        if part.document.connector != kind:
            raise TargetError(f"{name} of {system} is reached by {part.document.connector}, not {kind}")
        return part.connector

    def _part(self, system: str, name: str) -> _Part:
        found = self._parts.get((system, name))
        if found is None:
            raise TargetError(f"{system} has no component {name!r} in targets.yaml")
        return found

    async def read_field(self, system: str, name: str, field: str, now: Millis) -> Reading:
        """A field of the component's state, now. Never raises: an error, also that it is stale, is in the reading."""
        try:
            point = self.component(system, name).reads.get(field)
            if point is None:
                return Reading(
                    name=field, value=None, error=f"targets.yaml does not say where {name}'s {field} is read"
                )
            value, taken_at = await self._read_point(system, point)
        except TargetError as error:
            return Reading(name=field, value=None, source=name, error=str(error))
        source = f"{point.component}: {point.path} {point.field}"
        if taken_at is not None:
            problem = evidence_values.age_error(value, taken_at, now, point.max_age_ms, there_at=self._clock())
            if problem:
                return Reading(name=field, value=None, taken_at=taken_at, source=source, error=problem)
        return Reading(name=field, value=value, taken_at=taken_at, source=source)

    async def _read_point(self, system: str, point: ReadPoint) -> tuple[float | str | bool, Millis | None]:
        """The value and its own time; None where the component was asked live and says no time."""
        match point.kind:
            case "http":
                reply = await self.http(system, point.component).read(point.path)
                document = evidence_values.json_document(reply.body)
                value = evidence_values.plain_value(evidence_values.json_at(document, point.field), point.field)
                if not point.at_field:
                    return value, None
                return value, evidence_values.time_ms(evidence_values.json_at(document, point.at_field))
            case "redis_hash":
                fields = [point.field, point.at_field]
                text, at = await self.redis(system, point.component).hash_fields(point.path, fields)
                for name, found in zip(fields, (text, at), strict=True):
                    if found is None:
                        raise TargetError(f"{point.component} has no field {name!r} in {point.path!r}")
                return evidence_values.text_value(text or ""), evidence_values.time_ms(at)


async def _closed(connector: Connector) -> None:
    """Close it; a server that hangs in its farewell (TLS) keeps no other one open."""
    try:
        await connector.close()
    except Exception:  # supervision point: there is nothing else to be done with it
        log.exception("connector_not_closed", component=connector.component)


def _component(system: str, doc: ComponentDoc) -> Component:
    reads = {name: _read_point(doc.name, read) for name, read in doc.read.items()}
    return Component(system=system, name=doc.name, role=doc.role, reads=reads, floors=dict(doc.floors))


def _read_point(owner: str, read: ReadDoc) -> ReadPoint:
    component = read.component or owner
    if read.redis_hash is not None:
        return ReadPoint("redis_hash", read.redis_hash, read.field, component, read.at_field, read.max_age)
    return ReadPoint("http", read.http or "/", read.json_path, component, read.at_json, read.max_age)


def _connector(
    doc: ComponentDoc, secret: SecretStr | None, send_seconds: float, killed: Callable[[], str]
) -> Connector:
    if doc.connector == "redis":
        return RedisConnector(
            doc.name,
            doc.url,
            allow=doc.allow,
            sentinels=doc.sentinels,
            master=doc.master,
            credentials=secret,
            username=doc.username,
            killed=killed,
        )
    if doc.connector == "command":
        return CommandTarget(doc.name, allow=doc.allow, killed=killed)
    if doc.connector == "process":
        return RecordedProcess(doc.name, doc.pidfile, doc.program, owner=doc.owner, killed=killed)
    return HttpConnector(
        doc.name,
        doc.url,
        allow=doc.allow,
        breaker=Breaker(doc.name),
        credentials=secret,
        username=doc.username,
        send_seconds=send_seconds,
        killed=killed,
        allow_private=doc.allow_private,
    )
