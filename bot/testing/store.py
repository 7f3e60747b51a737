"""The durable store's twin in memory. Implements `ports.Store`.

The same contract suite runs on this and on the real store. `twin` gives a second replica over the same data;
`poison`, `down` and `lose_reply` bring about what happens to a real store.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Generic, Literal, TypeAlias, TypeVar

from bot.core.audit import GENESIS, KEPT_LINKS, AuditEntry, is_bounded
from bot.core.effects import OutboxEffect
from bot.core.events import Addressed, InboxEntry, TimerFired
from bot.core.incident import TERMINAL, Incident
from bot.core.words import AggregateId, Millis
from bot.engine.high_water import HighWater
from bot.engine.ports import (
    Change,
    Commit,
    Committed,
    Conflict,
    InboxDelivery,
    IncidentLine,
    Mark,
    OutboxDelivery,
    Versioned,
)
from bot.errors import StoreUnavailable
from bot.testing.ledger import MemoryLedger

T = TypeVar("T")
TimerKey: TypeAlias = tuple[AggregateId, str, str]  # aggregate, name, token


@dataclass(slots=True)
class _Item(Generic[T]):
    content: T | None  # None: poison
    raw: bytes = b""
    problem: str = ""
    holder: str = ""  # "": not delivered yet
    since: float = 0.0
    deliveries: int = 0


@dataclass(slots=True)
class _Queue(Generic[T]):
    """A stream with its consumer group."""

    items: dict[str, _Item[T]] = field(default_factory=dict)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    count: int = 0

    def add(self, item: _Item[T]) -> None:
        self.count += 1
        self.items[f"{self.count}-0"] = item
        self.arrived.set()

    def copy(self) -> _Queue[T]:
        """Another that shares nothing that changes."""
        other = _Queue({name: replace(item) for name, item in self.items.items()}, count=self.count)
        if self.arrived.is_set():
            other.arrived.set()
        return other

    def take(self, replica: str, now: float, limit: int) -> list[tuple[str, _Item[T]]]:
        fresh = [(name, item) for name, item in self.items.items() if not item.holder][:limit]
        for _, item in fresh:
            item.holder, item.since, item.deliveries = replica, now, 1
        if all(item.holder for item in self.items.values()):
            self.arrived.clear()
        return fresh

    def retake(self, replica: str, now: float, idle_s: float, limit: int, starting: bool) -> list[tuple[str, _Item[T]]]:
        held = [
            (name, item)
            for name, item in self.items.items()
            if item.holder and (item.holder == replica if idle_s == 0 else now - item.since >= idle_s)
        ][:limit]
        for _, item in held:
            item.holder, item.since, item.deliveries = replica, now, item.deliveries + (1 if starting else 0)
        return held


@dataclass(slots=True)
class _Shard:
    inbox: _Queue[InboxEntry] = field(default_factory=_Queue)
    outbox: _Queue[OutboxEffect] = field(default_factory=_Queue)
    dead: list[tuple[str, str, bytes]] = field(default_factory=list)
    records: dict[AggregateId, Versioned] = field(default_factory=dict)
    chains: dict[AggregateId, list[AuditEntry]] = field(default_factory=dict)
    keys: dict[str, AggregateId] = field(default_factory=dict)
    timers: dict[TimerKey, Millis] = field(default_factory=dict)
    sequence: int = 0
    acknowledged: dict[str, int] = field(default_factory=dict)
    present: dict[str, Millis] = field(default_factory=dict)
    retired: int = 0

    def count(self, replica: str) -> bool:
        """One more write, of this replica."""
        self.sequence += 1
        self.acknowledged[replica] = self.acknowledged.get(replica, 0) + 1
        return True

    def copy(self) -> _Shard:
        """Another that shares nothing that changes."""
        return replace(
            self, inbox=self.inbox.copy(), outbox=self.outbox.copy(), dead=list(self.dead), records=dict(self.records),
            chains={name: list(chain) for name, chain in self.chains.items()}, keys=dict(self.keys),
            timers=dict(self.timers), acknowledged=dict(self.acknowledged),
        )  # fmt: skip

    def mark(self, replica: str) -> Mark:
        return Mark(self.sequence, self.acknowledged.get(replica, 0))


class MemoryStore(MemoryLedger):
    """One replica's view of the shards. Data lives as long as any replica of it."""

    def __init__(self, replica: str = "memory", *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.replica = replica
        self.marks = HighWater()  # what was acknowledged to this replica
        self.wall: Callable[[], Millis] = lambda: int(time.time() * 1_000)  # noqa: TID251  # the server's own clock
        self.down = ""  # set: every call fails with this reason
        self.lose_reply: set[str] = set()  # names of calls that work once, but whose reply is lost
        self._monotonic = monotonic
        self._shards: dict[str, _Shard] = {}
        self._known: set[str] = set()

    def twin(self, replica: str) -> MemoryStore:
        """Another replica over the same data."""
        other = MemoryStore(replica, monotonic=self._monotonic)
        other._shards, other._known = self._shards, self._known
        return other

    def snapshot(self) -> MemoryStore:
        """A server of its own that has everything this one has now."""
        other = MemoryStore(self.replica, monotonic=self._monotonic)
        other._shards = {name: place.copy() for name, place in self._shards.items()}
        other._known = set(self._known)
        return other

    def skip_ids(self, by: int) -> None:
        """New entries get other ids than those that were given so far, as where ids are made of the time."""
        for place in self._shards.values():
            place.inbox.count += by
            place.outbox.count += by

    def has_new(self, shard: str, queue: Literal["inbox", "outbox"]) -> bool:
        """Whether a queue holds what nobody was handed yet."""
        place = self._shards.get(shard)
        return place is not None and (place.inbox if queue == "inbox" else place.outbox).arrived.is_set()

    async def open(self) -> None:
        """Nothing to open."""

    async def remember(self, shards: Sequence[str]) -> list[str]:
        """Every name ever kept."""
        await self.check_writable()
        self._known.update(shards)
        return sorted(self._known)

    async def close(self) -> None:
        """Nothing to close."""

    def poison(self, shard: str, queue: Literal["inbox", "outbox"], raw: bytes = b"forged") -> None:
        """Put an entry into a queue that does not carry the store's seal."""
        problem = "the record does not carry our seal"
        if queue == "inbox":
            self._shard(shard).inbox.add(_Item(None, raw, problem))
        else:
            self._shard(shard).outbox.add(_Item(None, raw, problem))

    def _shard(self, shard: str) -> _Shard:
        if self.down:
            raise StoreUnavailable(self.down)
        place = self._shards.get(shard)
        if place is None:
            place = self._shards[shard] = _Shard()
        return place

    def _reply(self, call: str) -> None:
        if call in self.lose_reply:
            self.lose_reply.discard(call)
            raise StoreUnavailable(f"{call}: the reply was lost")

    # --- queues ---------------------------------------------------------------------------------------------------

    async def append(self, shard: str, entries: Sequence[InboxEntry]) -> None:
        """Into the inbox, in order."""
        place, before = self._shard(shard), self.marks.before(shard)
        for entry in entries:
            place.inbox.add(_Item(entry))
        place.count(self.replica)
        self._reply("append")
        self.marks.saw(shard, before, place.mark(self.replica))

    async def read_inbox(self, shard: str, count: int, block_ms: int) -> list[InboxDelivery]:
        """New entries; waits for the first."""
        rows = await self._read(self._shard(shard).inbox, count, block_ms)
        return [_inbox_delivery(name, item) for name, item in rows]

    async def read_outbox(self, shard: str, count: int, block_ms: int) -> list[OutboxDelivery]:
        """New effects; waits for the first."""
        rows = await self._read(self._shard(shard).outbox, count, block_ms)
        return [_outbox_delivery(name, item) for name, item in rows]

    async def _read(self, queue: _Queue[T], count: int, block_ms: int) -> list[tuple[str, _Item[T]]]:
        if block_ms > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(block_ms / 1000):
                    await queue.arrived.wait()
        return queue.take(self.replica, self._monotonic(), count)

    async def reclaim(
        self, shard: str, idle_ms: int, count: int, *, starting: bool = False
    ) -> tuple[list[InboxDelivery], list[OutboxDelivery]]:
        """What is held for longer than `idle_ms`; with 0, what this replica's name holds."""
        place, now = self._shard(shard), self._monotonic()
        inbox = place.inbox.retake(self.replica, now, idle_ms / 1000, count, starting)
        outbox = place.outbox.retake(self.replica, now, idle_ms / 1000, count, starting)
        return (
            [_inbox_delivery(name, item) for name, item in inbox],
            [_outbox_delivery(name, item) for name, item in outbox],
        )

    async def dead_letter(
        self, shard: str, queue: Literal["inbox", "outbox"], delivery: str, raw: bytes, reason: str
    ) -> None:
        """Set aside and acknowledge; nothing when it was acknowledged before. No `delivery`: it never was queued."""
        place = self._shard(shard)
        gone = place.inbox.items.pop(delivery, None) if queue == "inbox" else place.outbox.items.pop(delivery, None)
        if gone is not None or not delivery:
            place.dead.append((f"{len(place.dead) + 1}-0", reason, raw))

    async def dead_letters(self, shard: str, limit: int) -> list[tuple[str, str, bytes]]:
        """Newest first."""
        return self._shard(shard).dead[::-1][:limit]

    # --- records --------------------------------------------------------------------------------------------------

    async def load(self, shard: str, ids: Sequence[AggregateId]) -> dict[AggregateId, Versioned]:
        """The records that exist."""
        records = self._shard(shard).records
        return {aggregate: records[aggregate] for aggregate in ids if aggregate in records}

    async def resolve_keys(self, shard: str, keys: Sequence[str]) -> dict[str, AggregateId]:
        """The keys that point at something."""
        known = self._shard(shard).keys
        return {key: known[key] for key in keys if key in known}

    async def commit(self, shard: str, commit: Commit) -> Committed | Conflict:
        """All or nothing."""
        place, before, wrote = self._shard(shard), self.marks.before(shard), False
        stale = [c.record.id for c in commit.changes if _at(place, c.record.id) != (c.expected, c.audit.previous)]
        stale += [claim.key for claim in commit.claims if place.keys.get(claim.key) != claim.expected]
        stale += [aggregate for aggregate, *at in commit.seen if _at(place, aggregate) != tuple(at)]
        stale += [key for key, to in commit.pointers if place.keys.get(key) != to]
        if stale:
            return Conflict(stale=tuple(stale))
        for change in commit.changes:
            _write(place, change)
        for claim in commit.claims:
            place.keys[claim.key] = claim.incident
        for effect in commit.effects:
            place.outbox.add(_Item(effect))
        for delivery in commit.inbox_acks:
            place.inbox.items.pop(delivery, None)
        for delivery in commit.outbox_acks:
            place.outbox.items.pop(delivery, None)
        if commit.changes or commit.claims or commit.effects or commit.inbox_acks or commit.outbox_acks:
            wrote = place.count(self.replica)
        self._reply("commit")
        self.marks.saw(shard, before, place.mark(self.replica), wrote=wrote)
        return Committed(sequence=place.sequence)

    async def attend(self, shard: str, now: Millis) -> dict[str, Millis]:
        """Noted, and all of them."""
        present = self._shard(shard).present
        present[self.replica] = now
        return dict(present)

    async def time(self) -> Millis:
        """The server's clock."""
        return self.wall()

    async def mark(self, shard: str) -> Mark:
        """Both counts."""
        return self._shard(shard).mark(self.replica)

    async def claim_due(self, shard: str, now: Millis, limit: int) -> int:
        """Due timers into the inbox."""
        place = self._shard(shard)
        due = sorted((when, key) for key, when in place.timers.items() if when <= now)[:limit]
        for _, (aggregate, name, token) in due:
            del place.timers[aggregate, name, token]
            fired = TimerFired(id=f"{aggregate}|{name}|{token}", at=now, name=name, token=token)
            place.inbox.add(_Item(Addressed(to=aggregate, event=fired)))
        return len(due)

    async def next_due(self, shard: str) -> Millis | None:
        """The earliest due time."""
        return min(self._shard(shard).timers.values(), default=None)

    async def incidents(self, shard: str, *, closed: bool, limit: int) -> list[IncidentLine]:
        """Newest first."""
        lines = [
            IncidentLine(incident=found.record, version=found.version)
            for found in self._shard(shard).records.values()
            if isinstance(found.record, Incident) and (closed or found.record.status not in TERMINAL)
        ]
        lines.sort(key=lambda line: (line.incident.opened_at, line.incident.id), reverse=True)
        return lines[:limit]

    async def newest_incidents(self, shard: str, limit: int) -> list[AggregateId]:
        """Their ids."""
        return [line.incident.id for line in await self.incidents(shard, closed=True, limit=limit)]

    async def oldest_incidents(self, shard: str, opened_by: Millis, *, skip: int, limit: int) -> list[AggregateId]:
        """Oldest first."""
        known = [found.record for found in self._shard(shard).records.values() if isinstance(found.record, Incident)]
        told = sorted((record.opened_at, record.id) for record in known if record.opened_at <= opened_by)
        return [aggregate for _, aggregate in told[skip : skip + limit]]

    async def retire(self, shard: str, incident: AggregateId, version: int) -> bool:
        """Remove a closed incident of this version."""
        place = self._shard(shard)
        found = place.records.get(incident)
        if found is None or found.version != version:
            return False
        if not isinstance(found.record, Incident) or found.record.status not in TERMINAL:
            return False
        del place.records[incident], place.chains[incident]
        place.retired += 1
        self._reply("retire")
        return True

    async def retired(self, shard: str) -> int:
        """How many have left."""
        return self._shard(shard).retired

    async def aggregates(self, shard: str) -> list[AggregateId]:
        """Every aggregate, sorted."""
        return sorted(self._shard(shard).records)

    async def audit(self, shard: str, aggregate: AggregateId) -> list[AuditEntry]:
        """The chain, oldest first."""
        return list(self._shard(shard).chains.get(aggregate, ()))

    async def lag(self, shard: str) -> tuple[int, int]:
        """What is not acknowledged."""
        place = self._shard(shard)
        return len(place.inbox.items), len(place.outbox.items)

    async def check_writable(self) -> None:
        """Fails while `down` is set."""
        if self.down:
            raise StoreUnavailable(self.down)


def _at(place: _Shard, aggregate: AggregateId) -> tuple[int, str]:
    """Version and head; the real store compares both, for one that failed over may have another history."""
    found = place.records.get(aggregate)
    return (0, GENESIS) if found is None else (found.version, found.head)


def _write(place: _Shard, change: Change) -> None:
    record = change.record
    place.records[record.id] = Versioned(record=record, version=change.expected + 1, head=change.audit.hash)
    chain = place.chains.setdefault(record.id, [])
    chain.append(change.audit)
    if is_bounded(record.id):
        del chain[:-KEPT_LINKS]
    for name, (_, token) in change.timers_before.items():
        kept = record.timers.get(name)
        if kept is None or kept.token != token:
            place.timers.pop((record.id, name, token), None)
    for name, timer in record.timers.items():
        if change.timers_before.get(name) != (timer.due, timer.token):
            place.timers[record.id, name, timer.token] = timer.due


def _inbox_delivery(name: str, item: _Item[InboxEntry]) -> InboxDelivery:
    return InboxDelivery(name, item.content, item.deliveries, item.raw, item.problem)


def _outbox_delivery(name: str, item: _Item[OutboxEffect]) -> OutboxDelivery:
    return OutboxDelivery(name, item.content, item.deliveries, item.raw, item.problem)
