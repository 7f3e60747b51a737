"""Answers on their way to the person who asked: a modal, or words for them alone, wherever they are.

Used by `listeners` and `homes`. A response_url reaches somebody also where the bot is no member; without one the words
go into the channel for their eyes only, and from the Home tab, which has no channel, into a modal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.slack.heard.person import Deed, Show, Tell, told
from bot.adapters.slack.line.api import SlackApi, SlackRefusedError
from bot.adapters.slack.pages import modals
from bot.errors import DeliveryError, DeliveryUncertain

RESPOND_SECONDS: Final = 5.0
# Slack's words for a form that comes after its three seconds.
EXPIRED: Final = frozenset({"expired_trigger_id", "trigger_expired", "exchanged_trigger_id", "trigger_exchanged"})
TOO_LATE: Final = "The form was not ready within the three seconds that Slack allows. Nothing was done; do it again."


class Speaking:
    """The way back to one person."""

    def __init__(self, api: SlackApi, token: str) -> None:
        self._api = api
        self._token = token

    @property
    def client(self) -> AsyncWebClient:
        """The SDK's client, for slack-bolt."""
        return self._api.client

    async def identity(self) -> AuthorizeResult:
        """Who the bot is, as far as it is known: Slack is not asked while somebody's click waits to be acknowledged.

        While it is not, nothing is ignored as the bot's own.
        """
        me = self._api.known
        return AuthorizeResult(
            enterprise_id=None, team_id=str(me.get("team_id", "")), bot_token=self._token,
            bot_id=str(me.get("bot_id", "")) or None, bot_user_id=str(me.get("user_id", "")) or None,
        )  # fmt: skip

    async def deliver(self, deed: Deed, answer: Show | Tell | object) -> str:
        """Bring it there; returns the id of a form that this opened, else "". Raises DeliveryError."""
        try:
            match answer:
                case Show(view=view):
                    return await self._show(deed, dict(view))
                case Tell() as words:
                    await self._tell(deed, words)
        except SlackRefusedError as error:
            if error.code not in EXPIRED:
                raise
            late = answer if isinstance(answer, Tell) else told(TOO_LATE)
            if deed.channel:
                await self._tell(deed, late)
            else:  # the Home tab: as a message to the person
                await self._api.post(deed.user, late.message)
        return ""

    async def replace(self, address: str, words: Tell) -> None:
        """Say it in the place of what was clicked, by the click's own address. Raises DeliveryError."""
        if self._api.ways.to(address) is not None:
            body = {"text": words.message.text, "blocks": list(words.message.blocks), "replace_original": True}
            await self._api.send("response_url", address, seconds=RESPOND_SECONDS, json=body)

    async def publish(self, user: str, view: dict[str, Any]) -> None:
        """A person's Home tab. Raises DeliveryError."""
        await self._api.ask("views.publish", self.client.views_publish(user_id=user, view=view))

    async def _show(self, deed: Deed, view: dict[str, Any]) -> str:
        if deed.view:
            await self._api.ask("views.update", self.client.views_update(view_id=deed.view, view=view))
            return ""
        opened = await self._api.ask("views.open", self.client.views_open(trigger_id=deed.trigger, view=view))
        made = opened.get("view")
        return str(made.get("id", "")) if isinstance(made, Mapping) else ""

    async def _tell(self, deed: Deed, words: Tell) -> None:
        body: dict[str, Any] = {"text": words.message.text, "blocks": list(words.message.blocks)}
        answerable = self._api.ways.to(deed.response_url) is not None
        kind = "in_channel" if words.in_channel else "ephemeral"
        answer = {**body, "response_type": kind, "replace_original": words.replaces}
        if answerable and await self._responded(deed, answer):
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

    async def _responded(self, deed: Deed, answer: Mapping[str, Any]) -> bool:
        """By response_url. False: it is used up or too old, and there is a channel to say it in."""
        try:
            await self._api.send("response_url", deed.response_url, seconds=RESPOND_SECONDS, json=dict(answer))
        except DeliveryUncertain:
            raise
        except DeliveryError:
            if not deed.channel:
                raise
            return False
        return True
