"""The simulated store: servers that keep what they are told, and each replica's way to them.

`Servers` holds the primary's data as a `MemoryStore` and, where there is a follower, what it lacks: every change is an
operation in a log, and a follower that is `lag` behind has all but the newest of them. A failover replays what it has
and forgets the rest. `SimulatedStore` is the `ports.Store` of one incarnation: every call goes over its line, arrives
at the primary as one atomic step, and waits for the follower where the setup says that answers do (ADR 0011).

The same contract suite runs on this as on a real Valkey (`tests/contract/test_store.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from bot.core.audit import AuditEntry
from bot.core.events import InboxEntry
from bot.core.words import AggregateId, Millis
from bot.engine.high_water import HighWater
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
from bot.errors import StoreUnavailable, StoreUnconfirmed
from bot.testing import MemoryStore
from tests.simulation.loop import VirtualLoop
from tests.simulation.trace import Trace
from tests.simulation.wire import Line, Port

T = TypeVar("T")
Queue = Literal["inbox", "outbox"]

STORE: Final = Port(
    name="store", refused=StoreUnavailable, unanswered=StoreUnavailable, delay_ms=(0.1, 0.6), patience_s=5.0
)
LAG_S: Final = 0.0008  # of a follower that keeps up
WAIT_S: Final = 1.0  # how long a write waits for its follower (`redis_replicas.WAIT_MS`)
WAITING: Final = Port(
    name="store", refused=StoreUnavailable, unanswered=StoreUnavailable, delay_ms=(0.1, 0.6), patience_s=7.0
)  # a read that waits may take `BLOCK_MS` more


@dataclass(slots=True)
class _Operation:
    """One change of the primary's data, as the follower repeats it."""

    at: float  # when the follower can have it at the earliest
    replica: str
    call: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]


@dataclass(slots=True)
class _Reader:
    """A read that waits at the primary for the first entry."""

    replica: str
    count: int
    answer: asyncio.Future[list[Any]]
    end: asyncio.TimerHandle


