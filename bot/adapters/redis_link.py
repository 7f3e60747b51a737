"""The line to Redis or Valkey: connections, scripts, time limits, and errors in Andon's own words.

Used by the store's reads and writes. Commands share a bounded pool; every waiting read has a connection of its own,
so that a read which waits never delays a write. Nothing is retried here: a lost reply does not say whether the write
happened, so whoever asked decides (a repeated commit meets its own version and is a conflict, not a second effect).
Behind Sentinels the line follows the primary (`redis_primary`); writes wait for replicas (`redis_replicas`).

Hot calls are packed by hiredis and read raw: redis-py's own path through a command costs about twice as much.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

import hiredis
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from bot.adapters.redis_primary import Behind, Line, Route, leads_astray, only_a_primary
from bot.adapters.redis_replicas import Replicas
from bot.adapters.sentinels import Sentinels, Server, place
from bot.errors import ConfigError, RecordForged, StoreUnavailable

MAX_CONNECTIONS = 16  # commands under way at once; each is about half a millisecond, so more would only queue there
MAX_WAITING_READS = 256  # two a shard: far above any number of trading systems
POOL_WAIT_S = 2.0  # for a free connection; longer means the store has stalled, and callers answer 503
COMMAND_TIMEOUT_S = 5.0  # a script over hundreds of changes takes milliseconds; an AOF fsync on a slow disk a second
CONNECT_TIMEOUT_S = 2.0
MAX_BLOCK_MS = 10_000  # of one waiting read; its time limit is this and a command's

_UNREADABLE = (
    "store url: not an address like redis://USER:PASSWORD@HOST:PORT/0 (rediss:// and unix:// too); "
    "in user and password write # as %23, / as %2F, ? as %3F, @ as %40, : as %3A, % as %25"
)

ScriptName: TypeAlias = Literal["append", "commit", "claim_due", "dead_letter", "retire"]
_SCRIPTS: tuple[ScriptName, ...] = ("append", "commit", "claim_due", "dead_letter", "retire")
Argument: TypeAlias = bytes | str | int | float
Command: TypeAlias = tuple[Argument, ...]


@asynccontextmanager
async def bounded(doing: str, seconds: float = COMMAND_TIMEOUT_S) -> AsyncIterator[None]:
    """Give what is inside `seconds`, and raise what goes wrong as errors of `bot.errors`; `doing` says what it was."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except ResponseError as error:
        if "WRONGTYPE" in str(error):  # in a pipeline it stands behind the command
            raise RecordForged(f"{doing}: {error}") from error
        raise StoreUnavailable(f"{doing}: {error}") from error
    except TimeoutError as error:
        raise StoreUnavailable(f"{doing}: no answer from the store within {seconds:g} s") from error
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"{doing}: {error}") from error


def connect(
    url: str, *, waiting: bool = False, username: str = "", password: str = "", primary_only: bool = False
) -> Redis:
    """A client for `url` (redis://, rediss://, unix://): bytes in, bytes out, never retrying by itself.

    It sets no time limit of its own on replies (redis-py's costs a task a command): use it inside `bounded`. Raises
    ConfigError, which quotes nothing of a URL that cannot be read: any part of it may be part of a password.
    `username` and `password` are for a URL that names no user of its own: the two are never mixed. `primary_only`: a
    server that is a replica is refused, with every new connection.
    """
    if _is_torn(url):
        raise ConfigError(_UNREADABLE)
    pool_class = ConnectionPool if waiting else BlockingConnectionPool
    options: dict[str, Any] = {"max_connections": MAX_WAITING_READS if waiting else MAX_CONNECTIONS}
    if not waiting:
        options["timeout"] = POOL_WAIT_S
    if primary_only:
        options["redis_connect_func"] = only_a_primary
    if "@" not in urlsplit(url).netloc:
        options |= {"username": username or None, "password": password or None}
    try:
        pool = pool_class.from_url(
            url,
            decode_responses=False,
            protocol=2,  # one shape of replies on every server
            socket_timeout=None,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            **options,
        )
    except ValueError:
        raise ConfigError(_UNREADABLE) from None  # its text quotes what it took for the port
    client: Redis = Redis.from_pool(pool)
    return client


