"""Slack as the engine's chat: what is posted is kept durably on the shelf at once, and said by the board in its time.

Implements `bot.engine.ports.Chat`. So a Slack that is away holds nothing up, and an effect that is handed out twice is
said once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from bot.adapters.slack.board.shelf import Line, Shelf
from bot.core.effects import PostMessage
from bot.engine.ports import Clock

SAID: Final = "said|"  # nudged when a line was kept


class SlackChat:
    """`nudge` tells the board of this replica."""

    def __init__(self, shelf: Shelf, clock: Clock, nudge: Callable[[Sequence[str]], None]) -> None:
        self._shelf = shelf
        self._clock = clock
        self._nudge = nudge

    async def post(self, message: PostMessage, shard: str) -> str:
        """Keep the words until they are said.

        StoreUnavailable when the shelf does not take them: no other way would, so they are not given up as what chat
        refuses is, but stay in the outbox and are handed out again.
        """
        line = Line(
            id=message.id, shard=shard, incident=message.incident, channel=message.channel, topic=message.topic,
            text=message.text, at=self._clock.now(),
        )  # fmt: skip
        await self._shelf.say(line)
        self._nudge([SAID])
        return f"slack:{message.id}"
