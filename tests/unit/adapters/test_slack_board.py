"""The board makes Slack show what the store says, in order, at Slack's pace, once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bot.core.approval import PendingApproval, Terms, Vote
from bot.core.incident import Incident
from bot.errors import StoreUnavailable
from tests.unit.adapters.slack_wall import Stage, begun, incident

pytestmark = pytest.mark.looptime


def asking(found: Incident, *votes: Vote, name: str = "ap-1") -> Incident:
    """The incident while people are asked."""
    terms = Terms(
        digest="d", pins="{}", wanted="{}", policy_hash="h", current_hash="h", quorum=2, asked_at=1, expires_at=2
    )
    asked = PendingApproval(id=name, step="s", why="w", arguments="{}", before="{}", terms=terms, votes=votes)
    return replace(found, status="awaiting_approval", approval=asked)


async def test_a_commit_becomes_a_card_at_once_and_is_edited_in_place() -> None:
    """One message an incident, within a moment of its commit; what changes later changes there."""
    async with begun() as stage:
        await stage.commit(incident())
        await asyncio.sleep(0.3)
        (card,) = stage.wall.named("card:")
        assert card.text == "inc-1 open"
        await stage.commit(replace(incident(), status="acting", why="Kelly down"))
        await asyncio.sleep(2)
        await stage.commit(replace(incident(), status="closed", why="over"))
        await asyncio.sleep(30)
    assert card.shown == ["inc-1 open", "inc-1 acting Kelly down", "inc-1 closed over"]
    assert len(stage.wall.messages) == 1
    assert stage.boards["a"].scenery.briefs == {}


async def test_changes_faster_than_slack_takes_them_are_one_edit() -> None:
    """A hundred commits of one incident in a second cost one or two edits, and the last is what stays."""
    async with begun() as stage:
        for number in range(100):
            await stage.commit(replace(incident(), why=f"look {number}"))
            await asyncio.sleep(0.01)
        await asyncio.sleep(3)
    (card,) = stage.wall.messages.values()
    assert card.text == "inc-1 open look 99"
    assert len(card.shown) <= 3
    assert stage.wall.closest() >= 1.0


async def test_lines_stand_below_the_card_in_order_joined_and_once() -> None:
    """What the engine says while the channel is busy becomes one message; a copy of an effect is not said again."""
    async with begun() as stage:
        await stage.say("before the card", by="a")
        await stage.commit(incident())
        for number in range(30):
            await stage.say(f"line {number}")
            await stage.say(f"line {number}")
        await asyncio.sleep(10)
    (card,) = stage.wall.named("card:")
    said = stage.wall.named("thread:")
    assert {one.thread for one in said} == {card.ts}
    assert "\n".join(one.text for one in said).split("\n") == ["before the card", *(f"line {n}" for n in range(30))]
    assert len(said) <= 3
    assert await stage.shelf.lines(10) == []


async def test_what_the_record_says_and_no_line_tells_is_added_to_the_thread() -> None:
    """Acknowledging says nothing by itself; the thread tells it all the same, once."""
    async with begun() as stage:
        await stage.commit(incident())
        await asyncio.sleep(2)
        await stage.commit(replace(incident(), acknowledged_by="demo-oncall"))
        await asyncio.sleep(40)
    assert [one.text for one in stage.wall.named("thread:")] == ['{"acked":""} -> {"acked":"demo-oncall"}']


async def test_a_question_is_asked_aloud_in_the_thread_and_ends_everywhere_at_once() -> None:
    """It goes before everything else, shows votes as they come, and loses its buttons when it is over."""
    async with begun() as stage:
        await stage.commit(*(incident(f"inc-{n}") for n in range(2, 8)), asking(incident()))
        await asyncio.sleep(1.8)
        card, question = stage.wall.messages.values()
        assert (card.name.partition("|")[2], question.thread, question.aloud) == ("inc-1", card.ts, True)
        await asyncio.sleep(8)
        assert card.text.endswith(f"https://team.slack.test/archives/C0000OPS/p{question.ts.replace('.', '')}"
                                  f"?thread_ts={card.ts}&cid=C0000OPS")  # fmt: skip
        await stage.commit(asking(incident(), Vote(by="demo-oncall", at=1, verdict="approve")))
        await asyncio.sleep(3)
        await stage.commit(replace(incident(), status="acting", why="approved by two"))
        await asyncio.sleep(3)
        await stage.commit(replace(incident(), status="parked", why="its effect is not seen"))
        await asyncio.sleep(30)
    assert question.shown == [
        "ap-1? 0 votes; before: ", "ap-1? 1 votes; before: ", "over: approved by two", "over: its effect is not seen",
    ]  # fmt: skip


async def test_words_for_another_channel_are_a_message_there_with_a_link_to_the_card() -> None:
    """A rung's `notify` reaches its own channel; what has no incident goes to the default channel."""
    async with begun() as stage:
        await stage.commit(incident())
        await asyncio.sleep(2)
        await stage.say("look at this", channel="#pm")
        await stage.say("automation tripped", about="target:*")
        await stage.say("nobody knows this channel", about="target:*", channel="#gone")
        await asyncio.sleep(5)
    (card,) = stage.wall.named("card:")
    told = {one.text: one.channel for one in stage.wall.named("words:")}
    link = f"https://team.slack.test/archives/C0000OPS/p{card.ts.replace('.', '')}"
    assert told == {
        f"look at this\n{link}": "C00000PM", "automation tripped\nnobody knows this channel": "C0000OPS"
    }  # fmt: skip


async def test_a_card_that_cannot_be_drawn_stops_nobody_elses() -> None:
    """A defect of a renderer costs that card, not the board."""
    stage = Stage()
    stage.drawing.broken.add("inc-1")
    async with asyncio.TaskGroup() as group:
        stage.begin(group)
        await asyncio.sleep(1)
        await stage.commit(incident(), incident("inc-2"))
        await asyncio.sleep(5)
        stage.end()
    assert [one.text for one in stage.wall.named("card:")] == ["inc-2 open"]


async def test_a_channel_that_refuses_leaves_its_cards_to_the_default_one() -> None:
    """An archived channel costs nobody the card."""
    stage = Stage()
    stage.wall.refuse["C00000PM"] = "is_archived"
    async with asyncio.TaskGroup() as group:
        stage.begin(group)
        await asyncio.sleep(1)
        await stage.commit(incident(channel="#pm"))
        await asyncio.sleep(5)
        stage.end()
    assert [(one.channel, one.text) for one in stage.wall.named("card:")] == [("C0000OPS", "inc-1 open")]


async def test_a_card_that_somebody_deleted_is_posted_again() -> None:
    """What Slack shows is made equal to what the store says, not to what was sent once."""
    async with begun() as stage:
        await stage.commit(incident())
        await asyncio.sleep(2)
        stage.wall.messages.clear()
        await stage.commit(replace(incident(), why="more"))
        await asyncio.sleep(5)
    assert [one.text for one in stage.wall.named("card:")] == ["inc-1 open more"]


async def test_a_shelf_that_is_away_is_told_to_the_engine_and_loses_nothing_later() -> None:
    """Words that were not kept are not taken for said; cards wait for the shelf and are right afterwards."""
    async with begun() as stage:
        stage.shelf.down = True
        await stage.commit(incident())
        with pytest.raises(StoreUnavailable):
            await stage.say("words")
        await asyncio.sleep(5)
        stage.shelf.down = False
        await asyncio.sleep(20)
    assert [one.text for one in stage.wall.messages.values()] == ["inc-1 open"]
