"""Somebody else's hand in the store, looked for: what nobody has read yet, and what is missing and so is never read.

An eternal task, started by `bot.house` beside the engine. What is sealed shows that it was changed when it is opened;
what was taken away does not. So every `EVERY_SECONDS` each shard is looked at: whether its keys are what they should
be, whether components and open incidents, some at a time, open and are still there, and whether each has its timers in
the store's set (an open incident that no timer wakes would wait for ever, law 9). Timers are set again; everything else
is an alarm (`AndonStoreTampered`) that lasts as long as it is so: what was found wrong is wrong until it was looked at
again. Nothing here decides anything.

Two things look like another's hand and are none. A timer that was claimed is in no set until its entry is folded: it is
missed only if it is missing at the next look too, and all that waited in the inbox at the first is folded by then. And
a store that failed over, or was put back from a copy, lacks what it had: `bot.engine.reconcile` tells people of that,
and what was there before is forgotten here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

import structlog

from bot.core.incident import TERMINAL, Incident
from bot.core.words import AggregateId, Millis
from bot.engine.alarms import Alarms
from bot.engine.high_water import HighWater, Mark
from bot.engine.ports import Clock, Versioned
from bot.errors import RecordForged, StoreError

ALARM: Final = "AndonStoreTampered"
TIMERS: Final = "AndonTimersTampered"
EVERY_SECONDS: Final = 10.0
AT_ONCE: Final = 200  # records looked at in one round: about 20 ms of work, and 10,000 of them take eight minutes
CLAIMED_MS: Final[Millis] = 60_000  # a timer this long overdue was not just claimed: its entry would be folded by now
MAX_NAMED: Final = 5
MAX_REMEMBERED: Final = 50_000  # records known to be there, per shard
MAX_WRONG: Final = 1_000  # records known to be wrong, per shard: past that many the alarm's count is no news

log = structlog.get_logger(__name__)


SetTimer: TypeAlias = tuple[AggregateId, str, str, Millis]  # aggregate, name, token, due
Place: TypeAlias = tuple[int, int]  # of an entry in the inbox; those appended later have greater ones
NOWHERE: Final[Place] = (0, 0)  # before every entry


class Custodian(Protocol):
    """The store, as far as custody goes."""

    @property
    def marks(self) -> HighWater: ...

    async def mark(self, shard: str) -> Mark: ...

    async def aggregates(self, shard: str) -> list[AggregateId]: ...

    async def load(self, shard: str, ids: Sequence[AggregateId]) -> dict[AggregateId, Versioned]: ...

    async def retired(self, shard: str) -> int: ...

    async def examine(self, shard: str) -> list[str]:
        """What is wrong with the keys of a shard, each in a few words."""
        ...

    async def astray(self, shard: str, timers: Sequence[SetTimer]) -> list[SetTimer]:
        """Those that are missing from the store's set, or set too late."""
        ...

    async def set_again(self, shard: str, timers: Sequence[SetTimer]) -> None:
        """Put them into the set, each at its own time."""
        ...

    async def inbox_span(self, shard: str) -> tuple[Place, Place] | None:
        """Where the oldest and the newest entry of the inbox are, delivered or not; None when it is empty."""
        ...


@dataclass(slots=True)
class _Seen:
    """What was seen of one shard so far."""

    there: set[AggregateId] = field(default_factory=set)  # not closed when last seen
    wrong: dict[AggregateId, str] = field(default_factory=dict)  # when last looked at, in words
    retired: int | None = None
    turn: AggregateId = ""  # up to which id the last round came
    stood: tuple[int, int] | None = (
        None  # how many writes it counted, and how often it was found to have forgotten some
    )
    suspects: set[SetTimer] = field(default_factory=set)  # missing from the set at the last look
    suspected_at: Place = NOWHERE  # the inbox's newest entry then


