"""The connectors to every component of every trading system; implements `action_ports.Targets`.

Built once by the composition root from targets.yaml (credentials are resolved then, so a missing one stops the start),
used by actions through `Targets` and by the evidence reader through `redis`, `prometheus` and `http`. Nothing connects
before it is asked to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from bot.adapters import evidence_values, targets_credentials
from bot.adapters.connectors_breaker import Breaker
from bot.adapters.http_target import SEND_SECONDS, HttpConnector
from bot.adapters.targets_redis import RedisReader
from bot.core.events import Reading
from bot.core.words import Millis
from bot.engine.action_ports import Component, ReadPoint
from bot.errors import TargetError
from policies.targets import ComponentDoc, ReadDoc, TargetsDocument

Place: TypeAlias = tuple[str, str]  # system, component
Connector: TypeAlias = HttpConnector | RedisReader


class Connectors:
    """Every component's connector, by system and name."""

    def __init__(
        self, document: TargetsDocument, environment: Mapping[str, str], *, send_seconds: float = SEND_SECONDS
    ) -> None:
        self._components: dict[Place, Component] = {}
        self._kinds: dict[Place, str] = {}
        self._connectors: dict[Place, Connector] = {}
        for system in document.systems:
            for component in document.components(system):
                place = (system, component.name)
                self._components[place] = _component(system, component)
                self._kinds[place] = component.connector
                self._connectors[place] = _connector(system, component, environment, send_seconds)

    async def close(self) -> None:
        """Close every connection."""
        for connector in self._connectors.values():
            await connector.close()

    def component(self, system: str, name: str) -> Component:
        """The component as listed. Raises TargetError when it is not."""
        found = self._components.get((system, name))
        if found is None:
            raise TargetError(f"{system} has no component {name!r} in targets.yaml")
        return found

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

    def redis(self, system: str, name: str) -> RedisReader:
        """The component's Redis. Raises TargetError when it is none."""
        found = self._find(system, name, "redis")
        assert isinstance(found, RedisReader)
        return found

    def _find(self, system: str, name: str, kind: str) -> Connector:
        self.component(system, name)
        if self._kinds[system, name] != kind:
            raise TargetError(f"{name} of {system} is reached by {self._kinds[system, name]}, not {kind}")
        return self._connectors[system, name]

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
            problem = evidence_values.age_error(value, taken_at, now, point.max_age_ms)
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


def _component(system: str, doc: ComponentDoc) -> Component:
    reads = {name: _read_point(doc.name, read) for name, read in doc.read.items()}
    return Component(system=system, name=doc.name, role=doc.role, reads=reads, floors=dict(doc.floors))


def _read_point(owner: str, read: ReadDoc) -> ReadPoint:
    component = read.component or owner
    if read.redis_hash is not None:
        return ReadPoint("redis_hash", read.redis_hash, read.field, component, read.at_field, read.max_age)
    return ReadPoint("http", read.http or "/", read.json_path, component, read.at_json, read.max_age)


def _connector(system: str, doc: ComponentDoc, environment: Mapping[str, str], send_seconds: float) -> Connector:
    secret = targets_credentials.resolve(doc.credentials, environment, owner=f"{doc.name} of {system}")
    breaker = Breaker(doc.name)
    if doc.connector == "redis":
        return RedisReader(doc.name, doc.url, breaker=breaker, credentials=secret, username=doc.username)
    return HttpConnector(
        doc.name,
        doc.url,
        allow=doc.allow,
        breaker=breaker,
        credentials=secret,
        username=doc.username,
        send_seconds=send_seconds,
    )
