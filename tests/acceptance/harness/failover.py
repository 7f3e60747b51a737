"""A slow Redis and an Andon that can be killed at any point of the failover: row T3 without a monitoring in between.

The simulated trading-core with its real primary, replica and Sentinels posts its own alert; `andon serve` runs the
shipped policy. Between Andon and the Sentinels stand wires that see the request for a failover pass, and can hold it,
or hold its answer, until Andon is dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
import yaml

from bot.demo import config as demo_config
from bot.demo.config import Place
from bot.sandbox.children import Child, Unmet, python, until
from bot.sandbox.ports import free_port
from bot.sandbox.topology import HOST, Node, ask
from tests.acceptance.harness.floor import STEP_WITHIN, TIMEOUT, TOKEN, Floor
from tests.acceptance.harness.services import START_WITHIN

Hold = Literal["", "request", "answer"]
MARK = b"COORDINATED"  # the request for a failover that stops writes first


class Wire:
    """A way to one Sentinel. `hold`: what of a request for a failover does not get through."""

    def __init__(self, wires: Wires, host: str, port: int) -> None:
        self._wires = wires
        self._to = (host, port)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of Andon's."""
        there, back = await asyncio.open_connection(*self._to)
        asked = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._requests(reader, back, asked))
                group.create_task(self._answers(there, writer, asked))
        except* OSError:
            pass
        finally:
            for end in (writer, back):
                end.close()

    async def _requests(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, asked: asyncio.Event) -> None:
        while data := await reader.read(65_536):
            if MARK in data:
                self._wires.requests += 1
                if self._wires.hold == "request":
                    self._wires.held.set()
                    continue
                asked.set()
            back.write(data)
        back.close()

    async def _answers(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: asyncio.Event) -> None:
        while data := await there.read(65_536):
            if asked.is_set() and self._wires.hold == "answer":
                self._wires.held.set()
                continue
            writer.write(data)
        writer.close()


class Wires:
    """All ways to the Sentinels."""

    def __init__(self) -> None:
        self.hold: Hold = ""
        self.held = asyncio.Event()
        self.requests = 0  # for a failover, that Andon sent

    async def open(self, stack: AsyncExitStack, sentinels: list[str]) -> list[str]:
        """A wire to each Sentinel; where Andon finds them."""
        found = []
        for address in sentinels:
            host, _, port = address.rpartition(":")
            server = await asyncio.start_server(Wire(self, host, int(port)).serve, HOST, 0)
            stack.callback(server.close)
            found.append(f"{HOST}:{server.sockets[0].getsockname()[1]}")
        return found


class FailoverFloor(Floor):
    """What a scenario of row T3 holds. Made by `open_failover_floor`."""

    wires: Wires
    home: Node
    replica: Node
    sentinel: Node

    async def begin(self, stack: AsyncExitStack, hold: Hold) -> None:
        """Start the trading system and Andon, to be ended in reverse order with `stack`."""
        sandbox = await Child.start(
            "sandbox",
            python(
                "bot.sandbox", "--with-parent", "--valkey-dir", str(self.folder / "valkey"),
                "--webhook", f"http://127.0.0.1:{self.place.port}/webhooks/alertmanager",
                "--webhook-token-file", str(self.place.token_file),
            ),
            self.folder / "sandbox.log",
            ready_line=True,
        )  # fmt: skip
        stack.push_async_callback(sandbox.end)
        self._children.append(sandbox)
        ready = json.loads(await sandbox.first_line(START_WITHIN))
        self._sandbox_url = ready["url"]
        self.home, self.replica = self._node(ready["valkey_url"]), self._node(ready["replica_url"])
        self.sentinel = self._node(f"redis://{ready['sentinels'][0]}")
        self.wires = Wires()
        self.wires.hold = hold
        demo_config.write_for(self.place, {**ready, "sentinels": await self.wires.open(stack, ready["sentinels"])})
        self._shorten()
        stack.push_async_callback(self.end_andon)
        await self.start_andon()

    def _shorten(self) -> None:
        """The wait between the two services, to save the tests time; and a busy test machine is slow at 5 ms, too."""
        path = self.place.directory / "policies" / "trading-core.yaml"
        document = yaml.safe_load(path.read_text())
        (latency,) = [policy for policy in document["policies"] if policy["name"] == "redis-latency"]
        failover, _, wait, _ = latency["plan"][0]["sequence"]
        failover["with"]["slow_us"], wait["wait"] = 10_000, "1s"
        path.write_text(yaml.safe_dump(document, sort_keys=False))

    async def slow(self) -> None:
        """The primary becomes slow, by itself."""
        await self.sandbox("POST", "/faults/latency", {"cause": "slow_commands", "server": "primary"})

    async def failovers(self) -> int:
        """How often the Sentinels have changed the primary: their epoch, which began at 0."""
        said = await ask(self.sentinel, "SENTINEL", "MASTER", self.place.master or "trading-core")
        return int(dict(zip(said[::2], said[1::2], strict=True))["config-epoch"])

    async def held(self) -> None:
        """Return when the request, or its answer, is held back."""

        async def look() -> bool:
            return self.wires.held.is_set()

        try:
            await until("a request for a failover is held", look, within=STEP_WITHIN)
        except Unmet as problem:
            raise Unmet(f"{problem}; {await self.api('GET', '/incidents?all=1')}") from None

    async def canary_written(self) -> None:
        """Return as soon as Andon has written its canary: it is reading back."""

        async def look() -> bool:
            return await ask(self.replica, "GET", "andon:canary") is not None

        await until("the canary is written", look, within=STEP_WITHIN)

    async def services(self) -> dict[str, Any]:
        """Each service's health, and the Redis that it writes to."""
        names = ("risk-harmoniser", "strategist")
        return {name: await self.sandbox("GET", f"/api/services/{name}/health") for name in names}

    def _node(self, url: str) -> Node:
        return Node("", urlsplit(url).port or 0, self.folder)


@asynccontextmanager
async def open_failover_floor(hold: Hold = "") -> AsyncIterator[FailoverFloor]:
    """A floor in real time; cleared away afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="andon-t3-"))  # short: a unix socket's path has some 100 bytes
    token = folder / "webhook.token"
    token.write_text(TOKEN)
    place = Place(
        directory=folder / "configs", data_dir=folder / "data", port=free_port(), urls={}, token_file=token,
        hold="1s", close="3s",
    )  # fmt: skip
    try:
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession(timeout=TIMEOUT))
            floor = FailoverFloor(folder, place, session)
            try:
                await floor.begin(stack, hold)
                yield floor
            except BaseException as problem:
                problem.add_note(floor.logs())
                raise
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder, ignore_errors=True)
