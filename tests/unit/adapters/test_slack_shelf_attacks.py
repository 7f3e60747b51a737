"""Attacks on what the board remembers of Slack: planted names, spoiled places. Cards come all the same, buttons go."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from bot.adapters.slack.board.reach import PUT_OFF, STUCK
from bot.adapters.slack.board.shelf import Line, Placed, Posting, question_name
from bot.adapters.slack.board.shelf_twin import MemoryShelf
from bot.adapters.slack.line.pacing import POST
from bot.core.events import AlertsReceived
from bot.errors import RecordForged
from tests.contract.store_records import SHARD
from tests.unit.adapters.slack_wall import Stage, begun, incident
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


async def alarms(stage: Stage, name: str) -> list[tuple[str, str]]:
    """What was said of this alarm since it was asked last."""
    entries = [delivery.entry for delivery in await stage.store.read_inbox(SHARD, 1_000, 0)]
    alerts = [alert for entry in entries if isinstance(entry, AlertsReceived) for alert in entry.alerts]
    return [(alert.name, alert.status) for alert in alerts if alert.name == name]


class Spoiled(MemoryShelf):
    """A shelf that takes no place, or does not tell where they are, while it is `spoiled` so."""

    spoiled = ""

    async def put(self, placed: Placed) -> Placed | None:
        if self.spoiled == "put":
            raise RecordForged("shelf_put: WRONGTYPE")
        return await super().put(placed)

    async def places(self) -> Mapping[str, Placed]:
        if self.spoiled == "places":
            raise RecordForged("places: WRONGTYPE")
        return await super().places()

    async def lines(self, limit: int, after: str = "") -> list[Line]:
        if self.spoiled == "lines":
            raise RecordForged("lines: WRONGTYPE")
        return await super().lines(limit, after)


@pytest.mark.parametrize("how", ["put", "lines"])
async def test_people_are_told_of_a_shelf_that_keeps_nothing(how: str) -> None:
    """Slack is well and the engine is well, but no card comes: the pager says so, and that it is over."""
    stage = Stage()
    stage.shelf = shelf = Spoiled(stage.clock)

    async with asyncio.TaskGroup() as group:
        stage.begin(group)
        await asyncio.sleep(20)
        assert await alarms(stage, STUCK) == [(STUCK, "resolved")]
        shelf.spoiled = how
        await stage.commit(incident())
        await stage.say("it began")
        await asyncio.sleep(60)
        assert set(await alarms(stage, STUCK)) == {(STUCK, "firing")}
        shelf.spoiled = ""
        await asyncio.sleep(30)
        stage.end()
    assert await alarms(stage, STUCK) == [(STUCK, "resolved")]
    (card,) = stage.wall.named("card:")
    assert card.text == "inc-1 open"


async def test_a_store_that_stumbles_at_a_take_over_leaves_no_button_alive() -> None:
    """Whoever begins to lead reads where everything stands, again if need be: also the question nobody asks now."""
    stage = Stage()
    stage.shelf = shelf = Spoiled(stage.clock)
    async with asyncio.TaskGroup() as group:
        stage.begin(group)
        await asyncio.sleep(1)
        await stage.commit(asking(incident()))
        await asyncio.sleep(5)
        stage.end()
    async with asyncio.TaskGroup() as group:
        shelf.spoiled = "places"
        board = stage.begin(group, "b")
        await stage.commit(replace(incident(), status="parked", why="denied"), by="b")
        await asyncio.sleep(5)
        assert board.leading
        shelf.spoiled = ""
        await asyncio.sleep(40)
        stage.end()
    (question,) = stage.wall.named("question:")
    assert question.text == "over: denied"


async def test_people_are_told_of_a_slack_that_only_ever_says_later() -> None:
    """It answers, so it is not away; but no card comes. A throttle of half a minute pages nobody."""
    async with begun() as stage:
        await stage.commit(incident("inc-0"))
        await asyncio.sleep(2)
        assert await alarms(stage, PUT_OFF) == [(PUT_OFF, "resolved")]
        stage.wall.throttle = {POST: 30.0}
        await stage.commit(incident())
        await asyncio.sleep(45)
        assert await alarms(stage, PUT_OFF) == []
        await asyncio.sleep(120)
        assert set(await alarms(stage, PUT_OFF)) == {(PUT_OFF, "firing")}
        stage.wall.throttle = {}
        await asyncio.sleep(60)
    assert await alarms(stage, PUT_OFF) == [(PUT_OFF, "resolved")]
    assert [one.text for one in stage.wall.named("card:")] == ["inc-0 open", "inc-1 open"]
