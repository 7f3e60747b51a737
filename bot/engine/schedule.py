"""Cron schedules: each fire is told to `source:schedule:<name>`, which takes it once whichever replica tells it first.

APScheduler's `CronTrigger` says when a line fires in its zone, and its scheduler holds one job, the wake-up at the next
fire; nothing durable is in it. What was missed is found by the record's last fire, so an outage of any length, a
reload and a jump of the clock are all the same: tell every fire since then, collapsed into the newest. All times are
those of the engine's clock, also where that one is scaled. Run by `bot.engine.runtime`.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger

from bot.core.source import Source
from bot.core.source_events import ScheduleDue, SchedulePlanned
from bot.core.source_machine import AHEAD_MS
from bot.core.words import Millis
from bot.engine.alarms import Alarms
from bot.engine.engine import Engine
from bot.engine.following import BookFollower
from bot.errors import StoreError
from policies.book import PolicyBook
from policies.sources import Schedule

PREFIX = "source:schedule:"
LOOK_AGAIN_SECONDS = 1.0  # how soon a reload, a jump of the clock or a store that is back is noticed
MAX_LASTS_MS: Millis = 120_000  # of a fire's alert: less than the machine's patience with a plan that is done
MAX_COUNTED = 2_000  # missed fires that are counted; a line that fires each minute has 1,440 a day
DAY_MS: Millis = 86_400_000
CHANGE = timedelta(hours=3)  # no zone moves its clocks by more at once than two
TICK = timedelta(microseconds=1)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

log = structlog.get_logger(__name__)


class Fires:
    """When one schedule fires. Raises ValueError for a line or a zone that is none.

    The trigger runs over the wall clock alone, where every day has 24 hours; the zone then says when that is. (Run in
    the zone itself, it leaves out the first midnight after the clocks went forward.)
    """

    def __init__(self, cron: str, zone: str) -> None:
        self._zone = ZoneInfo(zone)
        self._trigger = CronTrigger.from_crontab(cron, timezone=UTC)
        self._fixed_hour = "*" not in cron.split()[1]

    def after(self, at: Millis) -> Iterator[Millis]:
        """Every fire later than `at`, in order.

        In the hour that autumn repeats, a line with a fixed hour fires in the first one only, as cron does. A time that
        spring skips fires as much later.
        """
        last = at
        for fire in self._in_order(at):
            if fire > last:
                last = fire
                yield fire

    def _in_order(self, at: Millis) -> Iterator[Millis]:
        """Fires from about `at` on. Around a change of the clocks they are gathered and put in order, doubles too."""
        wall = _moment(at).astimezone(self._zone).replace(tzinfo=None)
        if not self._steady(wall):
            wall -= CHANGE
        gathered: list[Millis] = []
        while (found := self._trigger.get_next_fire_time(None, wall.replace(tzinfo=UTC) + TICK)) is not None:
            wall = found.replace(tzinfo=None)
            if self._steady(wall):
                while gathered:
                    yield heapq.heappop(gathered)
                yield self._instant(wall, fold=0)
            else:
                heapq.heappush(gathered, self._instant(wall, fold=0))
                if not self._fixed_hour and not self._skipped(wall):
                    heapq.heappush(gathered, self._instant(wall, fold=1))
        yield from sorted(gathered)

    def _steady(self, wall: datetime) -> bool:
        """Whether the clocks of the zone change nowhere near this time."""
        return self._zone.utcoffset(wall - CHANGE) == self._zone.utcoffset(wall + CHANGE)

    def _instant(self, wall: datetime, *, fold: int) -> Millis:
        return (wall.replace(tzinfo=self._zone, fold=fold) - _EPOCH) // timedelta(milliseconds=1)

    def _skipped(self, wall: datetime) -> bool:
        local = wall.replace(tzinfo=self._zone)
        return local.astimezone(UTC).astimezone(self._zone).replace(tzinfo=None) != wall

    def missed(self, last: Millis, now: Millis) -> tuple[int, Millis | None]:
        """How many fires lie in (last, now], and the newest of them. Counts no further back than it can."""
        recent = self._between(max(last, now - DAY_MS), now)
        older = self._between(last, now - DAY_MS) if last < now - DAY_MS else []
        if recent:
            return len(recent) + len(older), recent[-1]
        return (len(older), older[-1]) if older else (0, None)

    def words(self, at: Millis) -> str:
        """A time as people at the schedule's place say it."""
        return f"{_moment(at).astimezone(self._zone):%a %Y-%m-%d %H:%M} {self._zone.key}"

    def _between(self, after: Millis, until: Millis) -> list[Millis]:
        found: list[Millis] = []
        for fire in islice(self.after(after), MAX_COUNTED):
            if fire > until:
                break
            found.append(fire)
        return found


@dataclass(slots=True)
class _Followed:
    """One schedule as it is followed: its newest fire taken, by our own and by others' telling."""

    schedule: Schedule
    fires: Fires
    last_at: Millis


