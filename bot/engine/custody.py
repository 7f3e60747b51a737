"""Somebody else's hand in the store, looked for: what nobody has read yet, and what is missing and so is never read.

An eternal task, started by `bot.house` beside the engine. What is sealed shows that it was changed when it is opened;
what was taken away does not. So every `EVERY_SECONDS` each shard is looked at: whether its keys are what they should
be, whether components and open incidents, some at a time, open and are still there, and whether each has its timers in
the store's set (an open incident that no timer wakes would wait for ever, law 9). Timers are set again; everything else
is an alarm (`AndonStoreTampered`) that lasts as long as it is so. Nothing here decides anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol, TypeAlias

import structlog

from bot.core.incident import TERMINAL, Incident
from bot.core.words import AggregateId, Millis
from bot.engine.alarms import Alarms
from bot.engine.ports import Clock, Versioned
from bot.errors import RecordForged, StoreError

ALARM: Final = "AndonStoreTampered"
TIMERS: Final = "AndonTimersTampered"
EVERY_SECONDS: Final = 10.0
AT_ONCE: Final = 200  # records looked at in one round: about 20 ms of work, and 10,000 of them take eight minutes
CLAIMED_MS: Final[Millis] = 60_000  # a timer this long overdue was not just claimed: its entry would be folded by now
MAX_NAMED: Final = 5
MAX_REMEMBERED: Final = 50_000  # records known to be there, per shard

log = structlog.get_logger(__name__)


SetTimer: TypeAlias = tuple[AggregateId, str, str, Millis]  # aggregate, name, token, due


class Custodian(Protocol):
    """The store, as far as custody goes."""

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
        self._there: dict[str, set[AggregateId]] = {shard: set() for shard in shards}  # not closed when last seen
        self._retired: dict[str, int] = {}
        self._turn: dict[str, AggregateId] = {}  # up to which id the last round came

    async def run(self) -> None:
        """A round every `every_seconds`, until cancelled."""
        while True:
            for shard in self._there:
                try:
                    await self.look(shard)
                except StoreError as error:
                    log.warning("store_unavailable", shard=shard, loop="custody", error=str(error))
            await asyncio.sleep(self._every)

    async def look(self, shard: str) -> None:
        """One round of one shard. StoreUnavailable."""
        wrong = await self._store.examine(shard)
        wrong += await self._records(shard)
        labels = (("system", shard),)
        if not wrong:
            await self._alarms.clear(self._home, ALARM, labels)
            return
        more = f" and {len(wrong) - MAX_NAMED} more" if len(wrong) > MAX_NAMED else ""
        summary = (
            f"the store of {shard} holds what Andon did not put there, or lacks what it did: "
            f"{'; '.join(wrong[:MAX_NAMED])}{more}. Nothing is done with it. Somebody can write to the store, or it "
            "was damaged: close that way in, run `andon audit verify`, and put the store back from a copy if need be"
        )
        await self._alarms.raise_(self._home, ALARM, summary, labels=labels)

    async def _records(self, shard: str) -> list[str]:
        """Some of the records: those that do not open, or are gone. Their timers are put right."""
        there = self._there[shard]
        try:
            left = await self._store.retired(shard)
            listed = set(await self._store.aggregates(shard))
        except (RecordForged, ValueError) as error:
            return [str(error)]
        missing = there - listed
        if left != self._retired.get(shard, left):  # some were archived: perhaps those
            there -= missing
            missing = set()
        self._retired[shard] = left
        names = [*self._next(shard, listed), *sorted(missing)[:AT_ONCE]]
        found, wrong = await self._opened(shard, names)
        for name, record in found.items():
            if isinstance(record.record, Incident) and record.record.status in TERMINAL:
                there.discard(name)
            elif len(there) < MAX_REMEMBERED:
                there.add(name)
        gone = [name for name in names if name in wrong and not wrong[name]]
        if gone and await self._store.retired(shard) != left:
            gone = []
        await self._timers(shard, [timer for record in found.values() for timer in self._expected(record)])
        unlisted = [f"{name} is not listed any more" for name in missing & found.keys()]
        return [*filter(None, wrong.values()), *(f"{name} is gone" for name in gone), *unlisted]

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
        last = self._turn.get(shard, "")
        ahead = [name for name in others if name > last] + [name for name in others if name <= last]
        chosen = ahead[:AT_ONCE]
        self._turn[shard] = chosen[-1] if chosen else ""
        return [*first, *chosen]

    def _expected(self, found: Versioned) -> list[SetTimer]:
        """The timers that must be in the store's set: not those that may just have been claimed."""
        now, record = self._clock.now(), found.record
        return [
            (record.id, name, timer.token, timer.due)
            for name, timer in record.timers.items()
            if timer.due > now or timer.due < now - CLAIMED_MS
        ]

    async def _timers(self, shard: str, timers: Sequence[SetTimer]) -> None:
        """Set again what the set lacks. What a commit disarmed between the two looks at the store is no timer any more;
        only a record that still has it afterwards tells that it should have been there."""
        astray = await self._store.astray(shard, timers) if timers else []
        if not astray:
            return
        again, _ = await self._opened(shard, sorted({timer[0] for timer in astray}))
        still = {timer for record in again.values() for timer in self._expected(record)}
        lost = [timer for timer in astray if timer in still]
        if not lost:
            return
        await self._store.set_again(shard, lost)
        summary = (
            f"{len(lost)} timers of {shard} were missing from the store or put off, and are set again: a rung may come "
            "late. Somebody can write to the store, or it lost writes: run `andon audit verify`"
        )
        await self._alarms.raise_(self._home, TIMERS, summary, labels=(("system", shard),), anew=True)
