"""HTTP mode: what Slack posts to an app's address, signed.

Used by `courier` when the app has a `request_url`. Source:
https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import hashlib
import hmac
import json
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import ClientError, ClientSession, ClientTimeout

from bot.sandbox.slack.courier import Parcel, Undelivered
from bot.sandbox.slack.faults import Faults
from bot.sandbox.slack.state import State

_REASONS: Final = MappingProxyType(
    {"timeout": "http_timeout", "error": "http_error", "connection_failed": "connection_failed"}
)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The value of `X-Slack-Signature`."""
    return "v0=" + hmac.new(secret.encode(), b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()


class Pushes:
    """Posts to the app. `session` belongs to the server."""

    def __init__(self, state: State, faults: Faults, session: ClientSession) -> None:
        self._state = state
        self._faults = faults
        self._session = session

    async def deliver(self, parcel: Parcel, within_s: float) -> Any:
        """See `courier.Way`."""
        body, kind = _encoded(parcel)
        headers = self.headers(body) | {"Content-Type": kind}
        if parcel.attempt:
            headers |= {"X-Slack-Retry-Num": str(parcel.attempt), "X-Slack-Retry-Reason": _REASONS[parcel.reason]}
        try:
            async with self._session.post(
                self._state.world.app.request_url, data=body, headers=headers, timeout=ClientTimeout(total=within_s)
            ) as answer:
                text = await answer.text()
        except TimeoutError:
            raise Undelivered("timeout") from None
        except ClientError:
            raise Undelivered("connection_failed") from None
        if self._faults.deaf:
            raise Undelivered("timeout")
        if not 200 <= answer.status < 300:
            raise Undelivered("error", final=answer.headers.get("X-Slack-No-Retry") == "1")
        return _said(text)

    async def challenge(self) -> bool:
        """Whether the app proves that its address is its own (`url_verification`)."""
        app = self._state.world.app
        wanted = self._state.world.fresh("challenge")
        payload = {"type": "url_verification", "token": app.verification_token, "challenge": wanted}
        said = await self.deliver(Parcel("events_api", payload), 3.0)
        return said == wanted or (isinstance(said, dict) and said.get("challenge") == wanted)

    def headers(self, body: bytes) -> dict[str, str]:
        """Slack's, with its signature of `body`."""
        timestamp = str(self._state.world.clock() // 1_000)
        return {
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": signature(self._state.world.app.signing_secret, timestamp, body),
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
        }


def _encoded(parcel: Parcel) -> tuple[bytes, str]:
    if parcel.kind == "events_api":
        return json.dumps(parcel.payload).encode(), "application/json"
    fields = parcel.payload if parcel.kind == "slash_commands" else {"payload": json.dumps(parcel.payload)}
    return urlencode(fields).encode(), "application/x-www-form-urlencoded"


def _said(text: str) -> Any:
    """An acknowledgement's body: an object where it is one, else text; nothing is None."""
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text
