"""The way to a store behind Sentinels: always to whichever server is primary now.

Used by `redis_link`, which asks for the line before every exchange and gives back the one that failed. The Sentinels
are asked before connecting, after every failure, and again every `ASK_AGAIN_SECONDS`: an old primary goes on serving
its clients for ten seconds after a plain failover. Every new connection asks its server for its role before anything
else, so that a Sentinel which is behind never leads to a replica. Nothing is sent again here: whoever asked decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog
from redis.exceptions import BusyLoadingError, MasterDownError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from bot.adapters.sentinels import Primary, Sentinels, Server
from bot.errors import StoreUnavailable

ASK_AGAIN_SECONDS: Final = 2.0  # a millisecond's question; a write to a demoted primary is unconfirmed after one second
VOUCH_SECONDS: Final = 2.0  # to wait for most Sentinels to hear from the primary once more: they ping it every second
PAUSE_SECONDS: Final = 0.1  # after a look that found nobody: a hundred callers a second must not become a hundred looks
_NOT_PRIMARY: Final = ("UNBLOCKED", "NOREPLICAS")  # demoted while it waited; a primary that has lost its replicas

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """Where the store's Sentinels are, what they call it, and how they are logged in to."""

    sentinels: tuple[str, ...]
    master: str
    username: str = ""
    password: str = ""


@dataclass(slots=True, eq=False)
class Line:
    """The connections to one server: for commands, and for reads that wait."""

    commands: Any  # redis-py's annotations give every reply as "bytes or str or None or …"; here it is bytes
    waiting: Any
    server: Server | None = None  # behind Sentinels

    async def close(self) -> None:
        """Break every connection, also those in use: what waits on them must not wait for a server that was left."""
        for client in (self.commands, self.waiting):
            with suppress(RedisError, OSError):  # it is gone all the same
                await client.connection_pool.disconnect()
            await client.aclose()


class Route:
    """Finds the primary and keeps the line to it.

    `connect` makes a line to a server, and connects nothing yet; `greet` says the first words on it.
    """

    def __init__(
        self, sentinels: Sentinels, connect: Callable[[Server], Line], greet: Callable[[Line], Awaitable[object]]
    ) -> None:
        self._sentinels = sentinels
        self._connect = connect
        self._greet = greet
        self._asking = asyncio.Lock()
        self._line: Line | None = None
        self._left: Line | None = None  # closed once more at the next look: a connection was perhaps being made
        self._said: Primary | None = None
        self._epoch = 0
        self._replicas = 0
        self._asked_at = float("-inf")
        self._failed_at = float("-inf")
        self._failure = ""

    @property
    def current(self) -> Line:
        """The line. Raises redis-py's ConnectionError while there is none."""
        if self._line is None:
            raise RedisConnectionError(self._failure or "the primary of the store is being looked for")
        return self._line

    @property
    def replicas(self) -> int:
        """How many replicas the Sentinels know, also those that are down: any of them may be the next primary."""
        return self._replicas

    async def line(self) -> Line:
        """The line to the primary, found anew where need be. Raises RedisError when there is none."""
        if self._line is not None and (not self._is_old() or self._asking.locked()):
            return self._line
        async with self._asking:
            if self._line is None or self._is_old():
                await self._look()
            return self.current

    async def drop(self, line: Line) -> None:
        """The line failed: what comes next finds the primary anew."""
        if self._line is line:
            self._line, self._asked_at = None, float("-inf")
            await self._leave(line)

    async def vouch(self, line: Line, since: float) -> None:
        """Return when most Sentinels call this line's server primary and have heard from it at `since` or later.

        They are asked only where what is known is older. StoreUnavailable after `VOUCH_SECONDS`, or when it is another.
        """
        clock = asyncio.get_running_loop().time
        gives_up_at = clock() + VOUCH_SECONDS
        while True:
            if self.current is not line:
                raise StoreUnavailable("another server has become the store's primary meanwhile")
            if self._vouched_at >= since:
                return
            now = clock()
            if now >= gives_up_at:
                raise StoreUnavailable(
                    "not all replicas confirm writes, and most Sentinels do not answer or do not hear the primary: "
                    "this may be the side that is cut off"
                )
            async with self._asking:
                if self._asked_at < now:
                    await self._look()
            if self._vouched_at < since:
                await asyncio.sleep(PAUSE_SECONDS)  # until a Sentinel has pinged it again

    @property
    def _vouched_at(self) -> float:
        """When most Sentinels are known to have heard from the line's server, on this process's monotonic clock."""
        return self._asked_at - self._said.silent if self._said is not None else float("-inf")

    async def close(self) -> None:
        """Give back every connection."""
        line, self._line = self._line, None
        for each in (line, self._left):
            if each is not None:
                await each.close()
        await self._sentinels.close()

    def _is_old(self) -> bool:
        return asyncio.get_running_loop().time() - self._asked_at >= ASK_AGAIN_SECONDS

    async def _look(self) -> None:
        """Ask the Sentinels, and connect where they point. Only one look is under way at a time."""
        now = asyncio.get_running_loop().time()
        if self._line is None and now - self._failed_at < PAUSE_SECONDS:
            raise RedisConnectionError(self._failure)
        if self._left is not None:
            left, self._left = self._left, None
            await left.close()
        try:
            said = await self._ask()
            if said is not None:
                self._replicas = said.replicas if said.is_majority else max(said.replicas, self._replicas)
            if said is not None and (self._line is None or self._line.server != said.server):
                await self._go_to(said)
        except (RedisError, OSError) as error:
            self._failed_at, self._failure = asyncio.get_running_loop().time(), str(error)
            raise
        self._said, self._asked_at = said, now
        if said is not None:
            self._epoch = said.epoch

    async def _ask(self) -> Primary | None:
        """What the Sentinels say. None: nothing that counts, and the line there is goes on serving."""
        try:
            said = await self._sentinels.primary()
        except RedisError:
            if self._line is None:
                raise
            return None
        if said.epoch < self._epoch and not said.is_majority:  # those that answer have slept through a failover
            if self._line is None:
                raise RedisConnectionError("only Sentinels that have missed the last failover answer")
            return None
        return said

    async def _go_to(self, said: Primary) -> None:
        before = self._line
        if before is not None:
            self._line = None
            await self._leave(before)
        line = self._connect(said.server)
        try:
            await self._greet(line)  # the first connection, and with it the server's role
        except BaseException:
            await line.close()
            raise
        if before is not None or said.epoch != self._epoch:
            log.info("store_primary", address=":".join(map(str, said.server)), epoch=said.epoch)
        self._line = line

    async def _leave(self, line: Line) -> None:
        left, self._left = self._left, line
        await line.close()
        if left is not None:
            await left.close()


async def only_a_primary(connection: Any) -> None:
    """What every new connection does first: log in, and see whether this is the primary. For `redis_connect_func`."""
    await connection.on_connect()
    await connection.send_command("INFO", "replication")
    facts: bytes = await connection.read_response()
    if b"role:master" not in facts:
        raise RedisConnectionError(f"{connection.host}:{connection.port} is a replica, not the primary")


def leads_astray(error: BaseException | None) -> bool:
    """Whether an exchange failed in a way that puts the line itself in doubt: gone, silent, or not primary any more."""
    if isinstance(error, ReadOnlyError | MasterDownError | BusyLoadingError):
        return True
    if isinstance(error, ResponseError):
        return str(error).startswith(_NOT_PRIMARY)
    return isinstance(error, RedisError | OSError | TimeoutError)
