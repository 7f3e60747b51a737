"""Whom the Sentinels call primary, and whether they hear it: asked by everything that follows a Redis over failovers.

Used for Andon's own store (`bot.adapters.redis_primary`) and for whoever follows a trading system's Redis. All
Sentinels are asked at once and the newest configuration epoch wins, so that one which has slept through a failover, or
sits on the wrong side of a cut, never outvotes one that knows better. What they say is where to look, no more: whoever
connects asks the server itself for its role (`check_role`).

Sentinels: https://valkey.io/topics/sentinel/
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.sentinel import MasterNotFoundError

SENTINEL_SECONDS: Final = 1.0  # one Sentinel's answer, connecting included; a healthy one takes a millisecond
SPARE_SECONDS: Final = 0.05  # for the others, once most have answered: a dead one must not hold everybody up
MAX_CONNECTIONS: Final = 2  # to one Sentinel: one question at a time, and one whose asker gave up

_ASTRAY: Final = frozenset({"s_down", "o_down", "disconnected", "failover_in_progress"})  # flags of a primary in doubt

Server: TypeAlias = tuple[str, int]  # host, port


@dataclass(frozen=True, slots=True)
class Primary:
    """What the Sentinels say: where the primary is, since which epoch, and how many of how many say so.

    `replicas`: how many they know, also those that are down. `silent`: for how many seconds most of the listed
    Sentinels have not heard from it; infinite while most do not say, or one of them is failing it over.
    """

    server: Server
    epoch: int
    agreeing: int
    asked: int
    replicas: int = 0
    silent: float = inf

    @property
    def is_majority(self) -> bool:
        """Whether more than half of the listed Sentinels say so; without that many there is no failover either."""
        return self.agreeing > self.asked // 2


class Sentinels:
    """The Sentinels of one primary. Keeps a connection to each; asks, and never commands.

    `url` says how they are reached: `rediss://` with its options for TLS; host, user and password of it are not theirs.
    """

    def __init__(
        self, addresses: Sequence[str], master: str, *, url: str = "redis://", username: str = "", password: str = ""
    ) -> None:
        self.master = master
        self._addresses = tuple(addresses)
        scheme, _, _, query, _ = urlsplit(url)
        login = {"username": username or None, "password": password or None}
        self._clients: tuple[Any, ...] = tuple(
            Redis.from_pool(
                BlockingConnectionPool.from_url(  # who asks while others do waits; it is not said that nobody answers
                    f"{scheme}://{address}?{query}",
                    max_connections=MAX_CONNECTIONS,
                    timeout=SENTINEL_SECONDS,
                    socket_connect_timeout=SENTINEL_SECONDS,
                    socket_timeout=None,  # `_one` bounds it all
                    retry=Retry(NoBackoff(), 0),
                    protocol=2,
                    decode_responses=True,
                    encoding_errors="replace",
                    **login,
                )
            )
            for address in addresses
        )

    async def close(self) -> None:
        """Give back every connection."""
        for client in self._clients:
            await client.aclose()

    async def primary(self) -> Primary:
        """The primary of the newest epoch. Raises MasterNotFoundError with what was found instead."""
        answers = await self._all(("SENTINEL", "GET-MASTER-ADDR-BY-NAME"), ("SENTINEL", "MASTER"))
        told = [_told(*answer) for answer in answers if isinstance(answer, list)]
        found = [each for each in told if each is not None]
        if not found:
            raise MasterNotFoundError(self._nobody(answers))
        newest = max(found, key=lambda each: each.epoch)
        agreeing = [each for each in found if each.server == newest.server]
        return Primary(
            newest.server, newest.epoch, len(agreeing), len(self._clients),
            max(each.replicas for each in agreeing), _silence(found, agreeing, len(self._clients)),
        )  # fmt: skip

    async def servers(self) -> tuple[Server, ...]:
        """The primary first, then every replica that any Sentinel knows. Raises MasterNotFoundError."""
        primary = (await self.primary()).server
        replicas: dict[Server, None] = {}
        for answer in await self._all(("SENTINEL", "REPLICAS")):
            for replica in answer[0] if isinstance(answer, list) else ():
                facts = _pairs(replica)
                replicas[facts["ip"], int(facts["port"])] = None
        return (primary, *(replica for replica in replicas if replica != primary))

    def _nobody(self, answers: Sequence[object]) -> str:
        where = ", ".join(self._addresses)
        refused = next((str(answer) for answer in answers if isinstance(answer, ResponseError)), "")
        if not answers:
            return f"none of the Sentinels answers ({where})"
        if refused and "No such master" not in refused:
            return f"the Sentinels refuse to tell ({where}): {refused}"
        return f"the Sentinels watch nothing called {self.master!r} ({where}); `SENTINEL MASTERS` there lists the names"

    async def _all(self, *commands: tuple[str, str]) -> list[list[Any] | ResponseError]:
        """Every Sentinel's answers to the commands about this master; those that do not answer are left out."""
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(self._one(client, commands)) for client in self._clients]
            pending = set(asked)
            while pending:
                answered = sum(task.done() and task.result() is not None for task in asked)
                patience = SPARE_SECONDS if answered > len(asked) // 2 else None
                done, pending = await asyncio.wait(pending, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    break
            for task in pending:
                task.cancel()
        results = [task.result() for task in asked if not task.cancelled()]
        return [result for result in results if result is not None]

    async def _one(self, client: Any, commands: Sequence[tuple[str, str]]) -> list[Any] | ResponseError | None:
        try:
            async with asyncio.timeout(SENTINEL_SECONDS):
                return [await client.execute_command(*command, self.master) for command in commands]
        except ResponseError as error:
            return error
        except (RedisError, OSError, TimeoutError):
            return None


@dataclass(frozen=True, slots=True)
class _Word:
    """What one Sentinel says of the primary. `silent`: seconds since it answered that one; infinite: it is in doubt."""

    server: Server
    epoch: int
    replicas: int
    silent: float
    moving: bool


def _told(address: Sequence[str] | None, master: Sequence[str]) -> _Word | None:
    """One Sentinel's word; None when it knows no address."""
    if not address:
        return None
    facts = _pairs(master)
    flags = frozenset(facts.get("flags", "").split(","))
    # One that has just started calls its last answer recent before it had any: it has heard nothing without an INFO.
    heard = not flags & _ASTRAY and facts.get("role-reported") == "master" and facts.get("info-refresh", "0") != "0"
    return _Word(
        server=(address[0], int(address[1])),
        epoch=int(facts.get("config-epoch", "0")),
        replicas=int(facts.get("num-slaves", "0")),
        silent=int(facts.get("last-ok-ping-reply", "0")) / 1000 if heard else inf,
        moving="failover_in_progress" in flags,
    )


def _silence(found: Iterable[_Word], agreeing: Iterable[_Word], listed: int) -> float:
    """For how long most of the listed Sentinels have not heard from the server that they agree on."""
    if any(each.moving for each in found):
        return inf
    heard = sorted(each.silent for each in agreeing)
    return heard[listed // 2] if len(heard) > listed // 2 else inf


def _pairs(flat: Sequence[str]) -> Mapping[str, str]:
    """A reply of names and values, by name."""
    return dict(zip(flat[::2], flat[1::2], strict=False))


def place(url: str, server: Server) -> str:
    """`url` with this server in its host's place: scheme, user, database and options stay."""
    parts = urlsplit(url)
    login, at, _ = parts.netloc.rpartition("@")
    host = f"[{server[0]}]" if ":" in server[0] else server[0]
    return parts._replace(netloc=f"{login}{at}{host}:{server[1]}").geturl()
