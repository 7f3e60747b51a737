"""Socket Mode: Andon calls Slack and keeps the line, so that no public address is needed.

One of the house's eternal tasks (`run`); what comes in is judged (`incoming`) and goes to slack-bolt's application
(`listeners`); what cannot be used is acknowledged, and `unread` tells people. The SDK keeps the line and opens it
again; what it cannot mend (a token that is wrong, a network that is gone) ends `run` with an error, which the keeper
tells and tries again. https://docs.slack.dev/apis/events-api/using-socket-mode
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Mapping
from typing import Any, Final

import structlog
from pydantic import SecretStr
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.socket_mode.aiohttp import SocketModeClient

from bot.adapters.slack.line import incoming
from bot.adapters.slack.line.unread import Noted, logged
from bot.errors import DeliveryError

CONNECT_SECONDS: Final = 15.0  # the SDK would try a wrong token for ever
LOOK_SECONDS: Final = 1.0  # nothing announces a line that is gone
AWAY_SECONDS: Final = 30.0  # the SDK opens it again within a few
PING_SECONDS: Final = 5.0
_TICKET: Final = re.compile(r"(?<=[?&]ticket=)[^&\s'\"]+")
_ENVELOPE: Final = re.compile(r'"envelope_id"\s*:\s*"([\w-]{1,100})"')  # in what is no JSON that can be read

log = structlog.get_logger(__name__)


class SocketLine:
    """The line of one replica. Slack sends each thing to any one of an app's lines, ten at most."""

    def __init__(self, app: AsyncApp, token: SecretStr, noted: Noted = logged) -> None:
        """`token`: the app-level one, xapp-… `noted` hears of what cannot be read."""
        self._app = app
        self._noted = noted
        self._token = token
        self.standing = "not connected yet"

    async def run(self) -> None:
        """Keep the line until cancelled. Raises DeliveryError when it cannot be had."""
        handler = _Handler(self._app, self._token, self._noted)
        try:
            await self._connect(handler)
            await self._watch(handler)
        finally:
            self.standing = "not connected"
            await handler.close_async()  # type: ignore[no-untyped-call]

    async def _connect(self, handler: AsyncSocketModeHandler) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await handler.connect_async()  # type: ignore[no-untyped-call]
        except TimeoutError:
            raise DeliveryError(
                f"Slack gave no Socket Mode line within {CONNECT_SECONDS:g} s; `andon slack check` tells why"
            ) from None
        self.standing = "connected"

    async def _watch(self, handler: AsyncSocketModeHandler) -> None:
        """Returns never; raises DeliveryError once the line is gone for too long."""
        now = asyncio.get_running_loop().time
        well = now()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if await handler.client.is_connected():
                well, self.standing = now(), "connected"
            elif now() - well > AWAY_SECONDS:
                raise DeliveryError(f"the Socket Mode line has been gone for {AWAY_SECONDS:g} s")
            else:
                self.standing = "the line broke; opening it again"


class _Handler(AsyncSocketModeHandler):
    """slack-bolt's, with a client of our own."""

    def __init__(self, app: AsyncApp, token: SecretStr, noted: Noted) -> None:
        self.app, self.app_token = app, token.get_secret_value()
        self.client = _Client(self.app_token, logger=_discreet(), web_client=app.client, ping_interval=PING_SECONDS)
        self.client.noted = noted
        self.client.proxy = None  # the SDK takes HTTP(S)_PROXY of the environment, for loopback too
        self.client.socket_mode_request_listeners.append(self.handle)  # type: ignore[arg-type]  # as bolt itself does


class _Client(SocketModeClient):
    """The SDK's, which hears of no message that Slack never sends: it would log the whole of it and acknowledge none.

    What cannot be used would not be of use if it came again either, so it is acknowledged.
    """

    noted: Noted = staticmethod(logged)

    async def enqueue_message(self, message: str) -> None:
        """Take one message of the line, as JSON."""
        envelope, judged, answer = _judged(message, self.noted)
        if judged is not None:
            await super().enqueue_message(judged)
        elif isinstance(envelope, str):
            said = {"payload": dict(answer)} if answer is not None else {}
            await self.send_socket_mode_response({"envelope_id": envelope, **said})


def _judged(message: str, noted: Noted) -> tuple[object, str | None, Mapping[str, Any] | None]:
    """(the envelope's id, what the SDK may hear of the message: None for nothing, what its sender is answered)."""
    envelope: object = None
    found: dict[str, Any] = {}
    try:
        found = json.loads(message) if message.startswith("{") else {}
        envelope = found.get("envelope_id")
        if envelope is None:
            return None, message, None  # the line's own: hello, disconnect
        payload = incoming.read(found.get("payload"))
    except (ValueError, RecursionError):  # no JSON, or nested too deep for this process
        named = _ENVELOPE.search(message)
        envelope, error = named and named[1], incoming.PayloadError("payload", "cannot be read as JSON")
    except incoming.PayloadError as refusal:
        error = refusal
    else:
        if not isinstance(payload, incoming.Unheard):
            return envelope, json.dumps({"envelope_id": envelope, "type": "judged", "payload": payload}), None
        log.info("slack_payload_unheard", kind=payload.kind)
        return envelope, None, None
    return envelope, None, noted(found.get("payload"), error)


class _Discreet(logging.Filter):
    """What the SDK logs, without the line's one-time ticket: an address that was refused can still be used by others.

    Its tracebacks quote the address too; what went wrong stands in the message.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _TICKET.sub("…", record.getMessage()), ()
        record.exc_info = record.exc_text = None
        return True


def _discreet() -> logging.Logger:
    found = logging.getLogger("andon.slack_socket")
    found.setLevel(logging.WARNING)  # at DEBUG it writes whole messages
    if not found.filters:
        found.addFilter(_Discreet())
    return found
