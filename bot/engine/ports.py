"""The doors of the engine: everything outside it, as narrow Protocols.

Adapters (`bot/adapters`) implement them for real, `bot/testing` in memory; one contract suite runs on both.
Every call is bounded in time by its implementation and raises errors of `bot.errors` only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from bot.core.audit import AuditEntry as AuditEntry
from bot.core.effects import OutboxEffect, PageOncall, PostMessage, ResolvePage
from bot.core.events import InboxEntry, IntentDeclared
from bot.core.incident import Incident
from bot.core.source import Source
from bot.core.target import Target
from bot.core.words import AggregateId, Millis
from bot.engine.high_water import HighWater
from bot.engine.high_water import Mark as Mark

Record: TypeAlias = Incident | Target | Source


class Clock(Protocol):
    """Time as an argument: `now` is wall time."""

    def now(self) -> Millis: ...

    def real_seconds(self, duration_ms: Millis) -> float:
        """How many real seconds `duration_ms` of this clock take (a scaled clock divides)."""
        ...


# --- the store ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Versioned:
    """A record as stored: its version (1 for the first commit) and its audit chain's head."""

    record: Record
    version: int
    head: str


@dataclass(frozen=True, slots=True)
class Change:
    """One aggregate's part of a commit. `expected` is the version it was folded from (0: it must not exist yet)."""

    record: Record
    expected: int
    audit: AuditEntry
    timers_before: Mapping[str, tuple[Millis, str]]  # name -> (due, token), to be mirrored by difference


@dataclass(frozen=True, slots=True)
class KeyClaim:
    """Point an incident key at an incident id, provided it points at `expected` now (None: at nothing)."""

    key: str
    expected: AggregateId | None
    incident: AggregateId


@dataclass(frozen=True, slots=True)
class Commit:
    """What one atomic server-side script writes, or refuses whole.

    `seen` and `pointers` are what decided without being changed: records (by id, version and head; 0 and "": not
    there), and keys with what they pointed at. They are compared too, or a copy of an alert could be told from a stale
    record.
    """

    changes: tuple[Change, ...] = ()
    claims: tuple[KeyClaim, ...] = ()
    seen: tuple[tuple[AggregateId, int, str], ...] = ()
    pointers: tuple[tuple[str, AggregateId | None], ...] = ()
    effects: tuple[OutboxEffect, ...] = ()
    inbox_acks: tuple[str, ...] = ()  # inbox deliveries done with this commit
    outbox_acks: tuple[str, ...] = ()  # outbox deliveries done with this commit
    intends: bool = False  # an intent is declared: it must outlive the store's primary (law 2)


@dataclass(frozen=True, slots=True)
class Committed:
    """The shard's commit sequence after this commit."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """Somebody else was faster; `stale` names what must be read again before folding again."""

    stale: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InboxDelivery:
    """One inbox entry in our hands until acknowledged. `deliveries` counts from 1.

    `entry` is None when the stored bytes are poison (`problem` says why); `raw` is kept for the dead letter.
    """

    delivery: str
    entry: InboxEntry | None
    deliveries: int
    raw: bytes = b""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class OutboxDelivery:
    """One effect in our hands until acknowledged."""

    delivery: str
    effect: OutboxEffect | None
    deliveries: int
    raw: bytes = b""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class IncidentLine:
    """What a list of incidents shows, without loading each record's plan."""

    incident: Incident
    version: int


