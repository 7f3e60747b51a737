"""The simulated store's servers: a primary that keeps what it is told, and perhaps a follower that is behind it.

`Servers` holds the primary's data as a `MemoryStore` and, where there is a follower, what it lacks: every change is an
operation in a log, and a follower that is `lag_s` behind has all but the newest of them. A failover replays what it has
and forgets the rest. Made by `world`, asked through `store`, ill-treated by `troubles`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from bot.core.events import Addressed, AlertResolved, InboxEntry
from bot.core.words import AggregateId, Millis
from bot.engine.ports import Commit, Committed
from bot.errors import StoreUnavailable, StoreUnconfirmed
from bot.testing import MemoryStore
from tests.simulation.loop import VirtualLoop
from tests.simulation.trace import Trace
from tests.simulation.wire import Port

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


ID_GAP: Final = 1_000_000  # entries of one run are some hundred


@dataclass(slots=True)
class _Operation:
    """One change of the primary's data, as the follower repeats it."""

    at: float  # when the follower can have it at the earliest
    replica: str
    call: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Heard:
    """What a committed pass took in of one firing of an alert: that it fires, or that it has ended."""

    fingerprint: str
    starts_at: Millis
    status: Literal["firing", "resolved"]


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
    heard: list[Heard] = field(default_factory=list)  # in the order in which replicas took it in
    truth: MemoryStore = field(init=False)  # what the primary holds; for those who look from outside
    _follower: MemoryStore = field(init=False)
    _views: dict[str, MemoryStore] = field(default_factory=dict)
    _log: list[_Operation] = field(default_factory=list)
    _replicated: int = 0  # operations of the log that the follower has
    _handed: dict[str, InboxEntry] = field(default_factory=dict)  # what was in each delivery of the inbox
    _readers: dict[tuple[str, Queue], list[_Reader]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.truth = MemoryStore("servers", monotonic=self.loop.time)
        self._follower = self.truth.snapshot()

    # --- what a replica's call does here ------------------------------------------------------------------------------

    def ask(self, replica: str, call: str, *arguments: Any, **options: Any) -> Any:
        """A read."""
        if self.down:
            raise StoreUnavailable(self.down)
        return at_once(getattr(self._views.get(replica) or self._view(replica), call)(*arguments, **options))

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
        if call in ("read_inbox", "reclaim"):
            for delivery in result if call == "read_inbox" else result[0]:
                if delivery.entry is not None:
                    self._handed[delivery.delivery] = delivery.entry
        elif call == "commit" and isinstance(result, Committed):
            self._hear(arguments[1])
        return result

    def _hear(self, commit: Commit) -> None:
        """A pass is written, so what it acknowledges was folded in it: perhaps not for the first time."""
        for name in commit.inbox_acks:
            entry = self._handed.get(name)
            if isinstance(entry, Addressed):
                alerts = (entry.event.alert,) if isinstance(entry.event, AlertResolved) else ()
            else:
                alerts = entry.alerts if entry is not None else ()
            self.heard.extend(Heard(alert.fingerprint, alert.starts_at, alert.status) for alert in alerts)

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
        self._follower.skip_ids(self.failovers * ID_GAP)  # real ids are made of the time, and do not come again
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
