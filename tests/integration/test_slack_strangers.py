"""Who is of our workspace, by wire: members on Enterprise Grid, and strangers of Slack Connect in a shared channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.sandbox.slack.population import APPROVER, ONCALL, OTHER_TEAM, SECOND
from tests.integration.door_twin import SYSTEM, TwinServices
from tests.integration.pending import ask, record
from tests.integration.slack_line import OPS, SOON, Line, connected, shown

TEAM, ANNEX, ORG = "T0DESK", "T0ANNEX", "E0ORG"


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    async with connected(tmp_path, TwinServices()) as line:
        yield line


@pytest.mark.parametrize("home", [ORG, ANNEX, TEAM])
async def test_an_approver_on_enterprise_grid_decides_by_click_form_and_word(line: Line, home: str) -> None:
    """The payload's user has the organisation, or another workspace, for a team: the click was made in ours."""
    incident = await ask(line.services)
    world = line.slack.world
    for user in (APPROVER, ONCALL):
        world.change_user(replace(world.users[user], team=home, org=ORG, teams=(ANNEX, TEAM)))
    copy = await line.command(APPROVER, f"show {incident}")
    await line.slack.people.click(APPROVER, OPS, copy.ts, "andon:approve:answer")
    async with asyncio.timeout(SOON):
        while (await record(line.services, incident)).status == "awaiting_approval":
            await asyncio.sleep(0.01)
    before = {ts for ts, posted in world.messages[OPS].items() if posted.user == world.app.user}
    await line.slack.people.say(ONCALL, OPS, f"<@{world.app.user}> ack {incident}")
    assert "Done" in shown(await line.said_after(before))
    assert (await record(line.services, incident)).acknowledged_by == "demo-oncall"
    view = await line.opened(ONCALL, f"run trading.halt {SYSTEM}/risk-engine because of the drill")
    assert (await line.slack.people.submit(ONCALL, view.id, {})).errors == {}
    async with asyncio.timeout(SOON):
        while len(await line.services.store.incidents(SYSTEM, closed=True, limit=10)) < 2:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("org", ["", "E0OTHER", ORG])
async def test_a_stranger_in_a_shared_channel_decides_nothing_though_people_yaml_names_them(
    line: Line, org: str
) -> None:
    """By click, by command and by mention; the payload's team is ours, and Slack does not mark them as a stranger."""
    incident = await ask(line.services)
    world = line.slack.world
    card = world.post(OPS, world.app.user, "x", (await line.command(SECOND, f"show {incident}")).now.blocks)
    teams = (OTHER_TEAM,) if org else ()
    world.change_user(replace(world.users[APPROVER], team=OTHER_TEAM, stranger=True, org=org, teams=teams))
    told = 0
    for act in ("click", "command", "mention"):
        before = {ts for ts, posted in world.messages[OPS].items() if posted.user == world.app.user}
        if act == "click":
            await line.slack.people.click(APPROVER, OPS, card.ts, "andon:approve:answer")
        elif act == "command":
            await line.slack.people.command(APPROVER, OPS, f"/andon ack {incident}")
        else:
            await line.slack.people.say(APPROVER, OPS, f"<@{world.app.user}> ack {incident}")
        told += "another workspace" in shown(await line.said_after(before))
    assert told == 3
    after = await record(line.services, incident)
    assert after.approval is not None
    assert (after.approval.votes, after.acknowledged_by) == ((), "")
