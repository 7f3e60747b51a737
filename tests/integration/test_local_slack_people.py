"""People in the local Slack, over Socket Mode, with slack-sdk's own client: what the app is told, what they see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.sandbox.slack.population import NEWCOMER, ONCALL, STRANGER
from bot.sandbox.slack.server import LocalSlack
from bot.sandbox.slack.world import Posted

OPS = "C0OPS"
SOON = 5.0  # seconds for what comes by itself


def button(text: str, action: str, value: str) -> dict[str, Any]:
    return {"type": "button", "text": {"type": "plain_text", "text": text}, "action_id": action, "value": value}


def card(*buttons: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": "actions", "block_id": "acts", "elements": list(buttons)}]


def modal(*fields: dict[str, Any], title: str = "Deny", **marks: Any) -> dict[str, Any]:
    return {
        "type": "modal", "title": {"type": "plain_text", "text": title}, "blocks": list(fields), "callback_id": "c",
        "submit": {"type": "plain_text", "text": "Send"}, **marks,
    }  # fmt: skip


def field(name: str, element: dict[str, Any]) -> dict[str, Any]:
    label = {"type": "plain_text", "text": name}
    return {"type": "input", "block_id": name, "label": label, "element": {"action_id": "value", **element}}


class App:
    """An app that acknowledges everything, with what `answers` has for its kind, and keeps what it was told."""

    def __init__(self, client: SocketModeClient) -> None:
        self.client = client
        self.answers: dict[str, Any] = {}
        self.silent: set[str] = set()  # kinds that it does not acknowledge
        self.told: asyncio.Queue[SocketModeRequest] = asyncio.Queue()
        client.socket_mode_request_listeners.append(self._hear)

    async def _hear(self, client: Any, request: SocketModeRequest) -> None:
        await self.told.put(request)
        kind = request.payload.get("type") if request.type == "interactive" else request.type
        if kind not in self.silent:
            answer = SocketModeResponse(envelope_id=request.envelope_id, payload=self.answers.get(str(kind)))
            await client.send_socket_mode_response(answer)

    async def next(self) -> SocketModeRequest:
        return await asyncio.wait_for(self.told.get(), SOON)


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    async with LocalSlack() as slack:
        slack.rates.enforced = False
        slack.courier.retry_s = (0.0, 0.0, 0.0)
        yield slack


@pytest.fixture
async def client(slack: LocalSlack) -> AsyncIterator[AsyncWebClient]:
    async with ClientSession() as session:
        yield AsyncWebClient(slack.world.app.bot_token, base_url=slack.api_url, session=session, retry_handlers=[])


@pytest.fixture
async def app(slack: LocalSlack, client: AsyncWebClient) -> AsyncIterator[App]:
    socket = SocketModeClient(slack.world.app.app_token, web_client=client, ping_interval=0.05)
    app = App(socket)
    await socket.connect()
    await asyncio.wait_for(slack.sockets.connected(), SOON)
    yield app
    await socket.close()


async def status(call: Any) -> int:
    """Of a request that is made now, its answer read to the end."""
    async with call as answer:
        await answer.read()
        return int(answer.status)


async def opened(slack: LocalSlack, client: AsyncWebClient, view: dict[str, Any]) -> str:
    return str((await client.views_open(trigger_id=slack.state.triggers.give(ONCALL), view=view))["view"]["id"])


async def test_a_click_tells_who_where_and_what(slack: LocalSlack, client: AsyncWebClient, app: App) -> None:
    """An interaction carries the button's value, the message and the clicker's own team."""
    ts = (await client.chat_postMessage(channel=OPS, text="card", blocks=card(button("Ack", "andon:ack", "I1||"))))[
        "ts"
    ]
    assert (await slack.people.click(STRANGER, OPS, ts, "andon:ack")).error == ""
    told = (await app.next()).payload
    assert (told["type"], told["user"]["id"], told["team"]["id"]) == ("block_actions", STRANGER, slack.world.team)
    assert told["user"]["team_id"] != slack.world.team
    assert (told["actions"][0]["value"], told["container"]["message_ts"]) == ("I1||", ts)
    with pytest.raises(LookupError, match="andon:ack"):
        await slack.people.click(ONCALL, OPS, ts, "andon:deny")


async def test_an_old_button_can_still_be_clicked(slack: LocalSlack, client: AsyncWebClient, app: App) -> None:
    """A client that is behind clicks what the card no longer shows; the app must bear it."""
    ts = (await client.chat_postMessage(channel=OPS, text="?", blocks=card(button("Yes", "andon:approve", "a"))))["ts"]
    await client.chat_update(channel=OPS, ts=ts, text="decided")
    with pytest.raises(LookupError):
        await slack.people.click(ONCALL, OPS, ts, "andon:approve")
    await slack.people.click(ONCALL, OPS, ts, "andon:approve", version=0)
    assert (await app.next()).payload["actions"][0]["value"] == "a"


async def test_a_click_in_an_ephemeral_message_carries_no_message(
    slack: LocalSlack, client: AsyncWebClient, app: App
) -> None:
    """Slack tells where it was clicked and nothing of what it said; nobody but its reader can click there."""
    blocks = card(button("Show", "andon:show", "I1||"))
    answer = await client.chat_postEphemeral(channel=OPS, user=ONCALL, text="one incident", blocks=blocks)
    await slack.people.click(ONCALL, OPS, answer["message_ts"], "andon:show")
    told = (await app.next()).payload
    assert ("message" in told, told["container"]["is_ephemeral"]) == (False, True)
    with pytest.raises(LookupError):
        await slack.people.click(NEWCOMER, OPS, answer["message_ts"], "andon:show")


async def test_two_hundred_copies_of_a_click_arrive_together(
    slack: LocalSlack, client: AsyncWebClient, app: App
) -> None:
    """Copies are told apart by their envelopes only: the click, its time and its trigger are the same."""
    blocks = card(button("Yes", "andon:approve", "I1|a|d"))
    ts = (await client.chat_postMessage(channel=OPS, text="?", blocks=blocks))["ts"]
    slack.faults.duplicates = 199
    await slack.people.click(ONCALL, OPS, ts, "andon:approve")
    came = [await app.next() for _ in range(200)]
    assert len({each.envelope_id for each in came}) == 200
    assert len({each.payload["actions"][0]["action_ts"] for each in came}) == 1


async def test_a_modal_is_checked_refused_and_sent(slack: LocalSlack, client: AsyncWebClient, app: App) -> None:
    """Slack's own checks come before the app's; what the app objects to is shown at its field; then it closes."""
    view = modal(
        field("why", {"type": "plain_text_input", "max_length": 5}),
        field("value", {"type": "number_input", "is_decimal_allowed": True, "max_value": "0.25"}),
    )
    shown = await opened(slack, client, view)
    assert set((await slack.people.submit(ONCALL, shown, {})).errors) == {"why", "value"}
    assert set((await slack.people.submit(ONCALL, shown, {"why": "longer", "value": "0.3"})).errors) == {"why", "value"}
    assert app.told.empty()
    app.answers["view_submission"] = {"response_action": "errors", "errors": {"value": "must be lower"}}
    assert (await slack.people.submit(ONCALL, shown, {"why": "so", "value": "0.2"})).errors == {
        "value": "must be lower"
    }
    app.answers["view_submission"] = {"response_action": "errors", "errors": {"no such field": "must be lower"}}
    assert (await slack.people.submit(ONCALL, shown, {})).error == "trouble"
    app.answers.clear()
    assert (await slack.people.submit(ONCALL, shown, {"value": "0.1"})).errors == {}
    assert slack.people.modal(ONCALL) is None
    told = [(await app.next()).payload["view"]["state"]["values"] for _ in range(3)]
    assert [each["value"]["value"]["value"] for each in told] == ["0.2", "0.2", "0.1"]
    assert told[2]["why"]["value"] == {"type": "plain_text_input", "value": "so"}


async def test_a_submission_may_lead_to_another_view(slack: LocalSlack, client: AsyncWebClient, app: App) -> None:
    """The app may change the modal, put one over it, or close them all; closing one is told if it asked for that."""
    first = await opened(slack, client, modal(field("why", {"type": "plain_text_input"}), title="one"))
    app.answers["view_submission"] = {"response_action": "push", "view": modal(title="two", notify_on_close=True)}
    await slack.people.submit(ONCALL, first, {"why": "so"})
    second = slack.people.modal(ONCALL)
    assert second is not None
    assert (second.body["title"]["text"], second.previous, second.root) == ("two", first, first)
    await slack.people.close(ONCALL, second.id)
    assert [(await app.next()).payload["type"] for _ in range(2)] == ["view_submission", "view_closed"]
    app.answers["view_submission"] = {"response_action": "update", "view": modal(title="three")}
    await slack.people.submit(ONCALL, first, {})
    shown = slack.people.modal(ONCALL)
    assert shown is not None
    assert (shown.id, shown.body["title"]["text"]) == (first, "three")
    app.answers["view_submission"] = {"response_action": "clear"}
    await slack.people.submit(ONCALL, first, {})
    assert slack.people.modal(ONCALL) is None


async def test_a_command_is_answered_to_whoever_typed_it(slack: LocalSlack, app: App) -> None:
    """Names become ids, markup is escaped, and the answer is seen by nobody else unless it says so."""
    app.answers["slash_commands"] = {"text": "two incidents"}
    await slack.people.command(ONCALL, OPS, "/andon show @demo-viewer <b> & #quant-emergency")
    told = (await app.next()).payload
    assert told["text"] == "show <@U0VIEWER|demo-viewer> &lt;b&gt; &amp; <#C0QUANT|quant-emergency>"
    assert [each.now.text for each in slack.world.shown(OPS, to=ONCALL)] == ["two incidents"]
    assert slack.world.shown(OPS, to=NEWCOMER) == []
    app.answers["slash_commands"] = {"text": "for all", "response_type": "in_channel"}
    await slack.people.command(ONCALL, OPS, "/andon handoff")
    assert [each.now.text for each in slack.world.shown(OPS, to=NEWCOMER)] == ["/andon handoff", "for all"]


async def test_a_command_without_an_acknowledgement_fails_aloud(slack: LocalSlack, app: App) -> None:
    """After three seconds Slack tells whoever typed it; here after less."""
    app.silent.add("slash_commands")
    slack.courier.ack_s = 0.05
    assert (await slack.people.command(ONCALL, OPS, "/andon status")).error == "operation_timeout"
    assert "operation_timeout" in slack.world.changes[-1].words
    await app.client.close()


async def test_an_answer_address_wears_out(slack: LocalSlack, app: App) -> None:
    """A response_url serves five answers, and may replace the message that was clicked."""
    await slack.people.command(ONCALL, OPS, "/andon report")
    answers = AsyncWebhookClient((await app.next()).payload["response_url"])
    assert [(await answers.send(text=str(each))).status_code for each in range(6)] == [200] * 5 + [404]
    assert len(slack.world.shown(OPS, to=ONCALL)) == 5
    posted = slack.world.post(OPS, slack.world.app.user, "card", card(button("Ack", "andon:ack", "v")))
    await slack.people.click(ONCALL, OPS, posted.ts, "andon:ack")
    answers = AsyncWebhookClient((await app.next()).payload["response_url"])
    await answers.send(text="acked", replace_original=True)
    assert posted.now.text == "acked"


async def test_an_event_comes_again_until_it_is_acknowledged(slack: LocalSlack, app: App) -> None:
    """The same event id, with its number and reason: whoever does not look at it works twice."""
    app.silent.add("events_api")
    slack.courier.ack_s = 0.05
    await slack.people.say(ONCALL, OPS, "@andon status")
    first, second = await app.next(), await app.next()
    assert first.payload["event"]["type"] == "app_mention"
    assert first.payload["event_id"] == second.payload["event_id"]
    assert (first.retry_attempt, second.retry_attempt, second.retry_reason) == (0, 1, "timeout")
    app.silent.clear()


async def test_deliveries_may_come_twice(slack: LocalSlack, app: App) -> None:
    """A duplicate is the same command again, in another envelope."""
    slack.faults.duplicates = 1
    await slack.people.command(ONCALL, OPS, "/andon status")
    first, second = await app.next(), await app.next()
    assert first.payload == second.payload
    assert first.envelope_id != second.envelope_id


async def test_the_client_follows_a_refresh_and_an_outage(slack: LocalSlack, app: App) -> None:
    """When Slack asks for a new connection, or ends one, the SDK's client is back by itself and hears again."""
    before = slack.sockets.opened
    await slack.sockets.refresh()
    await asyncio.wait_for(slack.sockets.reopened(before), SOON)
    await slack.people.open_home(ONCALL)
    assert (await app.next()).payload["event"]["type"] == "app_home_opened"
    app.silent.add("slash_commands")
    async with asyncio.TaskGroup() as tasks:
        typed = tasks.create_task(slack.people.command(ONCALL, OPS, "/andon status"))
        await app.next()
        slack.sockets.cut()
    assert typed.result().error == "dispatch_failed"
    await asyncio.wait_for(slack.sockets.connected(), SOON)
    await slack.people.open_home(ONCALL)
    assert (await app.next()).payload["event"]["type"] == "app_home_opened"


