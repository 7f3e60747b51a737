"""Trading systems and evidence that answer as told: `Targets`, `HttpTarget`, `EvidenceReader` of `action_ports`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bot.core.alert import Alert
from bot.core.plan import EvidenceDecl
from bot.core.reading import Reading
from bot.core.words import JsonText, Millis
from bot.engine.action_ports import Component, HttpReply, ReadPoint
from bot.errors import TargetError
from bot.testing.local_targets import MemoryProcess, MemoryProgram
from bot.testing.redis_twin import MemoryRedis

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SentRequest:
    """One request that reached the target."""

    method: str
    path: str
    body: JsonText
    idempotency_key: str
    fence: int


class MemoryHttpTarget:
    """An HTTP API made of `answers` (``"GET /path"`` -> reply, or an error to raise); it keeps what was sent.

    `on_send` runs for every request that is answered with 2xx, so that a test can let the request have an effect.
    """

    def __init__(self, answers: Mapping[str, HttpReply | TargetError] | None = None) -> None:
        self.answers: dict[str, HttpReply | TargetError] = dict(answers or {})
        self.sent: list[SentRequest] = []
        self.on_send: Callable[[SentRequest], None] = lambda _: None

    async def read(self, path: str) -> HttpReply:
        """The answer to ``GET path``."""
        return self._answer("GET", path)

    async def send(self, method: str, path: str, body: JsonText, *, idempotency_key: str, fence: int) -> HttpReply:
        """The answer to ``method path``; the request is kept, answered or not."""
        request = SentRequest(method, path, body, idempotency_key, fence)
        self.sent.append(request)
        reply = self._answer(method, path)
        if 200 <= reply.status < 300:
            self.on_send(request)
        return reply

    def allows(self, method: str, path: str) -> bool:
        """Whether there is an answer to it."""
        return f"{method} {path}" in self.answers

    def by_hand(self, method: str, path: str, body: JsonText) -> str:
        """The request in words."""
        return f"{method} {path} {body}".rstrip()

    def _answer(self, method: str, path: str) -> HttpReply:
        answer = self.answers.get(f"{method} {path}", HttpReply(404, b"{}"))
        if isinstance(answer, TargetError):
            raise answer
        return answer


class MemoryTargets:
    """Components by (system, name), with the fields that can be read from them."""

    def __init__(self) -> None:
        self._components: dict[tuple[str, str], Component] = {}
        self._http: dict[tuple[str, str], MemoryHttpTarget] = {}
        self._redis: dict[tuple[str, str], MemoryRedis] = {}
        self._programs: dict[tuple[str, str], MemoryProgram] = {}
        self._processes: dict[tuple[str, str], MemoryProcess] = {}
        self.fields: dict[tuple[str, str, str], float | str | bool] = {}

    def add(
        self,
        system: str,
        name: str,
        *,
        role: str = "",
        reads: Mapping[str, ReadPoint] | None = None,
        floors: Mapping[str, float] | None = None,
    ) -> MemoryHttpTarget:
        """Add a component; returns its HTTP API, to be given answers."""
        place = (system, name)
        self._components[place] = Component(system, name, role, dict(reads or {}), dict(floors or {}))
        return self._http.setdefault(place, MemoryHttpTarget())

    def component(self, system: str, name: str) -> Component:
        """The component. TargetError when it was not added."""
        try:
            return self._components[system, name]
        except KeyError as error:
            raise TargetError(f"{system} has no component named {name}") from error

    def http(self, system: str, name: str) -> MemoryHttpTarget:
        """Its HTTP API. TargetError when it was not added."""
        self.component(system, name)
        return self._http[system, name]

    def add_redis(self, system: str, name: str, twin: MemoryRedis | None = None, *, role: str = "store") -> MemoryRedis:
        """Add a component that is a Redis; returns its twin."""
        self._components[system, name] = Component(system, name, role, {}, {})
        return self._redis.setdefault((system, name), twin or MemoryRedis())

    def redis(self, system: str, name: str) -> MemoryRedis:
        """Its Redis. TargetError when it was not added as one."""
        self.component(system, name)
        try:
            return self._redis[system, name]
        except KeyError as error:
            raise TargetError(f"{name} of {system} is no Redis") from error

    def add_program(self, system: str, name: str, *, allow: Sequence[str], role: str = "service") -> MemoryProgram:
        """Add a component whose programs can be run; returns them, to be given answers."""
        self.add(system, name, role=role)
        return self._programs.setdefault((system, name), MemoryProgram(allow))

    def add_process(self, system: str, name: str, *, role: str = "router-process") -> MemoryProcess:
        """Add a component that is a process; returns it, to be given one that runs."""
        self.add(system, name, role=role)
        return self._processes.setdefault((system, name), MemoryProcess())

    def program(self, system: str, name: str) -> MemoryProgram:
        """Its programs. TargetError when it has none."""
        return _there(self._programs, system, name, "command")

    def process(self, system: str, name: str) -> MemoryProcess:
        """Its process. TargetError when it is none."""
        return _there(self._processes, system, name, "process")

    async def read_field(self, system: str, name: str, field: str, now: Millis) -> Reading:
        """What `fields` holds for it, or a reading with an error."""
        value = self.fields.get((system, name, field))
        if value is None:
            return Reading(name=field, value=None, source=name, error=f"{name} has no readable {field}")
        return Reading(name=field, value=value, source=name)


def _there(found: Mapping[tuple[str, str], T], system: str, name: str, kind: str) -> T:
    if (system, name) not in found:
        raise TargetError(f"{name} of {system} is not reached by {kind}")
    return found[system, name]


class MemoryEvidence:
    """Evidence by name. What is not in `values` reads as missing; `stale` names readings that are too old."""

    def __init__(self, values: Mapping[str, float | str | bool] | None = None) -> None:
        self.values: dict[str, float | str | bool] = dict(values or {})
        self.stale: set[str] = set()
        self.asked = 0

    async def read(
        self, system: str, declared: Mapping[str, EvidenceDecl], alerts: Sequence[Alert], now: Millis
    ) -> tuple[Reading, ...]:
        """One reading per declaration."""
        self.asked += 1
        return tuple(self._reading(name, now) for name in declared)

    def _reading(self, name: str, now: Millis) -> Reading:
        if name in self.stale:
            return Reading(name=name, value=None, taken_at=None, source="memory", error="the reading is too old")
        if name not in self.values:
            return Reading(name=name, value=None, source="memory", error="there is no such reading")
        return Reading(name=name, value=self.values[name], taken_at=now, source="memory")
