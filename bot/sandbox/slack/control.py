"""The control API: what the page shows and does, and tests of a local Slack in a process of its own.

Served by `server`; the requests are listed in the package's docstring. It listens on loopback only, and asks nobody who
they are: the local Slack is a toy that everybody at this machine may play any role in. Pages of other sites in the same
browser may not: acts are JSON by their type, which such a page cannot send, and only a loopback name is answered.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from bot.sandbox.slack.acts import Outcome, People
from bot.sandbox.slack.api_views import payload
from bot.sandbox.slack.faults import Faults
from bot.sandbox.slack.sockets import Sockets
from bot.sandbox.slack.state import State, View
from bot.sandbox.slack.web_api import WebApi
from bot.sandbox.slack.world import MAX_CHANGES, Change, Posted

Act: TypeAlias = Callable[[dict[str, Any]], Awaitable[Outcome]]
Handle: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]

MAX_SEEN: Final = 500  # messages of a channel that the page gets: the newest
BEAT_S: Final = 15.0  # a comment on a quiet line, so that a page that is gone is noticed
HOME: Final = ("127.0.0.1", "localhost", "::1")
PAGE: Final = Path(__file__).with_name("page")


class Control:
    """Handlers of `/control/…`."""

    def __init__(self, state: State, people: People, api: WebApi, faults: Faults, sockets: Sockets) -> None:
        self._state = state
        self._people = people
        self._api = api
        self._faults = faults
        self._sockets = sockets

    def routes(self) -> list[web.AbstractRouteDef]:
        """All of them, the page's files and the uploads."""
        acts: dict[str, Act] = {
            "click": self._click, "submit": self._submit, "close": self._close, "command": self._command,
            "say": self._say, "edit": self._edit, "shortcut": self._shortcut, "home": self._home,
        }  # fmt: skip
        page: list[web.AbstractRouteDef] = [web.get("/", _index)]
        if PAGE.is_dir():
            page.append(web.static("/page", PAGE))
        return [
            *page,
            *(web.post(f"/control/{name}", _json_only(_acting(act))) for name, act in acts.items()),
            web.get("/control/state", self._look),
            web.get("/control/events", self._events),
            web.get("/control/shown", self._shown),
            web.get("/control/calls", self._calls),
            web.post("/control/faults", _json_only(self._fail)),
            web.get("/files/{id}", self._file),
        ]

    # --- acts ---

    async def _click(self, wanted: dict[str, Any]) -> Outcome:
        user, action = wanted["user"], wanted["action_id"]
        block, chosen = str(wanted.get("block_id") or ""), wanted.get("chosen")
        if view := wanted.get("view_id"):
            values = wanted.get("values")
            return await self._people.click_in_view(user, view, action, block_id=block, chosen=chosen, values=values)
        place, version = (wanted["channel"], wanted["ts"]), int(wanted.get("version", -1))
        return await self._people.click(user, *place, action, block_id=block, chosen=chosen, version=version)

    async def _submit(self, wanted: dict[str, Any]) -> Outcome:
        return await self._people.submit(wanted["user"], wanted["view_id"], wanted.get("values") or {})

    async def _close(self, wanted: dict[str, Any]) -> Outcome:
        return await self._people.close(wanted["user"], wanted["view_id"])

    async def _command(self, wanted: dict[str, Any]) -> Outcome:
        return await self._people.command(wanted["user"], wanted["channel"], wanted["text"])

    async def _say(self, wanted: dict[str, Any]) -> Outcome:
        thread = str(wanted.get("thread_ts") or "")
        await self._people.say(wanted["user"], wanted["channel"], wanted["text"], thread_ts=thread)
        return Outcome()

    async def _edit(self, wanted: dict[str, Any]) -> Outcome:
        await self._people.edit(wanted["user"], wanted["channel"], wanted["ts"], wanted["text"])
        return Outcome()

    async def _shortcut(self, wanted: dict[str, Any]) -> Outcome:
        place = {"channel": wanted.get("channel") or "", "ts": wanted.get("ts") or ""}
        return await self._people.shortcut(wanted["user"], wanted["callback_id"], **place)

    async def _home(self, wanted: dict[str, Any]) -> Outcome:
        return await self._people.open_home(wanted["user"])

    async def _fail(self, request: web.Request) -> web.Response:
        try:
            self._faults.change(await request.json())
        except ValueError as wrong:
            return web.json_response({"error": str(wrong)}, status=400)
        if self._faults.outage:
            self._sockets.cut()
        return web.json_response(asdict(self._faults))

    # --- looking ---

    async def _look(self, request: web.Request) -> web.Response:
        """What one user sees."""
        world = self._state.world
        user = request.query.get("user") or next((each.id for each in world.users.values() if not each.bot), "")
        if user not in world.users:
            return web.json_response({"error": f"there is no user {user!r}"}, status=400)
        channels = [
            channel
            for channel in world.channels.values()
            if channel.dm_with in ("", user) and (user in channel.members or not channel.private)
        ]
        rooms = [list(world.messages.get(channel.id, {}).values())[-MAX_SEEN:] for channel in channels]
        home = self._state.homes.get(user)
        seen = [posted for room in rooms for posted in room if posted.only_for in ("", user) and not posted.deleted]
        return web.json_response(
            {
                "me": user, "team": world.domain, "seq": world.changes[-1].seq if world.changes else 0,
                "app": {"user": world.app.user, "name": world.app.name, "shortcuts": dict(world.app.shortcuts)},
                "users": [asdict(each) for each in world.users.values()],
                "groups": [asdict(each) for each in world.groups.values()],
                "channels": [asdict(channel) | {"members": sorted(channel.members)} for channel in channels],
                "messages": [self._message(posted) for posted in seen],
                "home": self._view(home) if home else None,
                "modals": [self._view(view) for view in self._state.stacks.get(user, [])],
            }
        )  # fmt: skip

    def _message(self, posted: Posted) -> dict[str, Any]:
        return {
            "channel": posted.channel, "ts": posted.ts, "user": posted.user, "thread_ts": posted.thread_ts,
            "broadcast": posted.broadcast, "only_for": posted.only_for, "text": posted.now.text,
            "blocks": posted.now.blocks, "files": [self._named(file) for file in posted.files],
            "reactions": posted.reactions, "edited": len(posted.versions) > 1, "metadata": posted.metadata,
            "versions": len(posted.versions),
        }  # fmt: skip

    def _named(self, file: str) -> dict[str, Any]:
        """An upload as the page shows it."""
        kept = self._state.files.get(file)
        name, title, alt = (kept.name, kept.title, kept.alt) if kept else (file, "", "")
        return {"id": file, "name": name, "title": title, "alt": alt, "picture": name.endswith(".png")}

    def _view(self, view: View) -> dict[str, Any]:
        return payload(self._state, view) | {"errors": view.errors, "user": view.user}

    async def _shown(self, _request: web.Request) -> web.Response:
        rooms = self._state.world.messages.values()
        return web.json_response({"messages": [asdict(posted) for room in rooms for posted in room.values()]})

    async def _calls(self, _request: web.Request) -> web.Response:
        return web.json_response({"calls": [asdict(call) for call in self._api.calls]})

    async def _file(self, request: web.Request) -> web.Response:
        file = self._state.files.get(request.match_info["id"])
        if file is None or not file.content:
            return web.Response(status=404)
        kind = "image/png" if file.content.startswith(b"\x89PNG") else "application/octet-stream"
        return web.Response(body=file.content, content_type=kind, headers={"X-Content-Type-Options": "nosniff"})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Changes as they come, those after `after` first."""
        after = int(request.query.get("after") or request.headers.get("Last-Event-ID") or 0)
        line = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await line.prepare(request)
        waiting: asyncio.Queue[Change] = asyncio.Queue(maxsize=MAX_CHANGES)
        for change in self._state.world.changes:
            if after and change.seq > after:
                waiting.put_nowait(change)
        leave = self._state.world.listen(lambda change: None if waiting.full() else waiting.put_nowait(change))
        try:
            while True:
                await line.write(await self._next(waiting))
        except ConnectionError:
            pass
        finally:
            leave()
        return line

    async def _next(self, waiting: asyncio.Queue[Change]) -> bytes:
        try:
            change = await asyncio.wait_for(waiting.get(), BEAT_S)
        except TimeoutError:
            return b": quiet\n\n"
        return f"id: {change.seq}\ndata: {json.dumps(asdict(change))}\n\n".encode()


@web.middleware
async def at_home(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer only whoever calls this machine by a loopback name: another name is a page that rebound its own."""
    host = urlsplit(f"//{request.host}").hostname or ""
    if host not in HOME and not host.endswith(".localhost"):  # which is nobody's to rebind: RFC 6761
        return web.json_response({"error": "the local Slack answers on loopback only"}, status=403)
    return await handler(request)


def _json_only(handle: Handle) -> Handle:
    async def checked(request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return web.json_response({"error": "send application/json"}, status=415)
        return await handle(request)

    return checked


def _acting(act: Act) -> Handle:
    async def handle(request: web.Request) -> web.Response:
        try:
            wanted = await request.json()
            outcome = await act(wanted)
        except KeyError as missing:
            return web.json_response({"error": f"{missing} is missing"}, status=400)
        except (LookupError, ValueError) as wrong:
            return web.json_response({"error": str(wrong)}, status=400)
        if outcome.errors:
            return web.json_response({"errors": dict(outcome.errors)})
        return web.json_response({"said": outcome.error} if outcome.error else {})

    return handle


async def _index(_request: web.Request) -> web.StreamResponse:
    index = PAGE / "index.html"
    if not index.is_file():
        return web.Response(text="The page of the local Slack is not installed.")
    return web.FileResponse(index)
