"""Attacks on what is heard from Slack: odd payloads, forged forms, people who left.

The listeners are the real ones, with slack-bolt and slack-sdk over Socket Mode to a local Slack, down to the engine.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from slack_bolt.app.async_app import AsyncApp

from bot.adapters.http_errors import Unwelcome
from bot.adapters.slack.board.shelf import Placed, card_name
from bot.adapters.slack.heard.grammar import VERBS
from bot.adapters.slack.heard.homes import MAX_OPEN, Homes
from bot.adapters.slack.heard.members import (
    FRESH_SECONDS,
    GROUPS_STALE_SECONDS,
    STALE_SECONDS,
    Known,
    Members,
    Stranger,
)
from bot.adapters.slack.heard.payloads import asked_about, commanded
from bot.adapters.slack.heard.person import Deed, told
from bot.adapters.slack.heard.speaking import Speaking
from bot.adapters.slack.heard.spoken import Spoken
from bot.adapters.slack.line.api import SlackApi, SlackRefusedError, SlackThrottledError
from bot.adapters.slack.line.socket_line import SocketLine
from bot.core.approval import Vote
from bot.core.intents import Budget
from bot.errors import DeliveryError
from bot.sandbox.slack import population
from bot.sandbox.slack.courier import Undelivered
from bot.sandbox.slack.server import LocalSlack
from policies.people import PeopleDocument
from tests.integration.commands_twin import Slack
from tests.integration.door_twin import SYSTEM, TwinServices
from tests.integration.pending import ask, record
from tests.integration.slack_line import OPS, SOON, Line, connected, here, people, shown
from tests.unit.adapters.slack_wall import Stage

TEAM, APPROVER = "T0DESK", population.APPROVER
DEEP = "[" * 100_000
BY: dict[str, Any] = {
    "team": {"id": TEAM}, "user": {"id": APPROVER, "team_id": TEAM}, "trigger_id": "canary-trigger",
    "response_url": "http://127.0.0.1:9/canary-response", "token": "canary-token", "api_app_id": "A0ANDON",
}  # fmt: skip


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    async with connected(tmp_path, TwinServices()) as line:
        yield line


def clicks(value: str) -> list[dict[str, Any]]:
    """`approve` with something wrong about it each time."""
    action = {"type": "button", "action_id": "andon:approve", "block_id": "b", "action_ts": "1.1", "value": value}
    body = {**BY, "type": "block_actions", "container": {"message_ts": "1.1", "channel_id": OPS}, "actions": [action]}
    bodies = [{**body, "actions": each} for each in (None, [], {}, "x", ["x"], [None], [[action]])]
    bodies += [{**body, name: each} for name in ("user", "container") for each in ("x", ["x"], 7)]
    bodies += [{**body, "user": each} for each in (None, {}, {"id": ["x"]}, {"id": APPROVER, "team_id": "T0OTHER"})]
    bodies += [{**body, "team": {"id": "T0OTHER"}, "user": {"id": APPROVER}}]
    wrong = [
        {"value": each} for each in (None, 7, [], {"a": 1}, "x" * 500_000, "||", f"{value}|", "inc-|x|y", "\ud800")
    ]
    wrong += [{"value": "", "selected_option": each} for each in (["x"], "x", {"value": ["x"]})]
    wrong += [{"action_id": each} for each in ("andon:explode", "andon:", "andon:approve:\ud800", "approve")]
    return bodies + [{**body, "actions": [{**action, **each}]} for each in wrong]


def forms(incident: str) -> list[dict[str, Any]]:
    """Modals that were never opened, or whose inside was made by somebody else."""
    view: dict[str, Any] = {"id": "V1", "hash": "h", "type": "modal", "state": {"values": {}}}
    reason = {"reason": {"value": {"value": "x"}}, "arg.kelly_fraction": {"value": {"value": "0.1"}}}
    ref, on = f"{incident}|a|b", [SYSTEM, "risk-engine", "risk.reduce_kelly"]
    carried: list[tuple[str, Any]] = [
        ("deny", ref), ("approve", ref), ("approve", None), ("deny", 5), ("nuke", ref), ("edit", DEEP), ("edit", ref),
        ("edit", json.dumps({"ref": ref, "bounds": {"kelly_fraction": [None, None]}})),
        ("edit", json.dumps({"ref": ref, "bounds": {"kelly_fraction": [0, 1]}})),
        ("silence:confirm", json.dumps({"matchers": 5, "for": "x", "comment": None})),
        ("run:confirm", json.dumps({"on": on, "args": "zzz", "reason": 5})),
        ("run:confirm", json.dumps({"on": on[:1]})),
        ("run:confirm", json.dumps({"on": [["x"], {}, 5], "args": {}, "reason": "r"})), ("run:fields", "{}"),
    ]  # fmt: skip
    bodies = [
        {**view, "callback_id": f"andon:{verb}", "private_metadata": data, "state": {"values": reason}}
        for verb, data in carried
    ]
    odd: list[Any] = [None, [], "x", {"reason": "x"}, {"reason": {"value": []}}, {"reason": {"value": {"value": {}}}}]
    bodies += [
        {**view, "callback_id": "andon:deny", "private_metadata": ref, "state": {"values": each}} for each in odd
    ]
    bodies += [
        {**view, "callback_id": "andon:deny", "private_metadata": ref, "state": each} for each in (None, [], "x")
    ]
    return [{**BY, "type": "view_submission", "view": each} for each in [*bodies, None, "x"]]


def words() -> list[tuple[str, dict[str, Any]]]:
    """Commands, mentions, shortcuts and visits that miss what they always have, or have it twice over."""
    typed: dict[str, Any] = {**BY, "command": "/andon", "team_id": TEAM, "user_id": APPROVER, "text": "status"}
    commands = [{**typed, **each} for each in (
        {"text": ["x"]}, {"text": None}, {"text": "x" * 100_000}, {"team_id": [TEAM]}, {"user_id": {"a": 1}},
        {"team_id": "T0OTHER", "text": "kill-switch"}, {"team_id": "", "text": "kill-switch"},
        {"text": "deny inc- \ud800"},
        {"text": f"run risk.reduce_kelly {SYSTEM}/risk-engine kelly_fraction={DEEP[:3_000]} because x"},
    )]  # fmt: skip
    mention: dict[str, Any] = {"type": "app_mention", "user": APPROVER, "channel": OPS, "text": "kill-switch"}
    events: list[Any] = [
        None, "x", {"type": "app_mention"}, {**mention, "text": 5}, {**mention, "team": "T0OTHER"},
        {**mention, "user_team": "T0OTHER", "team": TEAM}, {**mention, "bot_id": "B1"}, {"type": "app_home_opened"},
    ]  # fmt: skip
    about = {**BY, "type": "message_action", "callback_id": "andon:about"}
    return [
        *(("slash_commands", each) for each in commands),
        *(("events_api", {"type": "event_callback", "team_id": TEAM, "event": each}) for each in events),
        *(
            ("interactive", {**about, **each})
            for each in ({}, {"channel": {"id": OPS}}, {"channel": "C", "message": "x"})
        ),
    ]


async def test_payloads_of_any_shape_order_nothing_and_end_nobody(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    """Afterwards the listeners answer as before; nothing was voted, switched or ordered; the log holds no secret."""
    caplog.set_level(logging.INFO)
    incident, line.slack.courier.ack_s = await ask(line.services), 0.3
    asked = (await record(line.services, incident)).approval
    assert asked is not None
    value = f"{incident}|{asked.id}|{asked.terms.digest}x"
    bodies = [("interactive", each) for each in [*clicks(value), *forms(incident)]] + words()

    async def send(kind: Any, body: dict[str, Any]) -> object:
        try:
            return await line.slack.courier.ask(kind, body)
        except Undelivered as failure:
            return failure.reason

    await asyncio.gather(*(send(kind, body) for kind, body in bodies))
    line.slack.courier.ack_s = 60.0  # every defect above is drawn into the log first, with its whole traceback
    assert (await line.slack.people.command(population.ONCALL, OPS, "/andon status")).error == ""
    async with asyncio.timeout(SOON):  # a machine that is busy answers late, and by another way
        said = line.slack.world.messages[OPS]
        while not any(incident in shown(m) for m in said.values() if m.only_for == population.ONCALL):
            await asyncio.sleep(0.02)
    after = await record(line.services, incident)
    assert (after.status, after.approval) == ("awaiting_approval", asked)
    assert len(await line.services.store.incidents(SYSTEM, closed=True, limit=10)) == 1
    assert not line.hands.switch.position().engaged
    app = line.slack.world.app
    secrets = [app.bot_token, app.app_token, app.signing_secret, "canary-", "/respond/"]
    assert [each for each in secrets if each in caplog.text] == []


@pytest.mark.parametrize(
    "reason", ["half of a \ud800", "\x00\x1b[2J", "<!channel> " * 300, "“never closed", "--now", ""]
)
async def test_no_reason_is_so_odd_that_the_kill_switch_is_not_thrown(tmp_path: Path, reason: str) -> None:
    """Whoever pulls the cord at night types badly."""
    slack = Slack(TwinServices(), tmp_path)
    slack.services.document = people(TEAM)
    said = await slack.words(f"kill-switch {reason}", "demo-oncall")
    assert slack.switch.position().engaged, said
    assert "<!channel>" not in said


@pytest.mark.parametrize("text", ["--release “x", "status “x", "off “", "release --now"])
async def test_a_badly_typed_question_about_the_kill_switch_does_not_throw_it(tmp_path: Path, text: str) -> None:
    """Only what stops is guessed at."""
    slack = Slack(TwinServices(), tmp_path)
    slack.services.document = people(TEAM)
    await slack.words(f"kill-switch {text}", "demo-oncall")
    assert not slack.switch.position().engaged


def test_ids_of_orders_hold_no_trigger() -> None:
    """They are kept in the audit for ever, and a trigger opens modals; each command still has an id of its own."""
    two = [{"team_id": TEAM, "user_id": APPROVER, "trigger_id": f"canary-{number}"} for number in range(2)]
    deeds = [read({**each, "user": {"id": APPROVER}}) for each in two for read in (commanded, asked_about)]
    assert [deed for deed in deeds if "canary" in deed.id] == []
    assert len({deed.id for deed in deeds[::2]}) == 2
    assert commanded(two[0]) == commanded(dict(two[0]))


class Untaken(set[str]):
    """Tickets that open nothing; `given` are those there were."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[str] = []

    def add(self, ticket: str) -> None:
        self.given.append(ticket)


