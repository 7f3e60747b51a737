"""Whether what was written is on every replica that could become primary, before anybody is told that it is durable.

Used by `redis_link` for every write that somebody is answered for: `WAIT` goes with the write, on its connection, and
covers everything written before it. Sentinels elect whichever replica they reach, not one that a majority of servers
agrees with: so only what **all** replicas have outlives every failover, whatever the Sentinels say meanwhile.

What not all have counts only if most Sentinels have heard from the primary after a replica was found missing: then it
is not missing because it went with them to the other side of a cut. From then on their word may be `VOUCHED_SECONDS`
old, and writes do not wait in vain for what is away: it is looked for every `LOOK_SECONDS`. What must outlive the
primary (an intent, law 2) needs `wanted` replicas besides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import structlog

from bot.errors import StoreUnconfirmed

WAIT_MS: Final = 1_000  # a replica that keeps up confirms in one or two; an intent has five seconds in all
LOOK_SECONDS: Final = 2.0  # for replicas that have come back
VOUCHED_SECONDS: Final = 2.0  # how old the Sentinels' word may be while a replica is away; they ping every second

Wait: TypeAlias = tuple[tuple[bytes, int, int], ...]  # the command that goes with a write, if one does

log = structlog.get_logger(__name__)


class Replicas:
    """How many replicas confirm a write, of how many. `wanted`: at least; 0: none is asked."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._all = wanted  # all that there are: as many as the Sentinels know
        self._there = wanted  # that keep up
        self._missed_at: float | None = None  # when one of them was last found missing
        self._offset = 0  # the primary's at the last look
        self._looked_at = float("-inf")

    @property
    def standing(self) -> str:
        """In words, for `/readyz`; "" where no replica is asked."""
        if not self._wanted:
            return ""
        if self._there < self._wanted:
            return "no replica confirms writes: alerts are taken, and nothing is acted upon; bring a replica back"
        if self._there < self._all:
            return (
                f"{self._there} of {self._all} replicas confirm writes, which count while most Sentinels hear the "
                "primary; bring the others back, or SENTINEL RESET what is gone for good"
            )
        return f"writes are confirmed by every replica ({self._all})"

    def known(self, count: int) -> None:
        """How many replicas the Sentinels know."""
        if self._wanted:
            self._all = max(count, self._wanted)
            if self._missed_at is None:
                self._there = self._all

    def begin(self, replication: bytes, count: int) -> None:
        """On a line to another primary: what its `INFO replication` says, and how many replicas Sentinels know."""
        self._missed_at = None
        self.known(count)
        there = sum(_has(value, 0) for value in _replicas(replication).values())
        if there < self._all:
            self._there, self._offset = there, 0
            self._missed_at = asyncio.get_running_loop().time()

    def wait(self, *, needed: bool) -> Wait:
        """What goes with a write: for all that keep up, and for `wanted` where they are needed."""
        count = max(self._there, self._wanted if needed else 0)
        return ((b"WAIT", count, WAIT_MS),) if count else ()

    def told(self, confirmed: int, wait: Wait) -> float | None:
        """What a write's replicas said. Returns since when most Sentinels must have heard the primary; None: no need.

        A write whose own wait was in vain may be the first after a cut: what they heard before it proves nothing.
        """
        if not self._wanted or confirmed >= self._all:
            return None
        now = asyncio.get_running_loop().time()
        if not wait or confirmed >= wait[0][1]:
            since = self.doubt()
            return now if since is None else since  # none is missing any more, or one has just become known
        if confirmed < self._there:
            log.warning("store_replicas_missing", confirmed=confirmed, replicas=self._all)
            self._there, self._offset = confirmed, 0
            self._missed_at = now
        return now

    def doubt(self) -> float | None:
        """Since when most Sentinels must have heard the primary, for what is written now; None: no need."""
        if self._missed_at is None:
            return None
        return max(self._missed_at, asyncio.get_running_loop().time() - VOUCHED_SECONDS)

    def refuse(self, doing: str, confirmed: int) -> None:
        """Raise StoreUnconfirmed unless enough replicas have what needs them."""
        if confirmed < self._wanted:
            raise StoreUnconfirmed(
                f"{doing}: written to the store's primary, but {confirmed} of {self._wanted} replicas confirmed it "
                f"within {WAIT_MS / 1000:g} s, so a failover could forget it; bring a replica back, or set "
                "store.wait_replicas: 0 and restart Andon"
            )

    def is_due(self) -> bool:
        """Whether it is time to look for replicas again; counts as having looked."""
        now = asyncio.get_running_loop().time()
        if self._missed_at is None or now - self._looked_at < LOOK_SECONDS:
            return False
        self._looked_at = now
        return True

    def seen(self, replication: bytes) -> None:
        """What `INFO replication` says. Those that have caught up with the look before are waited for again."""
        before, self._offset = self._offset, int(_facts(replication).get(b"master_repl_offset", b"0"))
        if not before:
            return
        there = sum(_has(value, before) for value in _replicas(replication).values())
        if there > self._there:
            log.info("store_replicas_back", confirming=there, replicas=self._all)
            self._there = min(there, self._all)
        if self._there >= self._all:
            self._missed_at = None


def _facts(replication: bytes) -> dict[bytes, bytes]:
    """`INFO replication`, by name."""
    return dict(line.split(b":", 1) for line in replication.splitlines() if b":" in line)


def _replicas(replication: bytes) -> dict[bytes, bytes]:
    """slave0, slave1, … of it."""
    found = _facts(replication).items()
    return {name: value for name, value in found if name.startswith(b"slave") and name[5:].isdigit()}


def _has(line: bytes, offset: int) -> bool:
    """Whether a replica (`ip=…,port=…,state=online,offset=…,lag=…`) is there and has everything up to this offset."""
    facts: Mapping[bytes, Any] = dict(part.split(b"=", 1) for part in line.split(b",") if b"=" in part)
    return facts.get(b"state") == b"online" and int(facts.get(b"offset", b"0")) >= offset