class Store(Protocol):
    """The durable store. A shard is a trading system's name (or `unrouted`); its keys share one hash tag."""

    @property
    def marks(self) -> HighWater:
        """What was acknowledged to this replica, told with every reply to `append` and `commit`."""
        ...

    async def remember(self, shards: Sequence[str]) -> list[str]:
        """Keep the names of these shards; returns every name ever kept, sorted."""
        ...

    async def append(self, shard: str, entries: Sequence[InboxEntry]) -> None:
        """Make entries durable in the shard's inbox, in order. StoreUnavailable when it cannot."""
        ...

    async def read_inbox(self, shard: str, count: int, block_ms: int) -> list[InboxDelivery]:
        """New deliveries for this replica; waits up to `block_ms` (real time) for the first."""
        ...

    async def read_outbox(self, shard: str, count: int, block_ms: int) -> list[OutboxDelivery]:
        """New effects for this replica; waits up to `block_ms` (real time) for the first."""
        ...

    async def reclaim(
        self, shard: str, idle_ms: int, count: int, *, starting: bool = False
    ) -> tuple[list[InboxDelivery], list[OutboxDelivery]]:
        """Deliveries that any replica holds for longer than `idle_ms`; with 0, those of this replica's own name.

        Only `starting` counts as a further delivery: what is handed out again and again while the store is in trouble
        is not therefore poison.
        """
        ...

    async def load(self, shard: str, ids: Sequence[AggregateId]) -> dict[AggregateId, Versioned]:
        """The records that exist, by id. RecordForged when a MAC or schema does not hold."""
        ...

    async def resolve_keys(self, shard: str, keys: Sequence[str]) -> dict[str, AggregateId]:
        """Which incident each key points at now; keys that point at nothing are absent."""
        ...

    async def commit(self, shard: str, commit: Commit) -> Committed | Conflict:
        """Write it all or nothing, in one round trip, durable on return.

        StoreUnconfirmed: it is written, and it declares an intent that the replicas do not have.
        """
        ...

    async def attend(self, shard: str, now: Millis) -> dict[str, Millis]:
        """Note that this replica is at work; returns when each replica said so last, of the last day."""
        ...

    async def time(self) -> Millis:
        """The wall clock of the store's server."""
        ...

    async def mark(self, shard: str) -> Mark:
        """How many writes the shard counts now, in all and of this replica."""
        ...

    async def claim_due(self, shard: str, now: Millis, limit: int) -> int:
        """Move due timers into the inbox as TimerFired events, atomically; returns how many."""
        ...

    async def next_due(self, shard: str) -> Millis | None:
        """When the shard's earliest timer is due."""
        ...

    async def dead_letter(
        self, shard: str, queue: Literal["inbox", "outbox"], delivery: str, raw: bytes, reason: str
    ) -> None:
        """Set a poison delivery aside, with its reason, and acknowledge it, atomically.

        `delivery` "": refused at the door, so it never was queued and there is nothing to acknowledge.
        """
        ...

    async def dead_letters(self, shard: str, limit: int) -> list[tuple[str, str, bytes]]:
        """(id, reason, raw) of what was set aside, newest first."""
        ...

    async def incidents(self, shard: str, *, closed: bool, limit: int) -> list[IncidentLine]:
        """Incidents of a shard, newest first; without `closed`, only those not yet closed."""
        ...

    async def newest_incidents(self, shard: str, limit: int) -> list[AggregateId]:
        """Ids of incidents, open and closed, newest first."""
        ...

    async def oldest_incidents(self, shard: str, opened_by: Millis, *, skip: int, limit: int) -> list[AggregateId]:
        """Ids of incidents, open and closed, that opened no later than `opened_by`, oldest first, after `skip`."""
        ...

    async def retire(self, shard: str, incident: AggregateId, version: int) -> bool:
        """Remove a closed incident of exactly this version, atomically: its record, its chain, its place in the lists.

        Its key goes on pointing at it, so that the same firing, told again, never gets the same incident id (and so the
        same intent ids) anew. False when it stays (open, another version) or was gone before.
        """
        ...

    async def retired(self, shard: str) -> int:
        """How many incidents have ever left this shard, to be compared with what the archive lists."""
        ...

    async def aggregates(self, shard: str) -> list[AggregateId]:
        """Every aggregate of the shard, for audit verification."""
        ...

    async def audit(self, shard: str, aggregate: AggregateId) -> list[AuditEntry]:
        """The aggregate's whole chain, oldest first."""
        ...

    async def lag(self, shard: str) -> tuple[int, int]:
        """(entries waiting in the inbox, effects waiting in the outbox), delivered or not."""
        ...

    async def check_writable(self) -> None:
        """Returns when a durable write works; raises StoreUnavailable otherwise."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """A closed incident as the archive keeps it: all the store had of it."""

    incident: Incident
    version: int
    head: str
    audit: tuple[AuditEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveProblem:
    """What is wrong with one thing in the archive, in words. `incident` is "" for the index as a whole."""

    incident: AggregateId
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveVerdict:
    """What a look at the whole archive found.

    `unlisted`: incidents that have a file and no line in the index. Where the store still has the incident, that is
    what a crash in the middle of archiving leaves, and the next round mends it; else the line was taken out.
    """

    files: int
    links: int
    listed: Mapping[str, int] = field(default_factory=dict)  # incidents in the index, by system
    problems: tuple[ArchiveProblem, ...] = ()
    unlisted: tuple[AggregateId, ...] = ()


class Archive(Protocol):
    """Where closed incidents go when they leave the store; nothing in it is ever changed or removed by Andon."""

    async def keep(self, closed: Archived, at: Millis) -> None:
        """Make it durable, and list it. Again for the same incident and head: nothing more happens.

        StoreUnavailable when the disk refuses, StoreContended while another replica writes, RecordForged when what
        stands there already was changed.
        """
        ...

    async def find(self, incident: AggregateId) -> Archived | None:
        """What was kept last under this id. RecordForged when it was changed since."""
        ...

    async def listed(self, prefix: str = "") -> tuple[tuple[str, AggregateId], ...]:
        """(system, id) of the incidents whose id begins so, in the order they were first kept."""
        ...

    async def verify(self, look: Callable[[Archived], None] = lambda found: None) -> ArchiveVerdict:
        """Read all of it and compare it with the index. Each incident that is what its index says is shown to `look`,
        perhaps in another thread."""
        ...


@dataclass(frozen=True, slots=True)
class Remembered:
    """An intent in the journal, and what became of it: "open" when no outcome was noted."""

    intent: IntentDeclared
    system: str  # "" in a line of an earlier version
    outcome: Literal["open", "done", "not_sent", "unknown"]


@dataclass(frozen=True, slots=True)
class Recollection:
    """What the journal holds: its newest intents, oldest first, and this replica's newest marks by shard."""

    intents: tuple[Remembered, ...] = ()
    marks: Mapping[str, Mark] = field(default_factory=dict)


