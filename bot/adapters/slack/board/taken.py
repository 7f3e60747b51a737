"""The way to Slack, remembering into which channels something was put, and in which something was looked up.

Between `board` and `api`: a job may turn out to need no call at all, and only a message that Slack took says that Slack
takes messages.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from bot.adapters.slack.board.placing import Slack
from bot.adapters.slack.cards.shapes import Message


class Taken:
    """Implements `placing.Slack`, by another one."""

    def __init__(self, slack: Slack) -> None:
        self._slack = slack
        self._took: set[str] = set()
        self._heard: set[str] = set()

    def begin(self, channel: str) -> None:
        """A job of this channel begins: what was before counts no more."""
        self._took.discard(channel)
        self._heard.discard(channel)

    def took(self, channel: str) -> bool:
        """Whether Slack took a message or an edit there since."""
        return channel in self._took

    def heard(self, channel: str) -> bool:
        """Whether Slack answered there what stands in it."""
        return channel in self._heard

    async def post(
        self, channel: str, message: Message, *, name: str = "", nonce: str = "", thread: str = "", aloud: bool = False
    ) -> str:
        """Post, and remember it."""
        ts = await self._slack.post(channel, message, name=name, nonce=nonce, thread=thread, aloud=aloud)
        self._took.add(channel)
        return ts

    async def update(self, channel: str, ts: str, message: Message, *, name: str = "") -> None:
        """Edit, and remember it."""
        await self._slack.update(channel, ts, message, name=name)
        self._took.add(channel)

    async def delete(self, channel: str, ts: str) -> None:
        """Take a message back."""
        await self._slack.delete(channel, ts)

    async def find(self, channel: str, *, name: str, nonce: str, oldest: float, thread: str = "") -> str:
        """Look for a message, and remember the answer."""
        found = await self._slack.find(channel, name=name, nonce=nonce, oldest=oldest, thread=thread)
        self._heard.add(channel)
        return found

    async def join(self, channel: str) -> None:
        """Become a member."""
        await self._slack.join(channel)

    async def channels(self, wanted: Collection[str]) -> Mapping[str, str]:
        """Ids by name."""
        return await self._slack.channels(wanted)

    async def probe(self) -> Mapping[str, object]:
        """Ask whether it is there."""
        return await self._slack.probe()
