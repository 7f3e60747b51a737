"""Retention: what has been closed for long leaves the store, and is kept as files that can still be verified.

One eternal task in each replica (`run`), started by `bot.app`. Each round looks at the oldest incidents of every shard,
hands what has been closed for longer than `after_ms` to the archive, and only when the archive has it on disk takes it
out of the store. A crash in between leaves it in both; the next round finishes. Several replicas may do this at once:
the archive keeps an incident once, and the store removes it once. What cannot be archived stays, and an alarm says so.

The last few of each policy stay, however old: whoever decides about the next one is shown how they went, and for a
policy that is rarely needed these would be gone just then. Which ones follows from the store alone, so every replica
keeps the same: one leaves once `LAST_KEPT` newer ones of its policy are past their time too.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from bot.core.audit import verify
from bot.core.incident import TERMINAL, Incident
from bot.core.words import AggregateId, Millis
from bot.engine.alarms import Alarms
from bot.engine.ports import Archive, Archived, Clock, Store, Versioned
from bot.errors import AndonError, InputError, RecordForged, StoreContended, StoreError
from policies.book import PolicyBook

ALARM: Final = "AndonArchiveFailed"
EVERY_MS: Final[Millis] = 3_600_000  # an hour more or less does not matter to what is kept for days
PAGE: Final = 200  # ids asked for at once
BATCH: Final = 1_000  # incidents of a shard archived in one round: some seconds of work, then the alarms hear of it
LAST_KEPT: Final = 6  # of each policy that is in force: five are shown (`slack.board.outcomes`), one may be asking

log = structlog.get_logger(__name__)


class Retention:
    """Archives and removes. `after_ms` 0: nothing ever leaves the store."""

    def __init__(
        self, *, store: Store, archive: Archive, clock: Clock, alarms: Alarms, shards: Sequence[str], after_ms: Millis,
        book: Callable[[], PolicyBook],
    ) -> None:  # fmt: skip
        """`book`: the policies in force; of others nothing is kept for long."""
        self._store = store
        self._archive = archive
        self._clock = clock
        self._alarms = alarms
        self._shards = tuple(shards)
        self._after_ms = after_ms
        self._book = book

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
        last: dict[str, deque[AggregateId]] = defaultdict(deque)  # by policy: the newest that were come to
        try:
            while removed < BATCH and len(failures) < BATCH:
                page = await self._store.oldest_incidents(shard, cutoff, skip=skip, limit=PAGE)
                for incident in page:
                    going, went = incident, False
                    try:
                        going = await self._whose_turn(shard, incident, cutoff, last)
                        went = bool(going) and await self._let_go(shard, going, cutoff)
                    except (RecordForged, InputError) as error:
                        failures.append(f"{going}: {error}")
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

    async def _whose_turn(
        self, shard: str, incident: AggregateId, cutoff: Millis, last: dict[str, deque[AggregateId]]
    ) -> AggregateId:
        """Which one goes now that this one, the next oldest, was come to: itself, one of its policy that was kept until
        enough newer ones were seen, or none ("").
        """
        stored = await self._over(shard, incident, cutoff)
        if stored is None:
            return ""
        policy = _told_of(stored[1])
        if not policy or not self._book().has(shard, policy):
            return incident
        last[policy].append(incident)
        return last[policy].popleft() if len(last[policy]) > LAST_KEPT else ""

    async def _over(self, shard: str, incident: AggregateId, cutoff: Millis) -> tuple[Versioned, Incident] | None:
        """The incident, if it has been closed long enough."""
        stored = (await self._store.load(shard, [incident])).get(incident)
        if stored is None or not isinstance(stored.record, Incident) or stored.record.status not in TERMINAL:
            return None
        if stored.record.closed_at is None or stored.record.closed_at > cutoff:
            return None
        return stored, stored.record

    async def _let_go(self, shard: str, incident: AggregateId, cutoff: Millis) -> bool:
        """Archive and remove one incident, if it has been closed long enough; whether it is gone."""
        over = await self._over(shard, incident, cutoff)
        if over is None:
            return False
        stored, record = over
        chain = tuple(await self._store.audit(shard, incident))
        problems = verify(chain, stored.head, stored.version)
        if problems:
            raise RecordForged(f"its audit does not hold ({problems[0]})")
        closed = Archived(incident=record, version=stored.version, head=stored.head, audit=chain)
        try:
            await self._archive.keep(closed, self._clock.now())
        except (RecordForged, InputError, StoreContended):
            raise
        except AndonError as error:
            raise _ArchiveAway(str(error)) from error
        return await self._store.retire(shard, incident, stored.version)


def _told_of(incident: Incident) -> str:
    """The policy that this incident tells something about: how an action of it went, or was decided; "" for none."""
    return incident.plan.policy if incident.plan is not None and incident.results else ""


class _ArchiveAway(AndonError):
    """The archive takes nothing now, so going on with the next incident is no use."""


def _summary(failures: Sequence[str]) -> str:
    more = f", and {len(failures) - 1} more" if len(failures) > 1 else ""
    return (
        f"closed incidents cannot be archived and stay in the store: {failures[0]}{more}; "
        "free or mend the archive's folder, and run `andon audit verify`"
    )
