"""Answers on their way to the person who asked: a modal, or words for them alone, wherever they are.

Used by `listeners` and `homes`. A response_url reaches somebody also where the bot is no member; without one the words
go into the channel for their eyes only, and from the Home tab, which has no channel, into a modal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient
from yarl import URL

from bot.adapters.slack import modals
from bot.adapters.slack.api import SlackApi, SlackRefusedError
from bot.adapters.slack.person import Deed, Show, Tell, told
from bot.errors import DeliveryError, DeliveryUncertain

RESPOND_SECONDS: Final = 5.0
# Slack's words for a form that comes after its three seconds.
EXPIRED: Final = frozenset({"expired_trigger_id", "trigger_expired", "exchanged_trigger_id", "trigger_exchanged"})
TOO_LATE: Final = "The form was not ready within the three seconds that Slack allows. Nothing was done; do it again."
HOOKS: Final = "hooks.slack.com"  # where every response_url of Slack's leads


class Speaking:
    """The way back to one person."""

    def __init__(self, api: SlackApi, url: str, token: str) -> None:
        """`url`: the Web API's, whose host may also take response_urls (a local Slack's does)."""
        self._api = api
        self._hosts = {HOOKS, URL(url).host}
        self._token = token

    @property
    def client(self) -> AsyncWebClient:
        """The SDK's client, for slack-bolt."""
        return self._api.client

    async def identity(self) -> AuthorizeResult:
        """Who the bot is. A Slack that is away leaves it unsaid; then nothing is ignored as the bot's own."""
        try:
            me = await self._api.me()
        except DeliveryError:
            me = {}
        return AuthorizeResult(
            enterprise_id=None, team_id=str(me.get("team_id", "")), bot_token=self._token,
            bot_id=str(me.get("bot_id", "")) or None, bot_user_id=str(me.get("user_id", "")) or None,
        )  # fmt: skip

    async def deliver(self, deed: Deed, answer: Show | Tell | object) -> None:
        """Bring it there. Raises DeliveryError."""
        match answer:
            case Show(view=view):
                try:
                    await self._show(deed, dict(view))
                except SlackRefusedError as error:
                    if error.code not in EXPIRED or not deed.channel:
                        raise
                    await self._tell(deed, told(TOO_LATE))
            case Tell() as words:
                await self._tell(deed, words)

    async def publish(self, user: str, view: dict[str, Any]) -> None:
        """A person's Home tab. Raises DeliveryError."""
        await self._api.ask("views.publish", self.client.views_publish(user_id=user, view=view))

    async def _show(self, deed: Deed, view: dict[str, Any]) -> None:
        if deed.view:
            await self._api.ask("views.update", self.client.views_update(view_id=deed.view, view=view))
        else:
            await self._api.ask("views.open", self.client.views_open(trigger_id=deed.trigger, view=view))

    async def _tell(self, deed: Deed, words: Tell) -> None:
        body: dict[str, Any] = {"text": words.message.text, "blocks": list(words.message.blocks)}
        if self._is_slack_s(deed.response_url) and await self._responded(deed, body, aloud=words.in_channel):
            return
        if deed.channel and words.in_channel:
            await self._api.post(deed.channel, words.message, thread=deed.thread)
        elif deed.channel:
            said = self.client.chat_postEphemeral(
                channel=deed.channel, user=deed.user, thread_ts=deed.thread or None, **body
            )
            await self._api.ask("chat.postEphemeral", said)
        else:
            await self._show(deed, modals.answer(words.message))

    def _is_slack_s(self, url: str) -> bool:
        """Whether an address leads to Slack and nowhere else."""
        try:
            return bool(url) and URL(url).host in self._hosts
        except ValueError:
            return False

    async def _responded(self, deed: Deed, body: Mapping[str, Any], *, aloud: bool) -> bool:
        """By response_url. False: it is used up or too old, and there is a channel to say it in."""
        kind = "in_channel" if aloud else "ephemeral"
        try:
            await self._respond(deed.response_url, {**body, "response_type": kind, "replace_original": False})
        except DeliveryUncertain:
            raise
        except DeliveryError:
            if not deed.channel:
                raise
            return False
        return True

    async def _respond(self, url: str, body: dict[str, Any]) -> None:
        session = self.client.session
        assert session is not None  # SlackApi gives it one
        try:
            async with (
                asyncio.timeout(RESPOND_SECONDS),
                session.post(url, json=body, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    raise DeliveryError(f"response_url: Slack answered HTTP {response.status}")
        except aiohttp.ClientConnectorError as error:
            raise DeliveryError(f"response_url: {type(error).__name__}") from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise DeliveryUncertain(f"response_url: {type(error).__name__}") from error
