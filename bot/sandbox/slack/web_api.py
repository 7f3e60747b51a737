"""The Web API over HTTP: `/api/<method>`, as slack-sdk calls it.

Served by `server`. A call goes through faults, rates, token, scopes, and then its method; it is written down however
it ended. Every method that this Slack knows stands in `METHODS`, with what it needs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from aiohttp import web

from bot.sandbox.slack import api_chat, api_files, api_places, api_views
from bot.sandbox.slack.calls import Args, Call, Refused, read, token_of
from bot.sandbox.slack.faults import HANG_S, Faults
from bot.sandbox.slack.rates import Rates
from bot.sandbox.slack.state import State

Run: TypeAlias = Callable[[State, Args], dict[str, Any]]

MAX_CALLS: Final = 200_000  # kept for tests and the page; the oldest are forgotten


@dataclass(frozen=True, slots=True)
class Method:
    """`scopes`: one of them is needed. `changes`: something is different afterwards."""

    run: Run
    scopes: tuple[str, ...] = ()
    changes: bool = False


_HISTORY: Final = ("channels:history", "groups:history")
_READ: Final = ("channels:read", "groups:read")
_WRITE: Final = ("chat:write",)


def _socket(state: State, _args: Args) -> dict[str, Any]:
    """`apps.connections.open`: an address that opens one socket."""
    ticket = state.world.fresh("W")
    state.tickets.add(ticket)
    return {"url": f"{state.base.replace('http', 'ws', 1)}/link/?ticket={ticket}&app_id={state.world.app.id}"}


OPEN_SOCKET: Final = "apps.connections.open"
METHODS: Final[Mapping[str, Method]] = MappingProxyType(
    {
        OPEN_SOCKET: Method(_socket),
        "auth.test": Method(api_places.auth_test),
        "chat.delete": Method(api_chat.delete, _WRITE, changes=True),
        "chat.getPermalink": Method(api_chat.permalink),
        "chat.postEphemeral": Method(api_chat.post_ephemeral, _WRITE, changes=True),
        "chat.postMessage": Method(api_chat.post_message, _WRITE, changes=True),
        "chat.update": Method(api_chat.update, _WRITE, changes=True),
        "conversations.history": Method(api_places.history, _HISTORY),
        "conversations.info": Method(api_places.channel_info, _READ),
        "conversations.join": Method(api_places.join, ("channels:join",), changes=True),
        "conversations.list": Method(api_places.channels, _READ),
        "conversations.members": Method(api_places.members, _READ),
        "conversations.open": Method(api_places.open_direct, ("im:write",), changes=True),
        "conversations.replies": Method(api_places.replies, _HISTORY),
        "files.completeUploadExternal": Method(api_files.complete, ("files:write",), changes=True),
        "files.getUploadURLExternal": Method(api_files.upload_url, ("files:write",), changes=True),
        "files.info": Method(api_files.info, ("files:read",)),
        "reactions.add": Method(api_chat.react, ("reactions:write",), changes=True),
        "usergroups.list": Method(api_places.groups, ("usergroups:read",)),
        "usergroups.users.list": Method(api_places.group_users, ("usergroups:read",)),
        "users.conversations": Method(api_places.own_channels, _READ),
        "users.info": Method(api_places.user_info, ("users:read",)),
        "users.list": Method(api_places.users, ("users:read",)),
        "users.lookupByEmail": Method(api_places.by_email, ("users:read.email",)),
        "views.open": Method(api_views.open_view, changes=True),
        "views.publish": Method(api_views.publish, changes=True),
        "views.push": Method(api_views.push, changes=True),
        "views.update": Method(api_views.update, changes=True),
    }
)


class WebApi:
    """Answers calls, and keeps them."""

    def __init__(self, state: State, rates: Rates, faults: Faults) -> None:
        self.calls: deque[Call] = deque(maxlen=MAX_CALLS)
        self._state = state
        self._rates = rates
        self._faults = faults

    def routes(self) -> list[web.RouteDef]:
        """Slack takes GET and POST alike."""
        return [web.get("/api/{method}", self._answer), web.post("/api/{method}", self._answer)]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["method"]
        args = Args({})
        try:
            args = await read(request)
            token = token_of(request, args)
            if self._faults.outage:
                return await self._out(request, name, args)
            answer = self._run(name, args, token)
        except Refused as refusal:
            return await self._refuse(request, name, args, refusal)
        lost = METHODS[name].changes and self._faults.lose_replies > 0
        self._note(name, args, "lost" if lost else "", str(answer.get("ts") or answer.get("message_ts") or ""))
        if lost:
            self._faults.lose_replies -= 1
            return cut(request)
        return await self._send(request, name, {"ok": True, **answer})

    def _run(self, name: str, args: Args, token: str) -> dict[str, Any]:
        """Do what is asked for. Raises Refused."""
        method = METHODS.get(name)
        if method is None:
            raise Refused("unknown_method", req_method=name)
        channel = args.text("channel") if name == "chat.postMessage" else ""
        known = self._state.world.named(channel)
        wait = self._faults.limited_s or self._rates.wait_s(name, known.id if known else channel)
        if wait:
            raise Refused("ratelimited", retry_after=wait)
        self._allow(name, method, token)
        if name in self._faults.failing:
            raise Refused(self._faults.failing[name])
        return method.run(self._state, args)

    def _allow(self, name: str, method: Method, token: str) -> None:
        """The right kind of token, with the scope. Raises Refused."""
        app = self._state.world.app
        if not token:
            raise Refused("not_authed")
        if token not in (app.bot_token, app.app_token):
            raise Refused("invalid_auth")
        if (token == app.app_token) != (name == OPEN_SOCKET):
            raise Refused("not_allowed_token_type")
        if method.scopes and not set(method.scopes) & set(app.scopes):
            raise Refused("missing_scope", needed=method.scopes[0], provided=",".join(app.scopes))

    async def _out(self, request: web.Request, name: str, args: Args) -> web.StreamResponse:
        """During an outage; nothing is done."""
        self._note(name, args, f"outage:{self._faults.outage}")
        if self._faults.outage == "error":
            return web.Response(status=503, text="<html>Service Unavailable</html>", content_type="text/html")
        if self._faults.outage == "hang":
            await asyncio.sleep(HANG_S)
        return cut(request)

    async def _refuse(self, request: web.Request, name: str, args: Args, refusal: Refused) -> web.StreamResponse:
        self._note(name, args, refusal.name)
        wait = refusal.extra.pop("retry_after", 0)
        body = {"ok": False, "error": refusal.name, **refusal.extra}
        if not wait:
            return await self._send(request, name, body)
        return web.json_response(body, status=429, headers={"Retry-After": str(wait)})

    async def _send(self, request: web.Request, name: str, body: dict[str, Any]) -> web.StreamResponse:
        if self._faults.slow_ms:
            await asyncio.sleep(self._faults.slow_ms / 1_000)
        at = self._state.world.clock() / 1_000 + self._faults.skew_s
        method = METHODS.get(name)
        return web.json_response(
            body,
            headers={
                "Date": formatdate(at, usegmt=True),
                "X-OAuth-Scopes": ",".join(self._state.world.app.scopes),
                "X-Accepted-OAuth-Scopes": ",".join(method.scopes) if method else "",
            },
        )

    def _note(self, name: str, args: Args, error: str, ts: str = "") -> None:
        self.calls.append(Call(self._state.world.clock(), name, args.values, error, ts))


def cut(request: web.Request) -> web.Response:
    """End the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
