"""What the board makes of a Slack that is away, throttles, loses answers or drowns, and of replicas that die.

The final state is right, at most one message a second goes into a channel, nothing is lost, order holds, and a card is
one card.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random

import pytest

from bot.adapters.slack.board.board import Manner
from bot.adapters.slack.board.reach import NAME
from bot.adapters.slack.line.pacing import POST, UPDATE
from bot.core.events import AlertsReceived
from tests.contract.store_records import SHARD
from tests.unit.adapters.slack_wall import Stage, begun, incident
from tests.unit.adapters.test_slack_board import asking

pytestmark = pytest.mark.looptime


async def alarms(stage: Stage) -> list[tuple[str, str]]:
    """(name, status) of every alarm about the way to Slack since this was asked last."""
    entries = [delivery.entry for delivery in await stage.store.read_inbox(SHARD, 1_000, 0)]
    alerts = [alert for entry in entries if isinstance(entry, AlertsReceived) for alert in entry.alerts]
    return [(alert.name, alert.status) for alert in alerts if alert.name == NAME]


async def test_an_outage_costs_delay_only_and_the_pager_is_told() -> None:
    """Cards, edits, questions and words of ten minutes without Slack stand there afterwards, each as it is now."""
    async with begun() as stage:
        await stage.commit(incident("inc-0"))
        await asyncio.sleep(2)
        assert await alarms(stage) == [(NAME, "resolved")]
        stage.wall.down = True
        for number in range(5):
            await stage.commit(incident(f"inc-{number}"))
            await stage.say(f"began {number}", f"inc-{number}")
            await asyncio.sleep(60)
            await stage.commit(replace(incident(f"inc-{number}"), status="resolved", why="over"))
            await stage.say(f"ended {number}", f"inc-{number}")
            await asyncio.sleep(60)
        await stage.commit(asking(incident("inc-4")))
        assert set(await alarms(stage)) == {(NAME, "firing")}
        stage.wall.down = False
        await asyncio.sleep(30)
    cards = {one.name.partition("|")[2]: one for one in stage.wall.named("card:")}
    assert {name: one.text.split()[1] for name, one in cards.items()} == {
        **{f"inc-{number}": "resolved" for number in range(4)}, "inc-4": "awaiting_approval",
    }  # fmt: skip
    for number in range(5):
        name = f"inc-{number}"
        (said,) = [one.text for one in stage.wall.named("thread:") if one.thread == cards[name].ts]
        assert said == f"began {number}\nended {number}"
    assert len(stage.wall.named("question:")) == 1
    assert await alarms(stage) == [(NAME, "resolved")]
    assert stage.wall.closest() >= 1.0


async def test_what_slack_throttles_waits_as_long_as_it_says_and_hardly_asks_again() -> None:
    """A 429 is ridden out: one more call after each Retry-After, and the last state is shown."""
    async with begun() as stage:
        await stage.commit(incident())
        await asyncio.sleep(2)
        stage.wall.throttle = {UPDATE: 30.0, POST: 20.0}
        await stage.say("words")
        for number in range(100):
            await stage.commit(replace(incident(), why=f"look {number}"))
            await asyncio.sleep(1)
        assert stage.wall.throttled <= 10
        stage.wall.throttle = {}
        await asyncio.sleep(40)
    (card,) = stage.wall.named("card:")
    assert card.text == "inc-1 open look 99"
    assert [one.text for one in stage.wall.named("thread:")] == ["words"]
    assert (NAME, "firing") not in await alarms(stage)


async def test_a_storm_of_a_thousand_is_one_digest_and_what_needs_people_stands_out() -> None:
    """A thousand incidents within a minute: one digest, cards for decisions at once; afterwards cards for those still
    open, one a second, oldest first; and what was said of the others stands below the digest, in order.
    """
    async with begun() as stage:
        for number in range(1_000):
            await stage.commit(incident(f"inc-{number:04}"))
            if number % 10 == 0:
                await stage.say(f"said {number}", f"inc-{number:04}")
            if number % 25 == 24:
                await asyncio.sleep(1.2)
        await stage.commit(asking(incident("inc-0500")))
        await asyncio.sleep(8)
        early = [one.name.partition("|")[2] for one in stage.wall.named("card:")]
        assert "inc-0500" in early
        assert len(early) <= 12  # those of before it was a storm, and the one that waits for people
        assert len(stage.wall.named("question:")) == 1
        await stage.commit(
            *(replace(incident(f"inc-{n:04}"), status="resolved", why="over") for n in range(1_000) if n % 50)
        )
        await asyncio.sleep(150)
    (digest,) = stage.wall.named("digest:")
    assert digest.text == "storm over: 1000 opened, 980 over"
    cards = [one.name.partition("|")[2] for one in stage.wall.named("card:")]
    late = [name for name in cards if name not in early]
    assert sorted({*early, *(f"inc-{n:04}" for n in range(0, 1_000, 50))}) == sorted(cards)
    assert late == sorted(late)
    below = [text for one in stage.wall.named("words:") if one.thread == digest.ts for text in one.text.split("\n")]
    carded = {int(name.partition("-")[2]) for name in cards}
    assert below == [f"inc-{n:04}: said {n}" for n in range(0, 1_000, 10) if n not in carded]
    assert await stage.shelf.lines(10) == []
    assert stage.wall.closest() >= 1.0


@pytest.mark.parametrize("instead", ["a later second", "another replica"])
async def test_an_answer_that_was_lost_makes_no_second_card(instead: str) -> None:
    """The message is looked for before it is posted again, by this replica or by the next: cards, questions, words."""
    stage = Stage(manner=Manner(settle_ms=12_000))
    async with asyncio.TaskGroup() as group:
        stage.begin(group)
        await asyncio.sleep(1)
        stage.wall.lose = 1
        await stage.commit(asking(incident()))
        await stage.say("words")
        await asyncio.sleep(0.5)
        for lost in range(3):  # the card's, then the question's, then that of the words
            if instead == "another replica":
                (name,) = stage.tasks
                stage.tasks.pop(name).cancel()
                stage.begin(group, f"{name}{lost}")
            await asyncio.sleep(13)
            stage.wall.lose = 1 if lost < 2 else 0
            await asyncio.sleep(30)
        stage.end()
    assert len(stage.wall.named("card:")) == 1
    assert len(stage.wall.named("question:")) == 1
    assert [one.text for one in stage.wall.named("thread:")] == ["words"]


async def test_two_replicas_make_one_card_and_the_second_takes_over() -> None:
    """Commits on either are shown once; when the leader dies without a word, the other goes on within its lease."""
    stage = Stage()
    async with asyncio.TaskGroup() as group:
        stage.begin(group, "a")
        stage.begin(group, "b")
        await asyncio.sleep(4)
        await asyncio.gather(*(stage.commit(incident(f"inc-{n}"), by=by) for n, by in enumerate("abababab")))
        await stage.say("from b", "inc-0", by="b")
        await asyncio.sleep(15)
        leader = next(name for name, board in stage.boards.items() if board.leading)
        other = "b" if leader == "a" else "a"
        stage.shelf.resigning = False  # it dies, and says nothing
        stage.tasks.pop(leader).cancel()
        await stage.commit(replace(incident("inc-0"), why="later"), by=other)
        await asyncio.sleep(20)
        stage.end()
    assert sorted(one.name.partition("|")[2] for one in stage.wall.named("card:")) == [f"inc-{n}" for n in range(8)]
    assert stage.wall.named("card:trading-core|inc-0")[0].text == "inc-0 open later"
    assert [one.text for one in stage.wall.named("thread:")] == ["from b"]


async def test_a_replica_that_slept_through_its_lease_takes_its_card_back() -> None:
    """Its post arrives after another one posted in its place: for a moment there are two, then there is one."""
    stage = Stage(manner=Manner(settle_ms=3_000, lease_ms=4_000, renew_s=1.0))
    async with asyncio.TaskGroup() as group:
        stage.begin(group, "a")
        await asyncio.sleep(1)
        slow = iter([60.0])
        stage.wall.delay = lambda: next(slow, 0.05)  # the next call, which is the post, takes a minute
        await stage.commit(incident())
        await asyncio.sleep(0.5)
        stage.shelf.asleep = "a"
        stage.begin(group, "b")
        await asyncio.sleep(100)
        stage.end()
    assert [one.nonce.partition("-")[0] for one in stage.wall.named("card:")] == ["b"]


async def test_a_storm_with_faults_of_every_kind_ends_with_the_truth() -> None:
    """Outages, 429s, lost answers and replicas that die, at random: every card shows what the store says, once, and
    every line was said once, in its incident's order.
    """
    stage, random = Stage(manner=Manner(storm_cards=1_000)), Random(7)
    async with asyncio.TaskGroup() as group:
        stage.begin(group, "a")
        stage.begin(group, "b")
        await asyncio.sleep(1)
        for turn in range(200):
            name = f"inc-{random.randrange(12)}"
            await stage.commit(replace(incident(name), why=f"turn {turn}"), by="b")
            await stage.say(f"turn {turn}", name, by="b")
            stage.wall.down = random.random() < 0.1
            stage.wall.throttle = {random.choice([POST, UPDATE]): 3.0} if random.random() < 0.2 else {}
            stage.wall.lose = 1 if random.random() < 0.2 else 0
            await asyncio.sleep(random.random() * 3)
        stage.wall.down, stage.wall.throttle, stage.wall.lose = False, {}, 0
        await asyncio.sleep(200)
        stage.end()
    loaded = await stage.store.load(SHARD, [f"inc-{n}" for n in range(12)])
    cards = stage.wall.named("card:")
    assert sorted(one.text for one in cards) == sorted(
        f"{name} open {found.record.why}"
        for name, found in loaded.items()  # type: ignore[union-attr]
    )
    for card in cards:
        said = [text for one in stage.wall.named("thread:") if one.thread == card.ts for text in one.text.split("\n")]
        turns = [int(text.partition(" ")[2]) for text in said]
        assert turns == sorted(set(turns))
    everything = [text for one in stage.wall.named("thread:") for text in one.text.split("\n")]
    assert len(everything) == 200
    assert stage.wall.closest() >= 1.0


async def test_a_slack_that_is_away_when_andon_starts_shows_everything_when_it_comes() -> None:
    """Nothing of it was known yet, not even its channels."""
    stage = Stage()
    stage.wall.down = True
    async with asyncio.TaskGroup() as group:
        stage.begin(group)
        await asyncio.sleep(1)
        await stage.commit(incident())
        await stage.say("words")
        await asyncio.sleep(50)
        assert set(await alarms(stage)) == {(NAME, "firing")}
        stage.wall.down = False
        await asyncio.sleep(30)
        stage.end()
    assert [one.text for one in stage.wall.messages.values()] == ["inc-1 open", "words"]
    assert await alarms(stage) == [(NAME, "resolved")]


async def test_a_look_up_that_is_throttled_waits_too() -> None:
    """Whether the card stands there cannot be asked for a while: it is neither posted again nor asked for at once."""
    stage = Stage(manner=Manner(settle_ms=1_000))
    async with begun(stage):
        stage.wall.lose, stage.wall.throttle = 1, {"conversations.history": 20.0}
        await stage.commit(incident())
        await asyncio.sleep(90)
        assert stage.wall.throttled <= 6
        stage.wall.throttle = {}
        await asyncio.sleep(60)
        await stage.commit(replace(incident(), why="more"))
        await asyncio.sleep(5)
    assert [one.text for one in stage.wall.named("card:")] == ["inc-1 open more"]


async def test_what_is_said_of_an_incident_not_read_yet_waits_for_its_card() -> None:
    """With hundreds to read at once, words of the last are not taken for words of nobody."""
    stage = Stage(manner=Manner(storm_cards=1_000))
    async with begun(stage):
        await stage.say("words", "inc-399")
        await stage.commit(*(incident(f"inc-{number:03}") for number in range(400)))
        await asyncio.sleep(5)
    assert stage.wall.named("words:") == []
    assert len(stage.wall.named("card:")) == 5


async def test_a_replica_that_alone_does_not_reach_slack_leaves_the_board_to_another() -> None:
    """A quarter of a minute without Slack, and the other replica shows what this one could not; nobody is paged."""
    stage = Stage()
    async with asyncio.TaskGroup() as group:
        stage.begin(group, "a")
        await asyncio.sleep(1)
        stage.begin(group, "b")
        stage.hands["a"].cut = True
        await stage.commit(incident(), by="a")
        await asyncio.sleep(40)
        stage.end()
    assert [one.nonce.partition("-")[0] for one in stage.wall.named("card:")] == ["b"]
    assert (NAME, "firing") not in await alarms(stage)
