"""Tails the streams of the policy book: reads after the position in our own store, tells the source, moves on.

The position, the counts and the incident they open are one commit (`source_machine`), so a kill at any point loses and
doubles nothing: what was not committed is read again, and what was is not. Any number of replicas may tail the same
stream; the position's compare-and-set takes each batch from one of them, and the others read on from there.

Where it begins: a stream that was never read before is read from its end; what happened before Andon listened is no
alert. Later, everything since the position is read, however long Andon was away, and counted at its own time.
When its Redis ends earlier than our position (restored, emptied, failed over to a replica that lagged), reading goes on
from that new end: what is left from before was counted already. That is a gap, and reported as one.
What fires until nothing more comes is ended by a look that found nothing more, never by time alone: while a stream
cannot be read, or is not yet read to its end after an outage, nothing of it ends.

Run by `bot.engine.runtime`; the real `ForeignStreams` is `bot.adapters.foreign_streams`.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from bot.core.record import Ignored
from bot.core.source import Source
from bot.core.source_events import StreamRead
from bot.core.words import Millis
from bot.engine.alarms import Alarms
from bot.engine.engine import Engine
from bot.engine.following import BookFollower
from bot.engine.ports import Telemetry
from bot.engine.stream_views import BEGINNING, Progress, StreamView, progress
from bot.errors import AndonError, StoreError
from handlers.streams import stream_entry
from policies.sources import StreamSource

BATCH = 200  # entries a commit; the fold of as many takes some ten milliseconds
BATCH_ALERTS = 50  # where entries are alerts: each may open an incident
BLOCK_MS = 1_000  # of one waiting read; also how often a gap, a reload and another replica's progress are noticed
LINGER_SECONDS = 0.25  # entries that are only counted are taken together: each commit is a link of the audit for good
BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)  # while the foreign Redis or our store is away
UNREACHABLE_SECONDS = 60.0  # a failover takes some seconds, a restart some ten; longer, somebody must look
UNREACHABLE = "AndonStreamUnreachable"

log = structlog.get_logger(__name__)


class ForeignStreams(Protocol):
    """Somebody else's Redis streams, read only. Both raise TargetError and its children."""

    async def view(self, source: StreamSource, after: str, count: int) -> StreamView:
        """The stream and its first `count` entries after this id, all at one moment."""
        ...

    async def wait(self, source: StreamSource, after: str, block_ms: int) -> None:
        """Return as soon as there are entries after this id, at the latest after `block_ms` of real time."""
        ...


