"""The page of the local Slack in a real browser: what a newcomer sees and does, and what the app hears of it.

The app at the other end is slack-sdk's own web and Socket Mode client. One browser and one Slack for the whole file,
each test in a channel of its own.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.slack.population import APPROVER, ONCALL
from bot.sandbox.slack.server import LocalSlack
from tests.acceptance.harness.browser import Page, open_browser

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

HEARD_WITHIN = 10.0  # seconds until the app was told of a click
HOSTILE = "<img src=x onerror='hit=1'><script>hit=1</script> <!channel> <@U0ONCALL> <https://evil.example|ok> */_`~"
# A PNG of one pixel.
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def plain(text: str) -> dict[str, str]:
    return {"type": "plain_text", "text": text}


def words(text: str, **more: object) -> dict[str, object]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, **more}}


def buttons(*verbs: str) -> dict[str, object]:
    made = [{"type": "button", "action_id": f"andon:{v}", "value": f"i-1|{v}|", "text": plain(v)} for v in verbs]
    return {"type": "actions", "block_id": "decide", "elements": made}


@dataclass
class Desk:
    """The page, the Slack behind it, and an app that hears what people do."""

    page: Page
    slack: LocalSlack
    web: AsyncWebClient
    heard: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)  # envelope's type -> payload of its ack
    channel: str = ""

    async def open(self, name: str, *, me: str = ONCALL) -> str:
        """A new channel, and the page looking at it."""
        self.channel = self.slack.world.add_channel(name, [self.slack.world.app.user, ONCALL, APPROVER]).id
        self.answers.clear()
        while not self.heard.empty():
            self.heard.get_nowait()
        await self.page.go(f"{self.slack.url}/?me={me}&place={self.channel}")
        await self.page.reads(name, "#place-head")
        return self.channel

    async def post(self, *blocks: dict[str, object], **more: Any) -> str:
        """A message of the app's; returns its ts."""
        answer = await self.web.chat_postMessage(
            channel=self.channel, text="in words", blocks=[*blocks] or None, **more
        )
        return str(answer["ts"])

    async def told(self, kind: str) -> dict[str, Any]:
        """The payload of the next envelope of this type."""
        async with asyncio.timeout(HEARD_WITHIN):
            while (heard := await self.heard.get())["type"] != kind:
                pass
        payload: dict[str, Any] = heard["payload"]
        return payload


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def everything() -> AsyncIterator[Desk]:
    """Slack, an app connected to it, and a browser."""
    async with contextlib.AsyncExitStack() as stack:
        page = await stack.enter_async_context(open_browser())
        slack = await stack.enter_async_context(LocalSlack())
        session = await stack.enter_async_context(aiohttp.ClientSession(trust_env=False))
        web = AsyncWebClient(slack.world.app.bot_token, base_url=slack.api_url, session=session)
        desk = Desk(page, slack, web)

        async def take_in(client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
            answer = desk.answers.get(request.type)
            await client.send_socket_mode_response(SocketModeResponse(request.envelope_id, answer))
            desk.heard.put_nowait({"type": request.type, "payload": request.payload})

        client = SocketModeClient(app_token=slack.world.app.app_token, web_client=web)
        client.socket_mode_request_listeners.append(take_in)
        await client.connect()
        stack.push_async_callback(client.close)
        yield desk


@pytest.fixture
def desk(everything: Desk) -> Desk:
    everything.page.troubles.clear()
    return everything


async def test_a_card_is_drawn_and_edited_in_place(desk: Desk) -> None:
    """Headers, fields, dates and links are there; an update changes the same message, and its buttons are gone."""
    await desk.open("card")
    date = "<!date^1767225600^{date_num} {time_secs}|a fallback>"
    fields = {"type": "section", "fields": [{"type": "mrkdwn", "text": "*Who*\nnobody"}]}
    head = {"type": "header", "text": plain("VaR breach")}
    ts = await desk.post(head, words(f"*2.4 %* at {date} <https://runbooks.example/x|runbook>"), fields, buttons("ack"))
    await desk.page.reads("VaR breach", ".message h3")
    assert "2026-01-01" in await desk.page.run("document.querySelector('time.date').innerText")
    assert await desk.page.run("document.querySelector('.text a').href") == "https://runbooks.example/x"
    assert await desk.page.run("document.querySelector('.field strong').innerText") == "Who"
    await desk.web.chat_update(channel=desk.channel, ts=ts, text="over", blocks=[words("acknowledged")])
    await desk.page.reads("acknowledged", f'[data-ts="{ts}"]')
    assert await desk.page.run("document.querySelectorAll('.message').length") == 1
    assert await desk.page.run("document.querySelectorAll('.message .button').length") == 0
    assert "(edited)" in await desk.page.run("document.querySelector('.message').innerText")
    assert desk.page.troubles == []


async def test_no_markup_of_a_message_becomes_part_of_the_page(desk: Desk) -> None:
    """Hostile text, raw and escaped, in every place of a message: no element, no script, and escaped no mention."""
    await desk.open("hostile")
    escaped = HOSTILE.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    context = {"type": "context", "elements": [{"type": "mrkdwn", "text": escaped, "verbatim": True}]}
    head = {"type": "header", "text": plain(HOSTILE)}
    await desk.post(head, words(escaped, verbatim=True), context, buttons("<b>ack</b>"))
    await desk.page.reads("<img src=x onerror='hit=1'>", ".message .text")
    assert (
        await desk.page.run("document.querySelectorAll('.message :is(img, script, b:not(.by b), a, .mention)').length")
        == 0
    )
    assert await desk.page.run("typeof hit") == "undefined"
    await desk.post(words(f"raw {HOSTILE} <javascript:hit=1|press>"))
    await desk.page.reads("raw")
    assert await desk.page.run("document.querySelectorAll('.message .mention').length") == 2, (
        "the sender's own are alive"
    )
    assert await desk.page.run("document.querySelectorAll('.message :is(img, script, [href^=javascript])').length") == 0
    assert desk.page.troubles == []


async def test_a_click_reaches_the_app_and_its_answer_only_the_person(desk: Desk) -> None:
    """The app hears who pressed which button; what it answers with `response_url` nobody else sees."""
    await desk.open("click")
    ts = await desk.post(words("Halt trading?"), buttons("approve", "deny"))
    await desk.page.click(".message button", "approve")
    said = await desk.told("interactive")
    assert (said["user"]["id"], said["message"]["ts"]) == (ONCALL, ts)
    assert [(a["action_id"], a["value"]) for a in said["actions"]] == [("andon:approve", "i-1|approve|")]
    async with aiohttp.ClientSession(trust_env=False) as session:
        await session.post(said["response_url"], json={"text": "You raised this alert.", "replace_original": False})
    await desk.page.reads("Only visible to you", ".message.ephemeral")
    await desk.page.choose("#me", APPROVER)
    await desk.page.sees("!document.querySelector('.message.ephemeral')")
    await desk.page.click(".message button", "deny")
    said = await desk.told("interactive")
    assert (said["user"]["id"], said["actions"][0]["action_id"]) == (APPROVER, "andon:deny")
    assert desk.page.troubles == []


async def test_a_modal_is_filled_in_refused_and_taken(desk: Desk) -> None:
    """Typed words arrive as state values; the app's complaint stands beside its field, and typing is kept."""
    await desk.open("modal")
    await desk.post(words("Deny?"), buttons("deny"))
    await desk.page.click(".message button", "deny")
    opened = await desk.told("interactive")
    reason = {"type": "plain_text_input", "action_id": "value", "multiline": True}
    kelly = {"type": "number_input", "action_id": "value", "is_decimal_allowed": True, "initial_value": "0.1"}
    options = [{"text": plain(name), "value": name} for name in ("15m", "1h")]
    lasting = {"type": "static_select", "action_id": "value", "options": options, "initial_option": options[0]}
    ticks = {"type": "checkboxes", "action_id": "value", "options": options}
    blocks = [
        {"type": "input", "block_id": "for", "label": plain("For"), "element": lasting},
        {"type": "input", "block_id": "ticks", "label": plain("Also"), "element": ticks, "optional": True},
        {"type": "input", "block_id": "reason", "label": plain("Reason"), "element": reason},
        {"type": "input", "block_id": "kelly", "label": plain("Kelly"), "element": kelly},
    ]
    view = {"type": "modal", "callback_id": "andon:deny", "title": plain("Deny"), "submit": plain("Deny it")}
    await desk.web.views_open(trigger_id=opened["trigger_id"], view=view | {"blocks": blocks})
    desk.answers["interactive"] = {"response_action": "errors", "errors": {"reason": "say a little more"}}
    await desk.page.type("[data-field=reason] textarea", "no")
    await desk.page.choose("[data-field=for] select", "1h")
    await desk.page.click("[data-field=ticks] input")
    await desk.page.click(".modal button", "Deny it")
    sent = {name: each["value"] for name, each in (await desk.told("interactive"))["view"]["state"]["values"].items()}
    assert (sent["reason"]["value"], sent["kelly"]["value"]) == ("no", "0.1")
    assert sent["for"]["selected_option"]["value"] == "1h"
    assert [option["value"] for option in sent["ticks"]["selected_options"]] == ["15m"]
    await desk.page.reads("say a little more", "[data-field=reason]")
    assert await desk.page.run("document.querySelector('[data-field=reason] textarea').value") == "no"
    desk.answers.clear()
    await desk.page.click(".modal button", "Deny it")
    await desk.page.sees("document.querySelector('#modal').hidden")
    assert desk.page.troubles == []


async def test_a_command_is_answered_to_its_person_alone(desk: Desk) -> None:
    """`/andon …` goes to the app with its text; the acknowledgement's words are ephemeral."""
    await desk.open("command")
    desk.answers["slash_commands"] = {"text": "Nothing is wrong.", "response_type": "ephemeral"}
    await desk.page.type("#words", "/andon status")
    await desk.page.press_enter()
    said = await desk.told("slash_commands")
    assert (said["command"], said["text"], said["user_id"]) == ("/andon", "status", ONCALL)
    await desk.page.reads("Nothing is wrong.", ".message.ephemeral")
    assert desk.page.troubles == []


async def test_pictures_are_shown(desk: Desk) -> None:
    """An upload is drawn where it was shared, and in a card that names it by its id."""
    channel = await desk.open("picture")
    upload = await desk.web.files_upload_v2(
        channel=channel, content=base64.b64decode(DOT), filename="var.png", title="VaR"
    )
    file = {"id": upload["file"]["id"]}
    await desk.post({"type": "image", "slack_file": file, "alt_text": "VaR over the last hour"})
    drawn = "[...document.querySelectorAll('.message img')].filter((each) => each.naturalWidth === 1)"
    await desk.page.sees(f"{drawn}.length === 2")
    assert await desk.page.run(f"{drawn}[1].alt") == "VaR over the last hour"
    assert desk.page.troubles == []


async def test_a_messages_shortcut_names_the_message(desk: Desk) -> None:
    """The app's shortcut is offered on every message, and tells the app which one it was used on."""
    await desk.open("shortcut")
    ts = await desk.post(words("The card"))
    await desk.page.click("[data-shortcut]", "Ask Andon about this")
    said = await desk.told("interactive")
    assert (said["type"], said["callback_id"], said["message"]["ts"]) == ("message_action", "andon:about", ts)
    assert desk.page.troubles == []


async def test_threads_are_read_and_written(desk: Desk) -> None:
    """Replies stand in the thread only, those for all in the channel too, and a mention in one reaches the app."""
    await desk.open("thread")
    ts = await desk.post(words("The card"))
    await desk.post(words("a line of the timeline"), thread_ts=ts)
    await desk.post(words("a decision"), thread_ts=ts, reply_broadcast=True)
    await desk.page.reads("a decision", "#messages")
    assert "a line of the timeline" not in await desk.page.run("document.querySelector('#messages').innerText")
    await desk.page.click(".thread-door", "2 replies")
    await desk.page.reads("a line of the timeline", "#replies")
    await desk.page.type("#thread-words", f"<@{desk.slack.world.app.user}> status")
    await desk.page.press_enter()
    said = (await desk.told("events_api"))["event"]
    assert (said["type"], said["thread_ts"]) == ("app_mention", ts)
    await desk.page.reads("@andon status", "#replies")
    assert desk.page.troubles == []


async def test_links_to_messages_lead_there(desk: Desk) -> None:
    """A permalink opens the thread it points into, in the page itself."""
    target = await desk.open("target")
    ts = await desk.post(words("The card"))
    reply = await desk.post(words("a line of the timeline"), thread_ts=ts)
    address = (await desk.web.chat_getPermalink(channel=target, message_ts=reply))["permalink"]
    await desk.open("origin")
    await desk.post(words(f"see <{address}|its thread>"))
    await desk.page.click(".message a", "its thread")
    await desk.page.reads("a line of the timeline", "#replies")
    await desk.page.reads("target", "#place-head")
    assert desk.page.troubles == []


async def test_the_home_tab_is_the_persons_own(desk: Desk) -> None:
    """Looking at it tells the app, and what the app publishes is shown to that person, buttons and all."""
    await desk.open("home")
    await desk.page.click("[data-place=home]")
    said = (await desk.told("events_api"))["event"]
    assert (said["type"], said["user"]) == ("app_home_opened", ONCALL)
    view = {"type": "home", "blocks": [words("*1 decision* waits for you"), buttons("approve")]}
    await desk.web.views_publish(user_id=ONCALL, view=view)
    await desk.page.reads("1 decision waits for you", ".home")
    await desk.page.click(".home button", "approve")
    assert (await desk.told("interactive"))["view"]["type"] == "home"
    await desk.page.choose("#me", APPROVER)
    await desk.page.sees("!document.querySelector('.home')")
    assert desk.page.troubles == []


async def test_what_is_being_typed_survives_what_comes_in(desk: Desk) -> None:
    """Messages that arrive and change leave the composer, its focus and unchanged messages alone."""
    await desk.open("typing")
    first = await desk.post(words("first"))
    await desk.page.reads("first")
    await desk.page.type("#words", "half a sent")
    await desk.page.run(f"document.querySelector('[data-ts=\"{first}\"]').marked = true")
    for number in range(5):
        desk.slack.world.post(desk.channel, desk.slack.world.app.user, f"more {number}")
    await desk.page.reads("more 4")
    focus = "[document.activeElement.id, document.activeElement.value]"
    assert json.loads(await desk.page.run(f"JSON.stringify({focus})")) == ["words", "half a sent"]
    assert await desk.page.run(f"document.querySelector('[data-ts=\"{first}\"]').marked") is True
    assert desk.page.troubles == []
