"""An incident shown in an answer: to everybody without buttons, to one person with buttons that die with a click."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.adapters.desk import Desk, Order
from bot.adapters.slack.heard import clicks
from bot.errors import StoreUnavailable
from bot.sandbox.slack.population import APPROVER, ONCALL, SECOND
from bot.sandbox.slack.world import Posted
from tests.integration.door_twin import SYSTEM, TwinServices
from tests.integration.pending import ask, record
from tests.integration.slack_line import OPS, SOON, Line, connected, shown


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    async with connected(tmp_path, TwinServices()) as line:
        yield line


def verbs(posted: Posted) -> list[str]:
    """Every button of a message, as it is now."""
    rows = [block["elements"] for block in posted.now.blocks if block["type"] == "actions"]
    return [str(button["action_id"]).split(":")[1] for row in rows for button in row]


async def says(posted: Posted, *words: str) -> None:
    """Return once it says all of this in the place of what it said at first."""
    async with asyncio.timeout(SOON):
        while len(posted.versions) < 2 or not all(each in shown(posted) for each in words):
            await asyncio.sleep(0.01)


async def test_what_is_shown_to_everybody_has_no_buttons(line: Line) -> None:
    """It would stand there after the decision, made for one person and pressed by others; the card is named instead."""
    incident = await ask(line.services)
    quiet = await line.command(APPROVER, f"show {incident}")
    assert {"approve", "deny", "take", "resolve"} <= set(verbs(quiet))
    for said in (f"show {incident} here", f"show {incident[:7]} --here"):
        aloud = await line.command(APPROVER, said)
        assert aloud.only_for == ""
        assert verbs(aloud) == []
        assert "Waits for a decision" in shown(aloud)
        assert f"/andon approve {incident}" in shown(aloud)
        assert "you may" not in shown(aloud)


async def test_what_is_over_is_shown_to_everybody_without_a_way_to_decide(line: Line) -> None:
    """Nothing waits, so nobody is told how to answer it."""
    incident = await ask(line.services)
    await line.command(APPROVER, f"deny {incident} flat already")
    aloud = await line.command(APPROVER, f"show {incident} here")
    assert (verbs(aloud), "/andon approve" in shown(aloud)) == ([], False)
    assert f"/andon show {incident}" in shown(aloud)


async def test_the_copy_under_a_typed_approve_is_replaced_by_what_came_of_the_click(line: Line) -> None:
    """One yes of two: its yes is gone, its no still there; the second person's copy then has neither."""
    incident = await ask(line.services, changes={"risk": "critical"})
    first = await line.command(APPROVER, f"approve {incident}")
    second = await line.command(SECOND, f"show {incident}")
    await line.slack.people.click(APPROVER, OPS, first.ts, "andon:approve")
    await says(first, "Done: yes from demo-approver: 1 of 2", incident)
    assert (first.only_for, "approve" in verbs(first), "deny" in verbs(first)) == (APPROVER, False, True)
    await line.slack.people.click(SECOND, OPS, second.ts, "andon:approve:answer")
    await says(second, "approved by demo-approver, demo-second")
    assert not {"approve", "deny"} & set(verbs(second))
    assert (await record(line.services, incident)).status == "acting"


@pytest.mark.parametrize("verb", ["andon:approve:answer", "andon:deny:answer"])
async def test_a_copy_whose_question_is_over_says_who_decided_and_loses_its_buttons(line: Line, verb: str) -> None:
    """Also a no, which would open a form for nothing."""
    incident = await ask(line.services)
    copy = await line.command(ONCALL, f"show {incident}")
    asked = (await record(line.services, incident)).approval
    assert asked is not None
    yes = Order(person="demo-approver", id="op/yes", via="slack:T1/U1")
    await Desk(line.services).vote(yes, incident, "approve", approval=asked.id, digest=asked.terms.digest)
    await line.slack.people.click(ONCALL, OPS, copy.ts, verb)
    await says(copy, "trading.halt approved by demo-approver; the incident is acting")
    assert not {"approve", "deny"} & set(verbs(copy))
    assert line.slack.people.modal(ONCALL) is None
    typed = await line.command(ONCALL, f"approve {incident}")
    assert "trading.halt approved by demo-approver; the incident is acting" in shown(typed)


async def test_who_takes_it_from_a_copy_sees_it_taken(line: Line) -> None:
    """The question is void, and so are the buttons under it."""
    incident = await ask(line.services)
    copy = await line.command(ONCALL, f"show {incident}")
    await line.slack.people.click(ONCALL, OPS, copy.ts, "andon:ack:answer")
    await says(copy, "acknowledged by demo-oncall")
    assert ("ack" in verbs(copy), "take" in verbs(copy)) == (False, True)
    await line.slack.people.click(ONCALL, OPS, copy.ts, "andon:take:answer")
    await says(copy, "Done: demo-oncall has it")
    assert set(verbs(copy)) == {"escalate", "resolve"}


async def test_what_was_done_is_told_though_the_incident_cannot_be_shown(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that fails right after the click must not make it look undone."""
    incident = await ask(line.services)
    copy = await line.command(ONCALL, f"show {incident}")

    async def fails(*_: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(clicks, "shown", fails)
    before = set(line.slack.world.messages[OPS])
    await line.slack.people.click(ONCALL, OPS, copy.ts, "andon:take:answer")
    assert "Done: demo-oncall has it" in shown(await line.said_after(before))


async def test_a_click_that_all_others_see_replaces_nothing(line: Line) -> None:
    """A card is edited by the board alone; whoever clicked hears about it in words of their own."""
    incident = await ask(line.services)
    blocks = [dict(each) for each in (await line.command(ONCALL, f"show {incident}")).now.blocks]
    world = line.slack.world
    card = world.post(OPS, world.app.user, "a card", blocks)
    before = set(world.messages[OPS])
    await line.slack.people.click(ONCALL, OPS, card.ts, "andon:take:answer")
    words = await line.said_after(before)
    assert (words.only_for, "demo-oncall has it" in shown(words)) == (ONCALL, True)
    assert len(card.versions) == 1
    assert (await line.services.store.incidents(SYSTEM, closed=False, limit=5))[0].incident.taken_by == "demo-oncall"
