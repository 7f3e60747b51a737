"""The line to Redis or Valkey: connections, scripts, time limits, and errors in Andon's own words.

Used by the store's reads and writes. Commands share a bounded pool; every waiting read has a connection of its own,
so that a read which waits never delays a write. Nothing is retried here: a lost reply does not say whether the write
happened, so whoever asked decides (a repeated commit meets its own version and is a conflict, not a second effect).

Hot calls are packed by hiredis and read raw: redis-py's own path through a command costs about twice as much.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

import hiredis
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

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
        if str(error).startswith("WRONGTYPE"):
            raise RecordForged(f"{doing}: {error}") from error
        raise StoreUnavailable(f"{doing}: {error}") from error
    except TimeoutError as error:
        raise StoreUnavailable(f"{doing}: no answer from the store within {seconds:g} s") from error
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"{doing}: {error}") from error


def connect(url: str, *, waiting: bool = False, username: str = "", password: str = "") -> Redis:
    """A client for `url` (redis://, rediss://, unix://): bytes in, bytes out, never retrying by itself.

    It sets no time limit of its own on replies (redis-py's costs a task a command): use it inside `bounded`. Raises
    ConfigError, which quotes nothing of a URL that cannot be read: any part of it may be part of a password.
    `username` and `password` are for a URL that names no user of its own: the two are never mixed.
    """
    if _is_torn(url):
        raise ConfigError(_UNREADABLE)
    pool_class = ConnectionPool if waiting else BlockingConnectionPool
    options: dict[str, Any] = {"max_connections": MAX_WAITING_READS if waiting else MAX_CONNECTIONS}
    if not waiting:
        options["timeout"] = POOL_WAIT_S
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
    """Both kinds of connection to one store, and its scripts."""

    def __init__(self, url: str, *, username: str = "", password: str = "") -> None:
        # redis-py's annotations give every reply as "bytes or str or None or …"; here it is bytes, so they only hinder.
        self.commands: Any = connect(url, username=username, password=password)
        self._waiting: Any = connect(url, waiting=True, username=username, password=password)
        folder = Path(__file__).with_name("lua")
        self._sources = {name: (folder / f"{name}.lua").read_bytes() for name in _SCRIPTS}
        self._digests = {
            name: hashlib.sha1(source, usedforsecurity=False).hexdigest() for name, source in self._sources.items()
        }

    async def run(self, script: ScriptName, keys: Sequence[bytes], arguments: Sequence[Argument]) -> Any:
        """Run a script in one round trip (two when the server has forgotten it: it restarted)."""
        try:
            return await self.ask("EVALSHA", self._digests[script], len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.ask("EVAL", self._sources[script], len(keys), *keys, *arguments)

    async def ask(self, *command: Argument) -> Any:
        """The raw reply to one command."""
        return (await _exchange(self.commands.connection_pool, (command,)))[0]

    async def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """The raw replies to several commands, in one round trip; not one transaction."""
        return await _exchange(self.commands.connection_pool, commands) if commands else []

    async def wait_for(self, *command: Argument) -> Any:
        """The raw reply to a command that waits, on a connection that does nothing else meanwhile."""
        return (await _exchange(self._waiting.connection_pool, (command,)))[0]

    async def close(self) -> None:
        """Give back every connection."""
        await self.commands.aclose()
        await self._waiting.aclose()


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
