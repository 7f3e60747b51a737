"""A TCP proxy that behaves like a bad network, and one that knows what passes: between Andon, its store and Sentinels.

What a network drops is sent again by TCP until it comes through, so here it is *held*: nothing passes while a way is
cut, and all of it arrives late once it heals, unless the connection has been given up by then. Each direction is cut by
itself. Peers are told apart by the address they come from (`bind-source-addr` of a server), so that one may be cut off
from a server that another one reaches.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

HOST: Final = "127.0.0.1"
RETRANSMIT_S: Final = 0.2  # Linux sends a lost segment again after this long, at the least
_CHUNK: Final = 65_536
_OVERLAP: Final = 256  # of what has passed, so that a mark torn between two chunks is found

Way = Literal["to", "from"]  # the server, or back
Moment = Literal["request", "answer", "said"]  # lost on its way there, on its way back, or an answer with the mark


@dataclass(slots=True)
class Weather:
    """How it is between peers and one server. `peer` "": everybody."""

    cut: set[tuple[str, Way]] = field(default_factory=set)
    slow: dict[str, float] = field(default_factory=dict)  # seconds that each chunk to or from a peer takes longer
    loss: float = 0.0  # how much of what passes has to be sent again
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def set(self, *, cut: bool, ways: tuple[Way, ...] = ("to", "from"), peers: tuple[str, ...] = ("",)) -> None:
        """Cut, or heal, these ways for these peers."""
        which = {(peer, way) for peer in peers for way in ways}
        self.cut = self.cut | which if cut else self.cut - which
        self.changed.set()
        self.changed = asyncio.Event()

    async def passes(self, peer: str, way: Way, chance: random.Random) -> None:
        """Return when what is on this way gets through."""
        delay = self.slow.get(peer, self.slow.get("", 0.0))
        while self.loss and chance.random() < self.loss:
            delay += RETRANSMIT_S
        if delay:
            await asyncio.sleep(delay)
        while {(peer, way), ("", way)} & self.cut:
            await self.changed.wait()


@dataclass(slots=True)
class Trip:
    """Once `mark` is seen, the bytes that carry it are lost, and so is every connection, until `Proxy.mend`."""

    mark: bytes
    moment: Moment
    sprung: asyncio.Event = field(default_factory=asyncio.Event)


class Proxy:
    """In front of one server. `port` is where it listens."""

    def __init__(self, port: int, to: int, seed: int = 0) -> None:
        self.port = port
        self.weather = Weather()
        self._to = to
        self._chance = random.Random(seed)
        self._trip: Trip | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._serve, HOST, self.port)

    async def close(self) -> None:
        """No more connections, and none that was there."""
        if self._server is not None:
            self._server.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Every connection breaks."""
        for writer in list(self._writers):
            writer.transport.abort()

    def trip(self, mark: bytes, moment: Moment) -> Trip:
        """Break everything in the moment when `mark` is sent (or answered: "said"). Await the returned trip's event."""
        self._trip = Trip(mark, moment)
        return self._trip

    def lead_to(self, port: int) -> None:
        """Another server stands behind it from now on."""
        self._to = port
        self.hang_up()

    def mend(self) -> None:
        """Connections are taken again."""
        self._trip = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")[0]
        self._writers.add(writer)
        back: asyncio.StreamWriter | None = None
        try:
            await self.weather.passes(peer, "to", self._chance)
            if self._trip is not None and self._trip.sprung.is_set():
                raise ConnectionResetError("the trip went off")
            there, back = await asyncio.open_connection(HOST, self._to)
            self._writers.add(back)
            seen = asyncio.Event()  # the mark went there, and its answer is to be lost
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, back, peer, "to", seen))
                group.create_task(self._pump(there, writer, peer, "from", seen))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for end in (writer, back):
                if end is not None:
                    self._writers.discard(end)
                    end.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str, way: Way, seen: asyncio.Event
    ) -> None:
        """One direction until its end; a connection that ends on one side is closed on the other."""
        tail = b""
        while data := await reader.read(_CHUNK):
            await self.weather.passes(peer, way, self._chance)
            trip = self._trip
            if trip is not None and self._springs(trip, tail + data, way, seen):
                raise ConnectionResetError("the trip went off")
            tail = (tail + data)[-_OVERLAP:]
            writer.write(data)
            await writer.drain()
        await self.weather.passes(peer, way, self._chance)  # an end of the stream is lost like anything else
        raise ConnectionResetError("one side ended")

    def _springs(self, trip: Trip, text: bytes, way: Way, seen: asyncio.Event) -> bool:
        """Whether this is the moment, or it has been; the bytes at hand are then lost."""
        match trip.moment, way:
            case "request", "to":
                is_it = trip.mark in text
            case "answer", "to":
                if trip.mark in text:
                    seen.set()
                is_it = False
            case "answer", "from":
                is_it = seen.is_set()
            case _:
                is_it = way == "from" and trip.mark in text
        if is_it and not trip.sprung.is_set():
            trip.sprung.set()
            self.hang_up()
        return trip.sprung.is_set()


@asynccontextmanager
async def proxied(port: int, to: int, seed: int = 0) -> AsyncIterator[Proxy]:
    """A proxy that listens on `port`, in front of the server on `to`."""
    proxy = Proxy(port, to, seed)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()