@dataclass(slots=True)
class Servers:
    """Primary and follower. What is wrong with them is set by `troubles`; `mend` sets all of it right."""

    loop: VirtualLoop
    trace: Trace
    shards: tuple[str, ...] = ()
    followed: bool = False  # there is a follower
    confirmed: bool = False  # every answered write is on the follower too, or is not answered
    lag_s: float = LAG_S
    down: str = ""  # why nothing is answered at all
    read_only: str = ""  # why nothing can be written (a full disk, no memory, min-replicas-to-write)
    cut_since: float | None = None  # since when the follower gets nothing
    failovers: int = 0
    lost: int = 0  # changes that a failover has forgotten
    truth: MemoryStore = field(init=False)  # what the primary holds; for those who look from outside
    _follower: MemoryStore = field(init=False)
    _views: dict[str, MemoryStore] = field(default_factory=dict)
    _log: list[_Operation] = field(default_factory=list)
    _replicated: int = 0  # operations of the log that the follower has
    _readers: dict[tuple[str, Queue], list[_Reader]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.truth = MemoryStore("servers", monotonic=self.loop.time)
        self._follower = self.truth.snapshot()

    # --- what a replica's call does here ------------------------------------------------------------------------------

    def ask(self, replica: str, call: str, *arguments: Any, **options: Any) -> Any:
        """A read."""
        self._reachable()
        return at_once(getattr(self._view(replica), call)(*arguments, **options))

    def change(self, replica: str, call: str, *arguments: Any, **options: Any) -> Any:
        """A write: done whole, and on its way to the follower."""
        self._reachable()
        if self.read_only:
            raise StoreUnavailable(self.read_only)
        return self._apply(replica, call, arguments, options)

    def poison(self, shard: str, queue: Queue) -> None:
        """Somebody else puts an entry there that carries no seal."""
        self._apply("somebody", "poison", (shard, queue), {})

    def links(self) -> int:
        """How many links all chains have together: what the machines have decided."""
        chains = [at_once(self.truth.audit(shard, each)) for shard in self.shards for each in self._names(shard)]
        return sum(len(chain) for chain in chains)

    def _names(self, shard: str) -> list[AggregateId]:
        return at_once(self.truth.aggregates(shard))

    def take(self, replica: str, shard: str, queue: Queue, count: int, wait_s: float) -> Any:
        """New deliveries, or a future that has them when the first arrives (or [] after so many seconds)."""
        self._reachable()
        found = self._take(replica, shard, queue, count)
        if found or wait_s <= 0:
            return found
        answer: asyncio.Future[list[Any]] = self.loop.create_future()
        reader = _Reader(replica, count, answer, self.loop.call_later(wait_s, _nothing, answer))
        self._readers.setdefault((shard, queue), []).append(reader)
        return answer

    def when_followed(self, reply: T, *, intends: bool) -> asyncio.Future[T]:
        """This reply, once the follower has all that is written by now; an error when it does not come to have it."""
        answer: asyncio.Future[T] = self.loop.create_future()
        position, began = len(self._log), self.loop.time()

        def look() -> None:
            if answer.done():
                return
            self._replicate()
            if self.down:
                answer.set_exception(StoreUnavailable(self.down))
            elif self._replicated >= position:
                answer.set_result(reply)
            elif self.loop.time() - began >= WAIT_S:
                error = StoreUnconfirmed if intends else StoreUnavailable
                answer.set_exception(error("written to the store's primary only: no replica confirmed it in time"))
            else:
                self.loop.call_later(self.lag_s if self.cut_since is None else WAIT_S, look)

        look()
        return answer

    def _view(self, replica: str) -> MemoryStore:
        view = self._views.get(replica)
        if view is None:
            view = self._views[replica] = self.truth.twin(replica)
        return view

    def _apply(self, replica: str, call: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        result = _do(self._view(replica), call, arguments, options)
        if self.followed:
            self._log.append(_Operation(self.loop.time() + self.lag_s, replica, call, arguments, options))
        if self._readers and arguments:
            self._serve(arguments[0])
        return result

    def _take(self, replica: str, shard: str, queue: Queue, count: int) -> list[Any]:
        if not self.truth.has_new(shard, queue):
            return []
        found: list[Any] = self._apply(replica, f"read_{queue}", (shard, count, 0), {})
        return found

    def _serve(self, shard: str) -> None:
        """Hand new entries to those who wait, whoever asked first."""
        for queue in ("inbox", "outbox"):
            readers = self._readers.get((shard, queue))
            while readers and self.truth.has_new(shard, queue):
                reader = readers.pop(0)
                reader.end.cancel()
                if not reader.answer.done():
                    reader.answer.set_result(self._take(reader.replica, shard, queue, reader.count))

    def _reachable(self) -> None:
        if self.down:
            raise StoreUnavailable(self.down)

    # --- trouble ------------------------------------------------------------------------------------------------------

    def stop(self, why: str) -> None:
        """The primary is gone: connections break."""
        self.down = why
        for readers in self._readers.values():
            for reader in readers:
                reader.end.cancel()
                if not reader.answer.done():
                    reader.answer.set_exception(StoreUnavailable(why))
        self._readers.clear()

    def fail_over(self) -> None:
        """The follower becomes primary; what it does not have never happened."""
        self._replicate()
        lost = self._log[self._replicated :]
        for operation in self._log[: self._replicated]:
            _do(self._follower.twin(operation.replica), operation.call, operation.arguments, operation.options)
        self.failovers += 1
        self.lost += len(lost)
        self.trace.note("servers", "failover", f"{len(lost)} changes are forgotten: {_names(lost)}")
        self.stop("the store is failing over")
        self.truth, self.down, self.cut_since = self._follower, "", None
        self._follower = self.truth.snapshot()
        self._views.clear()
        self._log.clear()
        self._replicated = 0

    def restart(self) -> None:
        """The primary answers and writes again."""
        self.down = self.read_only = ""

    def leave(self) -> None:
        """The follower gets nothing from now on."""
        if self.cut_since is None:
            self.cut_since = self.loop.time()

    def rejoin(self) -> None:
        """The follower gets changes again, those that it missed first."""
        if self.cut_since is not None:
            for operation in self._log[self._replicated :]:
                operation.at = max(operation.at, self.loop.time() + self.lag_s)
        self.cut_since = None

    def _replicate(self) -> None:
        now = self.loop.time()
        while self._replicated < len(self._log):
            at = self._log[self._replicated].at
            if at > now or (self.cut_since is not None and at > self.cut_since):
                break
            self._replicated += 1


class SimulatedStore:
    """One incarnation's way to the servers. Implements `ports.Store`."""

    def __init__(self, line: Line, servers: Servers) -> None:
        self.replica = line.replica
        self.marks = HighWater(reads_prove=not servers.confirmed)  # what was acknowledged to this replica
        self._line = line
        self._servers = servers

    async def _ask(self, call: str, *arguments: Any, **options: Any) -> Any:
        servers, replica = self._servers, self.replica
        return await self._line.call(STORE, call, lambda: servers.ask(replica, call, *arguments, **options))

    async def _change(self, call: str, *arguments: Any, **options: Any) -> Any:
        servers, replica = self._servers, self.replica
        return await self._line.call(STORE, call, lambda: servers.change(replica, call, *arguments, **options))

    async def _write(self, shard: str, call: str, what: str, argument: Any, *, counts: bool, intends: bool) -> Any:
        """A write that somebody is answered for: counted, and confirmed by the follower where that is asked."""
        servers, replica, before = self._servers, self.replica, self.marks.before(shard)

        def work() -> asyncio.Future[tuple[Any, Mark]] | tuple[Any, Mark]:
            result = servers.change(replica, call, shard, argument)
            reply = (result, servers.ask(replica, "mark", shard))
            return servers.when_followed(reply, intends=intends) if servers.confirmed else reply

        result, mark = await self._line.call(STORE, what, work)
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
        port, what = (WAITING, f"read_{queue}") if block_ms else (STORE, f"look at {queue}")
        return await self._line.call(port, what, lambda: servers.take(replica, shard, queue, count, wait_s))

    async def reclaim(
        self, shard: str, idle_ms: int, count: int, *, starting: bool = False
    ) -> tuple[list[InboxDelivery], list[OutboxDelivery]]:
        """What is held for longer than `idle_ms`; with 0, what this replica's name holds."""
        return await self._change("reclaim", shard, idle_ms, count, starting=starting)

    async def dead_letter(self, shard: str, queue: Queue, delivery: str, raw: bytes, reason: str) -> None:
        """Set aside and acknowledge."""
        await self._change("dead_letter", shard, queue, delivery, raw, reason)

    async def dead_letters(self, shard: str, limit: int) -> list[tuple[str, str, bytes]]:
        """Newest first."""
        return await self._ask("dead_letters", shard, limit)

    # --- records ------------------------------------------------------------------------------------------------------

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
        counts = bool(commit.changes or commit.claims or commit.effects or commit.inbox_acks or commit.outbox_acks)
        return await self._write(shard, "commit", _words(commit), commit, counts=counts, intends=commit.intends)

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


def at_once(call: Coroutine[Any, Any, T]) -> T:
    """What a call to something in memory answers: it never waits."""
    try:
        call.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]  # of the coroutine's own type
    raise AssertionError("a call to something in memory waits")


def _do(store: MemoryStore, call: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    result = getattr(store, call)(*arguments, **options)
    return at_once(result) if asyncio.iscoroutine(result) else result


def _nothing(answer: asyncio.Future[list[Any]]) -> None:
    if not answer.done():
        answer.set_result([])


def _names(operations: Sequence[_Operation]) -> str:
    return ", ".join(operation.call for operation in operations[:8]) + (" …" if len(operations) > 8 else "")


def _words(commit: Commit) -> str:
    """What a commit is about, for the trace."""
    changed = " ".join(change.record.id for change in commit.changes) or "acknowledgements"
    return f"commit {changed}, with an intent" if commit.intends else f"commit {changed}"
