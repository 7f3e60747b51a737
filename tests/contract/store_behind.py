"""A store behind real Sentinels, as the contract tests of its failovers and cuts open it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bot.adapters.redis_primary import Behind
from bot.adapters.redis_store import RedisStore
from bot.adapters.seal import Sealer
from bot.errors import StoreUnavailable
from bot.sandbox.children import until
from bot.sandbox.topology import Topology
from tests.contract.conftest import KEY
from tests.contract.store_records import SHARD, webhook

WITHIN = 15.0  # seconds for what the Sentinels do, on a busy machine


@asynccontextmanager
async def store_of(servers: Topology) -> AsyncIterator[RedisStore]:
    """Opened, with the settings that Andon takes where nothing else is said."""
    behind = Behind(sentinels=tuple(servers.sentinel_addresses), master=servers.master)
    store = RedisStore(servers.primary.url, replica="a", sealer=Sealer(KEY), behind=behind, wait_replicas=1)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


async def taken(store: RedisStore, name: str) -> None:
    """Append until it is taken, as a sender does."""

    async def once() -> bool:
        try:
            await store.append(SHARD, [webhook(name)])
        except StoreUnavailable:
            return False
        return True

    await until(f"{name} is taken", once, within=WITHIN)
