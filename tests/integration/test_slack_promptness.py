"""Slack is acknowledged within its three seconds, whatever takes longer, and the answer comes by another way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from bot.adapters.slack.heard import listeners
from bot.adapters.slack.heard.members import Known
from bot.adapters.slack.heard.person import Answer, Deed, Show
from bot.adapters.slack.heard.speaking import Speaking
from bot.adapters.slack.heard.spoken import Spoken
from bot.adapters.slack.line.api import SlackApi
from bot.adapters.slack.line.door import hand_on
from bot.sandbox.slack.population import ONCALL
from tests.integration.door_twin import TwinServices
from tests.integration.slack_line import OPS, connected, here, shown
from tests.unit.adapters.slack_payloads import GENUINE


async def test_what_takes_long_is_acknowledged_at_once_and_answered_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past three seconds Slack tells the person that Andon failed."""
    usual = Spoken.answer

    async def slow(self: Spoken, who: Known, text: str, deed: Deed) -> Answer:
        await asyncio.sleep(1.5)
        return await usual(self, who, text, deed)

    monkeypatch.setattr(Spoken, "answer", slow)
    monkeypatch.setattr(listeners, "ACK_SECONDS", 0.2)
    async with connected(tmp_path, TwinServices()) as line:
        line.slack.courier.ack_s = 1.2
        answer = await line.command(ONCALL, "status")  # an error where it is not acknowledged in that time
        assert (answer.only_for, "Andon is" in shown(answer)) == (ONCALL, True)


async def test_nobody_waits_for_a_slack_that_does_not_say_who_the_bot_is() -> None:
    """slack-bolt asks for the identity before any listener runs."""
    api = SlackApi("http://127.0.0.1:9/api/", SecretStr("xoxb-none"))
    found = await asyncio.wait_for(Speaking(api, "xoxb-none").identity(), 0.5)
    assert (found.bot_user_id, found.bot_token) == (None, "xoxb-none")
    await api.close()


async def test_whoever_stops_acknowledges_nothing() -> None:
    """Slack tells it again, to another replica or to the next start."""
    api = SlackApi("http://127.0.0.1:9/api/", SecretStr("xoxb-none"))
    nobody: Any = None  # nothing is asked of anybody: no listener runs
    stopped = listeners.Listeners(*[nobody] * 5, Speaking(api, "xoxb-none"), nobody).application()
    for kind in ("click", "form", "command", "shortcut"):
        found = await asyncio.wait_for(hand_on(stopped, GENUINE[kind]), 2.0)
        assert found.status == 503, kind
    await api.close()


async def test_a_form_of_the_home_tab_that_comes_too_late_is_told_to_the_person(tmp_path: Path) -> None:
    """There is no channel to say it in; silence would be taken for a click that did nothing."""
    async with connected(tmp_path, TwinServices()) as line:
        world = line.slack.world
        line.slack.faults.failing = {"views.open": "expired_trigger_id"}
        api = SlackApi(line.slack.api_url, SecretStr(world.app.bot_token), lookup=here)
        deed = Deed(id="d", team=world.team, user=ONCALL, trigger="1.2.x")
        await Speaking(api, "t").deliver(deed, Show({"type": "modal"}))
        await api.close()
        (said,) = [one for room in world.messages.values() for one in room.values() if "do it again" in one.now.text]
        assert ONCALL in world.channels[said.channel].members
        assert said.channel != OPS