async def test_a_line_that_slack_refuses_leaves_no_ticket_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The address was not used up: whoever reads the log could take the line, and hear every click."""
    caplog.set_level(logging.INFO)
    async with LocalSlack() as slack:
        slack.state.tickets = tickets = Untaken()
        app = AsyncApp(token=slack.world.app.bot_token, request_verification_enabled=False)
        app.client.base_url = slack.api_url
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(SocketLine(app, SecretStr(slack.world.app.app_token)).run())
            while "Failed to connect" not in caplog.text:
                await asyncio.sleep(0.02)
            running.cancel()
    assert tickets.given
    assert [each for each in tickets.given if each in caplog.text] == []


async def test_a_viewer_can_type_every_verb_and_change_nothing(tmp_path: Path) -> None:
    """Whatever is not a question is refused, also with all that it needs; a new verb is tried like the others."""
    services = TwinServices()
    services.document = people(TEAM)
    slack, viewer = Slack(services, tmp_path), "demo-guest"
    incident = await ask(services)
    before = await record(services, incident)
    more = {
        "arm": "var-breach", "disarm": "var-breach", "freeze": "all because x", "unfreeze": "all", "reload": "",
        "run": f"risk.reduce_kelly {SYSTEM}/risk-engine kelly_fraction=0.1 because x", "kill-switch": "now",
        "restart": f"{SYSTEM}/risk-engine because x", "silence": 'alertname="A" 1h because x',
    }  # fmt: skip
    for verb, what in VERBS.items():
        if what.asks or verb == "help":
            continue
        for text in (verb, f"{verb} {more.get(verb, incident)}"):
            with pytest.raises(Unwelcome, match="may look, not act") if text != verb else suppress(Unwelcome):
                assert "type it like" in await slack.words(text, viewer), text
    assert await record(services, incident) == before
    assert not slack.switch.position().engaged


async def test_a_question_with_buttons_is_shown_to_nobody_else(line: Line) -> None:
    """Nobody would take the buttons of such a copy away when it is decided; the board's own card has them."""
    incident = await ask(line.services)
    card = await line.command(APPROVER, f"approve {incident} --here")
    assert (card.only_for, "trading.halt" in shown(card)) == (APPROVER, True)


