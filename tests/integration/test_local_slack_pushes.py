"""The local Slack's HTTP mode, taken by the real slack-bolt: signatures, answers in the acknowledgement, retries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.slack.population import ONCALL
from bot.sandbox.slack.server import HOST, LocalSlack

OPS = "C0OPS"
SOON = 5.0  # seconds for what comes by itself


class Door:
    """An app's HTTP door with bolt behind it; it may refuse, and keeps the headers of what came."""

    def __init__(self, bolt: AsyncApp) -> None:
        self.status = 0  # answered instead of what bolt says
        self.no_retry = False
        self.came: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._bolt = bolt

    async def handle(self, request: web.Request) -> web.StreamResponse:
        await self.came.put({name.lower(): value for name, value in request.headers.items()})
        if self.status:
            return web.Response(status=self.status, headers={"X-Slack-No-Retry": "1"} if self.no_retry else {})
        return await to_aiohttp_response(await self._bolt.async_dispatch(await to_bolt_request(request)))

    async def next(self) -> dict[str, str]:
        return await asyncio.wait_for(self.came.get(), SOON)


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    async with LocalSlack() as slack:
        slack.courier.retry_s = (0.0, 0.0, 0.0)
        yield slack


@pytest.fixture
async def door(slack: LocalSlack) -> AsyncIterator[Door]:
    async with ClientSession() as session:
        client = AsyncWebClient(slack.world.app.bot_token, base_url=slack.api_url, session=session)
        bolt = AsyncApp(client=client, signing_secret=slack.world.app.signing_secret)

        @bolt.command("/andon")
        async def command(ack: Any, body: dict[str, Any]) -> None:
            await ack(text=f"{body['user_id']} wants {body['text']}")

        @bolt.event("app_mention")
        async def mention() -> None:
            return None

        door = Door(bolt)
        app = web.Application()
        app.router.add_post("/slack/events", door.handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        slack.world.app.request_url = f"http://{HOST}:{runner.addresses[0][1]}/slack/events"
        yield door
        await runner.cleanup()


async def test_bolt_takes_a_signed_command(slack: LocalSlack, door: Door) -> None:
    """What Slack signs, bolt believes; its answer is shown to whoever typed."""
    assert (await slack.people.command(ONCALL, OPS, "/andon status")).error == ""
    assert (await door.next())["x-slack-signature"].startswith("v0=")
    assert [each.now.text for each in slack.world.shown(OPS, to=ONCALL)] == ["U0ONCALL wants status"]
    slack.world.app.signing_secret = "another"
    assert (await slack.people.command(ONCALL, OPS, "/andon status")).error == "dispatch_failed"


async def test_an_address_is_proved(slack: LocalSlack, door: Door) -> None:
    """The challenge comes back; an address that answers something else is not the app's."""
    assert await slack.pushes.challenge()
    door.status = 204
    assert not await slack.pushes.challenge()


async def test_a_refused_event_is_sent_again(slack: LocalSlack, door: Door) -> None:
    """Three retries with number and reason, then it is given up; an app may say that it wants none."""
    door.status = 500
    await slack.people.say(ONCALL, OPS, "<@U0ANDON> status")
    came = [await door.next() for _ in range(4)]
    assert [each.get("x-slack-retry-num") for each in came] == [None, "1", "2", "3"]
    assert {each.get("x-slack-retry-reason") for each in came[1:]} == {"http_error"}
    door.no_retry = True
    await slack.people.say(ONCALL, OPS, "<@U0ANDON> status")
    assert "x-slack-retry-num" not in await door.next()
    door.status = 0
    await slack.people.say(ONCALL, OPS, "<@U0ANDON> status")
    assert "x-slack-retry-num" not in await door.next()
