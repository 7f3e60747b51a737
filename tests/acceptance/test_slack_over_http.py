"""Slack in HTTP mode on a real floor: signed requests only, the same deeds as by socket, and retries harmless."""

from __future__ import annotations

import aiohttp
import pytest

from bot.adapters.slack.line.door import PATH
from bot.sandbox.slack import population
from tests.acceptance.harness.desk import CUT, Json, cut, open_desk, policy
from tests.acceptance.harness.screen import buttons
from tests.acceptance.test_slack_decisions import SlackDesk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


class HttpDesk(SlackDesk):
    """A desk whose Slack calls Andon."""

    def more_setup(self) -> Json:
        app = self.screen.slack.world.app
        app.request_url = f"http://127.0.0.1:{self.ports[0]}{PATH}"
        secret = self.folder / "slack-signing.secret"
        secret.write_text(app.signing_secret)
        section = self.screen.section(self.folder) | {"mode": "http", "signing_secret": f"file:{secret}"}
        del section["app_credentials"]
        return {"slack": section}


async def test_a_yes_over_http_is_one_yes_however_often_it_is_retried_and_a_forged_one_is_none() -> None:
    """Click, modal, command and mention arrive signed; duplicates have one effect; what is not signed is a 401."""
    cuts = policy("cut", "Cut", plan=[cut(risk="risky")]) | {"channel": "#trading-ops-alerts"}
    async with open_desk([cuts], HttpDesk) as desk:
        screen, slack = desk.screen, desk.screen.slack
        await desk.alert("http", "Cut")
        incident = (await desk.incident("http", status="awaiting_approval"))["id"]
        asked = await screen.question(incident)
        async with aiohttp.ClientSession() as web:
            forged = {"payload": '{"type":"block_actions","user":{"id":"U0ONCALL"}}'}
            async with web.post(slack.world.app.request_url, data=forged) as response:
                assert response.status == 401
        await screen.type(population.ONCALL, "/andon show the payload= of " + incident)
        await screen.only_for(population.ONCALL, "/andon show")
        await screen.type(population.ONCALL, f"/andon show {incident}")
        await screen.only_for(population.ONCALL, incident)
        await slack.people.say(population.ONCALL, "C0OPS", "<@U0ANDON> status")
        await screen.only_for(population.ONCALL, "Andon is")
        slack.faults.duplicates = 9
        await screen.click(population.ONCALL, asked, "approve")
        over = await screen.question(incident, "pproved")
        assert not buttons(over) & {"approve", "deny"}
        await desk.incident("http", status="mitigated")
        assert len(await desk.requests(CUT, "http")) == 1
