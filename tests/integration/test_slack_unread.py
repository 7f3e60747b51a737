"""A Slack that changes a field, by wire: what nobody reads may go, and whoever cannot be understood is told so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.adapters.slack.line.unread import FEW, NAME, WORDS
from bot.core.events import AlertsReceived
from bot.sandbox.slack import payloads
from bot.sandbox.slack.population import APPROVER, ONCALL
from bot.sandbox.slack.world import Posted
from handlers.routing import UNROUTED
from tests.integration.door_twin import SYSTEM, TwinServices
from tests.integration.pending import ask, record
from tests.integration.slack_line import OPS, SOON, Line, connected


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    async with connected(tmp_path, TwinServices()) as line:
        yield line


def click(line: Line, user: str, posted: Posted, action: str) -> dict[str, Any]:
    """The payload of a click, to be changed."""
    for block in posted.now.blocks:
        for element in block.get("elements", ()):
            if element.get("action_id") == action:
                state = line.slack.state
                return payloads.click(state, state.world.users[user], posted, posted.now, "", element, None)
    raise AssertionError(f"no button {action}")


async def test_a_click_and_a_form_without_what_nobody_reads_count(line: Line) -> None:
    """`container.type` and `view.type`: Andon needs neither."""
    incident = await ask(line.services)
    told = click(line, APPROVER, await line.command(APPROVER, f"show {incident}"), "andon:approve:answer")
    del told["container"]["type"]
    await line.slack.courier.ask("interactive", told)
    async with asyncio.timeout(SOON):
        while (await record(line.services, incident)).status == "awaiting_approval":
            await asyncio.sleep(0.01)
    view = await line.opened(ONCALL, f"run trading.halt {SYSTEM}/risk-engine because of the drill")
    form = payloads.submission(line.slack.state, line.slack.world.users[ONCALL], view)
    del form["view"]["type"]
    await line.slack.courier.ask("interactive", form)
    async with asyncio.timeout(SOON):
        while len(await line.services.store.incidents(SYSTEM, closed=True, limit=10)) < 2:
            await asyncio.sleep(0.01)


async def test_clicks_that_cannot_be_read_are_told_to_whoever_made_them_and_page(line: Line) -> None:
    """In words only they see, with what to do instead; and people hear of it who are not in Slack."""
    incident = await ask(line.services)
    copy = await line.command(APPROVER, f"show {incident}")
    for number in range(FEW):
        before = {ts for ts, posted in line.slack.world.messages[OPS].items() if posted.user == "U0ANDON"}
        told = click(line, APPROVER, copy, "andon:approve:answer")
        told["container"] = [told["container"]]
        told["actions"][0]["action_ts"] = f"{number}.1"
        await line.slack.courier.ask("interactive", told)
        answer = await line.said_after(before)
        assert (answer.now.text, answer.only_for) == (WORDS, APPROVER)
    assert (await record(line.services, incident)).status == "awaiting_approval"
    async with asyncio.timeout(SOON):
        while not (entries := await line.services.store.read_inbox(UNROUTED, 10, 0)):
            await asyncio.sleep(0.01)
    alarms = [each.entry for each in entries if isinstance(each.entry, AlertsReceived)]
    assert [(alert.name, alert.status) for each in alarms for alert in each.alerts] == [(NAME, "firing")]


async def test_a_form_that_cannot_be_read_does_not_close_as_if_it_were_done(line: Line) -> None:
    """Its sender reads what became of it in the same place."""
    view = await line.opened(ONCALL, f"run trading.halt {SYSTEM}/risk-engine because of the drill")
    form = payloads.submission(line.slack.state, line.slack.world.users[ONCALL], view)
    form["view"]["hash"] = 7
    said = await line.slack.courier.ask("interactive", form)
    assert said["response_action"] == "update"
    assert WORDS in str(said["view"])
    assert await line.services.store.incidents(SYSTEM, closed=True, limit=10) == []