class StreamTailer:
    """Tails every stream of the book."""

    def __init__(
        self,
        engine: Engine,
        foreign: ForeignStreams,
        alarms: Alarms,
        telemetry: Telemetry,
        follower: BookFollower,
        *,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        self._engine = engine
        self._foreign = foreign
        self._alarms = alarms
        self._telemetry = telemetry
        self._follower = follower
        self._linger = linger_seconds

    async def run(self) -> None:
        """One tail for each stream of the book in force, for ever; a tail ends when a reload took its stream away."""
        async with asyncio.TaskGroup() as tasks:
            tails: dict[StreamSource, asyncio.Task[None]] = {}
            while True:
                book = self._follower.book
                tails = {source: task for source, task in tails.items() if not task.done()}
                for source in book.streams:
                    if source not in tails:
                        linger = 0.0 if source.alerts_in else self._linger
                        tail = _Tail(self._engine, self._foreign, self._alarms, self._telemetry, source, linger)
                        tails[source] = tasks.create_task(tail.run(self._follower))
                await self._follower.another(book)


class _Tail:
    """One stream: where we stand in it, and since when it cannot be read."""

    def __init__(
        self,
        engine: Engine,
        foreign: ForeignStreams,
        alarms: Alarms,
        telemetry: Telemetry,
        source: StreamSource,
        linger: float,
    ) -> None:
        self._engine = engine
        self._foreign = foreign
        self._alarms = alarms
        self._telemetry = telemetry
        self._source = source
        self._linger = linger
        self._id = f"source:stream:{source.name}"
        self._stream = f"{source.component}/{source.key}"
        self._wanted = frozenset(name for rule in source.rules for name in (*dict(rule.where), *rule.by))
        self._count = BATCH_ALERTS if source.alerts_in else BATCH
        self._position: str | None = None  # None: to be read from the store; "": never read before
        self._added = -1
        self._falls_at: Millis | None = None  # when the next window of the record falls
        self._failures = 0
        self._failing_since: float | None = None
        self._reported = True  # a predecessor may have said that it cannot be reached

    async def run(self, follower: BookFollower) -> None:
        while self._source in follower.book.streams:
            try:
                await self._round()
                await self._well()
            except StoreError as error:  # ours; it may have committed and not said so
                log.warning("store_unavailable", loop="streams", stream=self._source.name, error=str(error))
                self._position = None
                await self._back_off()
            except AndonError as error:
                await self._unwell(str(error))
            except Exception as error:  # supervision point: one stream's trouble is not the others'
                log.exception("stream_failed", stream=self._source.name)
                self._position = None
                await self._unwell(f"{type(error).__name__}: {error}")
        if not any((s.name, s.system) == (self._source.name, self._source.system) for s in follower.book.streams):
            await self._alarms.clear(self._source.system, UNREACHABLE, self._labels)  # nobody reads it any more

    async def _round(self) -> None:
        """One look; then wait for more, if there was nothing left."""
        if self._position is None:
            await self._stand()
        position = self._position or ""
        if not position:
            await self._begin()
            return
        looked_at = self._engine.clock.now()
        view = await self._foreign.view(self._source, position, self._count)
        step = progress(view, position, self._added, self._count)
        falls = step.caught_up and self._falls_at is not None and self._falls_at <= looked_at
        if step.position == position and not step.gap and not falls:
            self._added = step.added
            await self._foreign.wait(self._source, position, BLOCK_MS)
            await asyncio.sleep(self._linger)
            return
        await self._tell(position, step, view, looked_at)

    async def _stand(self) -> None:
        """Where the record says that we stand."""
        loaded = await self._engine.store.load(self._source.system, [self._id])
        record = loaded[self._id].record if self._id in loaded else None
        if isinstance(record, Source) and record.stream == self._stream:
            self._position, self._added, self._falls_at = record.position, record.added, record.falls_at
        else:
            self._position, self._added, self._falls_at = "", -1, None

    async def _begin(self) -> None:
        """The first time ever: from the end."""
        looked_at = self._engine.clock.now()
        view = await self._foreign.view(self._source, BEGINNING, 0)
        added = -1 if view.added is None else view.added
        await self._tell("", Progress(view.last, added, True), view, looked_at)

    async def _tell(self, position: str, step: Progress, view: StreamView, looked_at: Millis) -> None:
        entries = tuple(
            stream_entry(name, fields, self._wanted, at_field=self._source.at_field, alerts_in=self._source.alerts_in)
            for name, fields in view.entries
        )
        now = self._engine.clock.now()
        event = StreamRead(
            id=f"{self._id}/{self._stream}/{position}/{step.position}/{looked_at}",
            at=looked_at,
            stream=self._stream,
            position=position,
            next_position=step.position,
            entries=entries,
            rules=self._source.rules,
            added=step.added,
            gap=step.gap,
            caught_up=step.caught_up,
        )
        decision = await self._engine.tell(self._source.system, self._id, event)
        if isinstance(decision, Ignored):  # another replica took it: go on from where it stands
            self._position = None
            return
        await self._stand()  # what falls next is known to the record alone
        if step.gap:
            log.warning("stream_gap", stream=self._source.name, gap=step.gap)
        if entries:
            self._telemetry.stream_read(self._source.name, len(entries), (now - entries[-1].at) / 1_000)

    # --- when it cannot be read --------------------------------------------------------------------------------------

    async def _well(self) -> None:
        self._failures, self._failing_since = 0, None
        if self._reported and self._position is not None:
            self._reported = False
            log.info("stream_followed", stream=self._source.name, key=self._source.key, after=self._position)
            await self._alarms.clear(self._source.system, UNREACHABLE, self._labels)

    async def _unwell(self, problem: str) -> None:
        now = asyncio.get_running_loop().time()
        if self._failing_since is None:
            self._failing_since = now
            log.warning("stream_unreachable", stream=self._source.name, problem=problem)
        lasted = now - self._failing_since
        if lasted >= UNREACHABLE_SECONDS:
            self._reported = True
            await self._alarms.raise_(
                self._source.system,
                UNREACHABLE,
                f"stream {self._source.key} cannot be read for {lasted:.0f} s ({problem}), so what it tells is not "
                f"heard: check {self._source.component} of {self._source.system} and its entry in targets.yaml",
                labels=self._labels,
            )
        await self._back_off()

    async def _back_off(self) -> None:
        await asyncio.sleep(BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS) - 1)])
        self._failures += 1

    @property
    def _labels(self) -> tuple[tuple[str, str], ...]:
        return (("stream", self._source.name),)
