"""The simulated target that an action is tried on: state, what a request does to it, and a mood.

Used by `bot.testing.action_contract` and by whoever tests an action. `HttpWorld` is a component behind HTTP, declared
in a few lines; `TwinWorld` takes any other twins (Redis, program, process) as they are. Both stand behind one gate
(`bot.testing.action_gate`), where the mood decides how a request ends.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from pydantic import JsonValue

from bot.core.reading import Reading
from bot.core.words import JsonText, Millis
from bot.engine.action_ports import ActionContext, Component, HttpReply, HttpTarget, ReadPoint, Targets
from bot.engine.connector_ports import ProcessTarget, ProgramTarget, RedisTarget
from bot.errors import DeliveryError, DeliveryUncertain, NotSent, TargetError, Unknown
from bot.testing.action_gate import Gate, GatedTargets, Mood, Request

State: TypeAlias = dict[str, JsonValue]
Route: TypeAlias = Callable[[State, State], object]  # (state, body of the request): changes the state
Page: TypeAlias = Callable[[State], JsonValue]  # (state): what a GET answers

SYSTEM = "trial"  # the trading system that every simulated component belongs to
STATE_PAGE = "/trial/state"  # where a simulated component's fields are read over a real connection
MOMENT: Millis = 1_700_000_000_000  # the trial's time: any would do


class World(Protocol):
    """What a trial needs of a simulated target. Entered before use, left after it."""

    mood: Mood

    @property
    def requests(self) -> Sequence[Request]:
        """What reached the target and could have an effect, in order."""
        ...

    @property
    def vague(self) -> bool:
        """Whether a refusal of this target may leave open what was done (a program that ends badly)."""
        ...

    def snapshot(self) -> object:
        """The target's state, comparable with another snapshot."""
        ...

    def context(self, *, component: str | None = None) -> ActionContext:
        """What the action gets; `component` names another than its own."""
        ...

    async def settle(self) -> None:
        """Let what was late take effect."""
        ...

    async def __aenter__(self) -> World: ...

    async def __aexit__(self, *_: object) -> None: ...


class TwinWorld:
    """A world around twins of any kind: `targets` as the action sees them, `state` what a snapshot compares."""

    def __init__(self, targets: Targets, component: str, state: Callable[[], object]) -> None:
        self.gate = Gate()
        self.component = component
        self.said: list[str] = []
        self._base = targets
        self._state = state
        self._targets = GatedTargets(self.gate, targets)

    @property
    def mood(self) -> Mood:
        """How the next requests end."""
        return self.gate.mood

    @mood.setter
    def mood(self, mood: Mood) -> None:
        self.gate.mood = mood

    @property
    def requests(self) -> Sequence[Request]:
        """What reached a target and could have an effect."""
        return self.gate.requests

    @property
    def vague(self) -> bool:
        """Whether a program was run: its bad end says nothing certain."""
        return any(request.line.startswith("run ") for request in self.gate.requests)

    def snapshot(self) -> object:
        """The state and what was said, as they are now."""
        return copy.deepcopy((self._state(), self.said))

    def context(self, *, component: str | None = None) -> ActionContext:
        """What the action gets."""
        return ActionContext(
            system=SYSTEM, component=self.component if component is None else component, targets=self._targets,
            now=MOMENT, intent="intent-1", fence=7, say=self._say,
        )  # fmt: skip

    async def settle(self) -> None:
        """Let what was late take effect."""
        await self.gate.settle()

    async def _say(self, text: str) -> str:
        async def post() -> str:
            self.said.append(text)
            return "message-1"

        try:
            return await self.gate.send(Request(f"say {text}"), post)
        except Unknown as error:
            raise DeliveryUncertain(str(error)) from error
        except TargetError as error:
            raise DeliveryError(str(error)) from error

    async def __aenter__(self) -> TwinWorld:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


class HttpWorld(TwinWorld):
    """A component behind HTTP: `state` is what its `read:` entries give, `routes` what each allowed request does.

    A route may raise `Rejected` (the target says no). `pages` are further paths that answer GET with JSON.
    """

    def __init__(
        self,
        state: Mapping[str, JsonValue] | None = None,
        routes: Mapping[str, Route] | None = None,
        *,
        pages: Mapping[str, Page] | None = None,
        role: str = "",
        floors: Mapping[str, float] | None = None,
        component: str = "target",
    ) -> None:
        self.state: State = copy.deepcopy(dict(state or {}))
        self.routes = dict(routes or {})
        self.pages: dict[str, Page] = {STATE_PAGE: dict, **(pages or {})}
        reads = {name: ReadPoint("http", STATE_PAGE, name, component) for name in self.state}
        self.place = Component(SYSTEM, component, role, reads, dict(floors or {}))
        super().__init__(_OneComponent(self), component, lambda: self.state)

    def apply(self, line: str, body: JsonText) -> HttpReply:
        """What the request does, now. Raises Rejected when the route says no, NotSent when there is none."""
        route = self.routes.get(line)
        if route is None:
            raise NotSent(f"{line} is not in the allow list of {self.component}")
        route(self.state, json.loads(body or "{}"))
        return HttpReply(200, b'{"ok": true}')


class _OneComponent:
    """The `Targets` of an HttpWorld, and its HTTP API at once."""

    def __init__(self, world: HttpWorld) -> None:
        self._world = world

    def component(self, system: str, name: str) -> Component:
        if (system, name) != (SYSTEM, self._world.component):
            raise TargetError(f"{system} has no component named {name}")
        return self._world.place

    def http(self, system: str, name: str) -> HttpTarget:
        self.component(system, name)
        return self

    def redis(self, system: str, name: str) -> RedisTarget:
        raise TargetError(f"{name} is no Redis")

    def program(self, system: str, name: str) -> ProgramTarget:
        raise TargetError(f"{name} runs no programs")

    def process(self, system: str, name: str) -> ProcessTarget:
        raise TargetError(f"{name} is no process")

    async def read_field(self, system: str, name: str, field: str, now: Millis) -> Reading:
        self.component(system, name)
        value = self._world.state.get(field)
        if not isinstance(value, (bool, int, float, str)):
            return Reading(name=field, value=None, source=name, error=f"{name} has no readable {field}")
        number = float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        return Reading(name=field, value=number, taken_at=now, source=name)

    async def read(self, path: str) -> HttpReply:
        page = self._world.pages.get(path)
        if page is None:
            raise NotSent(f"GET {path} is not in the allow list of {self._world.component}")
        return HttpReply(200, json.dumps(page(self._world.state)).encode())

    async def send(self, method: str, path: str, body: JsonText, *, idempotency_key: str, fence: int) -> HttpReply:
        return self._world.apply(f"{method} {path}", body)

    def allows(self, method: str, path: str) -> bool:
        return f"{method} {path}" in self._world.routes

    def by_hand(self, method: str, path: str, body: JsonText) -> str:
        return f"{method} {path} {body}".rstrip()
