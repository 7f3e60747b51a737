"""Puts one simulated trading-core together and keeps it alive: its servers, its parts, its tasks, its HTTP face.

Called by `__main__` with what the command line says. `open_floor` starts the real Valkeys and makes the parts;
`tasks_of` lists what must run for ever; `listening` serves the API.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from bot.core.words import Millis
from bot.sandbox.alert_rules import LATENCY_US
from bot.sandbox.alerts import AlertPoster
from bot.sandbox.faults import Faults
from bot.sandbox.floor import Floor
from bot.sandbox.history import History
from bot.sandbox.ledger import Ledger
from bot.sandbox.model import RiskModel
from bot.sandbox.probe import Probe
from bot.sandbox.router import ModelRouter
from bot.sandbox.routing import Routing
from bot.sandbox.services import NAMES, Service
from bot.sandbox.slowness import STALL_MS
from bot.sandbox.store import Store
from bot.sandbox.topology import HOST, topology
from bot.sandbox.trading_core import TradingCore
from bot.sandbox.watchdog import Watchdog


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What one floor is to be like; see `__main__`. `webhook` "": somebody else watches and posts."""

    folder: Path
    ledger: Path | None = None
    seed: int = 7
    response_ms: Millis = 3_000
    alone: bool = False
    webhook: str = ""
    token: str = ""
    copies: int = 1
    latency_us: float = LATENCY_US
    stall_ms: int = STALL_MS


@contextlib.asynccontextmanager
async def open_floor(options: Options, now: Callable[[], Millis]) -> AsyncIterator[Floor]:
    """Start the servers and make the parts; everything is ended with it."""
    replicas, sentinels = (0, 0) if options.alone else (1, 3)
    async with topology(options.folder, replicas=replicas, sentinels=sentinels) as servers:
        store = Store(servers)
        try:
            ledger = Ledger(now, options.ledger)
            address = servers.primary.address
            probe = Probe(address)
            model = RiskModel(now=now(), seed=options.seed, response_ms=options.response_ms)
            router = ModelRouter(now=now(), seed=options.seed, symbols=model.symbols)
            floor = Floor(
                risk=TradingCore(model, ledger, store, now),
                routing=Routing(router, ledger, store, now),
                services={name: Service(name, address, ledger, now) for name in NAMES},
                store=store,
                faults=Faults(store, probe, ledger, stall_ms=options.stall_ms),
                probe=probe,
                ledger=ledger,
                history=History(now),
                poster=_poster(options, now),
            )
            floor.risk.listen(floor.history.observe)
            if floor.poster is not None:
                floor.risk.listen(floor.poster.observe)
                probe.listen(floor.poster.observe_latency)
            await floor.risk.refresh()
            yield floor
        finally:
            await store.close()


def _poster(options: Options, now: Callable[[], Millis]) -> AlertPoster | None:
    if not options.webhook:
        return None
    return AlertPoster(options.webhook, now, token=options.token, copies=options.copies, latency_us=options.latency_us)


def tasks_of(floor: Floor, watchdog: Watchdog | None) -> list[Coroutine[Any, Any, None]]:
    """What runs for ever, each in a task of its own."""
    eternal: list[AlertPoster | Watchdog | TradingCore | Routing | Probe | Faults | Service] = [
        floor.risk, floor.routing, floor.probe, floor.faults, *floor.services.values(),
    ]  # fmt: skip
    eternal += [each for each in (floor.poster, watchdog) if each is not None]
    return [each.run() for each in eternal] + [floor.store.follow()]


@contextlib.asynccontextmanager
async def listening(app: web.Application, port: int) -> AsyncIterator[str]:
    """Serve `app` on loopback; yields its URL. There is no authentication, so it never listens anywhere else."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        await site.start()
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
