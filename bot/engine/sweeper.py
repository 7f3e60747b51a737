"""Timers: one wake-up at the next due time, then every due timer moves into the inbox in one atomic script.

The due times live in the store's sorted set; moving a timer into the inbox *is* the claim, the inbox's pending list is
the lease, and the timer's token makes it count once (docs/adr/0002). The wake-up itself is `bot.engine.wakeup`'s. Run
by `bot.engine.runtime`.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from bot.core.words import Millis
from bot.engine.bell import Bell
from bot.engine.loop import Heartbeat
from bot.engine.ports import Clock, Store, Telemetry
from bot.engine.wakeup import SchedulerWakeup, Wakeup
from bot.errors import StoreError

CLAIM_BATCH = 500  # timers per script; keeps one call to the store in the low milliseconds
LOOK_AGAIN_SECONDS = 1.0  # how soon timers set by another replica are noticed

log = structlog.get_logger(__name__)


class Sweeper:
    """Claims due timers for all shards."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        telemetry: Telemetry,
        shards: Sequence[str],
        heartbeat: Heartbeat,
        wakeup: Wakeup | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._shards = shards
        self._heartbeat = heartbeat
        self._wakeup = wakeup or SchedulerWakeup()
        self._wake = Bell()
        self._next: Millis | None = None  # what the wake-up is set for

    def expect(self, due: Millis) -> None:
        """A commit set a timer: wake up no later than `due`."""
        if self._next is None or due < self._next:
            self._set_alarm(due)

    async def run(self) -> None:
        """Sweep whenever something is due, until cancelled."""
        self._wakeup.start()
        for shard in self._shards:
            self._heartbeat.beat(f"sweeper:{shard}")  # it begins now; from here on only a sweep that worked counts
        try:
            while True:
                self._wake.hush()
                self._next = None
                await self._sweep_or_wait()
        finally:
            self._wakeup.stop()

    async def sweep(self) -> int:
        """Move everything that is due now into the inboxes; returns how many timers."""
        claimed = 0
        for shard in self._shards:
            try:
                claimed += await self._sweep_shard(shard)
                self._heartbeat.beat(f"sweeper:{shard}")
            except StoreError as error:  # one shard's trouble is not the others'
                log.warning("store_unavailable", shard=shard, loop="sweeper", error=str(error))
        return claimed

    async def _sweep_shard(self, shard: str) -> int:
        claimed = 0
        due = await self._store.next_due(shard)
        now = self._clock.now()
        while due is not None and due <= now:
            self._telemetry.timer_lateness(shard, self._clock.real_seconds(now - due))
            claimed += await self._store.claim_due(shard, now, CLAIM_BATCH)
            due = await self._store.next_due(shard)
            now = self._clock.now()
        if due is not None:
            self._next = due if self._next is None else min(self._next, due)
        return claimed

    async def _sweep_or_wait(self) -> None:
        await self.sweep()
        if self._next is not None:
            self._set_alarm(self._next)
        await self._wake.heard(LOOK_AGAIN_SECONDS)  # or nothing is due that we know of: another replica may have set it

    def _set_alarm(self, due: Millis) -> None:
        self._next = due
        delay = max(0.0, self._clock.real_seconds(due - self._clock.now()))
        self._wakeup.set(delay, self._wake.ring)
