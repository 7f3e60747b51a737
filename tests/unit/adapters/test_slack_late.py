"""What Slack does later than it was asked to, or not at all: no card keeps buttons of a state that is over."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any

import pytest

from bot.adapters.slack.board.board import Manner
from bot.adapters.slack.board.shelf import Placed, Posting
from bot.adapters.slack.cards.shapes import Message
from bot.adapters.slack.line.api import SlackRefusedError, SlackThrottledError
from bot.adapters.slack.line.pacing import UPDATE
from bot.core.approval import Vote
from bot.errors import DeliveryError, DeliveryUncertain, StoreUnavailable
from tests.contract.store_records import SHARD
from tests.unit.adapters.slack_wall import Stage, Wall, begun, incident
from tests.unit.adapters.test_slack_board import asking

pytestmark = pytest.mark.looptime

BRIEF = Manner(settle_ms=3_000, lease_ms=4_000, renew_s=1.0)
VOTE = Vote(by="demo-oncall", at=1, verdict="approve")


def slow_once(stage: Stage, seconds: float) -> None:
    """The next call takes so long; those after it are quick again."""
    delays = iter([seconds])
    stage.wall.delay = lambda: next(delays, 0.05)


# --- edits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [8.0, 60.0])
async def test_an_edit_of_a_leader_that_is_none_any_more_does_not_stay(seconds: float) -> None:
    """It arrives after the next leader's, however late: the card shows the last state all the same."""
    stage = Stage(manner=BRIEF)
    async with asyncio.TaskGroup() as group:
        stage.begin(group, "a")
        await asyncio.sleep(1)
        await stage.commit(incident())
        await asyncio.sleep(3)
        slow_once(stage, seconds)
        await stage.commit(replace(incident(), why="before"))
        await asyncio.sleep(0.5)
        stage.shelf.asleep = "a"
        stage.begin(group, "b")
        await asyncio.sleep(5.5)
        await stage.commit(replace(incident(), status="closed", why="over"), by="b")
        await asyncio.sleep(150)
        stage.end()
    (card,) = stage.wall.named("card:")
    assert "inc-1 open before" in card.shown
    assert card.text == "inc-1 closed over"
    assert stage.boards["b"].scenery.briefs == {}  # and then nobody minds it any more
    kept = await stage.shelf.place(card.name)
    assert kept is not None
    assert (kept.over, kept.again) == (True, 0)


@dataclass
class Late(Wall):
    """Loses the answer to the next edit of a message whose name begins with `of`, and does it `after` so long."""

    of: str = ""
    after: float = 13.0
    group: asyncio.TaskGroup | None = None

    async def update(self, channel: str, ts: str, message: Message, *, name: str = "") -> None:
        if not self.of or not name.startswith(self.of):
            await super().update(channel, ts, message, name=name)
            return
        self.of = ""
        assert self.group is not None
        self.group.create_task(self._done_later(channel, ts, message))
        await asyncio.sleep(10)
        raise DeliveryUncertain("no answer from Slack within 10 s")

    async def _done_later(self, channel: str, ts: str, message: Message) -> None:
        await asyncio.sleep(self.after)
        self.messages[(channel, ts)].shown.append(message.text)


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("of", ["card:", "question:"])
async def test_an_edit_whose_answer_was_lost_and_that_is_done_late_does_not_stay(of: str, dies: bool) -> None:
    """Slack does it after the next one: the question still loses its buttons, also when that replica is gone."""
    wall = Late()
    stage = Stage(wall=wall)
    async with asyncio.TaskGroup() as group:
        wall.group = group
        stage.begin(group, "a")
        await asyncio.sleep(1)
        await stage.commit(asking(incident()))
        await asyncio.sleep(4)
        wall.of = of
        await stage.commit(replace(asking(incident(), VOTE), why="voted"))
        await asyncio.sleep(2.5)
        await stage.commit(replace(incident(), status="closed", why="approved by two"))
        await asyncio.sleep(10.5)
        if dies:
            stage.tasks.pop("a").cancel()
            stage.begin(group, "b")
        await asyncio.sleep(120)
        stage.end()
    (late,) = wall.named(of)
    voted, last = {
        "card:": ("inc-1 awaiting_approval voted", "inc-1 closed approved by two"),
        "question:": ("ap-1? 1 votes; before: ", "over: approved by two"),
    }[of]
    assert any(text.startswith(voted) for text in late.shown)
    assert late.text == last
    assert len(late.shown) <= 7
    assert all(one.over and not one.again for one in (await stage.shelf.places()).values())
    assert wall.closest() >= 1.0


async def test_an_edit_that_slack_took_at_once_is_made_once() -> None:
    """Nothing is drawn again that cannot have been overtaken; a refusal and a 429 leave nothing to be drawn again."""
    async with begun() as stage:
        await stage.commit(incident())
        await asyncio.sleep(2)
        stage.wall.throttle = {UPDATE: 5.0}
        await stage.commit(replace(incident(), why="more"))
        await asyncio.sleep(12)
        stage.wall.throttle = {}
        await asyncio.sleep(120)
    (card,) = stage.wall.named("card:")
    assert card.shown == ["inc-1 open", "inc-1 open more"]


