"""Slack's door in HTTP mode: who is let in, and that nobody else's request is ever read as an order."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from bot.adapters.http_errors import answer_errors
from bot.adapters.slack.line.door import PATH, WINDOW_SECONDS, Reply, SignedDoor
from tests.unit.adapters.slack_payloads import GENUINE

SECRET = b"shh"
NOW_S = 1_767_225_600
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
async def door():
    """The door on a loopback port; `heard` is what got through."""
    heard: list[Mapping[str, Any]] = []

    async def dispatch(payload: Mapping[str, Any]) -> Reply:
        heard.append(payload)
        return Reply(body='{"text": "yes"}')

    app = web.Application(middlewares=[answer_errors])
    app.router.add_post(PATH, SignedDoor(SECRET, dispatch, now_ms=lambda: NOW_S * 1_000).handle)
    async with TestClient(TestServer(app)) as client:
        client.heard = heard
        yield client


def signed(body: bytes, *, at: int = NOW_S, secret: bytes = SECRET, kind: str = FORM) -> dict[str, Any]:
    mac = hmac.new(secret, b"v0:%d:" % at + body, hashlib.sha256).hexdigest()
    headers = {"X-Slack-Request-Timestamp": str(at), "X-Slack-Signature": f"v0={mac}", "Content-Type": kind}
    return {"data": body, "headers": headers}


async def test_a_signed_command_gets_through_whole_also_with_the_word_payload_in_it(door):
    """slack-bolt's own parser takes such a command for something else, and loses it."""
    body = urlencode(
        {**GENUINE["command"], "text": "freeze trading-core payload=1 looks wrong", "payload": "x"}
    ).encode()
    async with door.post(PATH, **signed(body)) as response:
        assert (response.status, await response.json()) == (200, {"text": "yes"})
    assert door.heard[0]["text"] == "freeze trading-core payload=1 looks wrong"


async def test_an_interaction_is_its_payload(door):
    """Buttons come as JSON inside a form."""
    body = urlencode({"payload": json.dumps(GENUINE["click"])}).encode()
    async with door.post(PATH, **signed(body)) as response:
        assert response.status == 200
    ((button,),) = [each["actions"] for each in door.heard]
    assert (button["action_id"], button["value"]) == ("andon:deny", "inc-aaaaaaaaaa|dec-1|digest")


async def test_slack_is_told_its_challenge(door):
    """Without that, no address is ever accepted; nobody else hears of it."""
    body = json.dumps({"type": "url_verification", "challenge": "abc"}).encode()
    async with door.post(PATH, **signed(body, kind="application/json")) as response:
        assert await response.json() == {"challenge": "abc"}
    assert not door.heard


@pytest.mark.parametrize(
    "change",
    [
        {"X-Slack-Signature": "v0=" + "0" * 64},
        {"X-Slack-Signature": ""},
        {"X-Slack-Signature": "v0=ÿ\udcff".encode("utf-8", "surrogateescape").decode("latin-1")},
        {"X-Slack-Request-Timestamp": ""},
        {"X-Slack-Request-Timestamp": "yesterday"},
        {"X-Slack-Request-Timestamp": "٣"},
        {"X-Slack-Request-Timestamp": "9" * 400},
        {"X-Slack-Request-Timestamp": str(NOW_S + 1)},
    ],
)
async def test_what_slack_did_not_sign_is_refused_before_it_is_read(door, change):
    """401, whatever the body says; never a 500 for a timestamp that is no number."""
    request = signed(b"command=%2Fandon&text=freeze")
    request["headers"] |= change
    async with door.post(PATH, **request) as response:
        assert response.status in (400, 401)
    assert not door.heard


@pytest.mark.parametrize("at", [NOW_S - WINDOW_SECONDS - 1, NOW_S + WINDOW_SECONDS + 1])
async def test_a_signature_out_of_its_time_is_refused(door, at):
    """Captured requests do not last."""
    async with door.post(PATH, **signed(b"command=%2Fandon", at=at)) as response:
        assert response.status == 401
    assert not door.heard


async def test_a_request_that_comes_again_as_it_was_is_refused(door):
    """Slack signs each retry anew, so an exact copy is a replay."""
    request = signed(urlencode(GENUINE["command"]).encode())
    statuses = []
    for _ in range(3):
        async with door.post(PATH, **request) as response:
            statuses.append(response.status)
    assert statuses == [200, 409, 409]
    assert len(door.heard) == 1


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\xff\xfe", FORM), (b"payload=%7B", FORM), (b"payload=[]", FORM), (b"no form", FORM),
        (b"payload=%ff%fe", FORM), (b"&".join(b"a=1" for _ in range(200)), FORM),
        (b"{", "application/json"), (b"[1]", "application/json"), (b"[" * 100_000, "application/json"),
        (b'{"type":' + b"9" * 5_000 + b"}", "application/json"),
    ],
)  # fmt: skip
async def test_a_signed_body_that_cannot_be_read_is_a_400(door, body, kind):
    """Never a 500, and nothing is handed on."""
    async with door.post(PATH, **signed(body, kind=kind)) as response:
        assert response.status == 400, await response.text()
        assert (await response.json())["field"] == "body"
    assert not door.heard


@pytest.mark.parametrize("challenge", [None, 5, [["x"]], {"a": "b"}])
async def test_a_challenge_that_is_no_text_is_a_400(door, challenge):
    """It would be read back to whoever sent it."""
    body = json.dumps({"type": "url_verification", "challenge": challenge}).encode()
    async with door.post(PATH, **signed(body, kind="application/json")) as response:
        assert (response.status, (await response.json())["field"]) == (400, "challenge")


async def test_what_nobody_here_listens_to_is_taken_and_goes_nowhere(door):
    """Slack sends an event again that is refused, and in the end none at all."""
    body = json.dumps({"type": "app_rate_limited", "team_id": "T1", "minute_rate_limited": 1}).encode()
    async with door.post(PATH, **signed(body, kind="application/json")) as response:
        assert (response.status, await response.text()) == (200, "")
    assert not door.heard
