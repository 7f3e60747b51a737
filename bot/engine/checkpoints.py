"""Makes the checkpoints of this replica: what it committed, and what it finds that others did, signed and sent away.

One eternal task (`run`), started by `bot.house` beside the engine; `witness` is called with every commit of this
replica (by `bot.adapters.witnessed_store`), so that what is signed is what was committed, not what the store says a
minute later. Each round signs the heads that changed since the last one, in lines of at most `MAX_STATEMENTS`, has
them on disk, tells the store where the chain ends (sealed), and sends the lines off the box (`Destination`). Every
`SWEEP_MS` it also looks at every head in the store, for what other replicas committed and a crash left unsigned, and
for heads that went back. Nothing here is in the way of the engine: what fails is an alarm, and is tried again in the
next round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from bot.core.checkpoint import GENESIS, MAX_STATEMENTS, Checkpoint, Signed, Statement, sealed, to_sign
from bot.core.words import AggregateId, Millis
from bot.engine.alarms import Alarms
from bot.engine.ports import Clock
from bot.errors import AndonError, DeliveryError, RecordForged, StoreError, StoreUnavailable

KEEPING: Final = "AndonCheckpointFailed"  # the local chain cannot be written, or was cut
EXPORT: Final = "AndonCheckpointExportFailed"
CHANGED: Final = "AndonAuditChanged"  # a head in the store went back, or was replaced

SWEEP_MS: Final[Millis] = (
    600_000  # reading 10,000 heads takes the store about 50 ms; what this replica did waits for none
)
MAX_WAITING: Final = 50_000  # heads that wait for the disk, about 10 MB; past this the next sweep finds them again
MAX_EXPORTED: Final = 200  # lines sent in one round to one destination: some seconds of a slow one
MAX_NAMED: Final = 5

log = structlog.get_logger(__name__)

Head = tuple[int, str]  # version, hash of the newest audit link
Place = tuple[str, AggregateId]  # shard, aggregate


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownChain:
    """What the store remembers of one chain of checkpoints: its end, and how much of it was exported."""

    key: str
    replica: str
    seq: int
    hash: str
    exported: int = 0


class Ledger(Protocol):
    """The store, as far as checkpoints go."""

    async def aggregates(self, shard: str) -> list[AggregateId]: ...

    async def heads(self, shard: str, ids: Sequence[AggregateId]) -> dict[AggregateId, Head]:
        """Version and head of each aggregate that exists, as the store has them, unopened."""
        ...

    async def known_chains(self) -> tuple[list[KnownChain], list[str]]:
        """Every chain the store was told of, and what it holds in their place that does not carry our seal."""
        ...

    async def remember_chain(self, chain: KnownChain) -> None:
        """The chain has come this far."""
        ...


class ChainLog(Protocol):
    """This replica's chain on its own disk. All block. StoreUnavailable when the disk refuses."""

    def last(self) -> Signed | None:
        """The newest checkpoint. RecordForged when the file does not end in one."""
        ...

    def append(self, line: bytes) -> None:
        """On disk when it returns."""
        ...

    def after(self, seq: int, limit: int) -> list[bytes]:
        """The lines that follow checkpoint `seq`, oldest first."""
        ...

    def exported(self) -> dict[str, int]:
        """Up to which checkpoint each destination has taken the chain, by its name."""
        ...

    def note_exported(self, destination: str, seq: int) -> None:
        """It has taken the chain up to here."""
        ...


class Signing(Protocol):
    """The key that signs."""

    @property
    def public(self) -> str: ...

    def sign(self, message: bytes) -> str: ...


class Destination(Protocol):
    """A place off the box that takes lines and gives none back."""

    @property
    def name(self) -> str: ...

    async def put(self, key: str, first: int, lines: Sequence[bytes]) -> None:
        """Add lines, the first of which is checkpoint `first`; those that are there already are passed over.

        DeliveryError, with a sentence for a person.
        """
        ...