class CronSchedules:
    """Tells every fire of every schedule of the book."""

    def __init__(self, engine: Engine, alarms: Alarms, follower: BookFollower) -> None:
        self._engine = engine
        self._alarms = alarms
        self._follower = follower
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Follow the book and tell its fires, for ever."""
        self._scheduler.start()
        try:
            while True:
                book = self._follower.book
                try:
                    await self._follow(book, await self.plan(book))
                except StoreError as error:
                    log.warning("store_unavailable", loop="schedules", error=str(error))
                    await self._pause(None)
        finally:
            self._scheduler.shutdown(wait=False)

    async def plan(self, book: PolicyBook) -> list[_Followed]:
        """Tell the records what is planned, and what no longer is; where each stands. Raises StoreError."""
        followed: list[_Followed] = []
        for shard in self._engine.shards:
            wanted = {f"{PREFIX}{one.name}": one for one in book.schedules if one.system == shard}
            stored = {one for one in await self._engine.store.aggregates(shard) if one.startswith(PREFIX)}
            for source in sorted(stored - wanted.keys()):
                await self._tell_planned(shard, source, "")
            for schedule in wanted.values():
                try:
                    fires = Fires(schedule.cron, schedule.zone)
                except (ValueError, LookupError) as error:  # one that was not judged; the others go on
                    await self._broken(schedule, error)
                    continue
                followed.append(_Followed(schedule, fires, await self._plan_one(schedule)))
        return followed

    async def _plan_one(self, schedule: Schedule) -> Millis:
        """Tell its record what is planned; where it stands."""
        source = f"{PREFIX}{schedule.name}"
        await self._tell_planned(schedule.system, source, f"{schedule.cron} {schedule.zone}")
        return await self._last_at(schedule.system, source)

    async def _tell_planned(self, shard: str, source: str, cron: str) -> None:
        now = self._engine.clock.now()
        await self._engine.tell(shard, source, SchedulePlanned(id=f"{source}/planned/{now}", at=now, cron=cron))

    async def _broken(self, schedule: Schedule, error: Exception) -> None:
        log.error("schedule_broken", schedule=schedule.name, problem=str(error))
        await self._alarms.raise_(
            schedule.system,
            "AndonScheduleBroken",
            f"schedule {schedule.name} cannot be run ({schedule.cron} {schedule.zone}: {error}); correct it in its "
            "policy file, and do by hand what it does until then",
            labels=(("schedule", schedule.name),),
        )

    async def tell_due(self, followed: list[_Followed]) -> Millis | None:
        """Tell what is due now; when the next fire of all is. Raises StoreError."""
        upcoming: list[Millis] = []
        for one in followed:
            try:
                upcoming += await self._tell_one(one)
            except (ValueError, ArithmeticError, LookupError) as error:  # the others go on
                await self._broken(one.schedule, error)
        return min(upcoming, default=None)

    async def _tell_one(self, one: _Followed) -> Iterator[Millis]:
        """Tell what is due of one schedule; its next fire, if any."""
        now = self._engine.clock.now()
        if one.last_at > now + AHEAD_MS:  # the clock had jumped forward, and is right again
            one.last_at = await self._plan_one(one.schedule)
        count, due = one.fires.missed(one.last_at, now)
        if count > 1:  # perhaps only we were away: another replica may have told them
            source = f"{PREFIX}{one.schedule.name}"
            one.last_at = max(one.last_at, await self._last_at(one.schedule.system, source))
            count, due = one.fires.missed(one.last_at, now)
        if due is not None:
            await self._tell(one, due, count - 1)
        return islice(one.fires.after(max(now, one.last_at)), 1)

    async def _follow(self, book: PolicyBook, followed: list[_Followed]) -> None:
        """Until the book is another one."""
        while self._follower.book is book:
            await self._pause(await self.tell_due(followed))

    async def _tell(self, one: _Followed, due: Millis, skipped: int) -> None:
        schedule = one.schedule
        source = f"{PREFIX}{schedule.name}"
        following = next(one.fires.after(due), due + 2 * MAX_LASTS_MS)
        event = ScheduleDue(
            id=f"{source}/{due}",
            at=self._engine.clock.now(),
            due=due,
            grace_ms=schedule.grace_ms,
            lasts_ms=min(MAX_LASTS_MS, (following - due) // 2),
            skipped=skipped,
            when=one.fires.words(due),
            labels=schedule.labels,
            annotations=schedule.annotations,
        )
        decision = await self._engine.tell(schedule.system, source, event)
        one.last_at = due
        log.info("schedule_told", schedule=schedule.name, due=due, skipped=skipped, decision=str(decision))

    async def _last_at(self, shard: str, source: str) -> Millis:
        stored = (await self._engine.store.load(shard, [source])).get(source)
        if stored is None or not isinstance(stored.record, Source):
            return self._engine.clock.now()
        return stored.record.last_at

    async def _pause(self, until: Millis | None) -> None:
        """Until then, or until it is time to look whether anything else changed."""
        self._wake.clear()
        if until is not None:
            self._set_alarm(until)
        try:
            async with asyncio.timeout(LOOK_AGAIN_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _set_alarm(self, due: Millis) -> None:
        delay = max(0.0, self._engine.clock.real_seconds(due - self._engine.clock.now()))
        when = datetime.now(UTC) + timedelta(seconds=delay)  # noqa: TID251  # APScheduler lives on the wall clock
        self._scheduler.add_job(
            self._ring, DateTrigger(when), id="wake-up", replace_existing=True, misfire_grace_time=None
        )

    async def _ring(self) -> None:
        self._wake.set()


def _moment(at: Millis) -> datetime:
    return _EPOCH + timedelta(milliseconds=at)
