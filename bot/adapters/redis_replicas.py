"""Whether what was written is on a replica too, before anybody is told that it is durable.

Used by `redis_link` for every write that somebody is answered for: `WAIT` goes with the write, on its connection, and
covers everything written before it. What must outlive the primary (an intent, law 2) fails without its confirmation.
Anything else is then accepted only from a server that most Sentinels call primary at that moment, so that the losing
side of a cut takes no alerts; and while no replica keeps up, writes do not wait for it in vain: it is looked for every
`LOOK_SECONDS`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import structlog

from bot.errors import StoreUnconfirmed

WAIT_MS: Final = 1_000  # a replica that keeps up confirms in one or two; an intent has five seconds in all
LOOK_SECONDS: Final = 2.0  # for replicas that have come back

log = structlog.get_logger(__name__)


class Replicas:
    """How many replicas confirm a write, and whether they can at the moment."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._alone_at: int | None = None  # the primary's offset when it was seen without enough replicas
        self._looked_at = float("-inf")

    @property
    def is_alone(self) -> bool:
        """Whether writes are on the primary only."""
        return self._alone_at is not None

    @property
    def standing(self) -> str:
        """In words, for `/readyz`; "" where no replica is asked."""
        if not self._wanted:
            return ""
        if self.is_alone:
            return "no replica confirms writes: alerts are taken, and nothing is acted upon; bring a replica back"
        return f"writes are confirmed by {self._wanted} of them"

    def wait(self, *, needed: bool) -> tuple[tuple[bytes, int, int], ...]:
        """The command that goes with a write, if one does."""
        return ((b"WAIT", self._wanted, WAIT_MS),) if self._wanted and (needed or not self.is_alone) else ()

    def refuse(self, doing: str, confirmed: int) -> None:
        """Raise StoreUnconfirmed unless enough replicas have what needs them."""
        if confirmed < self._wanted:
            raise StoreUnconfirmed(
                f"{doing}: written to the store's primary, but {confirmed} of {self._wanted} replicas confirmed it "
                f"within {WAIT_MS / 1000:g} s, so a failover could forget it; bring a replica back, or set "
                "store.wait_replicas: 0 and restart Andon"
            )

    def lacks(self, confirmed: int) -> bool:
        """Whether this is the first write that too few replicas confirmed."""
        if confirmed >= self._wanted or self.is_alone:
            return False
        self._alone_at = 0
        log.warning("store_alone", confirmed=confirmed, wanted=self._wanted)
        return True

    def is_due(self) -> bool:
        """Whether it is time to look for replicas again; counts as having looked."""
        now = asyncio.get_running_loop().time()
        if not self.is_alone or now - self._looked_at < LOOK_SECONDS:
            return False
        self._looked_at = now
        return True

    def seen(self, replication: bytes) -> None:
        """What `INFO replication` says. Enough replicas that have caught up with the look before: writes wait again."""
        facts = dict(line.split(b":", 1) for line in replication.splitlines() if b":" in line)
        before, self._alone_at = self._alone_at, int(facts.get(b"master_repl_offset", b"0"))
        if before and sum(_has(value, before) for name, value in facts.items() if _is_replica(name)) >= self._wanted:
            self._alone_at = None
            log.info("store_replicated_again", wanted=self._wanted)


def _is_replica(name: bytes) -> bool:
    """slave0, slave1, …"""
    return name.startswith(b"slave") and name[5:].isdigit()


def _has(line: bytes, offset: int) -> bool:
    """Whether a replica (`ip=…,port=…,state=online,offset=…,lag=…`) is there and has everything up to this offset."""
    facts: Mapping[bytes, Any] = dict(part.split(b"=", 1) for part in line.split(b",") if b"=" in part)
    return facts.get(b"state") == b"online" and int(facts.get(b"offset", b"0")) >= offset
