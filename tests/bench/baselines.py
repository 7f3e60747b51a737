"""The two servers Andon is compared with. Started by `tests.bench.lab`, each alone in its process.

*floor*: aiohttp on uvloop, which parses the webhook and answers; it keeps nothing. No server built on these can be
faster. *naive*: the same, and for each alert one awaited XADD to the same Valkey (AOF `always`) that Andon uses:
the obvious way to be durable.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

import redis.asyncio as redis
import uvloop
from aiohttp import web
from pydantic_core import from_json, to_json


def floor_app() -> web.Application:
    """Parse and answer."""

    async def receive(request: web.Request) -> web.Response:
        body = from_json(await request.read())
        return web.Response(status=200 if body["alerts"] else 400)

    app = web.Application()
    app.router.add_post("/webhooks/alertmanager", receive)
    return app


def naive_app(store: str) -> web.Application:
    """Parse, write each alert to a stream and wait for it, answer."""
    client = redis.Redis.from_url(store)

    async def receive(request: web.Request) -> web.Response:
        body = from_json(await request.read())
        for alert in body["alerts"]:
            await client.xadd("naive:inbox", {"alert": to_json(alert)})
        return web.Response(status=200)

    async def close(_: web.Application) -> None:
        await client.aclose()

    app = web.Application()
    app.router.add_post("/webhooks/alertmanager", receive)
    app.on_cleanup.append(close)
    return app


async def serve(app: web.Application) -> None:
    """Serve on a free loopback port, say which on stdout, and stop when stdin ends."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


def main() -> None:
    """`floor`, or `naive --store URL`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("which", choices=["floor", "naive"])
    parser.add_argument("--store", default="")
    chosen = parser.parse_args()
    uvloop.run(serve(floor_app() if chosen.which == "floor" else naive_app(chosen.store)))


if __name__ == "__main__":
    main()
