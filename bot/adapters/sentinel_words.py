"""What each Sentinel knows of a primary, side by side; and asking one of them to fail it over.

Used by `targets_redis` to judge a failover: there the question is not only where the primary is, which is answered by
`sentinels.Sentinels`, but who agrees, who could act, and whether they can do it without losing writes. Nothing is
changed here but by `fail_over`, which asks exactly one of them, once. https://valkey.io/topics/sentinel/
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from bot.errors import NotSent, Rejected, Unknown

SENTINEL_SECONDS = 0.5  # for one Sentinel's answer; it keeps everything in memory
SEND_SECONDS = 3.0  # for accepting a failover; it answers at once
MAX_CONNECTIONS = 4  # to one Sentinel; one question holds one

_QUESTIONS = (
    ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", ""),
    ("SENTINEL", "MASTER", ""),
    ("SENTINEL", "REPLICAS", ""),
    ("SENTINEL", "CKQUORUM", ""),
    ("SENTINEL", "HELP"),
    ("INFO", "sentinel"),
)  # "": name
_TILT = "sentinel_tilt:1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What one Sentinel says; `error`: why nothing, and then the rest means nothing."""

    sentinel: str
    error: str = ""
    primary: str = ""  # host:port
    epoch: int = 0
    quorum: int = 0
    flags: frozenset[str] = frozenset()
    replicas: tuple[str, ...] = ()  # host:port of each
    no_quorum: str = ""  # what CKQUORUM complains about
    coordinated: bool = False  # it knows FAILOVER … COORDINATED
    tilted: bool = False
    """Its clock jumped, or it stood still for 2 s: for 30 s it votes for nothing and begins nothing. A failover it says
    OK to all the same, and begins it half a minute later. https://valkey.io/topics/sentinel/ (TILT mode)"""

    @property
    def failing_over(self) -> bool:
        """Whether it is failing the primary over just now."""
        return "failover_in_progress" in self.flags


class SentinelWords:
    """The Sentinels that watch one primary. Connections open on first use and stay until `close`.

    `url` says how they are reached: `rediss://` with its options for TLS; host, user and password of it are not theirs.
    """

    def __init__(
        self, addresses: Sequence[str], master: str, *, url: str = "redis://", username: str = "", password: str = ""
    ) -> None:
        self.addresses = tuple(addresses)
        self.master = master
        login = {"username": username or None, "password": password or None}
        self._clients: dict[str, Any] = {address: _client(address, url, login) for address in addresses}

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.aclose()
            await client.connection_pool.disconnect()

    async def look(self) -> tuple[Word, ...]:
        """All that each Sentinel knows, in the order in which they are listed; one word for every one."""
        return tuple(await asyncio.gather(*map(self._word, self.addresses)))

    async def fail_over(self, sentinel: str) -> None:
        """Ask one of them for a coordinated failover, once. NotSent, Rejected or Unknown."""
        connection = self._clients[sentinel].connection_pool.make_connection()
        written = False
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await connection.connect()
                written = True
                await connection.send_command("SENTINEL", "FAILOVER", self.master, "COORDINATED")
                await connection.read_response()
        except ResponseError as error:
            kind = Rejected if written else NotSent
            raise kind(f"Sentinel {sentinel} refused the failover: {error}") from error
        except (RedisError, OSError, TimeoutError) as error:
            if written:
                raise Unknown(f"Sentinel {sentinel} got the request and did not answer: {words_of(error)}") from error
            raise NotSent(f"Sentinel {sentinel} cannot be reached: {words_of(error)}") from error
        finally:
            await connection.disconnect(nowait=True)

    async def _word(self, address: str) -> Word:
        """One Sentinel's word; never raises."""
        pipe = self._clients[address].pipeline(transaction=False)
        for command in _QUESTIONS:
            pipe.execute_command(*(word or self.master for word in command))
        try:
            async with asyncio.timeout(SENTINEL_SECONDS):
                told, about, replicas, quorum, manual, itself = await pipe.execute(raise_on_error=False)
        except (RedisError, OSError, TimeoutError) as error:
            return Word(sentinel=address, error=words_of(error))
        refused = next((one for one in (told, about) if isinstance(one, Exception)), None)
        if refused is not None or not told:
            return Word(sentinel=address, error=words_of(refused) if refused else f"it watches no {self.master!r}")
        fields = _pairs(about)
        return Word(
            sentinel=address,
            primary=joined(*told),
            epoch=_number(fields.get("config-epoch")),
            quorum=_number(fields.get("quorum")),
            flags=frozenset(fields.get("flags", "").split(",")),
            replicas=tuple(_replicas(replicas)),
            no_quorum=str(quorum) if isinstance(quorum, Exception) else "",
            coordinated=isinstance(manual, list) and any("COORDINATED" in line for line in manual),
            tilted=isinstance(itself, str) and _TILT in itself.split(),
        )


def newest(words: Sequence[Word]) -> Word | None:
    """The word that counts: of the highest epoch the one most of them say; None when nobody says any."""
    told = [word for word in words if not word.error]
    said = [(word.primary, word.epoch) for word in told]
    return max(told, key=lambda word: (word.epoch, said.count((word.primary, word.epoch))), default=None)


def parted(address: str) -> tuple[str, int]:
    """host and port of host:port, an IPv6 host without its brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def joined(host: str, port: str | int) -> str:
    """host:port, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def words_of(error: BaseException) -> str:
    """An error of the network in a few words."""
    text = " ".join((str(error) or type(error).__name__).split())[:120]
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return "no answer in time"
    return "nobody listens there" if "Connect call failed" in text or "refused" in text else text


def _client(address: str, url: str, login: Mapping[str, str | None]) -> Any:
    parts = urlsplit(url)
    reach = f"rediss://{address}?{parts.query}" if parts.scheme == "rediss" else f"redis://{address}"
    client: Any = Redis.from_pool(
        ConnectionPool.from_url(
            reach, socket_timeout=SEND_SECONDS, socket_connect_timeout=SENTINEL_SECONDS, protocol=2,
            retry=Retry(NoBackoff(), 0), decode_responses=True, encoding_errors="replace",
            max_connections=MAX_CONNECTIONS, **login,
        )
    )  # fmt: skip
    client.response_callbacks.clear()  # replies as the Sentinel writes them
    return client


def _replicas(reply: object) -> list[str]:
    """host:port of each replica that a Sentinel lists."""
    listed = [_pairs(one) for one in reply] if isinstance(reply, list) else []
    return [joined(one["ip"], one["port"]) for one in listed if one.get("ip") and one.get("port")]


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=False))


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else 0