def _is_torn(url: str) -> bool:
    """Whether a character in the password ended the address too early, so that its start would be taken for a host."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return True
    rest = parts.query + parts.fragment + ("" if parts.scheme == "unix" and not parts.netloc else parts.path)
    return bool(parts.fragment) or ("@" in rest and "@" not in parts.netloc)


class RedisLink:
    """Both kinds of connection to one store, and its scripts.

    `behind`: the Sentinels that know which server is primary; `url` then gives all but host and port. `wait_replicas`:
    how many replicas at least confirm what must outlive the primary; 0: none is asked for anything.
    """

    def __init__(
        self, url: str, *, username: str = "", password: str = "", behind: Behind | None = None, wait_replicas: int = 0
    ) -> None:
        def line(server: Server | None = None) -> Line:
            at = place(url, server) if server is not None else url
            made = partial(connect, at, username=username, password=password, primary_only=server is not None)
            return Line(made(), made(waiting=True), server)

        self._route: Route | None = None
        self._line: Line | None = None
        if behind is None:
            self._line = line()
        else:
            sentinels = Sentinels(
                behind.sentinels, behind.master, url=url, username=behind.username, password=behind.password
            )
            self._route = Route(sentinels, line, self._teach)
        self._replicas = Replicas(wait_replicas)
        folder = Path(__file__).with_name("lua")
        self._sources = {name: (folder / f"{name}.lua").read_bytes() for name in _SCRIPTS}
        self._digests = {
            name: hashlib.sha1(source, usedforsecurity=False).hexdigest() for name, source in self._sources.items()
        }

    @property
    def commands(self) -> Any:
        """The client for commands. Used inside `bounded`, like everything below."""
        return self._current.commands

    @property
    def standing(self) -> str:
        """Whether replicas confirm what is written, in words; "" where none is asked."""
        return self._replicas.standing

    @property
    def _current(self) -> Line:
        if self._route is not None:
            return self._route.current
        assert self._line is not None  # one or the other was made
        return self._line

    def bounded(self, doing: str, seconds: float = COMMAND_TIMEOUT_S) -> AbstractAsyncContextManager[None]:
        """`bounded`, on the line to the server that is primary now."""
        return bounded(doing, seconds) if self._route is None else _on_route(self._route, doing, seconds)

    async def run(self, script: ScriptName, keys: Sequence[bytes], arguments: Sequence[Argument]) -> Any:
        """Run a script in one round trip (two when the server has forgotten it: it restarted)."""
        return (await self._run(script, keys, arguments))[0]

    async def write(
        self, script: ScriptName, keys: Sequence[bytes], arguments: Sequence[Argument], *, needed: bool = False
    ) -> tuple[Any, int]:
        """`run`, for what somebody is answered for; and how many replicas confirmed it (-1: none was asked).

        They are asked on the same connection in the same round trip. What not all of them confirm counts once most
        Sentinels vouch for this server (`Replicas.told`); what must outlive it (`needed`) is for `insist` to refuse.
        """
        await self._look_for_replicas()
        line, wait = self._current, self._replicas.wait(needed=needed)
        reply, *told = await self._run(script, keys, arguments, *wait)
        confirmed = int(told[0]) if told else -1
        await self._vouch(line, self._replicas.told(confirmed, wait))
        return reply, confirmed

    def insist(self, doing: str, confirmed: int) -> None:
        """Raise StoreUnconfirmed when what was written needs its replicas, and too few confirmed it."""
        if confirmed >= 0:
            self._replicas.refuse(doing, confirmed)

    async def _teach(self, line: Line) -> None:
        """A new primary knows no scripts, and asking it for one would wait for replicas in vain before it said so.

        Nor does a write wait in vain for those that are not there: a failover leaves at least the old primary behind.
        """
        loads: list[Command] = [("SCRIPT", "LOAD", each) for each in self._sources.values()]
        *_, replication = await _exchange(line.commands.connection_pool, [*loads, ("INFO", "replication")])
        if self._route is not None:
            self._replicas.begin(replication, self._route.replicas)

    async def _run(
        self, script: ScriptName, keys: Sequence[bytes], arguments: Sequence[Argument], *then: Command
    ) -> list[Any]:
        try:
            return await self.ask_all([("EVALSHA", self._digests[script], len(keys), *keys, *arguments), *then])
        except NoScriptError:
            return await self.ask_all([("EVAL", self._sources[script], len(keys), *keys, *arguments), *then])

    async def _look_for_replicas(self) -> None:
        """Before a write: are there replicas again? While some are missing, the losing side of a cut writes nothing."""
        if self._route is not None:
            self._replicas.known(self._route.replicas)
        if self._replicas.is_due():
            self._replicas.seen(await self.ask("INFO", "replication"))
        await self._vouch(self._current, self._replicas.doubt())

    async def _vouch(self, line: Line, since: float | None) -> None:
        """Raise unless most Sentinels have heard the primary since: some replica lacks it, and may be elected."""
        if since is not None and self._route is not None:
            await self._route.vouch(line, since)

    async def ask(self, *command: Argument) -> Any:
        """The raw reply to one command."""
        return (await _exchange(self.commands.connection_pool, (command,)))[0]

    async def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """The raw replies to several commands, in one round trip; not one transaction."""
        return await _exchange(self.commands.connection_pool, commands) if commands else []

    async def wait_for(self, *command: Argument) -> Any:
        """The raw reply to a command that waits, on a connection that does nothing else meanwhile."""
        return (await _exchange(self._current.waiting.connection_pool, (command,)))[0]

    async def close(self) -> None:
        """Give back every connection."""
        if self._route is not None:
            await self._route.close()
        if self._line is not None:
            await self._line.commands.aclose()
            await self._line.waiting.aclose()


@asynccontextmanager
async def _on_route(route: Route, doing: str, seconds: float) -> AsyncIterator[None]:
    """`bounded`, for a store that may move: an exchange that fails as if it had moved makes the next one look anew."""
    line: Line | None = None
    try:
        async with bounded(doing, seconds):
            line = await route.line()
            yield
    except StoreUnavailable as error:
        if line is not None and leads_astray(error.__cause__):
            await route.drop(line)
        raise


async def _exchange(pool: Any, commands: Sequence[Command]) -> list[Any]:
    """Send commands together and read a reply to each; raises the first error among them once all are read.

    A connection on which sending or reading was interrupted is closed by redis-py, never reused half read.
    """
    # Its stub says a tuple of one; it takes any length.
    packed = b"".join([hiredis.pack_command(command) for command in commands])  # type: ignore[arg-type]
    connection = await pool.get_connection()
    try:
        await connection.send_packed_command(packed, check_health=False)
        replies: list[Any] = []
        failure: ResponseError | None = None
        for _ in commands:
            try:
                replies.append(await connection.read_response())
            except ResponseError as error:
                failure = failure or error
    finally:
        await pool.release(connection)
    if failure is not None:
        raise failure
    return replies
