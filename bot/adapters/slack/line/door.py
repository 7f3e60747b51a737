"""Slack's own door in HTTP mode: `POST /slack/events`, let in by signature, handed on as in Socket Mode.

Mounted by `bot.app`. Whoever forges, replays or garbles gets a 4xx before anything is read as an order, and so does a
payload that Slack never sends (`incoming`). The body is taken apart here and not by slack-bolt, which takes a command
whose text holds the word `payload` for something else, and answers a timestamp that is no number with 500.
https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

import structlog
from aiohttp import web
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest

from bot.adapters.clock import wall_ms
from bot.adapters.http_errors import Unwelcome
from bot.adapters.slack.line import incoming
from bot.adapters.slack.line.unread import Noted, logged
from bot.errors import InputError

PATH: Final = "/slack/events"
WINDOW_SECONDS: Final = 300  # how old a signature may be
MAX_REMEMBERED: Final = 20_000  # signatures of that window; Slack sends at most 30,000 events an hour
MAX_CHALLENGE: Final = 1_000  # characters
_FIX: Final = "only Slack may post here, signed with the app's signing secret"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reply:
    """What Slack is answered: a JSON object, a text, or nothing."""

    status: int = 200
    body: str = ""
    content_type: str = "application/json"


Dispatch = Callable[[Mapping[str, Any]], Awaitable[Reply]]


class SignedDoor:
    """Takes Slack's requests, and nobody else's."""

    def __init__(
        self, secret: bytes, dispatch: Dispatch, noted: Noted = logged, now_ms: Callable[[], int] = wall_ms
    ) -> None:
        """`noted` hears of what was signed and cannot be read. `now_ms`: wall time; Slack's clock does not scale."""
        self._secret = secret
        self._dispatch = dispatch
        self._noted = noted
        self._now_ms = now_ms
        self._seen: OrderedDict[str, int] = OrderedDict()  # signature -> its timestamp, oldest first

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request. Raises Unwelcome (401, 409) and InputError (400)."""
        raw = await request.read()
        self.verify(request.headers, raw)
        payload: dict[str, Any] | None = None
        try:
            payload = parse(raw, request.content_type)
            if payload.get("type") == "url_verification":
                return web.json_response({"challenge": _challenge(payload)})
            if "ssl_check" in payload:
                return web.Response()
            found = incoming.read(payload)
        except InputError as error:
            self._noted(payload, error)
            raise  # Slack shows whoever did it that it failed
        if isinstance(found, incoming.Unheard):
            log.info("slack_payload_unheard", kind=found.kind)
            return web.Response()
        reply = await self._dispatch(found)
        return web.Response(status=reply.status, text=reply.body, content_type=reply.content_type)

    def verify(self, headers: Mapping[str, str], raw: bytes) -> None:
        """The signature holds, is recent, and was not used before. Raises Unwelcome."""
        stamp, given = headers.get("X-Slack-Request-Timestamp", ""), headers.get("X-Slack-Signature", "")
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
            raise Unwelcome("the request carries no timestamp of Slack's", fix=_FIX, status=401)
        mac = hmac.new(self._secret, b"v0:" + stamp.encode() + b":" + raw, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(f"v0={mac}".encode(), given.encode("utf-8", "surrogateescape")):
            raise Unwelcome("the signature does not hold", fix=_FIX, status=401)
        now = self._now_ms() // 1_000
        if abs(now - int(stamp)) > WINDOW_SECONDS:
            fix = "check that this machine's clock is right; Slack signs with the time"
            raise Unwelcome(f"the signature is {abs(now - int(stamp))} s away from now", fix=fix, status=401)
        while self._seen and (
            len(self._seen) > MAX_REMEMBERED or next(iter(self._seen.values())) < now - 2 * WINDOW_SECONDS
        ):
            self._seen.popitem(last=False)
        if mac in self._seen:
            raise Unwelcome("this request was taken before", fix="Slack signs each retry anew", status=409)
        self._seen[mac] = int(stamp)


def parse(raw: bytes, content_type: str) -> dict[str, Any]:
    """The body as Socket Mode would have brought it. Raises InputError."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise InputError("body", "is not UTF-8") from None
    if content_type == "application/json":
        return _object(text)
    try:
        form = dict(
            parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=100, errors="strict")
        )
    except ValueError:
        raise InputError("body", "is not a form") from None
    return _object(form["payload"]) if "payload" in form and "command" not in form else dict(form)


async def hand_on(app: AsyncApp, payload: Mapping[str, Any]) -> Reply:
    """To slack-bolt, as Socket Mode would have brought it."""
    response = await app.async_dispatch(AsyncBoltRequest(body=dict(payload), mode="socket_mode", headers={}))
    kind = (response.headers.get("content-type") or ["text/plain"])[0].partition(";")[0]
    return Reply(status=response.status, body=response.body or "", content_type=kind)


def _challenge(payload: Mapping[str, Any]) -> str:
    said = payload.get("challenge")
    if not isinstance(said, str):
        raise incoming.PayloadError("challenge", "is not a text")
    return said[:MAX_CHALLENGE]


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError("body", "is not JSON") from None
    if not isinstance(found, dict):
        raise InputError("body", "is not a JSON object")
    return found