class Checkpoints:
    """One per process. `every_ms`: how long a change may wait for its signature."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        chain: ChainLog,
        key: Signing,
        destinations: Sequence[Destination],
        clock: Clock,
        alarms: Alarms,
        shards: Sequence[str],
        home: str,
        replica: str,
        every_ms: Millis,
    ) -> None:
        """`home`: the shard that takes alarms about the chain as a whole."""
        self._ledger = ledger
        self._chain = chain
        self._key = key
        self._destinations = tuple(destinations)
        self._clock = clock
        self._alarms = alarms
        self._shards = tuple(shards)
        self._home = home
        self._replica = replica
        self._every_ms = every_ms
        self._waiting: dict[Place, Head] = {}  # to be signed
        self._signed: dict[Place, Head] = {}  # last said of each; what left the store is dropped by the sweep
        self._last: Signed | None = None
        self._begun = False
        self._swept_at: Millis | None = None
        self._turn = asyncio.Lock()

    @property
    def last(self) -> Signed | None:
        """The newest checkpoint that this process knows to be on disk."""
        return self._last

    def witness(self, shard: str, aggregate: AggregateId, version: int, head: str) -> None:
        """This replica has just committed this head."""
        if len(self._waiting) >= MAX_WAITING and (shard, aggregate) not in self._waiting:
            self._swept_at = None  # the sweep will find it
            return
        self._waiting[shard, aggregate] = (version, head)

    async def run(self) -> None:
        """A round every `every_ms`, until cancelled."""
        while True:
            await self.round()
            await asyncio.sleep(self._clock.real_seconds(self._every_ms))

    async def round(self) -> None:
        """Sign what changed, keep it, send it away. Never raises an error of ours."""
        async with self._turn:
            now = self._clock.now()
            try:
                await self._begin()
                if self._swept_at is None or not 0 <= now - self._swept_at < SWEEP_MS:
                    await self._sweep()
                    self._swept_at = now
            except StoreUnavailable as error:
                log.warning("checkpoints_wait_for_the_store", error=str(error))
            except StoreError as error:
                await self._failed(error)
                return
            if not self._begun:
                return
            try:
                await self._sign(now)
            except StoreError as error:
                await self._failed(error)
                return
            await self._alarms.clear(self._home, KEEPING, self._labels())
            if await self._tell_away():
                await self._remember()

    async def sign_now(self) -> None:
        """What waits is signed now: somebody is about to take a copy of it. Never raises an error of ours."""
        async with self._turn:
            if self._begun:
                try:
                    await self._sign(self._clock.now())
                except StoreError as error:
                    await self._failed(error)

    async def finish(self) -> None:
        """The last round, once the engine has stopped: without the sweep, for the next start makes one."""
        self._swept_at = self._clock.now()
        await self.round()

    # --- the parts of a round ---------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        """Find the end of the chain. RecordForged when it is not where the store remembers it."""
        if self._begun:
            return
        last = await asyncio.to_thread(self._chain.last)
        known, _ = await self._ledger.known_chains()
        mark = next((each for each in known if each.key == self._key.public), None)
        if mark is not None and (last is None or last.checkpoint.seq < mark.seq):
            ends = last.checkpoint.seq if last is not None else 0
            raise RecordForged(
                f"this replica's checkpoints end at {ends}, but the store knows {mark.seq}: the file was cut off, or "
                "an older copy of the data directory was put back; run `andon audit verify`, then begin a new chain "
                "as docs/operations.md says"
            )
        self._last, self._begun = last, True

    async def _sweep(self) -> None:
        """Look at every head there is. What is newer than what was said waits to be signed."""
        for shard in self._shards:
            wrong: list[str] = []
            present = await self._ledger.aggregates(shard)
            for start in range(0, len(present), MAX_STATEMENTS):
                found = await self._ledger.heads(shard, present[start : start + MAX_STATEMENTS])
                for aggregate, head in found.items():
                    said = self._signed.get((shard, aggregate))
                    if said is None or head[0] > said[0]:
                        self._waiting.setdefault((shard, aggregate), head)
                    elif head != said:
                        wrong.append(f"{aggregate} (entry {said[0]} was signed, the store has {head[0]})")
            gone = {place for place in self._signed if place[0] == shard} - {(shard, name) for name in present}
            for place in gone - self._waiting.keys():
                del self._signed[place]
            if wrong:
                await self._alarms.raise_(shard, CHANGED, _changed(wrong))
            else:
                await self._alarms.clear(shard, CHANGED)

    async def _sign(self, now: Millis) -> None:
        """Everything that waits, in lines of at most `MAX_STATEMENTS`; each is on disk before the next is made."""
        while self._waiting:
            taken = dict(list(self._waiting.items())[:MAX_STATEMENTS])
            checkpoint = Checkpoint(
                seq=self._last.checkpoint.seq + 1 if self._last else 1,
                previous=self._last.hash if self._last else GENESIS,
                at=now,
                replica=self._replica,
                key=self._key.public,
                saw=tuple(Statement(*place, *head) for place, head in sorted(taken.items())),
            )
            signed = sealed(checkpoint, self._key.sign(to_sign(checkpoint)))
            await asyncio.to_thread(self._chain.append, signed.line)
            self._last = signed
            for place, head in taken.items():
                self._signed[place] = head
                if self._waiting.get(place) == head:
                    del self._waiting[place]
        await self._remember()

    async def _remember(self) -> None:
        """The store knows where the chain ends, so that cutting off its end takes more than this machine's disk."""
        if self._last is None:
            return
        done = await asyncio.to_thread(self._chain.exported)
        exported = min((done.get(each.name, 0) for each in self._destinations), default=0)
        chain = KnownChain(
            key=self._key.public, replica=self._replica, seq=self._last.checkpoint.seq, hash=self._last.hash,
            exported=exported,
        )  # fmt: skip
        try:
            await self._ledger.remember_chain(chain)
        except StoreUnavailable as error:
            log.warning("checkpoints_wait_for_the_store", error=str(error))  # others tell of the store

    async def _tell_away(self) -> bool:
        """Send what each destination lacks; whether any took something."""
        took = False
        for destination in self._destinations:
            labels = (("destination", destination.name), *self._labels())
            try:
                done = (await asyncio.to_thread(self._chain.exported)).get(destination.name, 0)
                lines = await asyncio.to_thread(self._chain.after, done, MAX_EXPORTED)
                if lines:
                    await destination.put(self._key.public, done + 1, lines)
                    await asyncio.to_thread(self._chain.note_exported, destination.name, done + len(lines))
                    took = True
            except (DeliveryError, StoreError) as error:
                summary = (
                    f"signed checkpoints do not reach {destination.name}: {error}; until they do, the audit is "
                    "anchored on this machine only"
                )
                await self._alarms.raise_(self._home, EXPORT, summary, severity="error", labels=labels)
            else:
                await self._alarms.clear(self._home, EXPORT, labels)
        return took

    async def _failed(self, error: AndonError) -> None:
        summary = f"the audit is not being signed: {error}"
        await self._alarms.raise_(self._home, KEEPING, summary, labels=self._labels())

    def _labels(self) -> tuple[tuple[str, str], ...]:
        return (("replica", self._replica),)


def _changed(wrong: Sequence[str]) -> str:
    more = f" and {len(wrong) - MAX_NAMED} more" if len(wrong) > MAX_NAMED else ""
    return (
        f"audit chains went back behind what was signed: {', '.join(wrong[:MAX_NAMED])}{more}; the store lost writes "
        "in a failover, or somebody changed it: run `andon audit verify`"
    )
