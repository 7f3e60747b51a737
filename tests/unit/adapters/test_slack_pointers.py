"""A card that its own channel did not take stays where it is, and who reads in that channel is told where."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bot.adapters.slack.board import timeline
from bot.adapters.slack.board.channels import SHUNNED_S
from bot.adapters.slack.board.shelf import card_name, incident_of
from bot.core.incident import AlertState
from tests.contract.store_records import SHARD
from tests.unit.adapters.slack_wall import Posted, Stage, begun, incident
from tests.unit.adapters.test_slack_board import asking
from tests.unit.adapters.test_slack_channels import OPS, PM, cards

AGAIN_S = SHUNNED_S + 30  # and a sweep, and what stands before it


def pointers(stage: Stage) -> list[Posted]:
    return stage.wall.named("pointer:")


@pytest.mark.looptime
async def test_a_channel_that_takes_messages_again_is_told_once_where_its_incident_stands() -> None:
    """New cards go there, the one that stands elsewhere goes on there: nobody has to look in two threads."""
    async with begun() as stage:
        stage.wall.refuse[PM] = "not_in_channel"
        await stage.commit(asking(incident(channel="#pm")))
        await asyncio.sleep(20)
        del stage.wall.refuse[PM]
        await asyncio.sleep(AGAIN_S)
        await stage.commit(incident("inc-2", channel="#pm"), replace(asking(incident(channel="#pm")), why="more"))
        await asyncio.sleep(AGAIN_S)
    ((where, text),) = cards(stage, "inc-1")
    assert (where, "more" in text) == (OPS, True)
    assert cards(stage, "inc-2") == [(PM, "inc-2 open")]
    (card,) = stage.wall.named(card_name(SHARD, "inc-1"))
    (pointer,) = pointers(stage)
    address = f"https://team.slack.test/archives/{OPS}/p{card.ts.replace('.', '')}"
    assert (pointer.channel, pointer.shown) == (PM, [f"inc-1 is elsewhere\n{address}"])
    assert incident_of(pointer.name) == (SHARD, "inc-1")


@pytest.mark.looptime
@pytest.mark.parametrize("lost", [0, 1], ids=["answered", "answer lost"])
async def test_what_points_to_a_card_goes_when_the_card_stands_in_its_own_channel(lost: int) -> None:
    """Somebody deleted the card where it stood: it is posted anew, where it belongs, and no link leads nowhere."""
    async with begun() as stage:
        stage.wall.refuse[PM] = "not_in_channel"
        await stage.commit(incident(channel="#pm"))
        await asyncio.sleep(20)
        del stage.wall.refuse[PM]
        stage.wall.lose = lost
        while not pointers(stage):
            await asyncio.sleep(0.5)
        (card,) = stage.wall.named("card:")
        del stage.wall.messages[(OPS, card.ts)]
        await stage.commit(replace(incident(channel="#pm"), why="more"))
        await asyncio.sleep(AGAIN_S)
        assert cards(stage, "inc-1") == [(PM, "inc-1 open more")]
        assert pointers(stage) == []
        kept = await stage.shelf.places()
        assert set(kept) == {card_name(SHARD, "inc-1")}, "nor is anything remembered of it"


@pytest.mark.looptime
async def test_what_points_to_a_card_that_was_posted_anew_elsewhere_is_too() -> None:
    """Also where the answer to the post was lost: what stands there knows which card it names."""
    async with begun() as stage:
        stage.wall.refuse[PM] = "not_in_channel"
        await stage.commit(incident(channel="#pm"))
        await asyncio.sleep(20)
        del stage.wall.refuse[PM]
        stage.wall.lose = 1
        while not pointers(stage):
            await asyncio.sleep(0.5)
        await asyncio.sleep(AGAIN_S)
        (card,), (old,) = stage.wall.named("card:"), pointers(stage)
        del stage.wall.messages[(OPS, card.ts)]
        stage.wall.refuse[PM] = "not_in_channel"
        await stage.commit(replace(incident(channel="#pm"), why="more"))
        await asyncio.sleep(5)
        del stage.wall.refuse[PM]
        await asyncio.sleep(2 * AGAIN_S)
        (card,), (pointer,) = stage.wall.named("card:"), pointers(stage)
        assert (card.channel, pointer.ts != old.ts) == (OPS, True)
        assert pointer.shown[0].endswith(f"/archives/{OPS}/p{card.ts.replace('.', '')}")


@pytest.mark.looptime
async def test_a_channel_that_goes_on_refusing_delays_and_gets_nothing() -> None:
    """It is tried again every five minutes; the default channel has the card, and not a word more."""
    async with begun() as stage:
        await stage.commit(incident("inc-0", channel="#pm"))  # and its card stands where it belongs
        await asyncio.sleep(5)
        stage.wall.refuse[PM] = "restricted_action"
        await stage.commit(incident(channel="#pm"))
        await asyncio.sleep(20)
        before = stage.wall.tries
        await asyncio.sleep(4 * SHUNNED_S)
        assert stage.wall.tries - before < 60
        began = asyncio.get_running_loop().time()
        await stage.commit(incident("inc-2"))
        while not cards(stage, "inc-2"):
            await asyncio.sleep(0.05)
        assert asyncio.get_running_loop().time() - began < 2
    assert [one.name for one in stage.wall.messages.values()] == [card_name(SHARD, f"inc-{n}") for n in range(3)]


@pytest.mark.looptime
@pytest.mark.parametrize("status", ["resolved", "closed"])
async def test_what_is_over_meanwhile_is_told_nobody(status: str) -> None:
    """A channel is not woken up for it."""
    async with begun() as stage:
        stage.wall.refuse[PM] = "is_archived"
        await stage.commit(incident(channel="#pm"))
        await asyncio.sleep(20)
        await stage.commit(replace(incident(channel="#pm"), status=status))  # type: ignore[arg-type]  # both are
        del stage.wall.refuse[PM]
        await asyncio.sleep(2 * AGAIN_S)
    assert pointers(stage) == []


@pytest.mark.looptime
async def test_a_pointer_whose_answer_was_lost_stands_once_also_for_the_next_replica() -> None:
    """It is marked before it is posted like every other message, and its place goes when the incident is long over."""
    stage = Stage()
    async with asyncio.TaskGroup() as group:
        stage.begin(group)
        await asyncio.sleep(1)
        stage.wall.refuse[PM] = "not_in_channel"
        await stage.commit(incident(channel="#pm"))
        await asyncio.sleep(20)
        del stage.wall.refuse[PM]
        stage.wall.lose = 1
        while not pointers(stage):
            await asyncio.sleep(0.5)
        stage.end()
        stage.begin(group, "b")
        await asyncio.sleep(2 * AGAIN_S)
        assert len(pointers(stage)) == 1
        await stage.commit(replace(incident(channel="#pm"), status="closed"), by="b")
        await asyncio.sleep(60)
        assert stage.boards["b"].scenery.briefs == {}
        kept = await stage.shelf.places()
        assert {name for name, one in kept.items() if one.over} == {one.name for one in stage.wall.messages.values()}
        stage.end()


def test_what_a_pointer_says_names_the_incident_and_stays_true() -> None:
    """Nothing in it changes later; labels are data."""
    found = incident(opened_at=1)
    firing = next(iter(found.alerts.values())).alert
    labels = {"alertname": "VaRBreach", "symbol": "<!channel> *BTC*"}
    state = AlertState(alert=replace(firing, labels=labels), firing=True, changed_at=1)
    words = timeline.elsewhere(replace(found, alerts={"f": state}))
    assert "VaRBreach" in words
    assert "*var-breach* (inc-1)" in words
    assert "<!" not in words
    assert "*BTC*" not in words
