"""Attacks on the Slack face of a real `andon serve`: forged forms, mixed-up workspaces, replays, planted memory, leaks.

One process for all of them. What counts is what the trading system was asked, what the store says, and what the card
shows; afterwards nothing that was ever shown pinged anybody, and no log line holds a secret.
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from bot.adapters.redis_link import RedisLink
from bot.sandbox.slack import payloads, population
from bot.sandbox.slack.courier import Undelivered
from bot.sandbox.slack.world import Posted
from tests.acceptance.harness.desk import CUT, HALT, Json, cut, halt, open_desk, policy
from tests.acceptance.harness.screen import OPS, buttons, words
from tests.acceptance.test_slack_decisions import SlackDesk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90), pytest.mark.asyncio(loop_scope="module")]

ONCALL, APPROVER, SECOND, VISITOR = population.ONCALL, population.APPROVER, population.SECOND, population.VIEWER
ENGINE = "trading-core/risk-engine"
HOSTILE = "<!channel> <@U0ONCALL> <https://evil.example|ok> https://evil.example @here *x* _y_ `z` :tada: &lt;!here&gt;"
TRIGGER = re.compile(r"\b\d{13}\.[0-9a-f]{16}\b")  # as the local Slack makes them
POLICIES = [
    policy("halt", "Halt", plan=[halt(risk="critical")]),
    policy("cut", "Cut", plan=[cut(risk="risky")]),
]


class Besieged(SlackDesk):
    """A desk in Slack whose people may lose their roles. `viewers` may only look from the next reload on."""

    viewers: frozenset[str] = frozenset()

    def known_as(self, person: str) -> Json:
        return {**super().known_as(person), "roles": ["viewer"] if person in self.viewers else []}

    async def send(self, kind: Any, payload: Json) -> Any:
        """Exactly this, as Slack would bring it; what the app says to it."""
        try:
            return await self.screen.slack.courier.ask(kind, payload)
        except Undelivered as failure:
            return failure

    async def waits(self, case: str, alertname: str) -> tuple[str, Posted]:
        """A new incident that asks people, and its decision card."""
        await self.alert(case, alertname)
        incident = str((await self.incident(case, status="awaiting_approval"))["id"])
        return incident, await self.screen.question(incident)

    def click_of(self, user: str, posted: Posted, verb: str) -> Json:
        """The payload of a click, to be tampered with."""
        state = self.screen.slack.state
        for block in posted.now.blocks:
            for element in block.get("elements", ()):
                if element.get("action_id") == f"andon:{verb}":
                    user_of = state.world.users[user]
                    return payloads.click(state, user_of, posted, posted.now, block.get("block_id", ""), element, None)
        raise AssertionError(f"no button {verb}: {buttons(posted)}")

    def submission_of(self, user: str, view: Any, **changes: Any) -> Json:
        """The payload of a modal that is sent, with another inside."""
        state = self.screen.slack.state
        told = copy.deepcopy(payloads.submission(state, state.world.users[user], view))
        told["view"] |= changes
        return told


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def floor() -> AsyncIterator[Besieged]:
    async with open_desk([{**each, "channel": "#trading-ops-alerts"} for each in POLICIES], Besieged) as desk:
        yield desk
        assert desk.screen.misfits() == []
        assert desk.screen.slack.pinged == frozenset()
        assert [each for each in desk.screen.slack.linked if "evil" in each] == []
        assert await desk.audit_verifies()
        log, app = (desk.folder / "andon.log").read_text(errors="replace"), desk.screen.slack.world.app
        secrets = {"bot": app.bot_token, "app": app.app_token, "signing": app.signing_secret, "answer": "/respond/"}
        assert [name for name, secret in secrets.items() if secret in log] == []
        assert TRIGGER.findall(log) == []


@pytest_asyncio.fixture(loop_scope="module")
async def desk(floor: Besieged) -> Besieged:
    await floor.calm()
    return floor


async def test_a_form_with_another_inside_does_nothing_below_the_floor_or_above_what_was_proposed(
    desk: Besieged,
) -> None:
    """Bounds, questions and incidents that somebody put into a form are judged anew: nothing leaves."""
    screen = desk.screen
    incident, asked = await desk.waits("forged", "Cut")
    await screen.click(ONCALL, asked, "edit")
    view = await screen.modal(ONCALL, "safer")
    carried = json.loads(view.body["private_metadata"])
    values = copy.deepcopy(view.values)

    async def edited(value: str, bounds: Json, field: str = "kelly_fraction") -> str:
        inside = {f"arg.{field}": {"value": {"type": "number_input", "value": value}}}
        state = {"values": {**values, **inside, "reason": {"value": {"type": "plain_text_input", "value": "x"}}}}
        metadata = json.dumps({"ref": carried["ref"], "bounds": bounds})
        return json.dumps(
            await desk.send("interactive", desk.submission_of(ONCALL, view, private_metadata=metadata, state=state))
        )

    for value in ("0.001", "0.2", "0.019999", "1"):
        assert "cannot be" in await edited(value, {"kelly_fraction": [0, 2]}), value
    assert "cannot be" in await edited("5", {"leverage": [0, 9]}, "leverage")
    for callback, ref in (
        ("andon:approve", carried["ref"]),  # breaking a glass that is not there
        ("andon:deny", f"{incident}|{'0' * 40}|{'0' * 64}"),
        ("andon:approve", f"{incident}||"),
    ):
        inside = {"reason": {"value": {"type": "plain_text_input", "value": "x"}}}
        told = desk.submission_of(
            ONCALL, view, callback_id=callback, private_metadata=ref, state={"values": inside}, hash=callback + ref
        )
        assert "Not done" in json.dumps(await desk.send("interactive", told)), callback
    assert await desk.requests(CUT) == []
    assert (await desk.record(incident))["status"] == "awaiting_approval"
    assert len(await desk.lines("forged")) == 1
    await screen.click(ONCALL, asked, "approve")
    assert len(await desk.done(CUT, "forged")) == 1


async def test_nobody_s_yes_counts_in_a_workspace_that_is_not_theirs(desk: Besieged) -> None:
    """Whichever of the payload's workspaces is another one, and whoever's id stands beside it."""
    screen = desk.screen
    incident, asked = await desk.waits("teams", "Cut")
    click = desk.click_of(APPROVER, asked, "approve")
    ours, other = screen.slack.world.team, population.OTHER_TEAM
    mixes: list[Json] = [
        {"user": {"id": APPROVER, "team_id": other}, "team": {"id": ours}},
        {"user": {"id": APPROVER}, "team": {"id": other}},
        {"user": {"id": APPROVER, "team_id": other}, "team": {"id": other}},
        {"user": {"id": population.STRANGER, "team_id": ours}, "team": {"id": ours}},
        {"user": {"id": population.STRANGER}, "team": {"id": ours}},
        {"user": {"id": population.OTHER_BOT, "team_id": ours}},
        {"user": {"id": f"{APPROVER} "}}, {"user": {"id": APPROVER.lower()}}, {"user": {"team_id": ours}},
    ]  # fmt: skip
    for number, mix in enumerate(mixes):
        action = {**click["actions"][0], "action_ts": f"{number}.1"}
        await desk.send("interactive", {**copy.deepcopy(click), **mix, "actions": [action]})
    state, world = screen.slack.state, screen.slack.world
    typed = payloads.command(state, world.users[APPROVER], world.channels[OPS], "/andon", "kill-switch")
    for told in ({**typed, "team_id": other}, {**typed, "user_id": population.STRANGER}):
        assert re.search("only members of|is nobody in", str(await desk.send("slash_commands", told)))
    said = world.post(OPS, APPROVER, "<@U0ANDON> kill-switch")
    mention = payloads.mention(state, world.users[APPROVER], said)
    for more in ({"team": other}, {"user_team": other, "team": ours}, {"user": population.STRANGER}, {"bot_id": "B1"}):
        event = {**mention["event"], **more}
        await desk.send("events_api", {**mention, "event_id": str(more), "event": event})
    record = await desk.record(incident)
    assert (record["status"], record["approval"]["votes"]) == ("awaiting_approval", [])
    assert await desk.requests(CUT, "teams") == []
    assert "not engaged" in str(await desk.send("slash_commands", {**typed, "text": "kill-switch status"}))
    await screen.click(APPROVER, asked, "deny")
    await screen.send(APPROVER, await screen.modal(APPROVER, "Why not"), reason="over")


async def test_every_click_of_the_past_comes_again_and_counts_for_nothing(desk: Besieged) -> None:
    """Replays, old versions and another question's yes, all at once, after the decision: one request, no button."""
    screen = desk.screen
    _, other = await desk.waits("replayed first", "Halt")
    earlier = desk.click_of(APPROVER, other, "approve")
    await screen.click(APPROVER, other, "deny")
    await screen.send(APPROVER, await screen.modal(APPROVER, "Why not"), reason="no")
    await desk.incident("replayed first", status="parked")
    incident, asked = await desk.waits("replayed", "Halt")
    yes = [desk.click_of(user, asked, "approve") for user in (APPROVER, SECOND)]
    ref = str(yes[0]["actions"][0]["value"])
    mixed = copy.deepcopy(earlier)  # the yes to another question, with this incident's name
    mixed["actions"][0]["value"] = "|".join([ref.split("|")[0], *str(earlier["actions"][0]["value"]).split("|")[1:]])
    cut_off = copy.deepcopy(earlier)
    cut_off["actions"][0] |= {"value": ref.rpartition("|")[0] + "|", "action_ts": "7.7"}
    await asyncio.gather(*(desk.send("interactive", each) for each in (earlier, mixed, cut_off)))
    assert (await desk.record(incident))["approval"]["votes"] == []
    await asyncio.gather(*(desk.send("interactive", yes[0]) for _ in range(8)))
    assert len((await desk.record(incident))["approval"]["votes"]) == 1
    assert await desk.requests(HALT, "replayed") == []
    await desk.send("interactive", yes[1])
    assert len(await desk.done(HALT, "replayed")) == 1
    await desk.incident("replayed", status="mitigated")
    await asyncio.gather(*(desk.send("interactive", each) for each in [*yes, earlier, mixed] * 4))
    over = await screen.question(incident, "pproved")
    assert not buttons(over) & {"approve", "deny", "edit"}
    assert len(await desk.requests(HALT, "replayed")) == 1
    assert await desk.requests(HALT, "replayed first") == []
    record = await desk.record(incident)
    assert record["status"].replace("_", " ").split()[0] in words(await screen.card(incident, "mitigated"))


