"""The line to Redis or Valkey: connections, scripts, and errors in Andon's own words.

Used by the store's reads and writes. Commands share a bounded pool; every waiting read has a connection of its own,
so that a read which waits never delays a write. Nothing is retried here: a lost reply does not say whether the write
happened, so whoever asked decides (a repeated commit meets its own version and is a conflict, not a second effect).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

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
MAX_BLOCK_MS = 10_000  # a waiting read asks for less than its socket's timeout, or redis-py would give up first
WAITING_TIMEOUT_S = MAX_BLOCK_MS / 1000 + COMMAND_TIMEOUT_S

ScriptName: TypeAlias = Literal["append", "commit", "report", "claim_due", "dead_letter"]
_SCRIPTS: tuple[ScriptName, ...] = ("append", "commit", "report", "claim_due", "dead_letter")
Argument: TypeAlias = bytes | str | int | float


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise what goes wrong inside as errors of `bot.errors`; `doing` says what was tried."""
    try:
        yield
    except ResponseError as error:
        if str(error).startswith("WRONGTYPE"):
            raise RecordForged(f"{doing}: {error}") from error
        raise StoreUnavailable(f"{doing}: {error}") from error
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"{doing}: {error}") from error


def connect(url: str, *, waiting: bool = False) -> Redis:
    """A client for `url` (redis://, rediss://, unix://): bytes in, bytes out, bounded, never retrying by itself."""
    pool_class = ConnectionPool if waiting else BlockingConnectionPool
    bounds: dict[str, Any] = (
        {"max_connections": MAX_WAITING_READS}
        if waiting
        else {"max_connections": MAX_CONNECTIONS, "timeout": POOL_WAIT_S}
    )
    try:
        pool = pool_class.from_url(
            url,
            decode_responses=False,
            protocol=2,  # one shape of replies on every server
            socket_timeout=WAITING_TIMEOUT_S if waiting else COMMAND_TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            **bounds,
        )
    except ValueError as error:
        raise ConfigError(f"store url: {error}") from error
    client: Redis = Redis.from_pool(pool)
    return client


class RedisLink:
    """Both kinds of connection to one store, and its scripts."""

    def __init__(self, url: str) -> None:
        # redis-py's annotations give every reply as "bytes or str or None or …"; here it is bytes, so they only hinder.
        self.commands: Any = connect(url)
        self.waiting: Any = connect(url, waiting=True)
        folder = Path(__file__).with_name("lua")
        self._sources = {name: (folder / f"{name}.lua").read_bytes() for name in _SCRIPTS}
        self._digests = {
            name: hashlib.sha1(source, usedforsecurity=False).hexdigest() for name, source in self._sources.items()
        }

    async def run(self, script: ScriptName, keys: Sequence[bytes], arguments: Sequence[Argument]) -> Any:
        """Run a script in one round trip (two when the server has forgotten it: it restarted)."""
        try:
            return await self.commands.execute_command("EVALSHA", self._digests[script], len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.commands.execute_command("EVAL", self._sources[script], len(keys), *keys, *arguments)

    async def close(self) -> None:
        """Give back every connection."""
        await self.commands.aclose()
        await self.waiting.aclose()
