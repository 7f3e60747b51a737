"""The local Slack, put together and listening on loopback.

Used by tests (`async with LocalSlack() as slack:` or `start`/`stop`), by the bench, and by `__main__` for the demo.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Self

from aiohttp import ClientSession, web

from bot.adapters.clock import wall_ms
from bot.core.words import Millis
from bot.sandbox.ports import free_port
from bot.sandbox.slack import api_files
from bot.sandbox.slack.acts import People
from bot.sandbox.slack.calls import Call
from bot.sandbox.slack.control import Control, at_home
from bot.sandbox.slack.courier import Courier
from bot.sandbox.slack.faults import Faults, Outage
from bot.sandbox.slack.mentions import links, pings
from bot.sandbox.slack.population import populate
from bot.sandbox.slack.pushes import Pushes
from bot.sandbox.slack.rates import Rates
from bot.sandbox.slack.responding import Responding
from bot.sandbox.slack.sockets import Sockets
from bot.sandbox.slack.state import State
from bot.sandbox.slack.web_api import WebApi
from bot.sandbox.slack.world import Block, World

HOST: Final = "127.0.0.1"
ENDING_S: Final = 0.2  # what is still being answered when it stops gets so long


class LocalSlack:
    """A Slack of one's own. After `start`: `api_url` for the SDK's `base_url`, `url` for the page.

    `world`: what is there; `people`: act as somebody; `faults`, `rates`: what goes wrong; `calls`: what the app asked.
    """

    def __init__(
        self, now: Callable[[], Millis] = wall_ms, *, port: int = 0, empty: bool = False, host: str = HOST
    ) -> None:
        """`host`: the name by which the app knows this one. Uploads and answers then go to `files.` below it, as with
        Slack's own; whoever gives a name sees to it that both lead here."""
        self.world = World(now)
        if not empty:
            populate(self.world)
        self.faults = Faults()
        self.state = State(self.world, self.faults)
        self.rates = Rates(now)
        self.sockets = Sockets(self.state, self.faults)
        self._port = port or free_port()
        self._host = host
        self._api = WebApi(self.state, self.rates, self.faults)
        self._stack = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Listen; on the same port again after `stop`."""
        tasks = await self._stack.enter_async_context(_Tasks())
        session = await self._stack.enter_async_context(ClientSession(trust_env=False))
        self.pushes = Pushes(self.state, self.faults, session)
        app = self.world.app
        self.courier = Courier(self.sockets, self.pushes, lambda: bool(app.request_url), self.faults, tasks.spawn)
        self.people = People(self.state, self.courier)
        control = Control(self.state, self.people, self._api, self.faults, self.sockets)
        runner = web.AppRunner(self._application(control), access_log=None, shutdown_timeout=ENDING_S)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, HOST, self._port).start()
        self.state.base = self.url
        self.state.aside = self.url if self._host == HOST else f"http://files.{self._host}:{self._port}"
        self._stack.push_async_callback(self.sockets.close)

    async def stop(self) -> None:
        """End all connections and listen no more; the world stays."""
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """The page's address, without a slash at the end."""
        return f"http://{HOST}:{self._port}"

    @property
    def api_url(self) -> str:
        """For the SDK's `base_url`."""
        return f"http://{self._host}:{self._port}/api/"

    @property
    def calls(self) -> list[Call]:
        """Every call of the Web API so far."""
        return list(self._api.calls)

    def called(self, method: str) -> list[Call]:
        """The calls of one method."""
        return [call for call in self._api.calls if call.method == method]

    @property
    def pinged(self) -> frozenset[str]:
        """Live mentions in anything that the app ever showed."""
        return frozenset().union(*(pings(text, blocks) for text, blocks in self._said()))

    @property
    def linked(self) -> frozenset[str]:
        """Addresses in anything that the app ever showed."""
        return frozenset().union(*(links(text, blocks) for text, blocks in self._said()))

    def _said(self) -> Iterator[tuple[str, Sequence[Block]]]:
        for room in self.world.messages.values():
            for posted in room.values():
                if posted.user == self.world.app.user:
                    yield from ((version.text, version.blocks) for version in posted.versions)
        for view in self.state.views():
            yield from (("", body["blocks"]) for body in view.versions)

    def outage(self, how: Outage = "cut") -> None:
        """Slack is down from now on: sockets too. "" ends it."""
        self.faults.outage = how
        if how:
            self.sockets.cut()

    def _application(self, control: Control) -> web.Application:
        app = web.Application(client_max_size=api_files.MAX_FILE, middlewares=[at_home])
        app.add_routes(
            [
                *self._api.routes(),
                web.get("/link/", self.sockets.link),
                web.post("/respond/{key}", Responding(self.state, self.faults).respond),
                web.post("/upload/{id}", self._upload),
                *control.routes(),
            ]
        )
        return app

    async def _upload(self, request: web.Request) -> web.Response:
        if self.faults.outage or not api_files.take(self.state, request.match_info["id"], await request.read()):
            return web.Response(status=500, text="upload failed")
        return web.Response(text=f"OK - {request.content_length or 0}")


class _Tasks:
    """What goes on in the background while the local Slack is up; the rest is cancelled when it stops."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()

    def spawn(self, work: Any) -> None:
        """Begin a task."""
        task = self._group.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in tuple(self._running):
            task.cancel()
        await self._group.__aexit__(None, None, None)