async def test_who_was_made_a_viewer_meanwhile_has_not_said_yes(desk: Besieged) -> None:
    """Still on the roster, and demoted between the click and the sending: the yes does not count."""
    screen = desk.screen
    incident, asked = await desk.waits("demoted", "Halt")
    await screen.click(APPROVER, asked, "approve")
    await screen.question(incident, "demo-approver")
    everybody = ("demo-oncall", "demo-approver", "demo-second")
    desk.viewers = frozenset({"demo-approver"})
    await desk.people_are(approvers=everybody)
    try:
        await screen.click(SECOND, asked, "approve")
        again = await screen.question(incident, number=2)
        assert await desk.requests(HALT, "demoted") == []
        assert "demo-approver may not decide" in (await desk.record(incident))["why"]
        await screen.click(APPROVER, again, "approve")
        await screen.only_for(APPROVER, "may look, not act")
        assert (await desk.record(incident))["approval"]["votes"] == []
        await screen.click(ONCALL, again, "deny")
        await screen.send(ONCALL, await screen.modal(ONCALL, "Why not"), reason="over")
    finally:
        desk.viewers = frozenset()
        await desk.people_are(approvers=everybody)
    await desk.incident("demoted", status="parked")


async def test_labels_and_reasons_ping_nobody_and_link_nowhere(desk: Besieged) -> None:
    """In every card, thread, digest, notice, modal and answer (judged when all is over, for all that was shown)."""
    screen = desk.screen
    incident, asked = await desk.waits(HOSTILE, "Cut")
    await screen.card(incident, "evil.example")
    for text in (
        f"show {incident}",
        "incidents here",
        "status here",
        f"report {incident}",
        f"hold {incident} 5m {HOSTILE}",
    ):
        await screen.type(ONCALL, f"/andon {text}")
    await screen.type(ONCALL, f"/andon freeze all {HOSTILE}")
    await screen.type(ONCALL, "/andon status here")
    await screen.type(ONCALL, "/andon unfreeze all")
    await screen.send(ONCALL, await screen.modal(ONCALL, "Would be lifted"))
    await screen.slack.people.open_home(ONCALL)
    await screen.click(ONCALL, asked, "deny")
    await screen.send(ONCALL, await screen.modal(ONCALL, "Why not"), reason=HOSTILE)
    await screen.question(incident, "demo-oncall")
    await screen.told(incident, "evil.example")


