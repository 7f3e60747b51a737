"""Law 5 in Slack: who may say yes there, to what exactly, and that copies, replays and strangers change nothing.

A real `andon serve` with the real slack-bolt and slack-sdk, connected by Socket Mode to the local Slack; one process
for all scenarios, each a case of its own. What counts is what the trading system was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from bot.sandbox.slack import population
from bot.sandbox.slack.server import LocalSlack
from tests.acceptance.harness.desk import CUT, HALT, SYSTEM, Desk, Json, cut, halt, open_desk, policy
from tests.acceptance.harness.screen import MEMBERS, Screen, buttons, words

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90), pytest.mark.asyncio(loop_scope="module")]

ONCALL, APPROVER, SECOND, VISITOR = population.ONCALL, population.APPROVER, population.SECOND, population.VIEWER
ENGINE = "trading-core/risk-engine"
CRO = {"after": "10m", "page": {"service": "cro"}}
POLICIES = [
    policy("halt", "Halt", plan=[halt(risk="critical")], ladder=[CRO]),
    policy("hasty", "Hasty", plan=[halt(risk="critical", approve_within="6s")], ladder=[CRO]),
    policy("glass", "Glass", plan=[halt(risk="critical", break_glass="demo-second")], ladder=[CRO]),
    policy("cut", "Cut", plan=[cut(risk="risky")]),
    policy("deep", "Deep", plan=[cut(risk="critical")], ladder=[CRO]),
]


class SlackDesk(Desk):
    """A desk whose people are in Slack."""

    screen: Screen

    async def open(self) -> None:
        slack = LocalSlack()
        await self.stack.enter_async_context(slack)
        self.screen = Screen(slack)
        await super().open()

    def more_setup(self) -> Json:
        return {"slack": self.screen.section(self.folder)}

    def surroundings(self) -> dict[str, str]:
        """What makes slack-bolt and slack-sdk forget the token they were given, or leave the machine."""
        nowhere = "http://127.0.0.1:9"
        return {
            "SLACK_CLIENT_ID": "1.2", "SLACK_CLIENT_SECRET": "x", "SLACK_BOT_TOKEN": "xoxb-another",
            "HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere, "http_proxy": nowhere, "https_proxy": nowhere,
        }  # fmt: skip

    def rosters(self, approvers: tuple[str, ...]) -> list[Json]:
        """What is critical here, members of a Slack user group decide; one more person may everywhere."""
        return [
            {"system": SYSTEM, "risk": "critical", "slack_groups": ["S0APPROVE"]},
            {"system": "*", "risk": "critical", "people": ["demo-oncall"]},
        ]

    def known_as(self, person: str) -> Json:
        return {"slack": {"team": self.screen.slack.world.team, "user": MEMBERS[person]}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def floor() -> AsyncIterator[SlackDesk]:
    async with open_desk([{**each, "channel": "#trading-ops-alerts"} for each in POLICIES], SlackDesk) as desk:
        yield desk
        assert desk.screen.misfits() == []


@pytest_asyncio.fixture(loop_scope="module")
async def desk(floor: SlackDesk) -> SlackDesk:
    """Trading on, Kelly at 0.25, VaR over its limit, everybody a full member."""
    await floor.calm()
    return floor


async def test_two_people_say_yes_in_slack_and_one_request_leaves(desk: SlackDesk) -> None:
    """One yes is shown and is not enough; the second sends one request; the buttons die, saying who decided."""
    screen = desk.screen
    await desk.alert("granted", "Halt")
    incident = (await desk.incident("granted", status="awaiting_approval"))["id"]
    asked = await screen.question(incident, "trading", "critical")
    assert {"approve", "deny"} <= buttons(asked)
    await screen.click(APPROVER, asked, "approve")
    await screen.question(incident, "demo-approver")
    assert await desk.requests(HALT, "granted") == []
    await screen.click(SECOND, asked, "approve")
    assert len(await desk.done(HALT, "granted")) == 1
    over = await screen.question(incident, "demo-approver", "demo-second")
    await desk.incident("granted", status="mitigated")
    over = await screen.question(incident, "pproved")
    assert not buttons(over) & {"approve", "deny", "edit"}
    await screen.click(ONCALL, over, "approve", version=0)  # from a client that is behind
    await screen.only_for(ONCALL, "nothing waits for a decision here", "approved by demo-approver, demo-second")
    assert len(await desk.requests(HALT, "granted")) == 1
    await screen.card(incident, "mitigated")


async def test_two_hundred_copies_of_one_click_are_one_request(desk: SlackDesk) -> None:
    """Delivered again and again, at once, as Slack may: one vote, one request."""
    screen = desk.screen
    await desk.alert("copies", "Cut")
    incident = (await desk.incident("copies", status="awaiting_approval"))["id"]
    asked = await screen.question(incident)
    screen.slack.faults.duplicates = 199
    try:
        await screen.click(ONCALL, asked, "approve")
        await desk.incident("copies", status="mitigated")
    finally:
        screen.slack.faults.duplicates = 0
    await asyncio.gather(*(screen.click(ONCALL, asked, "approve", version=0) for _ in range(20)))
    assert len(await desk.requests(CUT, "copies")) == 1


async def test_a_no_needs_its_reason_and_beats_a_yes(desk: SlackDesk) -> None:
    """The modal asks why; without words it stays open; then nothing is sent, and the card says who and why."""
    screen = desk.screen
    await desk.alert("denied", "Halt")
    incident = (await desk.incident("denied", status="awaiting_approval"))["id"]
    asked = await screen.question(incident)
    await screen.click(APPROVER, asked, "approve")
    await screen.click(SECOND, asked, "deny")
    modal = await screen.modal(SECOND, "Why not")
    assert "reason" in await screen.send(SECOND, modal, reason="  ")
    assert await screen.send(SECOND, modal, reason="a bad tick <!channel>") == {}
    await desk.incident("denied", status="parked")
    over = await screen.question(incident, "demo-second", "a bad tick")
    assert "<!channel>" not in words(over)
    assert not buttons(over) & {"approve", "deny"}
    assert await desk.requests(HALT, "denied") == []


async def test_a_safer_value_is_done_instead(desk: SlackDesk) -> None:
    """Within the bounds only: a value above what was proposed is refused in the modal."""
    screen = desk.screen
    await desk.alert("edited", "Cut")
    incident = (await desk.incident("edited", status="awaiting_approval"))["id"]
    asked = await screen.question(incident, "0.25", "0.1")
    if "edit" not in buttons(asked):
        pytest.fail(f"no way to a safer value: {buttons(asked)}")
    await screen.click(ONCALL, asked, "edit")
    modal = await screen.modal(ONCALL, "safer")
    assert "arg.kelly_fraction" in await screen.send(ONCALL, modal, **{"arg.kelly_fraction": "0.2", "reason": "x"})
    assert await screen.send(ONCALL, modal, **{"arg.kelly_fraction": "0.05", "reason": "half of it"}) == {}
    await screen.question(incident, "instead kelly_fraction 0.05")
    assert (await desk.sandbox("GET", "/api/risk/status"))["kelly_fraction"] == 0.05


async def test_a_safer_value_takes_as_many_people_as_the_question(desk: SlackDesk) -> None:
    """Two must agree on the cut, so nobody cuts alone by asking for a hair less."""
    screen = desk.screen
    await desk.alert("deep", "Deep")
    incident = (await desk.incident("deep", status="awaiting_approval"))["id"]
    asked = await screen.question(incident, "two approvers must say yes")
    await screen.click(APPROVER, asked, "edit")
    modal = await screen.modal(APPROVER, "safer")
    assert await screen.send(APPROVER, modal, **{"arg.kelly_fraction": "0.0999", "reason": "a hair"}) == {}
    order = str((await screen.modal(APPROVER, "(inc-")).body).rpartition("(inc-")[2].partition(")")[0]
    again = await screen.question(f"inc-{order}", "0.0999", "two people other than demo-approver must say yes")
    await screen.click(SECOND, again, "approve")
    await screen.question(f"inc-{order}", "demo-second")
    assert (await desk.sandbox("GET", "/api/risk/status"))["kelly_fraction"] == 0.25
    await screen.click(SECOND, again, "deny")
    await screen.send(SECOND, await screen.modal(SECOND, "Why not"), reason="over")


async def test_silence_is_not_approval_and_the_card_says_so(desk: SlackDesk) -> None:
    """Nobody answers in time: nothing is sent, people are called, the buttons are gone."""
    screen = desk.screen
    await desk.alert("expired", "Hasty")
    incident = (await desk.incident("expired", status="parked"))["id"]
    over = await screen.question(incident, "in time")
    assert not buttons(over) & {"approve", "deny"}
    await desk.paged(incident, "cro")
    assert await desk.requests(HALT, "expired") == []


async def test_whoever_takes_it_ends_the_question(desk: SlackDesk) -> None:
    """I have it: automation stands down, the pending decision is void, the card says who has it."""
    screen = desk.screen
    await desk.alert("taken", "Halt")
    incident = (await desk.incident("taken", status="awaiting_approval"))["id"]
    card = await screen.card(incident)
    await screen.question(incident)
    await screen.click(ONCALL, card, "take")
    await screen.card(incident, "demo-oncall")
    over = await screen.question(incident, "demo-oncall")
    assert not buttons(over) & {"approve", "deny"}
    await screen.type(ONCALL, f"/andon resolve {incident} --force looked at by hand")
    await screen.card(incident, "esolved")


@pytest.mark.parametrize(
    ("user", "why"),
    [
        (population.NEWCOMER, "nobody in people.yaml"),
        (population.GUEST, "nobody in people.yaml"),
        (population.STRANGER, "another workspace"),
    ],
)
async def test_nobody_decides_who_is_not_known(desk: SlackDesk, user: str, why: str) -> None:
    """They are told why, in words only they see; nothing happens."""
    screen = desk.screen
    case = f"stranger {user}"
    await desk.alert(case, "Cut")
    incident = (await desk.incident(case, status="awaiting_approval"))["id"]
    asked = await screen.question(incident)
    await screen.click(user, asked, "approve")
    await screen.only_for(user, why)
    assert await desk.requests(CUT, case) == []
    assert (await desk.incident(case))["status"] == "awaiting_approval"


@pytest.mark.parametrize(
    ("mark", "why"),
    [({"deleted": True}, "deactivated"), ({"restricted": True}, "guest"), ({"bot": True}, "bot")],
    ids=str,
)
async def test_an_account_that_lost_its_standing_decides_no_more(desk: SlackDesk, mark: Json, why: str) -> None:
    """Also the yes that was given before: it is asked about again right before anything is sent."""
    screen, case = desk.screen, f"lost {why}"
    world = screen.slack.world
    whole = world.users[APPROVER]
    await desk.alert(case, "Halt")
    incident = (await desk.incident(case, status="awaiting_approval"))["id"]
    asked = await screen.question(incident)
    await screen.click(APPROVER, asked, "approve")
    await screen.question(incident, "demo-approver")
    world.change_user(replace(whole, **mark))
    try:
        await screen.click(SECOND, asked, "approve")
        again = await screen.question(incident, number=2)
        assert await desk.requests(HALT, case) == []
        assert why in (await desk.incident(case))["why"]
        await screen.click(ONCALL, again, "deny")
        await screen.send(ONCALL, await screen.modal(ONCALL, "Why not"), reason="over")
    finally:
        world.change_user(whole)
    await desk.incident(case, status="parked")


async def test_who_ordered_it_does_not_approve_it(desk: SlackDesk) -> None:
    """An order in Slack is shown first; from somebody whose word is not enough it asks others, and never them."""
    screen = desk.screen
    await screen.type(VISITOR, f"/andon run risk.reduce_kelly {ENGINE} kelly_fraction=0.2 reason=x because (ordered)")
    modal = await screen.modal(VISITOR, "risk.reduce_kelly", "must say yes first")
    assert await screen.send(VISITOR, modal) == {}
    told = await screen.modal(VISITOR, "(inc-")
    incident = str(told.body["blocks"][0]["text"]["text"]).rpartition("(")[2].partition(")")[0]
    asked = await screen.question(incident)
    await screen.click(VISITOR, asked, "approve")
    await screen.only_for(VISITOR, "nobody approves what they asked for themselves")
    await screen.click(ONCALL, asked, "approve")
    await screen.question(incident, "pproved")
    assert (await desk.sandbox("GET", "/api/risk/status"))["kelly_fraction"] == 0.2


async def test_who_left_the_user_group_decides_no_more(desk: SlackDesk) -> None:
    """Their yes is asked about again right before anything is sent. Last here: Andon goes on knowing that they left."""
    screen = desk.screen
    await desk.alert("left", "Halt")
    incident = (await desk.incident("left", status="awaiting_approval"))["id"]
    asked = await screen.question(incident, "demo-approver")
    await screen.click(APPROVER, asked, "approve")
    await screen.question(incident, "demo-approver")
    screen.slack.world.groups["S0APPROVE"].users.remove(APPROVER)
    await screen.click(SECOND, asked, "approve")
    again = await screen.question(incident, number=2)
    assert await desk.requests(HALT, "left") == []
    await screen.click(APPROVER, again, "approve")
    await screen.only_for(APPROVER, "demo-approver")
    assert len((await desk.incident("left"))["approval"]["votes"]) == 0