async def test_the_control_api_acts_for_the_page(slack: LocalSlack, client: AsyncWebClient, app: App) -> None:
    """A page in another process sees what its user sees, clicks, and hears of changes."""
    ts = (await client.chat_postMessage(channel=OPS, text="card", blocks=card(button("Ack", "andon:ack", "v"))))["ts"]
    await client.chat_postEphemeral(channel=OPS, user=NEWCOMER, text="only for you")
    async with ClientSession(slack.url) as page:
        seen = await (await page.get("/control/state", params={"user": ONCALL})).json()
        assert [(each["ts"], each["text"]) for each in seen["messages"]] == [(ts, "card")]
        click = {"user": ONCALL, "channel": OPS, "ts": ts, "action_id": "andon:ack"}
        async with page.get("/control/events") as events:
            assert await status(page.post("/control/click", json=click)) == 200
            assert (await app.next()).payload["actions"][0]["action_id"] == "andon:ack"
            await client.chat_update(channel=OPS, ts=ts, text="acked")
            assert b'"updated"' in await asyncio.wait_for(events.content.readuntil(b"\n\n"), SOON)
        answer = await page.post("/control/click", json=click)
        assert (answer.status, "nothing called 'andon:ack'" in (await answer.json())["error"]) == (400, True)
        assert await status(page.post("/control/faults", json={"outage": "sometimes"})) == 400
        shown = (await (await page.get("/control/shown")).json())["messages"]
        assert [each["text"] for each in shown[0]["versions"]] == ["card", "acked"]


async def test_other_sites_in_the_browser_play_no_role(slack: LocalSlack) -> None:
    """A page from elsewhere can send neither JSON without being asked first, nor anything under a name of its own."""
    command = b'{"user": "U0ONCALL", "channel": "C0OPS", "text": "/andon status"}'
    async with ClientSession(slack.url) as page:
        text = {"Content-Type": "text/plain"}
        assert await status(page.post("/control/command", data=command, headers=text)) == 415
        assert await status(page.get("/control/state", headers={"Host": "rebound.example"})) == 403
        assert await status(page.get("/control/state", headers={"Host": "localhost:1"})) == 200
    assert not slack.world.changes or slack.world.changes[-1].kind != "notice"


def test_a_message_says_whether_it_is_a_reply() -> None:
    """A thread's parent carries its own ts as thread_ts and is no reply."""
    marks = {"channel": OPS, "user": ONCALL, "versions": []}
    assert not Posted(ts="1.0", thread_ts="1.0", **marks).reply
    assert Posted(ts="2.0", thread_ts="1.0", **marks).reply