async def test_what_somebody_plants_into_the_store_keeps_no_card_from_coming(desk: Besieged) -> None:
    """A leader that never ends, places nobody wrote, nudges of nowhere: the board goes on, and no part of it fails."""
    link, base = RedisLink(_store(desk)), "andon:{andon}:slack:"
    try:
        await link.ask(
            "HSET", f"{base}places", "card:x", "1 x", "question:|", "9 y", "thread:a", "z", b"\xff", "0 \xff"
        )
        await link.ask("ZADD", f"{base}nudged", "1", "nowhere|inc-aaaaaaaaaa", "2", "inc-", "3", b"\xff\xfe|inc-\xff")
        await link.ask("XADD", f"{base}lines", "*", "e", "x", "f", "y")
        await link.ask("SET", f"{base}leader", "nobody")
        incident, asked = await desk.waits("planted", "Cut")
        key = next(
            key
            for key in await link.ask("HKEYS", f"{base}places")
            if key.startswith(b"question:") and incident.encode() in key
        )
        await link.ask("HSET", f"{base}places", key, "77 spoiled")
        await desk.screen.click(ONCALL, asked, "deny")
        await desk.screen.send(ONCALL, await desk.screen.modal(ONCALL, "Why not"), reason="a spoiled place")
        over = await desk.screen.question(incident, "a spoiled place")
        assert not buttons(over) & {"approve", "deny"}
        assert len(desk.screen.named("question", incident)) == 1
    finally:
        await link.close()
    assert "part_failed" not in (desk.folder / "andon.log").read_text(errors="replace")


def _store(desk: Besieged) -> str:
    """The address of the store beside this Andon."""
    config = (desk.folder / "data" / "valkey" / "valkey.conf").read_text()
    found = re.search(r'^unixsocket "?([^"\n]+)"?$', config, re.MULTILINE)
    assert found is not None
    return f"unix://{found[1]}"
