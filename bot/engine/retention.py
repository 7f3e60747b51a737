"""Retention: what has been closed for long leaves the store, and is kept as files that can still be verified.

One eternal task in each replica (`run`), started by `bot.app`. Each round looks at the oldest incidents of every shard,
hands what has been closed for longer than `after_ms` to the archive, and only when the archive has it on disk takes it
out of the store. A crash in between leaves it in both; the next round finishes. Several replicas may do this at once:
the archive keeps an incident once, and the store removes it once. What cannot be archived stays, and an alarm says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from bot.core.audit import verify
from bot.core.incident import TERMINAL, Incident
from bot.core.words import AggregateId, Millis
from bot.engine.alarms import Alarms
from bot.engine.ports import Archive, Archived, Clock, Store
from bot.errors import AndonError, InputError, RecordForged, StoreContended, StoreError

ALARM: Final = "AndonArchiveFailed"
EVERY_MS: Final[Millis] = 3_600_000  # an hour more or less does not matter to what is kept for days
PAGE: Final = 200  # ids asked for at once
BATCH: Final = 1_000  # incidents of a shard archived in one round: some seconds of work, then the alarms hear of it

log = structlog.get_logger(__name__)


class Retention:
    """Archives and removes. `after_ms` 0: nothing ever leaves the store."""

    def __init__(
        self, *, store: Store, archive: Archive, clock: Clock, alarms: Alarms, shards: Sequence[str], after_ms: Millis
    ) -> None:
        self._store = store
        self._archive = archive
        self._clock = clock
        self._alarms = alarms
        self._shards = tuple(shards)
        self._after_ms = after_ms

    async def run(self) -> None:
        """A round every hour of the clock, until cancelled; after a full batch, another one at once."""
        while True:
            while await self.sweep() >= BATCH:
                pass
            await asyncio.sleep(self._clock.real_seconds(EVERY_MS))

    async def sweep(self) -> int:
        """One round over every shard; returns how many incidents left the store. Never raises an error of ours."""
        if self._after_ms <= 0:
            return 0
        gone = 0
        for shard in self._shards:
            removed, failures = await self._sweep_shard(shard)
            gone += removed
            if removed:
                log.info("incidents_archived", shard=shard, incidents=removed)
            if failures:
                await self._alarms.raise_(shard, ALARM, _summary(failures))
            else:
                await self._alarms.clear(shard, ALARM)
        return gone

    async def _sweep_shard(self, shard: str) -> tuple[int, list[str]]:
        """(incidents removed, what went wrong). The store's own trouble ends the round without an alarm: others tell
        of it, and nothing is lost by waiting."""
        removed, skip, failures = 0, 0, list[str]()
        cutoff = self._clock.now() - self._after_ms
        try:
            while removed < BATCH and len(failures) < BATCH:
                page = await self._store.oldest_incidents(shard, cutoff, skip=skip, limit=PAGE)
                for incident in page:
                    try:
                        went = await self._let_go(shard, incident, cutoff)
                    except (RecordForged, InputError) as error:
                        went = False
                        failures.append(f"{incident}: {error}")
                    removed, skip = (removed + 1, skip) if went else (removed, skip + 1)
                if len(page) < PAGE:
                    break
        except StoreContended:
            log.info("archiving_elsewhere", shard=shard)  # another replica is at it
        except _ArchiveAway as error:
            failures.append(str(error))
        except StoreError as error:
            log.warning("store_unavailable", shard=shard, loop="retention", error=str(error))
        return removed, failures

    async def _let_go(self, shard: str, incident: AggregateId, cutoff: Millis) -> bool:
        """Archive and remove one incident, if it has been closed long enough; whether it is gone."""
        stored = (await self._store.load(shard, [incident])).get(incident)
        if stored is None or not isinstance(stored.record, Incident) or stored.record.status not in TERMINAL:
            return False
        if stored.record.closed_at is None or stored.record.closed_at > cutoff:
            return False
        chain = tuple(await self._store.audit(shard, incident))
        problems = verify(chain, stored.head, stored.version)
        if problems:
            raise RecordForged(f"its audit does not hold ({problems[0]})")
        closed = Archived(incident=stored.record, version=stored.version, head=stored.head, audit=chain)
        try:
            await self._archive.keep(closed, self._clock.now())
        except (RecordForged, InputError, StoreContended):
            raise
        except AndonError as error:
            raise _ArchiveAway(str(error)) from error
        return await self._store.retire(shard, incident, stored.version)


class _ArchiveAway(AndonError):
    """The archive takes nothing now, so going on with the next incident is no use."""


def _summary(failures: Sequence[str]) -> str:
    more = f", and {len(failures) - 1} more" if len(failures) > 1 else ""
    return (
        f"closed incidents cannot be archived and stay in the store: {failures[0]}{more}; "
        "free or mend the archive's folder, and run `andon audit verify`"
    )
