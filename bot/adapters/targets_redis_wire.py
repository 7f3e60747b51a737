"""One server of a trading system's Redis: pooled connections for reading, one of its own for every command that acts.

Made by `targets_redis` for each address that a component has. A command with an effect leaves at most once: on a fresh
connection, whose making and logging in prove nothing was sent when they fail; only then is the command written, and
from its first byte on an answer is needed to know what became of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from math import ceil
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError

from bot.adapters.connectors_breaker import Breaker
from bot.adapters.sentinel_words import words_of
from bot.engine.connector_ports import RedisValue
from bot.errors import NotSent, Rejected, Unknown

TIMEOUT_SECONDS = 0.8  # one command or one connect; two attempts fit into the reader's 2 s
SEND_SECONDS = 4.0  # one command with an effect, connecting included; as for an HTTP API
MAX_CONNECTIONS = 8  # to somebody else's Redis, whose clients are limited
MAX_TEXT = 262_144  # characters of a reply; more is cut off (a CLIENT LIST of a thousand clients still fits)
MAX_ITEMS = 5_000  # of a reply, nested ones included
MAX_QUOTED = 200  # characters of a refusal shown to a person

_ANSWERS = (ResponseError, BusyLoadingError, AuthenticationError)  # the server said no, whatever redis-py makes of it


class Server:
    """One server at one address."""

    def __init__(self, name: str, url: str, *, login: dict[str, str], killed: Callable[[], str]) -> None:
        """`name`: of component and server, for messages; `killed`: who stopped every action and why, or ""."""
        self.name = name
        self.breaker = Breaker(name)
        self._killed = killed
        self._client: Any = Redis(
            connection_pool=BlockingConnectionPool.from_url(
                url,
                max_connections=MAX_CONNECTIONS,
                timeout=TIMEOUT_SECONDS,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),  # the breaker's `read` retries
                client_name="andon-reader",
                protocol=2,
                decode_responses=True,
                encoding_errors="replace",
                **login,
            )
        )
        self._client.response_callbacks.clear()  # replies as the server writes them

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    async def ask(self, *commands: Sequence[str]) -> list[Any]:
        """Replies to commands that change nothing, in one round trip, once. Rejected: the first refusal."""
        pipe = self._client.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        try:
            replies: list[Any] = await pipe.execute(raise_on_error=False)
        except _ANSWERS as error:
            raise Rejected(f"{self.name} refused: {_said(error)}") from error
        except (RedisError, OSError, TimeoutError) as error:
            slow = isinstance(error, TimeoutError) or "Timeout" in type(error).__name__
            raise (Unknown if slow else NotSent)(f"{self.name} cannot be read: {words_of(error)}") from error
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, Exception):
                raise Rejected(f"{self.name} refused to read ({' '.join(command)[:80]}): {_said(reply)}") from reply
        return replies

    async def act(self, command: Sequence[str], *, as_primary: bool) -> RedisValue:
        """One command with an effect, at most once; `as_primary`: only if the server calls itself primary.

        NotSent: no byte of it left. Rejected: the server said no. Unknown: it left, and no answer came.
        """
        return await self.breaker.once(lambda: self._act(command, as_primary))

    async def _act(self, command: Sequence[str], as_primary: bool) -> RedisValue:
        connection = self._client.connection_pool.make_connection()
        written = False
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await connection.connect()
                if as_primary:
                    await connection.send_command("ROLE")
                    role = (await connection.read_response())[0]
                    if role != "master":
                        raise NotSent(f"{self.name} is no primary any more ({role})")
                if why := self._killed():
                    raise NotSent(why)
                written = True
                await connection.send_command(*command)
                return bounded(await connection.read_response())
        except _ANSWERS as error:
            raise (Rejected if written else NotSent)(f"{self.name} refused: {_said(error)}") from error
        except (RedisError, OSError, TimeoutError) as error:
            if written:
                raise Unknown(f"{self.name} got {command[0]} and did not answer: {words_of(error)}") from error
            raise NotSent(f"{self.name} cannot be reached: {words_of(error)}") from error
        finally:
            await connection.disconnect(nowait=True)

    async def p99_us(self, samples: int, within: float) -> float | None:
        """The 99th percentile of the round trips of up to `samples` PINGs, in microseconds; None: not one came back.

        Measured on a connection of its own, at most `within` seconds. A PING without an answer counts with the
        time that was waited for it.
        """
        connection = self._client.connection_pool.make_connection()

        async def ping() -> None:
            await connection.send_command("PING")
            await connection.read_response()

        began = time.perf_counter()
        try:
            async with asyncio.timeout(within):
                await connection.connect()
            taken = await round_trips(ping, samples, within - (time.perf_counter() - began))
        except (RedisError, OSError, TimeoutError):
            return None
        finally:
            await connection.disconnect(nowait=True)
        return percentile_99(taken) * 1_000_000 if taken else None


async def round_trips(ping: Callable[[], Awaitable[None]], samples: int, within: float) -> list[float]:
    """What each of up to `samples` pings took, in seconds, one after another; the last may be one without an answer.

    At most `within` seconds, looked at after each one too: the time-out alone is not enough, for redis-py can lose its
    cancellation (asyncio.wait_for of Python 3.11), and then all samples of a slow server would be waited for.
    """
    clock = time.perf_counter  # the loop's own clock may only know milliseconds
    ends = clock() + within
    taken: list[float] = []
    began: float | None = None
    try:
        async with asyncio.timeout(within):
            while len(taken) < samples and clock() < ends:
                began = clock()
                await ping()
                taken.append(clock() - began)
                began = None
    except TimeoutError:
        if began is not None:
            taken.append(clock() - began)
    return taken


def percentile_99(taken: Sequence[float]) -> float:
    """The least of the values that at least 99 % of them do not exceed."""
    return sorted(taken)[ceil(len(taken) * 0.99) - 1]


def bounded(reply: Any) -> RedisValue:
    """A reply as text, figures and lists; what is longer than the bounds is cut off."""
    room = [MAX_ITEMS, MAX_TEXT]

    def cut(value: Any, depth: int) -> RedisValue:
        match value:
            case list() | tuple():
                items: list[RedisValue] = []
                for one in value if depth else ():
                    if min(room) <= 0:
                        break
                    room[0] -= 1
                    items.append(cut(one, depth - 1))
                return items
            case None | int():
                return value
            case _:
                text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
                text = text[: max(room[1], 0)]
                room[1] -= len(text)
                return text

    return cut(reply, 8)


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return "".join(c if c.isprintable() else " " for c in text)[:MAX_QUOTED]
