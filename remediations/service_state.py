"""How a service that depends on a Redis stands, and whether it is where it belongs; used by `service.restart`.

One server has many addresses: the service may name its Redis by host name where the Sentinels use an IP. So addresses
are compared by what they resolve to, as seen from here; and a service counts as being elsewhere only where it names
another server of that Redis (a look knows servers by their run ids, so none of these is the primary). What is neither
is a person's to judge: a healthy service is never restarted because of a name. The server that it names is not asked
who it is, for that would take Andon's credentials to whatever address a service's health page holds.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from typing import Literal, TypeAlias

from remediations.kit import ActionContext, Millis, RedisLook, Unfit

HEALTH_SECONDS = 7.0  # for a restarted service to become healthy; the runbook's own waits are 5 s
POLL_SECONDS = 0.2  # between looks at a service that is starting
RESOLVE_SECONDS = 0.5  # for one name: it is asked before anything is done, and while a service starts

Place: TypeAlias = Literal["primary", "elsewhere", "unknown"]
_Sockets: TypeAlias = frozenset[tuple[str, int]]  # IP addresses with a port


@dataclass(frozen=True, slots=True)
class Stand:
    """How a service stands: its health and the address of its Redis, "" where unread, and then why."""

    health: str
    redis: str
    problem: str
    place: Place = "unknown"

    @property
    def well(self) -> bool:
        """It is healthy where it belongs."""
        return self.health == "healthy" and self.place == "primary"

    def doubt(self, service: str, address: str) -> str:
        """Why a person must say yes to its restart on `address`: it might interrupt what works. "" where it cannot."""
        if self.problem:
            return f"its health cannot be read ({self.problem})"
        if self.health == "starting":
            return f"{service} is starting already, on {self.redis}; a restart would begin anew"
        if self.health == "healthy" and self.place == "unknown":
            return f"{service} is healthy on {self.redis}, and nothing tells whether that is {address} by another name"
        return ""


async def store(context: ActionContext, name: str) -> RedisLook | Unfit:
    """The Redis that services belong on. Raises TargetError when no primary answers."""
    look = await context.targets.redis(context.system, name).look()
    others = sorted(set(look.claims) - {look.primary.address})
    if others:
        return Unfit(f"{look.primary.address} and {', '.join(others)} are both called primary of {name}: a split brain")
    return look


async def state(context: ActionContext, now: Millis, look: RedisLook | None = None) -> Stand:
    """What its `read:` entries `health` and `redis` say; with a `look` at its Redis, also where that is in it."""
    read = context.targets.read_field
    readings = [await read(context.system, context.component, field, now) for field in ("health", "redis")]
    health, redis = ("" if one.error or one.value is None else str(one.value)[:100] for one in readings)
    problem = next((one.error for one in readings if one.error), "")
    return Stand(health, redis, problem, "unknown" if look is None else await place(redis, look))


async def place(said: str, look: RedisLook) -> Place:
    """Whether a service that names `said` is on the primary, on another server of this Redis, or nobody can tell."""
    primary = look.primary.address
    if said == primary:
        return "primary"
    replicas = [node.address for node in look.replicas]
    if said in replicas:
        return "elsewhere"
    where, here = await _resolved(said), await _resolved(primary)
    there = frozenset[tuple[str, int]]().union(*[await _resolved(one) for one in replicas]) - here
    if where & here and not where & there:
        return "primary"
    return "elsewhere" if where & there and not where & here else "unknown"


async def same(said: str, address: str) -> bool | None:
    """Whether both are one address; None where one of them cannot be resolved."""
    if said == address:
        return True
    where, here = await _resolved(said), await _resolved(address)
    return bool(where & here) if where and here else None


async def until_healthy(context: ActionContext, address: str, seconds: float) -> None:
    """Return when the service is healthy on `address`, or when its time is over; `read_back` tells which."""
    clock = asyncio.get_running_loop().time
    began = clock()
    while (waited := clock() - began) < seconds:
        now = context.clock() if context.clock is not None else context.now + int(waited * 1_000)
        stands = await state(context, now)
        if stands.health == "healthy" and await same(stands.redis, address):
            return
        await asyncio.sleep(POLL_SECONDS)


async def _resolved(address: str) -> _Sockets:
    """What host:port stands for, seen from here; nothing where it is no such thing, or cannot be told in time."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return frozenset()
    resolve = asyncio.get_running_loop().getaddrinfo
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await resolve(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError, OverflowError):
        return frozenset()
    return frozenset((_plain(str(one[4][0])), int(port)) for one in found)


def _plain(ip: str) -> str:
    """An IP address in one spelling; an IPv4 one that is written as IPv6 is the same server's."""
    try:
        parsed = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return ip
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)
