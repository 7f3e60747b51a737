"""Andon's own door alone in a process: the real ingress and store, no engine. Started by `tests.bench.lab`.

Measures durable ingest by itself: everything between the socket and the fsync that precedes the 2xx. What the engine
makes of the stored entries is measured by `tests.bench.house`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop
from aiohttp import web
from prometheus_client import CollectorRegistry

from bot.adapters import http_app
from bot.adapters.clock import SystemClock
from bot.adapters.embedded import EmbeddedValkey
from bot.adapters.http_services import Check, PersonToken, Source
from bot.adapters.redis_store import RedisStore
from bot.adapters.seal import Sealer
from bot.core.events import Event
from bot.core.plan import Plan
from bot.core.record import Decision, Ignored
from bot.core.words import AggregateId
from bot.engine.action_ports import Component
from bot.engine.ports import Store
from handlers.routing import Route


class DoorServices:
    """`http_services.Services` with nothing behind the door but the store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = SystemClock()
        self.registry = CollectorRegistry()
        self.replica = "bench"
        self.shards: Sequence[str] = ("bench", "unrouted")
        self.routes: Sequence[Route] = (Route(system="bench", receiver="andon"),)
        self.sources = (Source(name="bench", scheme="bearer", secret=b"bench-token"),)
        self.tokens: Sequence[PersonToken] = ()

    def person_of(self, uid: int) -> str | None:
        return None

    def policies(self) -> Sequence[Plan]:
        return ()

    def policy_fingerprint(self) -> str:
        return ""

    def components(self) -> Sequence[Component]:
        return ()

    def checks(self) -> Sequence[Check]:
        return ()

    async def tell(self, shard: str, to: AggregateId, event: Event) -> Decision:
        return Ignored("nobody is behind this door")


async def serve(data_dir: Path) -> None:
    """Serve webhooks on a free loopback port, say which on stdout, and stop when stdin ends."""
    valkey = EmbeddedValkey(data_dir)
    store = RedisStore(await valkey.start(), replica="bench", sealer=Sealer.from_file(data_dir / "seal.key"))
    try:
        await store.open()
        doors = http_app.build(DoorServices(store))
        async with doors.intake:
            runner = web.AppRunner(doors.webhooks, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            print(runner.addresses[0][1], flush=True)
            await asyncio.to_thread(sys.stdin.read)
            await runner.cleanup()
    finally:
        await store.close()
        await valkey.stop()


def main() -> None:
    """`--data-dir DIR`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir", type=Path, required=True)
    uvloop.run(serve(parser.parse_args().data_dir))


if __name__ == "__main__":
    main()
