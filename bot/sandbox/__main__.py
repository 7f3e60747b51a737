"""`python -m bot.sandbox`: run the simulated trading-core until told to stop.

Started by the demo, by drills and by the acceptance tests as a process of its own. Prints one line of JSON with its
addresses when it is ready (`url`, `valkey_url`, `valkey_pid`, `replica_url`, `sentinels`, `master`, `pid`, `alerts`),
and nothing else on standard output. Its Redis is a primary, a replica and three Sentinels, all real; with `--alone`,
for whoever needs no failover, the primary only. Ends on SIGTERM or SIGINT and, with `--with-parent`, when its standard
input closes: then whoever started it is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from bot.adapters.clock import ScaledClock, SystemClock
from bot.errors import ConfigError
from bot.sandbox.alert_rules import LATENCY_US
from bot.sandbox.assembly import Options, listening, open_floor, tasks_of
from bot.sandbox.floor import Floor
from bot.sandbox.server import build
from bot.sandbox.slowness import MAX_STALL_MS, STALL_MS
from bot.sandbox.watchdog import Watchdog


def _arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bot.sandbox", description="A simulated trading-core on loopback.")
    parser.add_argument("--port", type=int, default=0, help="HTTP port (0: any free one)")
    parser.add_argument("--valkey-dir", type=Path, required=True, help="directory for its own Valkeys")
    parser.add_argument("--alone", action="store_true", help="one Valkey, without replica and Sentinels")
    parser.add_argument("--ledger", type=Path, help="file for the ledger, JSON lines (default: memory only)")
    parser.add_argument("--clock", default="", help="scale@anchor_ms, e.g. 20@1767225600000 (default: real time)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the noise")
    parser.add_argument("--response-ms", type=int, default=3_000, help="how fast VaR follows Kelly, on its clock")
    parser.add_argument("--answer-ms", type=int, default=0, help="how long every answer of its API takes, real time")
    parser.add_argument("--latency-us", type=float, default=LATENCY_US, help="RedisLatencyHigh fires over this p99")
    parser.add_argument(
        "--stall-ms", type=int, default=STALL_MS, choices=range(1, MAX_STALL_MS + 1), metavar="MS",
        help="how long a slow Redis stands still at a time",
    )  # fmt: skip
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


class _Stopped(Exception):
    """Raised inside the task group to end it."""


def _stop_signal(with_parent: bool) -> asyncio.Event:
    """Set on SIGTERM, SIGINT or, `with_parent`, at the end of standard input; heeded from before the ready line on."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def read() -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            loop.remove_reader(sys.stdin.fileno())
            stop.set()

    if with_parent:
        loop.add_reader(sys.stdin.fileno(), read)
    return stop


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()
    raise _Stopped


def _options(arguments: argparse.Namespace) -> Options:
    """What the floor is to be like; the token is read here."""
    file: Path | None = arguments.webhook_token_file
    return Options(
        folder=arguments.valkey_dir, ledger=arguments.ledger, seed=arguments.seed, response_ms=arguments.response_ms,
        alone=arguments.alone, webhook=arguments.webhook, token=file.read_text().strip() if file else "",
        copies=arguments.copies, latency_us=arguments.latency_us, stall_ms=arguments.stall_ms,
    )  # fmt: skip


async def run(options: Options, arguments: argparse.Namespace) -> None:
    """Everything from the first process started to the last one ended."""
    clock = _clock(arguments.clock)
    stop = _stop_signal(arguments.with_parent)
    async with open_floor(options, clock.now) as floor:
        watchdog = None
        if arguments.watchdog and options.webhook:
            watchdog = Watchdog(options.webhook, clock.now, token=options.token)
            floor.risk.listen(watchdog.observe)
        async with listening(build(floor, answer_ms=arguments.answer_ms), arguments.port) as url:
            sys.stdout.write(json.dumps(_ready(floor, url)) + "\n")
            sys.stdout.flush()
            await _serve(floor, watchdog, stop)


def _ready(floor: Floor, url: str) -> dict[str, object]:
    """What whoever started this needs to know."""
    servers = floor.store.topology
    return {
        "url": url,
        "valkey_url": f"{servers.primary.url}/0",
        "valkey_pid": servers.pid(servers.primary),
        "replica_url": f"{servers.replicas[0].url}/0" if servers.replicas else "",
        "sentinels": servers.sentinel_addresses,
        "master": servers.master if servers.sentinels else "",
        "pid": os.getpid(),
        "alerts": "scraper" if floor.poster is None else "sandbox",
    }


async def _serve(floor: Floor, watchdog: Watchdog | None, stop: asyncio.Event) -> None:
    """Run the system's tasks until one of them says stop."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for work in tasks_of(floor, watchdog):
                tasks.create_task(work)
            tasks.create_task(_until(stop))
    except* _Stopped:
        pass


if __name__ == "__main__":
    given = _arguments()
    asyncio.run(run(_options(given), given))
