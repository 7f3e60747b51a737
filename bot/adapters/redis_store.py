"""The durable store on Redis or Valkey: the queues and the writes. Implements `bot.engine.ports.Store`.

Made by `bot/app.py`, called by ingress (append), the engine (read, load, commit, reclaim) and the sweeper
(claim_due). Every write is one server-side script (`lua/`), so it happens whole or not at all, and with
`appendfsync always` it is on disk when the call returns.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Literal, TypeVar

from redis.exceptions import ResponseError

from bot.adapters.codec import decode_effect, decode_entry, encode_effect, encode_entry, encode_record
from bot.adapters.redis_custody import RedisCustody
from bot.adapters.redis_keys import FIELD, GROUP, ShardKeys, meta_key, parse_timer, probe_key, shards_key, timer_member
from bot.adapters.redis_link import COMMAND_TIMEOUT_S, MAX_BLOCK_MS, Argument
from bot.adapters.redis_reads import format_link
from bot.core.audit import is_bounded
from bot.core.events import Addressed, InboxEntry, TimerFired
from bot.core.incident import TERMINAL, Incident
from bot.core.record import SCHEMA_VERSION
from bot.core.words import AggregateId, Millis
from bot.engine.in_hand import named, still
from bot.engine.ports import Change, Commit, Committed, Conflict, InboxDelivery, KeyClaim, Mark, OutboxDelivery
from bot.errors import ConfigError, RecordForged, StoreForgot, StoreNewer

MAX_DEAD_LETTERS = 10_000  # each has paged somebody; past this the oldest go, so that a flood cannot fill the store
MAX_DEAD_BYTES = 65_536  # kept of one; the door keeps 16 KiB, and a queue's entry may have a megabyte

PRESENT_MS: Millis = 86_400_000  # how long a replica's name is kept that is not at work any more

T = TypeVar("T")
Row = tuple[bytes, bytes]  # entry id, sealed bytes


class RedisStore(RedisCustody):
    """The store of one replica. `open` before use, `close` after."""

    async def open(self) -> None:
        """Check that this store is ours: same sealing key, no later schema. Raises ConfigError, StoreUnavailable."""
        key = meta_key(self._prefix)
        async with self._link.bounded("open the store"):
            pipe = self._link.commands.pipeline(transaction=True)
            pipe.hsetnx(key, "fingerprint", self._sealer.fingerprint)
            pipe.hsetnx(key, "schema", SCHEMA_VERSION)
            pipe.hmget(key, ["fingerprint", "schema"])
            fingerprint, schema = (await pipe.execute())[-1]
        if fingerprint.decode() != self._sealer.fingerprint:
            raise ConfigError(
                f"this store is sealed with key {fingerprint.decode()}, but this replica has key "
                f"{self._sealer.fingerprint}: copy the key file of the Andon that made the store "
                "into this data directory"
            )
        if int(schema) > SCHEMA_VERSION:
            raise ConfigError(
                f"a newer Andon has written to this store (schema {int(schema)}, and this one reads up to "
                f"{SCHEMA_VERSION}): start that version again, or restore the backup made before it was installed; "
                "nothing was changed"
            )
        if int(schema) < SCHEMA_VERSION:  # of two that do so at once the earlier may win: it then stands back later
            async with self._link.bounded("open the store"):
                await self._link.commands.hset(key, "schema", SCHEMA_VERSION)

    async def remember(self, shards: Sequence[str]) -> list[str]:
        """Keep the names of these shards; returns every name ever kept, sorted."""
        key = shards_key(self._prefix)
        async with self._link.bounded("remember the shards"):
            pipe = self._link.commands.pipeline(transaction=True)
            pipe.sadd(key, *shards)
            pipe.smembers(key)
            names = (await pipe.execute())[-1]
        return sorted(name.decode("utf-8", "replace") for name in names)

    async def close(self) -> None:
        """Give back every connection."""
        await self._link.close()

    @property
    def standing(self) -> str:
        """Whether replicas confirm what is written, in words; "" where none is asked."""
        return self._link.standing

    # --- queues ---------------------------------------------------------------------------------------------------

    async def append(self, shard: str, entries: Sequence[InboxEntry]) -> None:
        """Make entries durable in the shard's inbox, in order. StoreUnavailable when it cannot."""
        await self.append_encoded(shard, [encode_entry(entry) for entry in entries])

    async def append_encoded(self, shard: str, bodies: Sequence[bytes]) -> None:
        """`append` for entries that `codec.encode_entry` has encoded already: all of them in one round trip."""
        if not bodies:
            return
        keys, before = self._keys(shard), self.marks.before(shard)
        sealed = [self._sealer.seal(keys.inbox, body) for body in bodies]
        async with self._link.bounded("append"):
            reply, _ = await self._link.write(
                "append", [keys.inbox, keys.sequence, keys.acknowledged], [self._replica, *sealed]
            )
        self.marks.saw(shard, before, Mark(*reply))

    async def read_inbox(self, shard: str, count: int, block_ms: int) -> list[InboxDelivery]:
        """New deliveries for this replica; waits up to `block_ms` (real time) for the first."""
        keys, seen = self._keys(shard), self.marks.times(shard)
        rows = await self._read(keys.inbox, count, block_ms)
        async with self._standing_back(shard, keys):
            return [self._inbox_delivery(keys.inbox, row, 1, seen) for row in rows]

    async def read_outbox(self, shard: str, count: int, block_ms: int) -> list[OutboxDelivery]:
        """New effects for this replica; waits up to `block_ms` (real time) for the first."""
        keys, seen = self._keys(shard), self.marks.times(shard)
        rows = await self._read(keys.outbox, count, block_ms)
        async with self._standing_back(shard, keys):
            return [self._outbox_delivery(keys.outbox, row, 1, seen) for row in rows]

    async def reclaim(
        self, shard: str, idle_ms: int, count: int, *, starting: bool = False
    ) -> tuple[list[InboxDelivery], list[OutboxDelivery]]:
        """Deliveries that any replica, this one included, holds for longer than `idle_ms`.

        `idle_ms` 0 takes only what this replica's own name held before it restarted. Call it again until it returns
        nothing; what is in hand and not yet acknowledged comes back too, so act on a batch before asking anew.
        """
        keys, seen = self._keys(shard), self.marks.times(shard)
        inbox = await self._reclaim(keys.inbox, idle_ms, count, starting)
        outbox = await self._reclaim(keys.outbox, idle_ms, count, starting)
        async with self._standing_back(shard, keys):
            return (
                [self._inbox_delivery(keys.inbox, row, times, seen) for row, times in inbox],
                [self._outbox_delivery(keys.outbox, row, times, seen) for row, times in outbox],
            )

    @asynccontextmanager
    async def _standing_back(self, shard: str, keys: ShardKeys) -> AsyncIterator[None]:
        """Around what was delivered: where a newer Andon works, now or since this read began, it is handed over."""
        try:
            self._newer.refuse(shard)
            yield
        except StoreNewer as error:
            raise await self._newer.stand_back(shard, keys, error) from error

    async def _read(self, stream: bytes, count: int, block_ms: int) -> list[Row]:
        waits = min(block_ms, MAX_BLOCK_MS)
        block: tuple[Argument, ...] = (b"BLOCK", waits) if waits > 0 else ()
        command = (b"XREADGROUP", b"GROUP", GROUP, self._replica, b"COUNT", count, *block, b"STREAMS", stream, b">")
        async with self._link.bounded("read", waits / 1000 + COMMAND_TIMEOUT_S):
            try:
                reply = await self._link.wait_for(*command)
            except ResponseError as error:
                if not str(error).startswith("NOGROUP"):
                    raise
                await self._make_group(stream)
                reply = await self._link.wait_for(*command)
        return _rows(reply[0][1]) if reply else []

    async def _make_group(self, stream: bytes) -> None:
        try:
            await self._link.ask(b"XGROUP", b"CREATE", stream, GROUP, b"0", b"MKSTREAM")
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # another replica made it first
                raise

    async def _reclaim(self, stream: bytes, idle_ms: int, count: int, starting: bool) -> list[tuple[Row, int]]:
        """XPENDING and XCLAIM: XAUTOCLAIM does not say how often an entry was delivered, and counts each time."""
        which: tuple[Argument, ...] = (b"-", b"+", count, self._replica)
        if idle_ms > 0:
            which = (b"IDLE", idle_ms, b"-", b"+", count)
        async with self._link.bounded("reclaim"):
            try:
                pending = await self._link.ask(b"XPENDING", stream, GROUP, *which)
            except ResponseError as error:
                if str(error).startswith("NOGROUP"):
                    return []
                raise
            if not pending:
                return []
            by_count: dict[int, list[bytes]] = {}
            for entry, _, _, delivered in pending:
                by_count.setdefault(delivered + (1 if starting else 0), []).append(entry)
            claimed: list[tuple[Row, int]] = []
            for times, entries in by_count.items():  # RETRYCOUNT is one number for all entries of a call
                reply = await self._link.ask(
                    b"XCLAIM", stream, GROUP, self._replica, idle_ms, *entries, b"RETRYCOUNT", times
                )
                claimed += [(row, times) for row in _rows(reply)]
        return claimed

    def _inbox_delivery(self, stream: bytes, row: Row, deliveries: int, seen: int) -> InboxDelivery:
        entry, problem, raw = self._open(stream, row, decode_entry)
        return InboxDelivery(
            delivery=named(row[0].decode(), seen), entry=entry, deliveries=deliveries, raw=raw, problem=problem
        )

    def _outbox_delivery(self, stream: bytes, row: Row, deliveries: int, seen: int) -> OutboxDelivery:
        effect, problem, raw = self._open(stream, row, decode_effect)
        return OutboxDelivery(
            delivery=named(row[0].decode(), seen), effect=effect, deliveries=deliveries, raw=raw, problem=problem
        )

    def _open(self, stream: bytes, row: Row, decode: Callable[[bytes], T]) -> tuple[T | None, str, bytes]:
        raw = row[1]
        try:
            return decode(self._sealer.open(stream, raw)), "", raw
        except RecordForged as error:
            return None, str(error), raw

    # --- writes ---------------------------------------------------------------------------------------------------

    async def commit(self, shard: str, commit: Commit) -> Committed | Conflict:
        """Write it all or nothing, in one round trip, durable on return.

        `Conflict.stale` names aggregate ids and incident keys. RecordForged when a key holds something of another type,
        StoreUnconfirmed when it declares an intent that no replica has, StoreForgot when acknowledged writes are gone.
        """
        keys = self._keys(shard)
        places = [
            keys.inbox, keys.outbox, keys.timers, keys.keys, keys.aggregates, keys.incidents, keys.open, keys.sequence,
            keys.acknowledged,
        ]  # fmt: skip
        changes: list[Argument] = []
        away: list[Argument] = []
        due: list[Argument] = []
        for change in commit.changes:
            places += (keys.record(change.record.id), keys.audit(change.record.id))
            changes += self._change(keys, change)
            _mirror_timers(change, away, due)
        places += (keys.record(aggregate) for aggregate, _, _ in commit.seen)
        seen = [part for record in commit.seen for part in record]
        pointers = [part for key, to in commit.pointers for part in (key, self._pointer(keys, key, to))]
        claims = [part for claim in commit.claims for part in self._claim(keys, claim)]
        effects = [self._sealer.seal(keys.outbox, encode_effect(effect)) for effect in commit.effects]
        before = self.marks.before(shard)
        inbox_acks, outbox_acks = still(commit.inbox_acks, before.times), still(commit.outbox_acks, before.times)
        arguments: list[Argument] = [
            GROUP, self._replica, before.mark.own, len(commit.changes), len(commit.claims), len(away), len(due) // 2,
            len(effects), len(inbox_acks), len(outbox_acks), len(commit.seen), len(commit.pointers),
            *changes, *claims, *away, *due, *effects, *inbox_acks, *outbox_acks, *seen, *pointers,
        ]  # fmt: skip
        async with self._link.bounded("commit"):
            reply, confirmed = await self._link.write("commit", places, arguments, needed=commit.intends)
        if isinstance(reply[0], int):
            total, own, wrote = reply
            if commit.intends:
                self._link.insist("commit", confirmed)
            self.marks.saw(shard, before, Mark(total, own), wrote=wrote > 0)
            if wrote < 0:
                raise StoreForgot(f"commit: {self.marks.lost(shard) or 'the store has forgotten acknowledged writes'}")
            return Committed(sequence=total)
        return Conflict(stale=tuple(name.decode() for name in reply))

    def _change(self, keys: ShardKeys, change: Change) -> tuple[Argument, ...]:
        record, version, head = change.record, change.expected + 1, change.audit.hash
        sealed = self._sealer.seal(keys.record_context(record.id, version, head), encode_record(record))
        index, opened = ("b" if is_bounded(record.id) else "-"), 0
        if isinstance(record, Incident) and (change.expected == 0 or record.status in TERMINAL):
            # In between nothing changes in the lists: an incident opens with its first record, and only once.
            index, opened = ("c" if record.status in TERMINAL else "o"), record.opened_at
        return (
            record.id,
            change.expected,
            change.audit.previous,
            version,
            head,
            sealed,
            format_link(change.audit),
            index,
            opened,
        )

    def _claim(self, keys: ShardKeys, claim: KeyClaim) -> tuple[Argument, ...]:
        before, after = (self._pointer(keys, claim.key, to) for to in (claim.expected, claim.incident))
        return (claim.key, before, after)

    def _pointer(self, keys: ShardKeys, key: str, to: AggregateId | None) -> bytes:
        # A seal is the same whenever it is made, so the script compares sealed pointers as plain bytes.
        return b"" if to is None else self._sealer.seal(keys.claim_context(key), to.encode())

    async def claim_due(self, shard: str, now: Millis, limit: int) -> int:
        """Move due timers into the inbox as TimerFired events, atomically; returns how many."""
        keys = self._keys(shard)
        async with self._link.bounded("claim due timers"):
            members: list[bytes] = await self._link.commands.zrange(
                keys.timers, "-inf", now, byscore=True, offset=0, num=limit
            )
            arguments: list[Argument] = [now]
            for member in members:
                try:
                    aggregate, name, token = parse_timer(member)
                except ValueError:
                    await self._discard_timer(keys, member)
                    continue
                fired = TimerFired(id=member.decode(), at=now, name=name, token=token)
                body = encode_entry(Addressed(to=aggregate, event=fired))
                arguments += (member, self._sealer.seal(keys.inbox, body))
            if len(arguments) == 1:
                return 0
            return int(await self._link.run("claim_due", [keys.inbox, keys.timers], arguments))

    async def _discard_timer(self, keys: ShardKeys, member: bytes) -> None:
        """A member that is none of ours would stand first in the set for ever."""
        pipe = self._link.commands.pipeline(transaction=True)
        pipe.zrem(keys.timers, member)
        pipe.xadd(
            keys.dead,
            {b"queue": b"timers", b"delivery": b"", b"reason": b"not a timer of ours", b"raw": member},
            maxlen=MAX_DEAD_LETTERS,
        )
        await pipe.execute()

    async def dead_letter(
        self, shard: str, queue: Literal["inbox", "outbox"], delivery: str, raw: bytes, reason: str
    ) -> None:
        """Set a poison delivery aside, with its reason, and acknowledge it, atomically."""
        keys = self._keys(shard)
        stream = keys.inbox if queue == "inbox" else keys.outbox
        queued = "".join(still((delivery,), self.marks.times(shard)))  # else it is set aside, and comes again
        async with self._link.bounded("dead letter"):
            await self._link.write(
                "dead_letter",
                [stream, keys.dead],
                [GROUP, queued, queue, reason, raw[:MAX_DEAD_BYTES], MAX_DEAD_LETTERS],
            )

    async def attend(self, shard: str, now: Millis) -> dict[str, Millis]:
        """Note that this replica is at work; returns when each replica said so last. Names of yesterday are dropped."""
        key = self._keys(shard).present
        async with self._link.bounded("attend"):
            _, flat = await self._link.ask_all([(b"HSET", key, self._replica, now), (b"HGETALL", key)])
            pairs = zip(flat[::2], flat[1::2], strict=True)
            present = {name.decode("utf-8", "replace"): int(at) for name, at in pairs if at.isdigit()}
            gone = [name for name, at in present.items() if at < now - PRESENT_MS]
            if gone:
                await self._link.ask(b"HDEL", key, *gone)
        return {name: at for name, at in present.items() if name not in gone}

    async def retire(self, shard: str, incident: AggregateId, version: int) -> bool:
        """Remove a closed incident of this version, with its chain. False when it stays, or was gone before."""
        keys = self._keys(shard)
        stored = (await self.load(shard, [incident])).get(incident)  # what does not carry our seal is never removed
        if stored is None or not isinstance(stored.record, Incident) or stored.record.status not in TERMINAL:
            return False
        places = [
            keys.record(incident), keys.audit(incident), keys.incidents, keys.open, keys.aggregates, keys.retired,
        ]  # fmt: skip
        async with self._link.bounded("retire"):
            gone = await self._link.run("retire", places, [incident, version])
        return bool(gone)

    async def check_writable(self) -> None:
        """Returns when a durable write works; raises StoreUnavailable otherwise."""
        async with self._link.bounded("check that the store can write"):
            await self._link.ask(b"SET", probe_key(self._prefix), self._replica)


def _rows(entries: Sequence[tuple[bytes, Sequence[bytes] | None]]) -> list[Row]:
    """Stream entries as the server gives them: id and a flat list of fields (None: deleted meanwhile)."""
    return [(entry, _field(flat)) for entry, flat in entries if flat is not None]


def _field(flat: Sequence[bytes]) -> bytes:
    return flat[1] if len(flat) == 2 and flat[0] == FIELD else b""  # anything else is none of ours: poison


def _mirror_timers(change: Change, away: list[Argument], due: list[Argument]) -> None:
    """Add what changed between the timers before and now. What did not change is left alone: it may be claimed."""
    aggregate, timers = change.record.id, change.record.timers
    for name, (_, token) in change.timers_before.items():
        kept = timers.get(name)
        if kept is None or kept.token != token:
            away.append(timer_member(aggregate, name, token))
    for name, timer in timers.items():
        if change.timers_before.get(name) != (timer.due, timer.token):
            due += (timer.due, timer_member(aggregate, name, timer.token))
