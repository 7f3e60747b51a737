"""Brings commands, interactions and events to the app, over Socket Mode or HTTP, as often as Slack would.

Called by `acts` for what people do. A command or an interaction is brought once and must be acknowledged within three
seconds; an event is brought again when it was not, up to three times more. Twice the same is what faults are for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Protocol, TypeAlias

from bot.sandbox.slack.faults import Faults

Kind: TypeAlias = Literal["slash_commands", "interactive", "events_api"]
Spawn: TypeAlias = Callable[[Coroutine[Any, Any, None]], object]

ACK_S: Final = 3.0  # https://docs.slack.dev/interactivity/handling-user-interaction (acknowledgment response)
RETRY_S: Final = (0.5, 60.0, 300.0)  # https://docs.slack.dev/apis/events-api (retries): at once, 1 and 5 minutes later


@dataclass(frozen=True, slots=True)
class Parcel:
    """One delivery. `attempt` 0 is the first; `reason`: why there is another one."""

    kind: Kind
    payload: dict[str, Any]
    attempt: int = 0
    reason: str = ""


class Undelivered(Exception):
    """Nobody acknowledged: `timeout`, `connection_failed` or `error`. `final`: the app wants no retry."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final


class Way(Protocol):
    """Socket Mode or HTTP."""

    async def deliver(self, parcel: Parcel, within_s: float) -> Any:
        """Bring it; returns what the acknowledgement says: an object, text, or None. Raises Undelivered."""


class Courier:
    """Chooses the way, and tries again."""

    def __init__(self, sockets: Way, pushes: Way, over_http: Callable[[], bool], faults: Faults, spawn: Spawn) -> None:
        self.ack_s = ACK_S
        self.retry_s: tuple[float, ...] = RETRY_S
        self.unheard: list[Parcel] = []  # events that were given up
        self._sockets = sockets
        self._pushes = pushes
        self._over_http = over_http
        self._faults = faults
        self._spawn = spawn

    async def ask(self, kind: Kind, payload: dict[str, Any]) -> Any:
        """Bring a command or an interaction and wait for what the app says to it. Raises Undelivered."""
        return await self._bring(Parcel(kind, payload))

    def tell(self, payload: dict[str, Any]) -> None:
        """Bring an event, in the background."""
        self._spawn(self._persist(Parcel("events_api", payload)))

    async def _persist(self, parcel: Parcel) -> None:
        for wait_s in (*self.retry_s, None):
            try:
                await self._bring(parcel)
            except Undelivered as failure:
                if wait_s is None or failure.final:
                    break
                parcel = replace(parcel, attempt=parcel.attempt + 1, reason=failure.reason)
            else:
                return
            await asyncio.sleep(wait_s)
        self.unheard.append(parcel)

    async def _bring(self, parcel: Parcel) -> Any:
        way = self._pushes if self._over_http() else self._sockets
        for _ in range(self._faults.duplicates):
            self._spawn(self._again(way, parcel))
        return await way.deliver(parcel, self.ack_s)

    async def _again(self, way: Way, parcel: Parcel) -> None:
        """A duplicate; whatever becomes of it."""
        try:
            await way.deliver(parcel, self.ack_s)
        except Undelivered:
            return
