"""The one door to the outside by HTTP: every client of Andon gets its session here, bound to one configured host.

Used by `http_target`, `alertmanager_api`, `heartbeat` and `second_route`. What leaves goes to the host that the
configuration names, and to no other: a redirect is an error, a proxy or .netrc of the environment is not looked at,
cookies are not kept, and a body is not unpacked (so a bound on it is a bound). The host's addresses are asked for once
a connection and judged (`policies.destinations`); the very addresses that were judged are connected to, so a name that
is answered differently a moment later (DNS rebinding) changes nothing. The last look is at the socket itself.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

import bot
from policies.destinations import Destination, plain_host

MAX_ADDRESSES: Final = 32  # of one host that are looked at; a name with more is somebody's toy
ADDRESSES_KEPT_SECONDS: Final = 10  # judged addresses serve that long; then the name is asked for and judged again

Lookup: TypeAlias = Callable[[str, int, socket.AddressFamily], Awaitable[list[ResolveResult]]]
AddressInfo: TypeAlias = tuple[Any, ...]  # as `socket.getaddrinfo` gives it


class NotThereError(OSError):
    """This host's address must not be connected to. An OSError, so it is a connection that never stood."""

    def __init__(self, why: str, fix: str = "") -> None:
        told = f"{why}; {fix}" if fix else why
        super().__init__(errno.EHOSTUNREACH, told)  # with a number, or aiohttp's own error loses the words
        self.why, self.fix = why, fix


def fit(to: Destination, found: Sequence[ResolveResult]) -> list[ResolveResult]:
    """Those of the host's addresses that may be connected to. NotThereError when there are some, and none may."""
    refusals = {one["host"]: to.refusal(one["host"]) for one in found[:MAX_ADDRESSES]}
    judged = [one for one in found[:MAX_ADDRESSES] if not refusals[one["host"]]]
    if found and not judged:
        raise NotThereError(*next(iter(refusals.values())))
    return judged


def session(
    to: Destination,
    *,
    total_seconds: float,
    connect_seconds: float,
    limit: int,
    headers: Mapping[str, str] | None = None,
    force_close: bool = False,
    traces: Sequence[aiohttp.TraceConfig] = (),
    lookup: Lookup | None = None,
) -> aiohttp.ClientSession:
    """A session that connects to `to` only. `lookup` asks for addresses; the system's resolver where none is given."""
    door = _Door(to, lookup)
    watch = aiohttp.TraceConfig()
    watch.on_request_redirect.append(_redirected)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            resolver=door,
            ttl_dns_cache=ADDRESSES_KEPT_SECONDS,
            socket_factory=door.socket,
            force_close=force_close,
            limit=limit,
        ),
        timeout=aiohttp.ClientTimeout(total=total_seconds, connect=connect_seconds),
        headers={"User-Agent": f"andon/{bot.__version__}", "Accept-Encoding": "identity", **(headers or {})},
        auto_decompress=False,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[watch, *traces],
    )


class _Door(AbstractResolver):
    """The addresses of one host that may be connected to, and the sockets to them; of any other host, none."""

    def __init__(self, to: Destination, lookup: Lookup | None) -> None:
        self._to = to
        self._system = aiohttp.ThreadedResolver() if lookup is None else None
        self._lookup = lookup
        self._judged: frozenset[str] = frozenset({to.host})  # the host as a number, or what its name stood for last

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Those of the host's addresses that may be. NotThereError when none may, OSError when there is none."""
        if plain_host(host) != self._to.host:
            raise NotThereError(f"{host[:100]} is not the configured host, {self._to.host}")
        if self._lookup is not None:
            found = await self._lookup(host, port, family)
        else:
            assert self._system is not None
            found = await self._system.resolve(host, port, family)
        judged = fit(self._to, found)
        self._judged = frozenset(plain_host(one["host"]) for one in judged)
        return judged

    def socket(self, info: AddressInfo) -> socket.socket:
        """A socket for an address that is about to be connected to: however it came here, it is judged as it is."""
        family, kind, protocol, _, place = info
        address = plain_host(str(place[0]))
        if address not in self._judged:
            raise NotThereError(f"{address[:100]} is not an address of {self._to.host}")
        if refusal := self._to.refusal(address):
            raise NotThereError(*refusal)
        return socket.socket(family=family, type=kind, proto=protocol)

    async def close(self) -> None:
        if self._system is not None:
            await self._system.close()


async def _redirected(_session: aiohttp.ClientSession, _context: object, _params: object) -> None:
    raise aiohttp.ClientError("it answered with a redirect, and none is followed")
