"""Reading a trading system's own Redis: hashes only, nothing is ever written.

Made by `bot.adapters.connectors`, used by the evidence reader and by `Targets.read_field`. The Redis is foreign: short
timeouts, a handful of connections, its own breaker. A hash's value and its time are read in one command, so they
belong together.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import SecretStr
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from bot.adapters.connectors_breaker import Breaker
from bot.errors import NotSent, Rejected, TargetError, Unknown

TIMEOUT_SECONDS = 0.8  # one command or one connect; two attempts fit into the reader's 2 s
MAX_CONNECTIONS = 8  # to somebody else's Redis, whose clients are limited
MAX_VALUE = 65_536  # bytes of one field's value; a figure is a few


class RedisReader:
    """One foreign Redis or Valkey."""

    def __init__(
        self, component: str, url: str, *, breaker: Breaker, credentials: SecretStr | None = None, username: str = ""
    ) -> None:
        self.component = component
        self._breaker = breaker
        login: dict[str, str] = {}
        if credentials is not None:
            login["password"] = credentials.get_secret_value()
        if username:
            login["username"] = username
        self._client = Redis(
            connection_pool=BlockingConnectionPool.from_url(
                url,
                max_connections=MAX_CONNECTIONS,
                timeout=TIMEOUT_SECONDS,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),  # the breaker's `read` retries
                client_name="andon-reader",
                protocol=2,
                **login,
            )
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    async def hash_fields(self, key: str, fields: Sequence[str]) -> list[str | None]:
        """The fields' values as text, None where missing, all at one moment. Raises TargetError's children."""
        return await self._breaker.read(lambda: self._hmget(key, fields))

    async def _hmget(self, key: str, fields: Sequence[str]) -> list[str | None]:
        try:
            values = await self._client.hmget(key, list(fields))
        except (ResponseError, AuthenticationError) as error:
            raise Rejected(f"{self.component} refused to read {key!r}: {error}") from error
        except (RedisError, OSError, TimeoutError) as error:
            raise _unreached(self.component, error) from error
        return [self._text(key, value) for value in values]

    def _text(self, key: str, value: bytes | str | None) -> str | None:
        if value is None:
            return None
        if len(value) > MAX_VALUE:
            raise Rejected(f"{self.component} holds more than {MAX_VALUE} bytes in a field of {key!r}")
        return value if isinstance(value, str) else value.decode(errors="replace")


def _unreached(component: str, error: Exception) -> TargetError:
    kind = Unknown if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__ else NotSent
    return kind(f"{component} cannot be read: {type(error).__name__}")