class Journal(Protocol):
    """The local fsynced journal of intents: the second place an intent is durable, and the first one read when the
    store is gone."""

    async def recollect(self) -> Recollection:
        """Everything it holds. Raises StoreUnavailable when it cannot be read."""
        ...

    async def note(self, marks: Mapping[str, Mark]) -> None:
        """Append and fsync how much the store has acknowledged. Raises StoreUnavailable."""
        ...

    async def intend(self, intent: IntentDeclared, system: str = "") -> None:
        """Append and fsync, with the system it belongs to. Raises StoreUnavailable when the disk refuses."""
        ...

    def killed(self) -> str:
        """Who engaged the kill switch and why, in one sentence; "" while it is not engaged. Cheap: asked before every
        declaration and every send."""
        ...

    async def conclude(self, intent: str, outcome: Literal["done", "not_sent", "unknown"], at: Millis) -> None:
        """Append the intent's outcome (fsynced)."""
        ...


# --- people ------------------------------------------------------------------------------------------------------


class Chat(Protocol):
    """The place where people read. Returns the message's reference; DeliveryError when it was not taken."""

    async def post(self, message: PostMessage, shard: str) -> str: ...


class Pager(Protocol):
    """The thing that wakes people. Returns the vendor's reference; DeliveryError when it was not taken."""

    async def page(self, page: PageOncall) -> str: ...

    async def resolve(self, page: ResolvePage) -> str: ...


class Telemetry(Protocol):
    """Counters and timings about Andon itself; the names and labels are fixed and bounded in `bot.adapters.metrics`."""

    def folded(self, shard: str, decision: str, count: int) -> None: ...

    def committed(self, shard: str, seconds: float, events: int) -> None: ...

    def conflicted(self, shard: str) -> None: ...

    def dispatched(self, shard: str, effect: str, outcome: str, seconds: float) -> None: ...

    def timer_lateness(self, shard: str, seconds: float) -> None: ...

    def dead_lettered(self, shard: str) -> None: ...

    def clock_jumped(self, seconds: float) -> None: ...

    def stream_read(self, stream: str, entries: int, behind_seconds: float) -> None: ...