# --- posts ----------------------------------------------------------------------------------------------------------


@dataclass
class Behind(Wall):
    """Loses the answer to the next post of a message whose name begins with `of`, and does it `after` so long."""

    of: str = ""
    after: float = 15.0
    group: asyncio.TaskGroup | None = None

    async def post(
        self, channel: str, message: Message, *, name: str = "", nonce: str = "", thread: str = "", aloud: bool = False
    ) -> str:
        posting = super().post(channel, message, name=name, nonce=nonce, thread=thread, aloud=aloud)
        if not self.of or not name.startswith(self.of):
            return await posting
        self.of = ""
        assert self.group is not None
        self.group.create_task(self._done_later(posting))
        await asyncio.sleep(10)
        raise DeliveryUncertain("no answer from Slack within 10 s")

    async def _done_later(self, posting: Coroutine[Any, Any, str]) -> None:
        await asyncio.sleep(self.after)
        await posting


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("of", ["card:", "question:", "thread:"])
async def test_a_post_that_is_done_after_it_was_looked_for_leaves_no_double(of: str, dies: bool) -> None:
    """It was not there when it was posted anew, and came all the same: one of the two goes, whoever leads then."""
    wall = Behind()
    stage = Stage(wall=wall)
    async with asyncio.TaskGroup() as group:
        wall.group = group
        stage.begin(group, "a")
        await asyncio.sleep(1)
        wall.of = of
        await stage.commit(asking(incident()))
        await stage.say("words")
        await asyncio.sleep(20)
        assert len(wall.named(of)) == 2
        if dies:
            stage.tasks.pop("a").cancel()
            stage.begin(group, "b")
        await asyncio.sleep(60)
        await stage.commit(replace(incident(), status="closed", why="over"), by="b" if dies else "a")
        await asyncio.sleep(60)
        stage.end()
    assert [one.text for one in wall.named("card:")] == ["inc-1 closed over"]
    assert [one.text for one in wall.named("question:")] == ["over: over"]
    assert [one.text for one in wall.named("thread:")] == ["words"]
    assert [name for name in await stage.shelf.places() if name.startswith("stray:")] == []


async def test_of_two_posts_without_an_answer_one_stays() -> None:
    """Both come late, the first while the second is looked for: both go, and the third is the card."""
    wall = Behind(after=20.0)
    stage = Stage(wall=wall)
    async with asyncio.TaskGroup() as group:
        wall.group = group
        stage.begin(group)
        await asyncio.sleep(1)
        wall.of = "card:"
        await stage.commit(incident())
        await asyncio.sleep(11.5)
        wall.of, wall.after = "card:", 14.0
        await asyncio.sleep(20)
        assert len(wall.named("card:")) > 1
        await asyncio.sleep(40)
        await stage.commit(replace(incident(), status="closed", why="over"))
        await asyncio.sleep(10)
        stage.end()
    assert [one.text for one in wall.named("card:")] == ["inc-1 closed over"]


@pytest.mark.parametrize("seconds", [14.0, 22.0, 60.0])
async def test_words_of_a_replica_that_slept_are_said_once(seconds: float) -> None:
    """Another one said them meanwhile, or is about to: one message stays, and it is not taken for one that was lost."""
    stage = Stage(manner=replace(BRIEF, settle_ms=12_000))
    async with asyncio.TaskGroup() as group:
        stage.begin(group, "a")
        await asyncio.sleep(1)
        await stage.commit(incident())
        await asyncio.sleep(3)
        delays = iter([seconds])
        stage.wall.delay = lambda: next(delays, 0.05 if seconds > 20 else 3.0)
        await stage.say("words")
        await asyncio.sleep(0.5)
        stage.shelf.asleep = "a"
        stage.begin(group, "b")
        await asyncio.sleep(150)
        stage.end()
    assert [one.text for one in stage.wall.named("thread:")] == ["words"]


async def test_a_question_that_comes_when_it_is_over_does_not_stay() -> None:
    """Nobody is asked any more, and it was not there when it was looked for: its buttons go with it."""
    wall = Behind(of="question:", after=17.0)
    stage = Stage(wall=wall)
    async with asyncio.TaskGroup() as group:
        wall.group = group
        stage.begin(group)
        await asyncio.sleep(1)
        await stage.commit(asking(incident()))
        await asyncio.sleep(5)
        await stage.commit(replace(incident(), status="closed", why="over"))
        await asyncio.sleep(16)
        assert [one.text for one in wall.named("question:")] == ["ap-1? 0 votes; before: "]
        await asyncio.sleep(60)
        stage.end()
    assert wall.named("question:") == []
    assert [one.text for one in wall.named("card:")] == ["inc-1 closed over"]


# --- doubles --------------------------------------------------------------------------------------------------------


