"""`python -m bot.sandbox.slack`: run a local Slack until told to stop.

Started by the demo and by acceptance tests as a process of its own. Prints one line of JSON when it is ready (`url`,
`api_url`, `pid`, `team`, the app's `bot_token`, `app_token` and `signing_secret`), and nothing else on standard output.
Ends on SIGTERM or SIGINT and, with `--with-parent`, when its standard input closes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys

from bot.adapters.clock import ScaledClock, SystemClock
from bot.errors import ConfigError
from bot.sandbox.slack.server import LocalSlack


def _arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bot.sandbox.slack", description="A local Slack on loopback.")
    parser.add_argument("--port", type=int, default=0, help="port (0: any free one)")
    parser.add_argument("--clock", default="", help="scale@anchor_ms, e.g. 20@1767225600000 (default: real time)")
    parser.add_argument("--request-url", default="", help="HTTP mode: where to post commands and events")
    parser.add_argument("--no-limits", action="store_true", help="never answer 429")
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


def _stop_signal(with_parent: bool) -> asyncio.Event:
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


async def run(arguments: argparse.Namespace) -> None:
    """From listening to the end."""
    stop = _stop_signal(arguments.with_parent)
    slack = LocalSlack(_clock(arguments.clock).now, port=arguments.port)
    slack.world.app.request_url = arguments.request_url
    slack.rates.enforced = not arguments.no_limits
    async with slack:
        app = slack.world.app
        ready = {
            "url": slack.url, "api_url": slack.api_url, "pid": os.getpid(), "bot_token": app.bot_token,
            "app_token": app.app_token, "signing_secret": app.signing_secret, "team": slack.world.team,
        }  # fmt: skip
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(run(_arguments()))
