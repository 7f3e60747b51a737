"""A decision card whose picture is gone from Slack keeps its buttons."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bot.adapters.slack.board.sights import Sight
from bot.adapters.slack.cards.shapes import Block, Message
from bot.adapters.slack.line.api import SlackRefusedError
from bot.adapters.slack.line.pacing import UPDATE
from bot.core.approval import Vote
from bot.core.words import Millis
from tests.unit.adapters.slack_wall import Plain, Stage, Wall, begun, incident
from tests.unit.adapters.test_slack_board import asking

pytestmark = pytest.mark.looptime

VOTE = Vote(by="demo-oncall", at=1, verdict="approve")
PRESS: Block = {"type": "actions", "elements": [{"type": "button", "action_id": "andon:approve"}]}


@dataclass
class Gallery(Wall):
    """Refuses blocks whose picture is `gone`, and all blocks while it is `strict`; `blocks`: what stands, by ts."""

    gone: set[str] = field(default_factory=set)
    strict: bool = False
    blocks: dict[str, tuple[Block, ...]] = field(default_factory=dict)

    def _judge(self, doing: str, message: Message) -> None:
        shown = {block["slack_file"]["id"] for block in message.blocks if block["type"] == "image"}
        if shown & self.gone or (self.strict and message.blocks):
            raise SlackRefusedError(doing, "invalid_blocks")

    async def post(self, channel: str, message: Message, **more: Any) -> str:
        self._judge("chat.postMessage", message)
        ts = await super().post(channel, message, **more)
        self.blocks[ts] = message.blocks
        return ts

    async def update(self, channel: str, ts: str, message: Message, *, name: str = "") -> None:
        self._judge(UPDATE, message)
        await super().update(channel, ts, message, name=name)
        self.blocks[ts] = message.blocks


class Illustrated(Plain):
    """Questions have the picture `file` and a button."""

    file = "F1"

    def question(self, sight: Sight, now: Millis) -> Message | None:
        plain = super().question(sight, now)
        picture: Mapping[str, Any] = {"type": "image", "slack_file": {"id": self.file}, "alt_text": "x"}
        return plain if plain is None else Message(plain.text, (dict(picture), PRESS))


async def test_a_picture_that_is_gone_takes_no_button_with_it() -> None:
    """Somebody deletes the file: the question is shown without it, and with the next picture when there is one."""
    wall, drawing = Gallery(), Illustrated()
    stage = Stage(wall=wall, drawing=drawing)
    async with begun(stage):
        await stage.commit(asking(incident()))
        await asyncio.sleep(5)
        (question,) = wall.named("question:")
        assert [block["type"] for block in wall.blocks[question.ts]] == ["image", "actions"]
        wall.gone.add("F1")
        await stage.commit(asking(incident(), VOTE))
        await asyncio.sleep(60)
        assert question.text.startswith("ap-1? 1 votes")
        assert wall.blocks[question.ts] == (PRESS,)
        assert len(question.shown) == 2
        drawing.file = "F2"
        await stage.commit(replace(asking(incident(), VOTE), why="another picture"))
        await asyncio.sleep(10)
    assert [block["type"] for block in wall.blocks[question.ts]] == ["image", "actions"]


@pytest.mark.parametrize("strict", [False, True])
async def test_a_question_whose_picture_is_gone_at_once_is_asked_with_its_buttons(strict: bool) -> None:
    """Only when Slack does not take the rest either, the words go out alone."""
    wall = Gallery(gone={"F1"}, strict=strict)
    stage = Stage(wall=wall, drawing=Illustrated())
    async with begun(stage):
        await stage.commit(asking(incident()))
        await asyncio.sleep(30)
    (question,) = wall.named("question:")
    assert wall.blocks[question.ts] == (() if strict else (PRESS,))