async def test_an_answer_that_slack_s_address_does_not_take_is_told_in_the_channel(line: Line) -> None:
    """Used up, too old or nonsense: whoever was refused hears it all the same, and nothing goes to other hosts."""
    slack = line.slack
    api = SlackApi(slack.api_url, SecretStr(slack.world.app.bot_token), lookup=here)
    speaking = Speaking(api, slack.world.app.bot_token)
    try:
        for address in (
            f"{slack.state.aside}/respond/none",
            "http://[::x",
            "https://hooks.slack.com.evil.example/x",
            "file:///x",
        ):
            before = set(slack.world.messages.get(OPS, {}))
            deed = Deed(id="d", team=TEAM, user=APPROVER, channel=OPS, response_url=address)
            await speaking.deliver(deed, told(f"no: {address}"))
            (new,) = set(slack.world.messages[OPS]) - before
            assert slack.world.messages[OPS][new].only_for == APPROVER, address
    finally:
        await api.close()


async def test_a_shortcut_without_a_message_is_about_no_incident(tmp_path: Path) -> None:
    """Every card stands in no thread; an empty `ts` must not find one of them."""
    stage = Stage()
    await stage.shelf.put(Placed(name=card_name(SYSTEM, "inc-aaaaaaaaaa"), channel=OPS, ts="1.1"))
    spoken = Spoken(Slack(TwinServices(), tmp_path).commands, stage.shelf)
    answer = await spoken.about(Known("demo-oncall", "slack:T/U"), OPS, "", Deed(id="d", team=TEAM, user=APPROVER))
    assert "none of Andon" in str(answer)


