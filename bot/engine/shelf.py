"""Records and keys near at hand: a bounded cache over the store, trusted only until a commit says otherwise.

The engine folds from cached records without reading; the commit's compare-and-set finds out when another replica was
faster, and then the stale entries are dropped and read again. Nothing here decides anything.

Versions only grow. A record that is read again and stands behind what was seen of it, or is gone, was forgotten by the
store or put back by somebody who can write there: its seal is genuine, its time is over. That is told to
`bot.engine.high_water`, which stops the shard before anything is sent.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from bot.core.incident import TERMINAL, Incident
from bot.core.words import AggregateId
from bot.engine.ports import Commit, Store, Versioned

NEVER_RETIRED = ("target:", "source:")  # beginnings of ids; only incidents ever leave the store
MAX_SEEN = 50_000  # versions remembered per shard, about 200 bytes each; what acts is written often, so it stays
MAX_RECORDS = 20_000  # cached records per shard; about 100 MB at 5 kB each, and a storm has 5,000 fingerprints


class ShardShelf:
    """The cache of one shard."""

    def __init__(self, store: Store, shard: str) -> None:
        self._store = store
        self._shard = shard
        # None: known not to be there, which a commit's compare-and-set checks like everything else.
        self._records: OrderedDict[AggregateId, Versioned | None] = OrderedDict()
        self._keys: OrderedDict[str, AggregateId | None] = OrderedDict()
        self._seen: OrderedDict[AggregateId, tuple[int, str]] = OrderedDict()  # newest version and head of each
        self._forgotten = 0  # how often the store was found to have forgotten something

    async def load(self, aggregate: AggregateId) -> Versioned | None:
        """The record, from the cache or the store; None when it does not exist."""
        if aggregate not in self._records:
            await self.prefetch((aggregate,), ())
        self._records.move_to_end(aggregate)
        return self._records[aggregate]

    async def resolve(self, key: str) -> AggregateId | None:
        """The incident a key points at, from the cache or the store."""
        if key not in self._keys:
            await self.prefetch((), (key,))
        return self._keys[key]

    async def prefetch(self, aggregates: Iterable[AggregateId], keys: Iterable[str]) -> None:
        """Read what is not cached yet in two round trips at most, so that a batch does not read one by one."""
        unknown = [key for key in keys if key not in self._keys]
        found: dict[str, AggregateId] = {}
        self._trim(spare=len(unknown))
        if unknown:
            found = await self._store.resolve_keys(self._shard, unknown)
            self._keys.update((key, found.get(key)) for key in unknown)
        wanted = sorted({a for a in (*aggregates, *found.values()) if a not in self._records})
        if wanted:
            loaded = await self._store.load(self._shard, wanted)
            for aggregate in wanted:
                self._records[aggregate] = found_now = loaded.get(aggregate)
                self._compare(aggregate, found_now)

    def _compare(self, aggregate: AggregateId, found: Versioned | None) -> None:
        """What was read with the newest that was seen; from here on, what was read counts."""
        version, head = (found.version, found.head) if found is not None else (0, "")
        marks = self._store.marks
        self._start_over()
        known = self._seen.pop(aggregate, (0, ""))
        retired = not version and not aggregate.startswith(NEVER_RETIRED)  # another replica may have archived it
        if not retired and (version < known[0] or (version == known[0] and head != known[1])):
            what = f"stands at version {version}" if version else "is gone"
            marks.forgot(
                self._shard, f"{aggregate} {what}, and version {known[0]} was seen: the store forgot it, or somebody "
                "put an older copy back; run `andon audit verify`",
            )  # fmt: skip
        if version and marks.reads_prove:
            self._see(aggregate, version, head)
        elif known[0]:
            self._see(aggregate, *known)

    def _start_over(self) -> None:
        """Once the store has forgotten something, what was seen before counts no more; what is seen since, does."""
        times = self._store.marks.times(self._shard)
        if times != self._forgotten:
            self._seen.clear()
            self._forgotten = times

    def _see(self, aggregate: AggregateId, version: int, head: str) -> None:
        self._start_over()
        self._seen[aggregate] = (version, head)
        self._seen.move_to_end(aggregate)
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)

    def committed(self, commit: Commit) -> None:
        """What we wrote is what is stored now."""
        for claim in commit.claims:
            self._keys[claim.key] = claim.incident
        for change in commit.changes:
            record = change.record
            self._see(record.id, change.audit.seq, change.audit.hash)
            if isinstance(record, Incident) and record.status in TERMINAL:
                self._records.pop(record.id, None)
                self._keys.pop(record.key, None)
                self._seen.pop(record.id, None)  # it leaves for the archive
            else:
                self._records[record.id] = Versioned(record, change.audit.seq, change.audit.hash)

    def forget(self) -> None:
        """Trust nothing any more: a race was lost, or the store was away."""
        self._records.clear()
        self._keys.clear()

    def drop(self, stale: Iterable[str]) -> None:
        """Read these again: somebody else was faster."""
        for name in stale:
            self._records.pop(name, None)
            self._keys.pop(name, None)

    def _trim(self, spare: int) -> None:
        """Make room before a batch is read, so that nothing of the batch itself is dropped."""
        while len(self._records) > MAX_RECORDS - spare:
            self._records.popitem(last=False)
        while len(self._keys) > MAX_RECORDS - spare:
            self._keys.popitem(last=False)
