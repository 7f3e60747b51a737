"""Socket Mode: websockets that the app opens, envelopes down, acknowledgements up.

Served by `server`, used by `courier`. Source: https://docs.slack.dev/apis/events-api/using-socket-mode
"""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from typing import Any, Final

from aiohttp import WSMsgType, web

from bot.sandbox.slack.courier import Parcel, Undelivered
from bot.sandbox.slack.faults import Faults
from bot.sandbox.slack.state import State

MAX_SOCKETS: Final = 10
CLOSING_S: Final = 0.2  # how long an app has to answer the closing of a socket
_HOST: Final = "local-slack"
_ANSWERABLE: Final = ("slash_commands", "interactive")


class Sockets:
    """The app's open sockets; an envelope goes to any one of them."""

    def __init__(self, state: State, faults: Faults) -> None:
        self._state = state
        self._faults = faults
        self._open: dict[web.WebSocketResponse, web.Request] = {}
        self._turn = itertools.count()
        self._waiting: dict[str, tuple[web.WebSocketResponse, asyncio.Future[Any]]] = {}
        self._came = asyncio.Condition()
        self.opened = 0  # so far

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._open)

    async def connected(self, at_least: int = 1) -> None:
        """Wait until so many are open."""
        async with self._came:
            await self._came.wait_for(lambda: len(self._open) >= at_least)

    async def reopened(self, than: int) -> None:
        """Wait until more were opened, all in all, `than` before."""
        async with self._came:
            await self._came.wait_for(lambda: self.opened > than)

    async def link(self, request: web.Request) -> web.StreamResponse:
        """A socket, from its opening to its end."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._state.tickets or self._faults.outage:
            return web.Response(status=404 if not self._faults.outage else 503)
        self._state.tickets.discard(ticket)
        socket = web.WebSocketResponse(timeout=CLOSING_S)
        await socket.prepare(request)
        if len(self._open) >= MAX_SOCKETS:
            await self._disconnect(socket, "too_many_websockets")
            await socket.close()
            return socket
        await socket.send_json(
            {
                "type": "hello", "num_connections": len(self._open) + 1,
                "connection_info": {"app_id": self._state.world.app.id},
                "debug_info": {"host": _HOST, "approximate_connection_time": 3_600},
            }
        )  # fmt: skip
        self._open[socket] = request
        self.opened += 1
        async with self._came:
            self._came.notify_all()
        try:
            await self._hear(socket)
        finally:
            self._gone(socket)
        return socket

    async def deliver(self, parcel: Parcel, within_s: float) -> Any:
        """See `courier.Way`."""
        envelope = str(uuid.uuid4())
        return await self.send(envelope, json.dumps(self._envelope(envelope, parcel)), within_s)

    async def send(self, envelope: str, text: str, within_s: float) -> Any:
        """Bring a text as it is; returns what is acknowledged under the envelope's id. Raises Undelivered."""
        if not self._open:
            raise Undelivered("connection_failed")
        socket = list(self._open)[next(self._turn) % len(self._open)]
        heard = asyncio.get_running_loop().create_future()
        self._waiting[envelope] = (socket, heard)
        try:
            await socket.send_str(text)
            return await asyncio.wait_for(heard, within_s)
        except TimeoutError:
            raise Undelivered("timeout") from None
        except ConnectionError:
            raise Undelivered("connection_failed") from None
        finally:
            self._waiting.pop(envelope, None)

    async def refresh(self, reason: str = "refresh_requested") -> None:
        """Ask the app to connect anew: "warning" (some seconds ahead), "refresh_requested" or "link_disabled"."""
        for socket in tuple(self._open):
            await self._disconnect(socket, reason)

    def cut(self) -> None:
        """End every socket without a word."""
        for socket, request in tuple(self._open.items()):
            if request.transport is not None:
                request.transport.abort()
            self._gone(socket)

    async def close(self) -> None:
        """End every socket properly."""
        for socket in tuple(self._open):
            await socket.close()

    def _envelope(self, envelope: str, parcel: Parcel) -> dict[str, Any]:
        retries = (
            {"retry_attempt": parcel.attempt, "retry_reason": parcel.reason} if parcel.kind == "events_api" else {}
        )
        return {
            "envelope_id": envelope, "type": parcel.kind, "payload": parcel.payload,
            "accepts_response_payload": parcel.kind in _ANSWERABLE, **retries,
        }  # fmt: skip

    async def _hear(self, socket: web.WebSocketResponse) -> None:
        """Take acknowledgements until the socket ends."""
        async for message in socket:
            if message.type is not WSMsgType.TEXT or self._faults.deaf:
                continue
            try:
                said = json.loads(message.data)
            except ValueError:
                continue
            _, heard = self._waiting.get(str(said.get("envelope_id", "")), (None, None))
            if heard is not None and not heard.done():
                heard.set_result(said.get("payload"))

    async def _disconnect(self, socket: web.WebSocketResponse, reason: str) -> None:
        await socket.send_json({"type": "disconnect", "reason": reason, "debug_info": {"host": _HOST}})

    def _gone(self, socket: web.WebSocketResponse) -> None:
        self._open.pop(socket, None)
        for used, heard in self._waiting.values():
            if used is socket and not heard.done():
                heard.set_exception(Undelivered("connection_failed"))
