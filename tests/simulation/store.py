"""A replica's way to the simulated store. Implements `ports.Store`, one for each incarnation.

Every call goes over its line, arrives at the primary (`servers`) as one atomic step, and waits for the follower where
the setup says that answers do (ADR 0011). What was acknowledged is counted here, as the real store does.

The same contract suite runs on this as on a real Valkey (`tests/contract/test_store.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final

from bot.core.audit import AuditEntry
from bot.core.events import InboxEntry
from bot.core.words import AggregateId, Millis
from bot.engine.high_water import HighWater
from bot.engine.in_hand import named, still
from bot.engine.ports import (
    Commit,
    Committed,
    Conflict,
    InboxDelivery,
    IncidentLine,
    Mark,
    OutboxDelivery,
    Versioned,
)
from bot.errors import StoreForgot
from tests.simulation.servers import STORE, WAITING, Queue, Servers
from tests.simulation.wire import Line

_FORGOT: Final = object()  # what a commit is answered where acknowledged writes are gone


class SimulatedStore:
    """One incarnation's way to the servers. Implements `ports.Store`."""

    def __init__(self, line: Line, servers: Servers) -> None:
        self.replica = line.replica
        self.marks = HighWater(reads_prove=not servers.confirmed)  # what was acknowledged to this replica
        self._line = line
        self._servers = servers

    def _ask(self, call: str, *arguments: Any, **options: Any) -> Coroutine[Any, Any, Any]:
        servers, replica = self._servers, self.replica
        return self._line.call(STORE, call, lambda: servers.ask(replica, call, *arguments, **options), only_looks=True)

    def _change(self, call: str, *arguments: Any, **options: Any) -> Coroutine[Any, Any, Any]:
        servers, replica = self._servers, self.replica
        return self._line.call(STORE, call, lambda: servers.change(replica, call, *arguments, **options))

    async def _write(self, shard: str, call: str, what: str, argument: Any, *, counts: bool, intends: bool) -> Any:
        """A write that somebody is answered for: counted, and confirmed by the follower where that is asked."""
        servers, replica, before = self._servers, self.replica, self.marks.before(shard)

        def work() -> asyncio.Future[tuple[Any, Mark]] | tuple[Any, Mark]:
            if call == "commit" and servers.ask(replica, "mark", shard).own < before.mark.own:
                return _FORGOT, servers.ask(replica, "mark", shard)  # refused, as by the script
            result = servers.change(replica, call, shard, argument)
            reply = (result, servers.ask(replica, "mark", shard))
            return servers.when_followed(reply, intends=intends) if servers.confirmed else reply

        result, mark = await self._line.call(STORE, what, work)
        if result is _FORGOT:
            self.marks.saw(shard, before, mark, wrote=False)
            raise StoreForgot("commit: the store has forgotten acknowledged writes")
        self.marks.saw(shard, before, mark, wrote=counts and not isinstance(result, Conflict))
        return result

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    # --- queues -------------------------------------------------------------------------------------------------------

    async def append(self, shard: str, entries: Sequence[InboxEntry]) -> None:
        """Into the inbox, in order."""
        await self._write(shard, "append", "append", tuple(entries), counts=True, intends=False)

    async def read_inbox(self, shard: str, count: int, block_ms: int) -> list[InboxDelivery]:
        """New entries; waits for the first."""
        return await self._take(shard, "inbox", count, block_ms)

    async def read_outbox(self, shard: str, count: int, block_ms: int) -> list[OutboxDelivery]:
        """New effects; waits for the first."""
        return await self._take(shard, "outbox", count, block_ms)

    async def _take(self, shard: str, queue: Queue, count: int, block_ms: int) -> list[Any]:
        servers, replica, wait_s = self._servers, self.replica, block_ms / 1_000
        times = self.marks.times(shard)
        port, what = (WAITING, f"read_{queue}") if block_ms else (STORE, f"look at {queue}")
        taken = await self._line.call(port, what, lambda: servers.take(replica, shard, queue, count, wait_s))
        return _named(taken, times)

    async def reclaim(
        self, shard: str, idle_ms: int, count: int, *, starting: bool = False
    ) -> tuple[list[InboxDelivery], list[OutboxDelivery]]:
        """What is held for longer than `idle_ms`; with 0, what this replica's name holds."""
        times = self.marks.times(shard)
        inbox, outbox = await self._change("reclaim", shard, idle_ms, count, starting=starting)
        return _named(inbox, times), _named(outbox, times)

    async def dead_letter(self, shard: str, queue: Queue, delivery: str, raw: bytes, reason: str) -> None:
        """Set aside and acknowledge."""
        entry = "".join(still((delivery,), self.marks.times(shard)))
        await self._change("dead_letter", shard, queue, entry, raw, reason)

    async def dead_letters(self, shard: str, limit: int) -> list[tuple[str, str, bytes]]:
        """Newest first."""
        return await self._ask("dead_letters", shard, limit)

    # --- records ------------------------------------------------------------------------------------------------------

    async def attend(self, shard: str, now: Millis) -> dict[str, Millis]:
        """Noted, and all of them."""
        return await self._change("attend", shard, now)

    async def remember(self, shards: Sequence[str]) -> list[str]:
        """Every name ever kept."""
        return await self._change("remember", shards)

    async def load(self, shard: str, ids: Sequence[AggregateId]) -> dict[AggregateId, Versioned]:
        """The records that exist."""
        return await self._ask("load", shard, tuple(ids))

    async def resolve_keys(self, shard: str, keys: Sequence[str]) -> dict[str, AggregateId]:
        """The keys that point at something."""
        return await self._ask("resolve_keys", shard, tuple(keys))

    async def commit(self, shard: str, commit: Commit) -> Committed | Conflict:
        """All or nothing."""
        times = self.marks.times(shard)
        if times:
            inbox, outbox = still(commit.inbox_acks, times), still(commit.outbox_acks, times)
            commit = replace(commit, inbox_acks=tuple(inbox), outbox_acks=tuple(outbox))
        counts = bool(commit.changes or commit.claims or commit.effects or commit.inbox_acks or commit.outbox_acks)
        return await self._write(shard, "commit", _words(commit), commit, counts=counts, intends=commit.intends)

    async def time(self) -> Millis:
        """True time: the servers' clocks are right."""
        from tests.simulation.world import EPOCH  # which builds on this module

        servers = self._servers
        return await self._line.call(STORE, "time", lambda: EPOCH + int(servers.loop.time() * 1_000), only_looks=True)

    async def mark(self, shard: str) -> Mark:
        """Both counts."""
        return await self._ask("mark", shard)

    async def claim_due(self, shard: str, now: Millis, limit: int) -> int:
        """Due timers into the inbox."""
        return await self._change("claim_due", shard, now, limit)

    async def next_due(self, shard: str) -> Millis | None:
        """The earliest due time."""
        return await self._ask("next_due", shard)

    async def incidents(self, shard: str, *, closed: bool, limit: int) -> list[IncidentLine]:
        """Newest first."""
        return await self._ask("incidents", shard, closed=closed, limit=limit)

    async def newest_incidents(self, shard: str, limit: int) -> list[AggregateId]:
        """Newest first."""
        return await self._ask("newest_incidents", shard, limit)

    async def oldest_incidents(self, shard: str, opened_by: Millis, *, skip: int, limit: int) -> list[AggregateId]:
        """Oldest first."""
        return await self._ask("oldest_incidents", shard, opened_by, skip=skip, limit=limit)

    async def retire(self, shard: str, incident: AggregateId, version: int) -> bool:
        """Remove a closed incident of this version."""
        return await self._change("retire", shard, incident, version)

    async def retired(self, shard: str) -> int:
        """How many have left."""
        return await self._ask("retired", shard)

    async def aggregates(self, shard: str) -> list[AggregateId]:
        """Every aggregate, sorted."""
        return await self._ask("aggregates", shard)

    async def audit(self, shard: str, aggregate: AggregateId) -> list[AuditEntry]:
        """The chain, oldest first."""
        return await self._ask("audit", shard, aggregate)

    async def lag(self, shard: str) -> tuple[int, int]:
        """What is not acknowledged."""
        return await self._ask("lag", shard)

    async def check_writable(self) -> None:
        """A durable write works."""
        await self._change("check_writable")


def _named(deliveries: list[Any], times: int) -> list[Any]:
    """As the real store names them."""
    if not times:
        return deliveries
    return [replace(each, delivery=named(each.delivery, times)) for each in deliveries]


def _words(commit: Commit) -> str:
    """What a commit is about, for the trace."""
    changed = " ".join(change.record.id for change in commit.changes)
    changed = changed or " ".join(effect.id for effect in commit.effects) or "acknowledgements"
    return f"commit {changed}, with an intent" if commit.intends else f"commit {changed}"
