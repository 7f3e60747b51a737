"""What the store reads without changing anything: records, keys, lists, chains and backlog.

`RedisStore` adds the queues and the writes. Everything that was sealed is opened here before anybody sees it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.adapters.codec import decode_record
from bot.adapters.redis_keys import ShardKeys
from bot.adapters.redis_link import RedisLink
from bot.adapters.redis_newer import Newer
from bot.adapters.redis_primary import Behind
from bot.adapters.seal import Sealer
from bot.core.audit import AuditEntry
from bot.core.incident import Incident
from bot.core.words import AggregateId, Millis
from bot.engine.high_water import HighWater
from bot.engine.ports import IncidentLine, Mark, Versioned
from bot.errors import RecordForged, StoreNewer

_RECORD_FIELDS = (b"ver", b"head", b"rec")
_LOAD_CHUNK = 500  # records asked for in one round trip: about 2 MB, so that one load never stalls the server
_AUDIT_CHUNK = 1_000  # audit links read in one round trip


class RedisReads:
    """The reading half of the store."""

    def __init__(
        self,
        url: str,
        *,
        replica: str,
        sealer: Sealer,
        prefix: str = "andon",
        username: str = "",
        password: str = "",
        behind: Behind | None = None,
        wait_replicas: int = 0,
    ) -> None:
        """`behind`: the Sentinels that know the primary. `wait_replicas`: how many confirm what must outlive it."""
        self._link = RedisLink(url, username=username, password=password, behind=behind, wait_replicas=wait_replicas)
        self._replica = replica
        self._sealer = sealer
        self._prefix = prefix
        # What this store acknowledged, told with every reply.
        self.marks = HighWater(reads_prove=behind is None and not wait_replicas)
        self._shards: dict[str, ShardKeys] = {}
        self._newer = Newer(self._link, replica)

    @property
    def left_to_newer(self) -> Mapping[str, str]:
        """The shards that a newer Andon works on and this one no longer touches, each with why."""
        return self._newer.shards

    def _keys(self, shard: str) -> ShardKeys:
        """The keys of a shard. Raises StoreNewer where a newer Andon works."""
        self._newer.refuse(shard)
        keys = self._shards.get(shard)
        if keys is None:
            keys = self._shards[shard] = ShardKeys.of(self._prefix, shard)
        return keys

    async def load(self, shard: str, ids: Sequence[AggregateId]) -> dict[AggregateId, Versioned]:
        """The records that exist, by id. RecordForged when a MAC or schema does not hold, StoreNewer."""
        keys = self._keys(shard)
        try:
            return await self._load(keys, ids)
        except StoreNewer as error:
            raise await self._newer.stand_back(shard, keys, error) from error

    async def _load(self, keys: ShardKeys, ids: Sequence[AggregateId]) -> dict[AggregateId, Versioned]:
        found: dict[AggregateId, Versioned] = {}
        for start in range(0, len(ids), _LOAD_CHUNK):
            chunk = ids[start : start + _LOAD_CHUNK]
            async with self._link.bounded("load"):
                rows = await self._link.ask_all([(b"HMGET", keys.record(name), *_RECORD_FIELDS) for name in chunk])
            for aggregate, row in zip(chunk, rows, strict=True):
                versioned = self._open_record(keys, aggregate, row)
                if versioned is not None:
                    found[aggregate] = versioned
        return found

    def _open_record(self, keys: ShardKeys, aggregate: AggregateId, row: Sequence[bytes | None]) -> Versioned | None:
        ver, head, sealed = row
        if ver is None and head is None and sealed is None:
            return None
        if ver is None or head is None or sealed is None or not ver.isdigit() or ver != b"%d" % int(ver):
            raise RecordForged(f"{aggregate}: the record is incomplete")
        version, link = int(ver), head.decode("ascii", "replace")
        body = self._sealer.open(keys.record_context(aggregate, version, link), sealed)
        record = decode_record(body)
        if record.id != aggregate:
            raise RecordForged(f"{aggregate}: the record calls itself {record.id}")
        return Versioned(record=record, version=version, head=link)

    async def resolve_keys(self, shard: str, keys: Sequence[str]) -> dict[str, AggregateId]:
        """Which incident each key points at now; keys that point at nothing are absent."""
        if not keys:
            return {}
        places = self._keys(shard)
        async with self._link.bounded("resolve keys"):
            values = await self._link.ask(b"HMGET", places.keys, *keys)
        return {
            key: self._sealer.open(places.claim_context(key), value).decode()
            for key, value in zip(keys, values, strict=True)
            if value is not None
        }

    async def mark(self, shard: str) -> Mark:
        """How many writes the shard counts now, in all and of this replica."""
        keys = self._keys(shard)
        async with self._link.bounded("mark"):
            total, own = await self._link.ask_all(
                [(b"GET", keys.sequence), (b"HGET", keys.acknowledged, self._replica)]
            )
        try:
            return Mark(int(total or 0), int(own or 0))
        except ValueError as error:
            raise RecordForged(f"{shard}: its count of writes is not a number") from error

    async def time(self) -> Millis:
        """The wall clock of the store's server."""
        async with self._link.bounded("time"):
            seconds, micros = await self._link.ask(b"TIME")
        return int(seconds) * 1_000 + int(micros) // 1_000

    async def next_due(self, shard: str) -> Millis | None:
        """When the shard's earliest timer is due."""
        async with self._link.bounded("next due"):
            first = await self._link.commands.zrange(self._keys(shard).timers, 0, 0, withscores=True)
        return int(first[0][1]) if first else None

    async def dead_letters(self, shard: str, limit: int) -> list[tuple[str, str, bytes]]:
        """(id, reason, raw) of what was set aside, newest first."""
        async with self._link.bounded("dead letters"):
            entries = await self._link.commands.xrevrange(self._keys(shard).dead, count=limit)
        return [
            (entry.decode(), fields.get(b"reason", b"").decode("utf-8", "replace"), fields.get(b"raw", b""))
            for entry, fields in entries
        ]

    async def incidents(self, shard: str, *, closed: bool, limit: int) -> list[IncidentLine]:
        """Incidents of a shard, newest first; without `closed`, only those not yet closed."""
        keys = self._keys(shard)
        ids = await self._newest(keys.incidents if closed else keys.open, limit)
        records = await self.load(shard, ids)
        return [
            IncidentLine(incident=versioned.record, version=versioned.version)
            for versioned in (records.get(aggregate) for aggregate in ids)
            if versioned is not None and isinstance(versioned.record, Incident)
        ]

    async def newest_incidents(self, shard: str, limit: int) -> list[AggregateId]:
        """Ids of incidents, open and closed, newest first."""
        return await self._newest(self._keys(shard).incidents, limit)

    async def _newest(self, place: bytes, limit: int) -> list[AggregateId]:
        async with self._link.bounded("incidents"):
            members = await self._link.commands.zrevrange(place, 0, limit - 1)
        return [member.decode() for member in members]

    async def oldest_incidents(self, shard: str, opened_by: Millis, *, skip: int, limit: int) -> list[AggregateId]:
        """Ids of incidents, open and closed, that opened no later than `opened_by`, oldest first, after `skip`."""
        async with self._link.bounded("oldest incidents"):
            members = await self._link.commands.zrange(
                self._keys(shard).incidents, "-inf", opened_by, byscore=True, offset=skip, num=limit
            )
        return [member.decode() for member in members]

    async def retired(self, shard: str) -> int:
        """How many incidents have ever left this shard for the archive."""
        async with self._link.bounded("retired"):
            return int(await self._link.ask(b"GET", self._keys(shard).retired) or 0)

    async def aggregates(self, shard: str) -> list[AggregateId]:
        """Every aggregate of the shard, for audit verification."""
        async with self._link.bounded("aggregates"):
            members = await self._link.commands.smembers(self._keys(shard).aggregates)
        return sorted(member.decode() for member in members)

    async def audit(self, shard: str, aggregate: AggregateId) -> list[AuditEntry]:
        """The aggregate's whole chain, oldest first."""
        key = self._keys(shard).audit(aggregate)
        entries: list[AuditEntry] = []
        while True:
            async with self._link.bounded("audit"):
                rows = await self._link.commands.lrange(key, len(entries), len(entries) + _AUDIT_CHUNK - 1)
            entries += [parse_link(row) for row in rows]
            if len(rows) < _AUDIT_CHUNK:
                return entries

    async def lag(self, shard: str) -> tuple[int, int]:
        """(entries waiting in the inbox, effects waiting in the outbox), delivered or not."""
        keys = self._keys(shard)
        async with self._link.bounded("lag"):
            inbox, outbox = await self._link.ask_all([(b"XLEN", keys.inbox), (b"XLEN", keys.outbox)])
        return int(inbox), int(outbox)


def format_link(entry: AuditEntry) -> bytes:
    """An audit link as the store keeps it: readable, one line."""
    return f"{entry.seq} {entry.previous or '-'} {entry.hash} {entry.body}".encode()


def parse_link(row: bytes) -> AuditEntry:
    """A stored audit link. One that was mangled still comes back, so that verification can say which."""
    parts = row.decode("utf-8", "replace").split(" ", 3)
    if len(parts) != 4 or not (parts[0].isascii() and parts[0].isdigit()):
        return AuditEntry(seq=0, previous="", hash="", body=row.decode("utf-8", "replace"))
    seq, previous, digest, body = parts
    return AuditEntry(seq=int(seq), previous="" if previous == "-" else previous, hash=digest, body=body)
