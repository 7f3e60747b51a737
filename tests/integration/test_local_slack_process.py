"""The local Slack as a process of its own, as the demo starts it."""

from __future__ import annotations

import asyncio
import json
import sys

from aiohttp import ClientSession
from slack_sdk.web.async_client import AsyncWebClient

SOON = 20.0  # seconds for a process to start on a busy machine


async def test_it_says_where_it_is_and_ends_with_its_parent() -> None:
    """One line of JSON leads to a working API and to the page; closing standard input ends the process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot.sandbox.slack", "--with-parent", "--clock", "20@1767225600000",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), SOON))
        async with ClientSession() as session:
            client = AsyncWebClient(ready["bot_token"], base_url=ready["api_url"], session=session)
            assert (await client.auth_test())["team_id"] == "T0DESK"
            page = await (await session.get(f"{ready['url']}/")).text()
            assert "<!doctype html>" in page
            async with session.get(f"{ready['url']}/page/app.js") as script:
                assert script.content_type.endswith("/javascript")
                await script.read()
    finally:
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), SOON) == 0
