"""The gate before a simulated target: the mood decides there whether a request is done, answered, refused or lost.

Used by `bot.testing.action_world` in front of the twins of every connector, so that an action meets the same
misfortunes whatever it acts on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from bot.core.reading import Reading
from bot.core.words import JsonText, Millis
from bot.engine.action_ports import Component, HttpReply, HttpTarget, Targets
from bot.engine.connector_ports import (
    ProcessSeen,
    ProcessTarget,
    ProgramReply,
    ProgramTarget,
    RedisLook,
    RedisTarget,
    RedisValue,
)
from bot.errors import DeliveryError, NotSent, Rejected, TargetError, Unknown

Mood = Literal[
    "well",  # done and answered
    "refusing",  # answered: no; nothing was done
    "unanswered",  # done, and no answer comes
    "late",  # no answer comes; it is done when the world settles, long after the time-out
    "lost",  # no answer comes, and it is never done
    "away",  # no connection: nothing can be read or sent
    "unreadable",  # requests are done and answered, but nothing can be read
]

T = TypeVar("T")

CANARY_WRITE = ("SET", "andon:canary")  # Andon's own key: writing it is how a Redis is looked at, no request to it


class Broken(AssertionError):
    """The action, or the trial, does not keep the contract; the message says what it did."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request that reached the target; `key` and `fence` are None where its kind of connection carries none."""

    line: str
    key: str | None = None
    fence: int | None = None


class Gate:
    """Where the mood decides. One per world."""

    def __init__(self) -> None:
        self.mood: Mood = "well"
        self.requests: list[Request] = []
        self._late: list[Callable[[], Awaitable[object]]] = []

    async def read(self, look: Callable[[], Awaitable[T]]) -> T:
        """A read, if the target can be read."""
        await asyncio.sleep(0)  # others may run here, as during a real request
        if self.mood in ("away", "unreadable"):
            raise NotSent("the target cannot be reached")
        return await self._simulated("a read", look)

    async def send(self, request: Request, effect: Callable[[], Awaitable[T]], refusal: T | None = None) -> T:
        """A request with an effect. `refusal`: how the target says no, where that is no error."""
        if self.mood == "away":
            raise NotSent("the target cannot be reached")
        self.requests.append(request)
        await asyncio.sleep(0)

        async def done() -> T:
            return await self._simulated(request.line, effect)

        match self.mood:
            case "refusing":
                if refusal is not None:
                    return refusal
                raise Rejected("the target answered: not now")
            case "lost":
                raise Unknown("the target did not answer")
            case "late":
                self._late.append(done)
                raise Unknown("the target did not answer")
            case "unanswered":
                await done()
                raise Unknown("the target did not answer")
            case _:
                return await done()

    async def settle(self) -> None:
        """What was late takes effect."""
        due, self._late = self._late, []
        for effect in due:
            await effect()

    @staticmethod
    async def _simulated(what: str, act: Callable[[], Awaitable[T]]) -> T:
        """The world's own part. A bug in it is told as one, not as the action's."""
        try:
            return await act()
        except (TargetError, DeliveryError, Broken):
            raise
        except Exception as error:  # the author's world: whatever it raises is the finding
            raise Broken(
                f"the simulated target failed at {what!r} with {error!r}: mend the trial's world, or the request"
            ) from error


# --- the doors, each with the gate in front ------------------------------------------------------------------------


class GatedTargets:
    """Any `Targets`, with a gate in front of every read and every send."""

    def __init__(self, gate: Gate, base: Targets) -> None:
        self._gate = gate
        self._base = base

    def component(self, system: str, name: str) -> Component:
        return self._base.component(system, name)

    def http(self, system: str, name: str) -> HttpTarget:
        return _GatedHttp(self._gate, self._base.http(system, name))

    def redis(self, system: str, name: str) -> RedisTarget:
        return _GatedRedis(self._gate, self._base.redis(system, name))

    def program(self, system: str, name: str) -> ProgramTarget:
        return _GatedProgram(self._gate, self._base.program(system, name))

    def process(self, system: str, name: str) -> ProcessTarget:
        return _GatedProcess(self._gate, self._base.process(system, name))

    async def read_field(self, system: str, name: str, field: str, now: Millis) -> Reading:
        try:
            return await self._gate.read(lambda: self._base.read_field(system, name, field, now))
        except TargetError as error:
            return Reading(name=field, value=None, source=name, error=str(error))


class _GatedHttp:
    def __init__(self, gate: Gate, base: HttpTarget) -> None:
        self._gate = gate
        self._base = base

    async def read(self, path: str) -> HttpReply:
        return await self._gate.read(lambda: self._base.read(path))

    async def send(self, method: str, path: str, body: JsonText, *, idempotency_key: str, fence: int) -> HttpReply:
        request = Request(f"{method} {path}", idempotency_key, fence)
        again = self._base.send
        return await self._gate.send(
            request, lambda: again(method, path, body, idempotency_key=idempotency_key, fence=fence)
        )

    def allows(self, method: str, path: str) -> bool:
        return self._base.allows(method, path)

    def by_hand(self, method: str, path: str, body: JsonText) -> str:
        return self._base.by_hand(method, path, body)


class _GatedRedis:
    def __init__(self, gate: Gate, base: RedisTarget) -> None:
        self._gate = gate
        self._base = base

    async def look(self, *, samples: int = 0) -> RedisLook:
        return await self._gate.read(lambda: self._base.look(samples=samples))

    async def read(self, *command: str, at: str = "") -> RedisValue:
        return await self._gate.read(lambda: self._base.read(*command, at=at))

    async def send(self, *command: str, at: str = "") -> RedisValue:
        if command[:2] == CANARY_WRITE:
            return await self._gate.read(lambda: self._base.send(*command, at=at))
        return await self._gate.send(Request(" ".join(command)), lambda: self._base.send(*command, at=at))

    async def fail_over(self, look: RedisLook, to: str) -> None:
        await self._gate.send(Request(f"fail over to {to}"), lambda: self._base.fail_over(look, to))

    def allows(self, *command: str) -> bool:
        return self._base.allows(*command)

    def by_hand(self, *command: str, at: str = "") -> str:
        return self._base.by_hand(*command, at=at)


class _GatedProgram:
    def __init__(self, gate: Gate, base: ProgramTarget) -> None:
        self._gate = gate
        self._base = base

    @property
    def programs(self) -> tuple[str, ...]:
        return self._base.programs

    async def run(self, program: str, arguments: Sequence[str], *, seconds: float) -> ProgramReply:
        return await self._gate.send(
            Request(" ".join(["run", program, *arguments])),
            lambda: self._base.run(program, arguments, seconds=seconds),
            ProgramReply(1, "not now"),
        )

    def by_hand(self, program: str, arguments: Sequence[str]) -> str:
        return self._base.by_hand(program, arguments)


class _GatedProcess:
    def __init__(self, gate: Gate, base: ProcessTarget) -> None:
        self._gate = gate
        self._base = base

    async def look(self) -> ProcessSeen:
        return await self._gate.read(self._base.look)

    async def signal(self, name: Literal["HUP"], seen: ProcessSeen) -> None:
        await self._gate.send(Request(f"signal {name}"), lambda: self._base.signal(name, seen))

    def by_hand(self, name: Literal["HUP"], seen: ProcessSeen) -> str:
        return self._base.by_hand(name, seen)
