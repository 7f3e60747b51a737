"""Cron schedules: each fire is told to `source:schedule:<name>`, which takes it once whichever replica tells it first.

APScheduler's `CronTrigger` says when a line fires in its zone, and its scheduler holds one job, the wake-up at the next
fire; nothing durable is in it. What was missed is found by the record's last fire, so an outage of any length, a
reload and a jump of the clock are all the same: tell every fire since then, collapsed into the newest. All times are
those of the engine's clock, also where that one is scaled. Run by `bot.engine.runtime`.
"""

from __future__ import annotations

import asyncio
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
from bot.core.words import Millis
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

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

log = structlog.get_logger(__name__)


class Fires:
    """When one schedule fires."""

    def __init__(self, cron: str, zone: str) -> None:
        self._zone = ZoneInfo(zone)
        self._trigger = CronTrigger.from_crontab(cron, timezone=self._zone)
        self._fixed_hour = "*" not in cron.split()[1]

    def after(self, at: Millis) -> Iterator[Millis]:
        """Every fire later than `at`, in order.

        In the hour that autumn repeats, a line with a fixed hour fires in the first one only, as cron does.
        """
        last = _moment(at)
        while True:
            found = self._trigger.get_next_fire_time(None, last + timedelta(microseconds=1))
            if found is None:
                return
            last = found.astimezone(UTC)
            if not (found.fold and self._fixed_hour):
                yield (last - _EPOCH) // timedelta(milliseconds=1)

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

    def __init__(self, engine: Engine, follower: BookFollower) -> None:
        self._engine = engine
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
            for source in sorted(stored | wanted.keys()):
                schedule = wanted.get(source)
                cron = f"{schedule.cron} {schedule.zone}" if schedule is not None else ""
                now = self._engine.clock.now()
                planned = SchedulePlanned(id=f"{source}/planned/{now}", at=now, cron=cron)
                await self._engine.tell(shard, source, planned)
                if schedule is not None:
                    fires = Fires(schedule.cron, schedule.zone)
                    followed.append(_Followed(schedule, fires, await self._last_at(shard, source)))
        return followed

    async def tell_due(self, followed: list[_Followed]) -> Millis | None:
        """Tell what is due now; when the next fire of all is. Raises StoreError."""
        upcoming: list[Millis] = []
        for one in followed:
            now = self._engine.clock.now()
            count, due = one.fires.missed(one.last_at, now)
            if count > 1:  # perhaps only we were away: another replica may have told them
                shard = one.schedule.system
                one.last_at = max(one.last_at, await self._last_at(shard, f"{PREFIX}{one.schedule.name}"))
                count, due = one.fires.missed(one.last_at, now)
            if due is not None:
                await self._tell(one, due, count - 1)
            upcoming += islice(one.fires.after(max(now, one.last_at)), 1)
        return min(upcoming, default=None)

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
