"""Streams of the trading systems' own Redis servers, read only: the real `ForeignStreams`.

Made by `bot.app` from targets.yaml, used by `bot.engine.streams`. One look is one transaction (`XINFO STREAM` and
`XRANGE`), so that what is counted and what is read are of the same moment; waiting is a bounded `XREAD`. The user it
logs in as needs `+client|setname +multi +exec +xinfo|stream +xrange +xread` and the streams' keys.

Behind Sentinels, the primary is asked for before connecting and again every few seconds: an old primary keeps serving
its clients for ten seconds after a failover. Nothing is retried here; the tailer looks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from bot.adapters import targets_credentials
from bot.adapters.sentinels import Sentinels, Server
from bot.adapters.sentinels import place as url_at
from bot.engine.stream_views import StreamView
from bot.errors import NotSent, Rejected, TargetError, Unknown
from policies.sources import StreamSource
from policies.targets import ComponentDoc, TargetsDocument

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 3.0  # of one command; a blocking read gets its own wait on top
ASK_AGAIN_SECONDS = 5.0  # who is primary; an old one is demoted some ten seconds after a failover
MAX_CONNECTIONS = 64  # to one foreign server: each of its streams holds one while it waits

Place: TypeAlias = tuple[str, str]  # system, component


@dataclass(slots=True)
class _Line:
    """The connection to one component, and whom it goes to."""

    document: ComponentDoc
    client: Any  # redis-py's annotations of replies only hinder
    address: Server | None = None  # the primary, behind Sentinels
    asked_at: float = 0.0


class RedisStreams:
    """Implements `bot.engine.streams.ForeignStreams`."""

    def __init__(self, document: TargetsDocument, environment: Mapping[str, str]) -> None:
        self._document = document
        self._environment = environment
        self._lines: dict[Place, _Line] = {}
        self._sentinels: dict[Place, Sentinels] = {}
        self._opening = asyncio.Lock()

    def replace(self, document: TargetsDocument) -> None:
        """Another targets.yaml is in force; what did not change stays connected, the rest is dropped when next used."""
        self._document = document

    async def close(self) -> None:
        """Close every connection."""
        for place in list(self._lines):
            await self._drop(place)

    async def view(self, source: StreamSource, after: str, count: int) -> StreamView:
        """The stream and its first `count` entries after this id. Raises TargetError and its children."""
        async with self._reading(source) as client, client.pipeline(transaction=True) as pipe:
            pipe.xinfo_stream(source.key)
            if count:
                pipe.xrange(source.key, min=f"({after}", max="+", count=count)
            told, *entries = await pipe.execute(raise_on_error=False)
            for answer in (told, *entries):
                if isinstance(answer, ResponseError) and "no such key" not in str(answer):
                    raise answer
            if isinstance(told, ResponseError):
                return StreamView()
            return StreamView(
                exists=True,
                first=told["first-entry"][0] if told["first-entry"] else "",
                last=told["last-generated-id"],
                length=told["length"],
                added=told.get("entries-added"),
                entries=tuple(entries[0]) if entries else (),
            )

    async def wait(self, source: StreamSource, after: str, block_ms: int) -> None:
        """Return once there are entries after this id, or after `block_ms`. Raises TargetError and its children."""
        async with self._reading(source, block_ms / 1_000) as client:
            await client.xread({source.key: after}, count=1, block=block_ms)

    @asynccontextmanager
    async def _reading(self, source: StreamSource, waits: float = 0.0) -> AsyncIterator[Any]:
        """The client of a stream's component, for one exchange, with what goes wrong in our own errors."""
        place = (source.system, source.component)
        try:
            async with asyncio.timeout(CONNECT_SECONDS + ANSWER_SECONDS + waits):
                line = await self._line(place)
                yield line.client
        except (ResponseError, AuthenticationError) as error:
            raise Rejected(f"{source.component} refused to read stream {source.key!r}: {error}") from error
        except (RedisError, OSError, TimeoutError) as error:
            await self._drop(place)
            slow = isinstance(error, TimeoutError) or "Timeout" in type(error).__name__
            kind = Unknown if slow else NotSent
            raise kind(f"{source.component} cannot be read: {type(error).__name__}") from error

    # --- connections -------------------------------------------------------------------------------------------------

    async def _line(self, place: Place) -> _Line:
        line = await self._line_or_none(place)
        if line is not None:
            return line
        document = self._document.component(*place)
        if document is None or document.connector != "redis":
            raise TargetError(f"targets.yaml lists no Redis called {place[1]!r} in {place[0]}")
        async with self._opening:
            if place not in self._lines:
                address = await self._primary(place, document) if document.sentinels else None
                asked_at = asyncio.get_running_loop().time()
                self._lines[place] = _Line(document, self._connect(place, document, address), address, asked_at)
        return self._lines[place]

    async def _line_or_none(self, place: Place) -> _Line | None:
        """The line that is open, unless it leads to what is not in the file, or not the primary, any more."""
        line = self._lines.get(place)
        if line is None:
            return None
        if line.document != self._document.component(*place):
            await self._drop(place)
            return None
        now = asyncio.get_running_loop().time()
        if line.address is not None and now - line.asked_at >= ASK_AGAIN_SECONDS:
            line.asked_at = now
            if await self._primary(place, line.document) != line.address:
                await self._drop(place)
                return None
        return line

    async def _drop(self, place: Place) -> None:
        line = self._lines.pop(place, None)
        if line is not None:
            await line.client.aclose()
            await line.client.connection_pool.disconnect()
        watchers = self._sentinels.pop(place, None)
        if watchers is not None:
            await watchers.close()

    async def _primary(self, place: Place, document: ComponentDoc) -> Server:
        """Whom the Sentinels call primary. Raises MasterNotFoundError, which is a RedisError."""
        if place not in self._sentinels:
            self._sentinels[place] = Sentinels(document.sentinels, document.master, url=document.url)
        return (await self._sentinels[place].primary()).server

    def _connect(self, place: Place, document: ComponentDoc, address: Server | None) -> Any:
        secret = targets_credentials.resolve(document.credentials, self._environment, owner=" of ".join(place[::-1]))
        login = {"password": secret.get_secret_value()} if secret is not None else {}
        if document.username:
            login["username"] = document.username
        pool = BlockingConnectionPool.from_url(
            document.url if address is None else url_at(document.url, address),
            max_connections=MAX_CONNECTIONS,
            timeout=ANSWER_SECONDS,
            socket_timeout=None,  # every exchange has its own time limit
            socket_connect_timeout=CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            client_name="andon-streams",
            protocol=2,
            decode_responses=True,
            encoding_errors="replace",
            **login,
        )
        return Redis.from_pool(pool)