class Custody:
    """Looks after every shard. `home` takes the alarms."""

    def __init__(
        self,
        *,
        store: Custodian,
        clock: Clock,
        alarms: Alarms,
        shards: Sequence[str],
        home: str,
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        self._store = store
        self._clock = clock
        self._alarms = alarms
        self._home = home
        self._every = every_seconds
        self._seen = {shard: _Seen() for shard in shards}

    async def run(self) -> None:
        """A round every `every_seconds`, until cancelled. Not at once: what waited for this start is folded first."""
        while True:
            await asyncio.sleep(self._every)
            for shard in self._seen:
                try:
                    await self.look(shard)
                except StoreError as error:
                    log.warning("store_unavailable", shard=shard, loop="custody", error=str(error))

    async def look(self, shard: str) -> None:
        """One round of one shard. StoreUnavailable."""
        seen = self._seen[shard]
        wrong = await self._store.examine(shard)
        try:
            left = await self._store.retired(shard)
            listed = set(await self._store.aggregates(shard))
            await self._records(shard, left, listed)
            if not wrong and await self._forgot(shard):  # last, so that what was read before it proves nothing
                seen.there.clear()
                seen.suspects.clear()
                return
        except (RecordForged, ValueError) as error:
            wrong.append(str(error))
        wrong += seen.wrong.values()
        labels = (("system", shard),)
        if not wrong:
            await self._alarms.clear(self._home, ALARM, labels)
            return
        more = f" and {len(wrong) - MAX_NAMED} more" if len(wrong) > MAX_NAMED else ""
        summary = (
            f"the store of {shard} holds what Andon did not put there, or lacks what it did: "
            f"{'; '.join(wrong[:MAX_NAMED])}{more}. Nothing is done with it. Run `andon audit verify`. A "
            "failover or a restore that lost writes explains what is missing, and Andon pages about that by itself; "
            "else the store was damaged or somebody can write to it: close that way in, and put it back from a copy"
        )
        await self._alarms.raise_(self._home, ALARM, summary, labels=labels)

    async def _forgot(self, shard: str) -> bool:
        """Whether the store has forgotten writes since the last look, by this replica's marks or by its own count."""
        seen = self._seen[shard]
        now = ((await self._store.mark(shard)).total, self._store.marks.times(shard))
        before, seen.stood = seen.stood or now, now
        return now[0] < before[0] or now[1] != before[1]

    async def _records(self, shard: str, left: int, listed: set[AggregateId]) -> None:
        """Some of the records: those that do not open, or are gone, are wrong. Their timers are put right.

        `left`: how many were archived before `listed` was read.
        """
        seen = self._seen[shard]
        missing = seen.there - listed
        if left != (left if seen.retired is None else seen.retired):  # perhaps those; none that was missed before
            missing &= seen.wrong.keys()
            seen.there &= listed | missing
        seen.retired = left
        for name in seen.wrong.keys() - listed - seen.there:
            del seen.wrong[name]
        names = [*self._next(shard, listed), *sorted(missing)[:AT_ONCE]]
        found, unopened = await self._opened(shard, names)
        for name, record in found.items():
            if isinstance(record.record, Incident) and record.record.status in TERMINAL:
                seen.there.discard(name)
            elif len(seen.there) < MAX_REMEMBERED:
                seen.there.add(name)
        archived = "" in unopened.values() and await self._store.retired(shard) != left
        wrong = {name: f"{name} is not listed any more" for name in missing & found.keys()}
        for name, problem in unopened.items():
            if problem or not archived or name in seen.wrong:
                wrong[name] = problem or f"{name} is gone"
        for name in names:
            seen.wrong.pop(name, None)
            if name in wrong and len(seen.wrong) < MAX_WRONG:
                seen.wrong[name] = wrong[name]
        await self._timers(shard, self._expected(found.values()))

    async def _opened(
        self, shard: str, names: Sequence[AggregateId]
    ) -> tuple[dict[AggregateId, Versioned], dict[AggregateId, str]]:
        """The records, and of those that do not open why not ("": there is none)."""
        try:
            found = await self._store.load(shard, names)
        except RecordForged:
            found, wrong = {}, {}
            for name in names:
                try:
                    found |= await self._store.load(shard, [name])
                except RecordForged as error:
                    wrong[name] = f"{name} does not open ({error})"
        else:
            wrong = {}
        return found, wrong | {name: "" for name in names if name not in found and name not in wrong}

    def _next(self, shard: str, listed: set[AggregateId]) -> list[AggregateId]:
        """Components always, and as many of the others as one round takes, after those of the last one."""
        first = sorted(name for name in listed if name.startswith("target:"))[:AT_ONCE]
        others = sorted(listed.difference(first))
        last = self._seen[shard].turn
        ahead = [name for name in others if name > last] + [name for name in others if name <= last]
        chosen = ahead[:AT_ONCE]
        self._seen[shard].turn = chosen[-1] if chosen else ""
        return [*first, *chosen]

    def _expected(self, found: Iterable[Versioned]) -> set[SetTimer]:
        """The timers that must be in the store's set: not those that may just have been claimed."""
        now = self._clock.now()
        return {timer for timer in _timers_of(found) if timer[3] > now or timer[3] < now - CLAIMED_MS}

    async def _timers(self, shard: str, expected: set[SetTimer]) -> None:
        """Suspect what the set lacks now; set again what it lacked at the last look too."""
        seen = self._seen[shard]
        if seen.suspects:
            waiting = await self._store.inbox_span(shard)
            if waiting is not None and waiting[0] <= seen.suspected_at:
                return  # what was claimed by then may wait there, here or with a replica that stalls
        asked = sorted(expected | seen.suspects)
        astray = await self._store.astray(shard, asked) if asked else []
        missing: set[SetTimer] = set()
        if astray:  # what a commit disarmed between the two looks at the store is no timer any more
            again, _ = await self._opened(shard, sorted({timer[0] for timer in astray}))
            missing = _timers_of(again.values()).intersection(astray)
        lost = sorted(missing & seen.suspects)
        if lost:
            await self._store.set_again(shard, lost)
        waiting = await self._store.inbox_span(shard) if missing else None
        seen.suspects = missing.difference(lost)
        seen.suspected_at = NOWHERE if waiting is None else waiting[1]
        if not lost:
            return
        summary = (
            f"{len(lost)} timers of {shard} were missing from the store or put off, and are set again: a rung may come "
            "late. Run `andon audit verify`: the store was damaged, or somebody can write to it"
        )
        await self._alarms.raise_(self._home, TIMERS, summary, labels=(("system", shard),), anew=True)


def _timers_of(found: Iterable[Versioned]) -> set[SetTimer]:
    return {
        (each.record.id, name, timer.token, timer.due) for each in found for name, timer in each.record.timers.items()
    }
