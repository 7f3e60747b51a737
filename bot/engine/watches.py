"""Dead-man watches: tells each watch of the book how often a sign of life is expected, and disarms what is gone.

Run by `bot.engine.runtime`. Saying the same again changes nothing (`source_machine`), so every start and every replica
may; so it is said every minute, which rights a watch that a jump of the clock left in the future. The signs
themselves come with the alerts: `PolicyBook.watch` says which alert is one.
"""

from __future__ import annotations

import asyncio

import structlog

from bot.core.source_events import WatchExpected
from bot.core.words import AggregateId
from bot.engine.engine import Engine
from bot.engine.following import BookFollower
from bot.errors import StoreError
from policies.book import PolicyBook

PREFIX = "source:watch:"
AGAIN_SECONDS = 60.0  # how soon the mark of a clock that ran ahead is put right; a watch waits for minutes
RETRY_SECONDS = 1.0  # while the store is away; nothing tells when it is back

log = structlog.get_logger(__name__)


class Watches:
    """Keeps the stored watches as the book has them."""

    def __init__(self, engine: Engine, follower: BookFollower) -> None:
        self._engine = engine
        self._follower = follower

    async def run(self) -> None:
        """Tell them at the start, after each reload and every minute, for ever."""
        while True:
            book = self._follower.book
            try:
                await self.tell(book)
            except StoreError as error:
                log.warning("store_unavailable", loop="watches", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
                continue
            await self._follower.another(book, AGAIN_SECONDS)

    async def tell(self, book: PolicyBook) -> None:
        """One round. Raises StoreError."""
        for shard in self._engine.shards:
            wanted = {f"{PREFIX}{watch.name}": watch.within_ms for watch in book.watches if watch.system == shard}
            stored = {one for one in await self._engine.store.aggregates(shard) if one.startswith(PREFIX)}
            for source in sorted(stored | wanted.keys()):
                await self._expect(shard, source, wanted.get(source, 0))

    async def _expect(self, shard: str, source: AggregateId, within_ms: int) -> None:
        now = self._engine.clock.now()
        await self._engine.tell(
            shard, source, WatchExpected(id=f"{source}/expected/{now}", at=now, within_ms=within_ms)
        )
