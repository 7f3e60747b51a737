"""Attacks on what the board remembers of Slack: planted names, spoiled places. Cards come all the same, buttons go."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bot.adapters.slack.shelf import Placed, Posting, question_name
from tests.contract.store_records import SHARD
from tests.unit.adapters.slack_wall import Stage, incident
from tests.unit.adapters.test_slack_board import asking

pytestmark = pytest.mark.looptime


async def test_names_that_no_board_wrote_do_not_stop_the_board() -> None:
    """Whoever can write into the store plants places and nudges; cards come as before, and the part does not fail."""
    stage = Stage()
    for name in (
        "card:",
        "card:x",
        "question:x",
        "thread:|",
        "digest:",
        "words:",
        "?",
        f"card:{SHARD}|inc-x|y|z",
        "|||",
    ):
        await stage.shelf.put(Placed(name=name, posting=Posting(nonce="", at=0)))
    async with asyncio.TaskGroup() as group:
        board = stage.begin(group)
        await asyncio.sleep(1)
        await stage.shelf.nudge(["nowhere|inc-aaaaaaaaaa", "inc-x", "|", f"{SHARD}|inc-", "said|", "\x00"])
        board.nudge(["nowhere|inc-bbbbbbbbbb"])
        await stage.commit(incident())
        await asyncio.sleep(40)
        (card,) = stage.wall.named(f"card:{SHARD}|inc-1")
        assert card.text == "inc-1 open"
        stage.end()


@pytest.mark.parametrize("when", ["while it waits", "once it is over"])
async def test_a_question_s_place_that_was_spoiled_still_loses_its_buttons(when: str) -> None:
    """The message is found again by its name, below its card: one question, and it says that it is over."""
    stage = Stage()
    async with asyncio.TaskGroup() as group:
        stage.begin(group)
        await asyncio.sleep(1)
        await stage.commit(asking(incident()))
        await asyncio.sleep(5)
        stage.boards["a"].placer.places.clear()
        stage.end()
    (question,) = stage.wall.named("question:")
    name = question_name(SHARD, "inc-1", "ap-1")
    kept = await stage.shelf.place(name)
    assert kept is not None
    await stage.shelf.put(Placed(name=name, posting=Posting(nonce="", at=0), revision=kept.revision))
    async with asyncio.TaskGroup() as group:
        if when == "while it waits":
            stage.begin(group, "b")
            await asyncio.sleep(20)
        await stage.commit(replace(incident(), status="parked", why="denied"), by="b" if "b" in stage.boards else "a")
        if when == "once it is over":
            stage.begin(group, "b")
        await asyncio.sleep(40)
        stage.end()
    assert stage.wall.named("question:") == [question]
    assert question.text == "over: denied"
