"""Standing back from a shard in which a newer Andon has written (docs/adr/0012).

Used by the store's reads. The first record, entry or effect of a later schema that is met ends this process's work on
its shard, until it is replaced: nothing more is read from it, and nothing written. What this replica was handed and has
not finished is handed over at once, so that the newer one beside it need not wait until it goes idle by itself.
`/readyz`, `andon_store_newer` and the log say so; the other shards go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import structlog
from redis.exceptions import ResponseError

from bot.adapters.redis_keys import GROUP, ShardKeys
from bot.adapters.redis_link import RedisLink
from bot.engine.loop import RECLAIM_IDLE_MS
from bot.errors import StoreError, StoreNewer

MAX_HANDED = 10_000  # entries of a queue handed over at once; more than one process holds
# A request that is under way here is answered, or given up, before the newer one looks what became of it.
FINISH_MS = 30_000  # the longest send, and declaring it

log = structlog.get_logger(__name__)


class Newer:
    """Which shards this process stands back from, and why."""

    def __init__(self, link: RedisLink, replica: str) -> None:
        self._link = link
        self._replica = replica
        self._why: dict[str, str] = {}

    @property
    def shards(self) -> Mapping[str, str]:
        """Why, by shard."""
        return MappingProxyType(self._why)

    def refuse(self, shard: str) -> None:
        """Raise StoreNewer where a newer Andon works."""
        if self._why and shard in self._why:
            raise StoreNewer(self._why[shard])

    async def stand_back(self, shard: str, keys: ShardKeys, met: StoreNewer) -> StoreNewer:
        """From now on nothing of this shard is touched; what is in hand is handed over. Returns what to raise."""
        if shard not in self._why:
            self._why[shard] = f"{shard}: left to a newer Andon, which has written there ({met}); end this one"
            log.error("stands_back", shard=shard, met=str(met))
        try:
            await self._hand_over(keys.inbox, RECLAIM_IDLE_MS)
            await self._hand_over(keys.outbox, RECLAIM_IDLE_MS - FINISH_MS)
        except StoreError as error:  # it goes idle by itself, as after a crash
            log.warning("store_unavailable", shard=shard, loop="hand over", error=str(error))
        return StoreNewer(self._why[shard])

    async def _hand_over(self, stream: bytes, idle_ms: int) -> None:
        """Let all that this replica holds look as if it had been idle for so long, uncounted."""
        async with self._link.bounded("hand over"):
            try:
                held = await self._link.ask(b"XPENDING", stream, GROUP, b"-", b"+", MAX_HANDED, self._replica)
            except ResponseError as error:
                if not str(error).startswith("NOGROUP"):  # nobody has read from it yet
                    raise
                held = None
            if held:
                entries = [entry for entry, *_ in held]
                await self._link.ask(
                    b"XCLAIM", stream, GROUP, self._replica, 0, *entries, b"IDLE", idle_ms, b"JUSTID"
                )  # fmt: skip