async def doubled(stage: Stage, group: asyncio.TaskGroup, *, question: bool) -> None:
    """Replica a sleeps while its post is under way, b posts in its place, and a comes back."""
    stage.begin(group, "a")
    await asyncio.sleep(1)
    if question:
        await stage.commit(incident())
        await asyncio.sleep(2)
    slow = "question:" if question else "card:"
    real = stage.wall.post

    async def post(channel: str, message: Message, *, name: str = "", **more: Any) -> str:
        if name.startswith(slow) and str(more.get("nonce", "")).startswith("a-"):
            stage.shelf.asleep = "a"
            await asyncio.sleep(60)
        return await real(channel, message, name=name, **more)

    stage.wall.post = post  # type: ignore[method-assign,assignment]
    await stage.commit(asking(incident()) if question else incident())
    await asyncio.sleep(2.5)
    stage.begin(group, "b")


@pytest.mark.parametrize("question", [False, True])
@pytest.mark.parametrize("how", ["throttled", "away", "dies", "done all the same"])
async def test_a_double_that_could_not_be_taken_back_goes_later(how: str, question: bool) -> None:
    """Whoever leads takes it back, until Slack says that it is gone."""
    stage = Stage(manner=BRIEF)
    kind = "question:" if question else "card:"
    async with asyncio.TaskGroup() as group:
        await doubled(stage, group, question=question)

        async def fails(channel: str, ts: str) -> None:
            if how == "dies":
                stage.tasks.pop("a").cancel()
                await asyncio.sleep(10)
            if how == "throttled":
                raise SlackThrottledError("chat.delete", 30)
            if how == "done all the same":
                await stage.wall.delete(channel, ts)
                raise DeliveryUncertain("no answer from Slack within 10 s")
            raise DeliveryError("Slack cannot be reached")

        stage.hands["a"].delete = fails  # type: ignore[method-assign]
        await asyncio.sleep(120)
        (left,) = stage.wall.named(kind)
        assert left.nonce.startswith("b-")
        await stage.commit(replace(incident(), status="closed", why="over"), by="b")
        await asyncio.sleep(60)
        stage.end()
    assert stage.wall.named(kind) == [left]
    assert left.text == ("over: over" if question else "inc-1 closed over")
    assert [name for name in await stage.shelf.places() if name.startswith("stray:")] == []


async def test_a_double_that_slack_keeps_is_asked_for_now_and_then_and_holds_up_nothing() -> None:
    """Slack does not let it go: another double goes all the same, cards come, and it is not asked for at every look."""
    stage = Stage()
    tries: list[str] = []
    async with asyncio.TaskGroup() as group:
        kept = await stage.wall.post("C0000OPS", Message("kept", ()), name=f"card:{SHARD}|inc-9")
        other = await stage.wall.post("C0000OPS", Message("other", ()), name=f"card:{SHARD}|inc-9")
        for ts in (kept, other):
            await stage.shelf.put(Placed(name=f"stray:C0000OPS|{ts}", channel="C0000OPS", ts=ts))
        stage.begin(group)

        async def delete(channel: str, ts: str) -> None:
            tries.append(ts)
            if ts == kept:
                raise SlackRefusedError("chat.delete", "compliance_exports_prevent_deletion")
            await stage.wall.delete(channel, ts)

        stage.hands["a"].delete = delete  # type: ignore[method-assign]
        await asyncio.sleep(1)
        await stage.commit(incident())
        await asyncio.sleep(300)
        stage.end()
    assert [one.text for one in stage.wall.messages.values()] == ["kept", "inc-1 open"]
    assert 1 <= tries.count(kept) <= 2
    assert f"stray:C0000OPS|{kept}" in await stage.shelf.places()


async def test_a_double_is_taken_back_though_the_shelf_is_away() -> None:
    """The store takes no note of it just then: it goes when Slack lets it, all the same."""
    stage = Stage(manner=BRIEF)
    async with asyncio.TaskGroup() as group:
        await doubled(stage, group, question=False)
        real = stage.shelf.put

        async def put(placed: Placed) -> Placed | None:
            if placed.name.startswith("stray:C0000OPS|"):
                raise StoreUnavailable("no room")
            return await real(placed)

        stage.shelf.put = put  # type: ignore[method-assign]
        await asyncio.sleep(90)
        stage.end()
    (left,) = stage.wall.named("card:")
    assert left.nonce.startswith("b-")


@pytest.mark.parametrize("planted", ["no seal", "the card itself"])
async def test_a_card_is_not_taken_for_a_double(planted: str) -> None:
    """A place that does not carry our seal takes nothing back, and neither does one of the message that stays."""
    async with begun() as stage:
        await stage.commit(incident())
        await asyncio.sleep(3)
        (card,) = stage.wall.named("card:")
        name = f"stray:{card.channel}|{card.ts}"
        forged = Placed(name=name, posting=Posting(nonce="", at=0))
        await stage.shelf.put(forged if planted == "no seal" else Placed(name=name, channel=card.channel, ts=card.ts))
        await stage.shelf.nudge([name])
        await asyncio.sleep(60)
    assert stage.wall.named("card:") == [card]
    assert await stage.shelf.place(name) is None
