"""A mention that is edited: Slack tells it as if it were said anew, and it orders nothing, by wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.core.target import Target
from bot.core.words import SYSTEM_TARGET
from bot.sandbox.slack.population import ONCALL, SECOND
from bot.sandbox.slack.world import Posted
from tests.integration.door_twin import SYSTEM, TwinServices
from tests.integration.pending import ask, record
from tests.integration.slack_line import OPS, Line, connected, shown

QUIET_S = 0.5  # in which an answer would have come


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    async with connected(tmp_path, TwinServices()) as line:
        yield line


def answers(line: Line) -> set[str]:
    """What the app has said in the channel."""
    return {ts for ts, posted in line.slack.world.messages[OPS].items() if posted.user == line.slack.world.app.user}


async def said(line: Line, text: str) -> Posted:
    """A mention by the one on call; once it is answered."""
    line.slack.world.messages.setdefault(OPS, {})
    before = answers(line)
    posted = await line.slack.people.say(ONCALL, OPS, f"<@{line.slack.world.app.user}> {text}")
    await line.said_after(before)
    return posted


async def edited(line: Line, posted: Posted, text: str) -> Posted:
    """The same message with other words; the answer."""
    before = answers(line)
    await line.slack.people.edit(ONCALL, OPS, posted.ts, f"<@{line.slack.world.app.user}> {text}")
    return await line.said_after(before)


async def frozen(line: Line) -> bool:
    """Whether the system is."""
    found = (await line.services.store.load(SYSTEM, [SYSTEM_TARGET])).get(SYSTEM_TARGET)
    assert found is None or isinstance(found.record, Target)
    return found is not None and found.record.freeze is not None


async def test_a_typo_that_is_mended_does_not_throw_the_kill_switch_again(line: Line) -> None:
    """Hours later, when whoever threw it has let go of it; the author alone is told, and once."""
    posted = await said(line, "kill-switch becuase of wild orders")
    switch = line.hands.switch
    assert switch.position().engaged
    switch.release(by="demo-oncall", reason="over", at=1, uid=1)
    told = await edited(line, posted, "kill-switch because of wild orders")
    assert "an edit changes nothing" in shown(told)
    assert "say it anew" in shown(told)
    assert told.only_for == ONCALL
    assert not switch.position().engaged
    before = answers(line)
    await line.slack.people.edit(ONCALL, OPS, posted.ts, f"<@{line.slack.world.app.user}> kill-switch wild orders!")
    await asyncio.sleep(QUIET_S)
    assert answers(line) == before
    assert not switch.position().engaged


@pytest.mark.parametrize("text", [f"freeze {SYSTEM} the release", "status"])
async def test_an_edit_makes_no_order_of_what_was_none(line: Line, text: str) -> None:
    """Nor is a question answered: what counts is what was said, when it was said."""
    posted = await said(line, "hlep")
    assert "an edit changes nothing" in shown(await edited(line, posted, text))
    assert not await frozen(line)


async def test_an_edit_does_not_acknowledge_and_saying_it_anew_does(line: Line) -> None:
    """Another message is another order."""
    incident = await ask(line.services)
    posted = await said(line, "acknowledge")
    await edited(line, posted, f"ack {incident}")
    assert (await record(line.services, incident)).acknowledged_by == ""
    await said(line, f"ack {incident}")
    assert (await record(line.services, incident)).acknowledged_by == "demo-oncall"


async def test_only_the_author_edits_a_message_in_the_local_slack(line: Line) -> None:
    """As in Slack."""
    posted = await said(line, "status")
    with pytest.raises(LookupError, match="to edit"):
        await line.slack.people.edit(SECOND, OPS, posted.ts, "x")
