"""The second page route and the outgoing heartbeat, against a real web server that can be told to fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from pydantic import SecretStr

from bot.adapters.heartbeat import OutgoingHeartbeat
from bot.adapters.second_route import MAX_SUMMARY, WebhookPager
from bot.core.effects import PageOncall, ResolvePage
from bot.errors import DeliveryError

LONG = PageOncall(
    id="e", incident="inc-1", service="trading-oncall", severity="critical", dedup_key="k", summary="x" * 5_000
)


class Monitor:
    """Somebody else's web server: keeps what was posted, answers as told."""

    def __init__(self) -> None:
        self.posts: asyncio.Queue[tuple[str, object]] = asyncio.Queue()
        self.status = 200
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        await self.posts.put((request.headers.get("Authorization", ""), body))
        return web.Response(status=self.status)


@pytest.fixture
async def monitor() -> AsyncIterator[Monitor]:
    told = Monitor()
    app = web.Application()
    app.router.add_post("/in", told.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    told.url = f"http://127.0.0.1:{runner.addresses[0][1]}/in"
    yield told
    await runner.cleanup()


async def test_a_page_arrives_as_json_and_is_taken_back(monitor: Monitor) -> None:
    """Bounded, with its dedup key and the credential; the answer decides whether it was taken."""
    pager = WebhookPager(monitor.url, SecretStr("second-secret"))
    try:
        await pager.page(LONG)
        header, body = await monitor.posts.get()
        assert header == "Bearer second-secret"
        assert isinstance(body, dict)
        assert (body["event"], body["dedup_key"], len(body["summary"])) == ("page", "k", MAX_SUMMARY)
        await pager.resolve(ResolvePage(id="r", incident="inc-1", service="trading-oncall", dedup_key="k"))
        assert (await monitor.posts.get())[1] == {
            "event": "resolve", "dedup_key": "k", "service": "trading-oncall", "incident": "inc-1", "source": "andon",
        }  # fmt: skip
        monitor.status = 302
        with pytest.raises(DeliveryError, match="HTTP 302"):
            await pager.page(LONG)
    finally:
        await pager.close()


async def test_a_second_route_that_is_not_there_is_a_delivery_error() -> None:
    """And its text names no secret."""
    pager = WebhookPager("http://127.0.0.1:1/in", SecretStr("second-secret"))
    with pytest.raises(DeliveryError) as refused:
        await pager.page(LONG)
    await pager.close()
    assert "second-secret" not in str(refused.value)


async def test_the_heartbeat_stops_while_andon_is_unwell(monitor: Monitor) -> None:
    """The monitor hears nothing while the store cannot write, and again as soon as it can."""
    unwell = ""

    async def look() -> str:
        asked.set()
        return unwell

    asked = asyncio.Event()
    beat = OutgoingHeartbeat(monitor.url, 0.01, look, SecretStr("beat-secret"))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(beat.run())
        assert (await monitor.posts.get())[0] == "Bearer beat-secret"
        unwell = "the store cannot write"
        while beat.fine:
            asked.clear()
            await asked.wait()
        while not monitor.posts.empty():
            monitor.posts.get_nowait()
        for _ in range(3):
            asked.clear()
            await asked.wait()
        assert monitor.posts.empty()
        assert beat.standing == "held back: the store cannot write"
        unwell = ""
        await monitor.posts.get()
        monitor.status = 500
        while beat.standing != "not taken: HTTP 500":
            await monitor.posts.get()
        running.cancel()