# --- who is who -------------------------------------------------------------------------------------------------------


class Directory(SlackApi):
    """Slack, as far as `Members` asks it: `refuse` is its word for everything, or an error."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9/api/", SecretStr("xoxb-none"))
        self.refuse: DeliveryError | None = None

    async def ask(self, doing: str, call: Awaitable[Any], *, seconds: float = 10.0) -> Mapping[str, Any]:
        call.close()  # type: ignore[attr-defined]  # a coroutine of the SDK's that is never begun
        if self.refuse is not None:
            raise self.refuse
        return {"user": {"id": APPROVER, "team_id": TEAM}, "users": [APPROVER]}


def gone(code: str) -> SlackRefusedError:
    return SlackRefusedError("looking", code)


@pytest.mark.parametrize(
    ("problem", "counts"),
    [
        (gone("user_not_found"), False),
        (gone("user_not_visible"), False),
        (gone("token_revoked"), True),  # Slack tells nothing then
        (SlackThrottledError("users.info", 30), True),
        (DeliveryError("away"), True),
    ],
    ids=str,
)
async def test_an_account_that_slack_no_longer_knows_counts_at_once(problem: DeliveryError, counts: bool) -> None:
    """A Slack that is away leaves what was so a moment ago; one that says there is nobody is believed."""
    directory, seconds = Directory(), [0.0]
    members = Members(directory, lambda: people(TEAM), lambda: TEAM, now=lambda: seconds[0])
    vote = Vote(by="demo-approver", at=1, verdict="approve", via=f"slack:{TEAM}/{APPROVER}")
    assert isinstance(await members.who(TEAM, APPROVER), Known)
    assert await members.unfit([vote]) == {}
    directory.refuse = problem
    seconds[0] = FRESH_SECONDS + 1
    assert (await members.unfit([vote]) == {}) == counts
    assert isinstance(await members.who(TEAM, APPROVER), Known) == counts
    seconds[0] = STALE_SECONDS + 2
    assert isinstance(await members.who(TEAM, APPROVER), Stranger)
    await directory.close()


@pytest.mark.parametrize(
    ("problem", "kept"), [(gone("no_such_subteam"), False), (DeliveryError("away"), True)], ids=str
)
async def test_a_user_group_that_is_gone_is_no_roster(problem: DeliveryError, kept: bool) -> None:
    """A group that somebody took away approves nothing from the next look on; one that cannot be read, for an hour."""
    whole = people(TEAM).model_dump(exclude_defaults=True)
    whole["rosters"]["approvers"] = [{"system": "*", "risk": "critical", "slack_groups": ["S0APPROVE"]}]
    document, directory, seconds = PeopleDocument.model_validate(whole), Directory(), [0.0]
    members = Members(directory, lambda: document, lambda: TEAM, now=lambda: seconds[0])
    await members.look_at_groups()
    assert members.complete(document).approvers(SYSTEM, "risky") == ("demo-approver",)
    directory.refuse = problem
    await members.look_at_groups()
    assert (members.complete(document).approvers(SYSTEM, "risky") == ("demo-approver",)) == kept
    seconds[0] = GROUPS_STALE_SECONDS + 1
    await members.look_at_groups()
    assert members.complete(document).approvers(SYSTEM, "risky") == ()
    await directory.close()


class Tabs(Speaking):
    """Counts whose tab is published."""

    def __init__(self, api: SlackApi) -> None:
        super().__init__(api, "t")
        self.published: list[str] = []

    async def publish(self, user: str, view: dict[str, Any]) -> None:
        self.published.append(user)


async def test_a_crowd_of_strangers_puts_no_home_tab_out_of_date() -> None:
    """Whoever is nobody here sees why, once; the tabs of those who decide stay fresh."""
    services, directory = TwinServices(), Directory()
    services.document = people(TEAM)
    tabs = Tabs(directory)
    members = Members(directory, services.roster, lambda: TEAM)
    homes = Homes(services, members, tabs, Budget(limit=10, within_ms=600_000, reserve=3))
    await homes.opened(TEAM, APPROVER)
    for number in range(MAX_OPEN + 10):
        await homes.opened(TEAM, f"U{number}")
    tabs.published.clear()
    await ask(services)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(homes.run())
        homes.changed()
        while not tabs.published:
            await asyncio.sleep(0)
        running.cancel()
    assert tabs.published == [APPROVER]
    await directory.close()


def test_a_roster_makes_nobody_more_than_their_role_does() -> None:
    """Who may only look is no approver and breaks no glass, at the click and at execution, whatever lists them."""
    whole = people(TEAM).model_dump(exclude_defaults=True)
    for person in whole["people"]:
        person["roles"] = ["viewer"] if person["id"] == "demo-second" else []
    document = PeopleDocument.model_validate(whole)
    assert document.approvers(SYSTEM, "critical") == ("demo-approver",)
    assert not document.may_break_glass(SYSTEM, "demo-second")
