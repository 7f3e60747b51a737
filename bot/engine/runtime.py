"""Everything that runs for as long as the process lives, in one TaskGroup. An eternal task that returns is an error.

The engine's own loops end the process when they fail; what runs beside them is begun again (`bot.engine.beside`).
Built and run by `bot.app`. `stop` ends it in order: nothing new is read, what is under way is finished within a bound,
and whatever is left stays in the store for the next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

import structlog

from bot.engine.beside import Eternal, Keeper
from bot.engine.dispatch import Dispatch
from bot.engine.judge import Hands
from bot.engine.loop import RECLAIM_EVERY_SECONDS, RECLAIM_IDLE_MS, Heartbeat, absorb, fold_forever
from bot.engine.ports import Pager, Telemetry
from bot.engine.sweeper import Sweeper
from bot.engine.wakeup import Wakeup
from bot.errors import RecordForged, StoreError, StoreNewer

DRAIN_SECONDS = 15.0  # most activities take a second; what is cut off is taken up again at the next start

LEFT_SECONDS = 1.0  # after the store failed an activity, until it is taken up again: its component waits for that
RECLAIM_BATCH = 5_000  # more than one process has in hand, so that every look keeps all of it from going idle

log = structlog.get_logger(__name__)


class Runtime:
    """The engine at work, and what is to run `beside` it: sources, watches, the reload; `keeper` begins those anew."""

    def __init__(
        self,
        hands: Hands,
        pager: Pager,
        telemetry: Telemetry,
        beside: Mapping[str, Eternal] | None = None,
        keeper: Keeper | None = None,
        wakeup: Wakeup | None = None,
    ) -> None:
        self.heartbeat = Heartbeat()
        self._beside = dict(beside or {})
        self._keeper = keeper
        self._stopping = asyncio.Event()
        self._engine = hands.engine
        self._sweeper = Sweeper(
            hands.engine.store, hands.engine.clock, telemetry, hands.engine.shards, self.heartbeat,
            wakeup,
        )  # fmt: skip
        self._dispatch = {
            shard: Dispatch(hands, pager, telemetry, shard, self.heartbeat) for shard in hands.engine.shards
        }
        hands.engine.on_timer(self._sweeper.expect)

    def stop(self) -> None:
        """Ask `run` to end in order."""
        self._stopping.set()

    async def run(self) -> None:
        """Run until `stop`; then read nothing more, and finish what is under way within `DRAIN_SECONDS`."""
        async with asyncio.TaskGroup() as tasks:
            readers = [tasks.create_task(_eternal("sweeper", self._sweeper.run))]
            readers += [
                tasks.create_task(_eternal(name, self._kept(name, begin))) for name, begin in self._beside.items()
            ]
            speakers = []
            for shard, dispatch in self._dispatch.items():
                speakers.append(tasks.create_task(_eternal("chat", dispatch.chat_forever)))
                speakers.append(tasks.create_task(_eternal("pager", dispatch.page_forever)))
                with suppress(RecordForged, StoreNewer):  # its loops say so, and the other shards go on
                    await self._reclaim(shard, 0, tasks, starting=True)
                own = partial(self._reclaim, shard, 0, tasks)  # given to us on a connection that broke meanwhile
                folding = partial(fold_forever, self._engine, shard, self.heartbeat, own)
                readers.append(tasks.create_task(_eternal("inbox", folding)))
                readers.append(tasks.create_task(_eternal("outbox", partial(dispatch.read_forever, tasks))))
                readers.append(tasks.create_task(_eternal("reclaim", partial(self._reclaim_forever, shard, tasks))))
            await self._stopping.wait()
            for reader in readers:
                reader.cancel()
            for dispatch in self._dispatch.values():
                dispatch.wind_down()
            try:
                async with asyncio.timeout(DRAIN_SECONDS):
                    await asyncio.gather(*(dispatch.drained() for dispatch in self._dispatch.values()))
            except TimeoutError:
                log.warning("stopped_while_busy", seconds=DRAIN_SECONDS)
                for dispatch in self._dispatch.values():
                    dispatch.abandon()
            for speaker in speakers:
                speaker.cancel()

    def _kept(self, name: str, begin: Eternal) -> Eternal:
        return partial(self._keeper.keep, name, begin) if self._keeper is not None else begin

    async def _reclaim_forever(self, shard: str, tasks: asyncio.TaskGroup) -> None:
        left = self._dispatch[shard].left
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(RECLAIM_EVERY_SECONDS):
                    await left.wait()
                    await asyncio.sleep(LEFT_SECONDS)
            left.clear()
            try:
                await self._reclaim(shard, RECLAIM_IDLE_MS, tasks)
                _, held = await self._engine.store.reclaim(shard, 0, RECLAIM_BATCH)  # there was no room, or no pager
                self._dispatch[shard].take(held, tasks)
            except StoreError as error:
                log.warning("store_unavailable", shard=shard, loop="reclaim", error=str(error))

    async def _reclaim(self, shard: str, idle_ms: int, tasks: asyncio.TaskGroup, *, starting: bool = False) -> None:
        """Take up what was delivered and never acknowledged: ours after a restart, else a dead replica's."""
        inbox, outbox = await self._engine.store.reclaim(shard, idle_ms, RECLAIM_BATCH, starting=starting)
        if inbox:
            log.info("inbox_reclaimed", shard=shard, entries=len(inbox))
            await absorb(self._engine, shard, inbox)
        self._dispatch[shard].take(outbox, tasks)


async def _eternal(name: str, begin: Eternal) -> None:
    """Begun here and not where it is asked for: a task that is cancelled before its first step leaves nothing begun."""
    await begin()
    raise AssertionError(f"the {name} task returned; it must run for ever")
