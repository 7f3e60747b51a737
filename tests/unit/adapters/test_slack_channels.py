"""A channel that refuses costs its own cards a detour, nobody else's a second; and where nobody would see them, people
are told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

import pytest

from bot.adapters.slack.board.board import Board, Manner
from bot.adapters.slack.board.channels import Channels
from bot.adapters.slack.board.reach import NAME, PUT_OFF, SHUT
from bot.adapters.slack.board.shelf_twin import MemoryShelf
from bot.adapters.slack.cards.shapes import Message
from bot.adapters.slack.line.api import SlackRefusedError
from bot.adapters.slack.line.pacing import POST, UPDATE, Pace
from bot.core.alert import Alert
from bot.core.events import AlertsReceived
from bot.errors import StoreUnavailable
from tests.contract.store_records import SHARD
from tests.unit.adapters.slack_wall import Hand, Stage, Wall, begun, incident
from tests.unit.adapters.test_slack_board import asking

pytestmark = pytest.mark.looptime

OPS, PM = "C0000OPS", "C00000PM"


async def told(stage: Stage, name: str) -> list[Alert]:
    """What was said of this alarm since this was asked last."""
    entries = [delivery.entry for delivery in await stage.store.read_inbox(SHARD, 1_000, 0)]
    alerts = [alert for entry in entries if isinstance(entry, AlertsReceived) for alert in entry.alerts]
    return [alert for alert in alerts if alert.name == name]


async def statuses(stage: Stage, name: str) -> set[str]:
    """The same, only whether it fired or ended."""
    return {alert.status for alert in await told(stage, name)}


def cards(stage: Stage, name: str) -> list[tuple[str, str]]:
    """(channel, text) of this incident's cards."""
    return [(one.channel, one.text) for one in stage.wall.named(f"card:{SHARD}|{name}")]


async def until_asked(stage: Stage, name: str) -> float:
    """Seconds until this incident's question stands there."""
    began = asyncio.get_running_loop().time()
    while not stage.wall.named(f"question:{SHARD}|{name}|"):
        await asyncio.sleep(0.1)
    return asyncio.get_running_loop().time() - began


async def test_a_default_channel_that_is_archived_is_told_though_others_work() -> None:
    """What belongs there is not seen, however well the rest goes: people are paged until it takes something again."""
    async with begun() as stage:
        await stage.commit(incident("inc-0"))
        await asyncio.sleep(3)
        stage.wall.refuse[OPS] = "is_archived"
        await stage.commit(incident(), replace(incident("inc-0"), why="more"))
        for number in range(30):
            await stage.commit(replace(incident("inc-2", channel="#pm"), why=f"look {number}"))
            await asyncio.sleep(10)
        assert cards(stage, "inc-2") == [(PM, "inc-2 open look 29")]
        assert "firing" in await statuses(stage, SHUT)
        assert "not into the default channel" in stage.boards["a"].reach.standing
        del stage.wall.refuse[OPS]
        await asyncio.sleep(60)
        assert await statuses(stage, SHUT) == {"resolved"}
        assert "firing" not in await statuses(stage, NAME)
    assert cards(stage, "inc-0") == [(OPS, "inc-0 open more")]
    assert cards(stage, "inc-1") == [(OPS, "inc-1 open")]
    assert stage.boards["a"].reach.standing == "takes messages"


async def test_a_default_channel_that_does_not_exist_is_told_though_others_work() -> None:
    """It is shown there as soon as somebody makes it."""
    stage = Stage()
    stage.wall.names = {"pm": PM}
    async with asyncio.TaskGroup() as group:
        stage.begin(group)
        await asyncio.sleep(1)
        await stage.commit(incident())
        for number in range(12):
            await stage.commit(replace(incident("inc-2", channel="#pm"), why=f"look {number}"))
            await asyncio.sleep(10)
        assert await statuses(stage, SHUT) == {"firing"}
        assert cards(stage, "inc-2") == [(PM, "inc-2 open look 11")]
        stage.wall.names = {"ops": OPS, "pm": PM}
        await asyncio.sleep(60)
        assert await statuses(stage, SHUT) == {"resolved"}
        stage.end()
    assert cards(stage, "inc-1") == [(OPS, "inc-1 open")]


@pytest.mark.parametrize(("code", "name"), [("is_archived", SHUT), ("ekm_access_denied", NAME)])
async def test_that_slack_knows_who_we_are_does_not_end_the_alarm(code: str, name: str) -> None:
    """`auth.test` answers while nothing is taken: the alarm lasts as long, and is not raised and cleared by turns."""
    async with begun() as stage:
        stage.wall.refuse[OPS] = code
        await stage.commit(incident())
        await asyncio.sleep(60)
        fired = await told(stage, name)
        assert fired[-1].status == "firing"
        await asyncio.sleep(900)
        later = await told(stage, name)
        assert {(alert.status, alert.starts_at) for alert in later} <= {("firing", fired[-1].starts_at)}


@pytest.mark.parametrize(
    "code",
    ["is_archived", "restricted_action_thread_only_channel", "no_permission", "posting_to_general_channel_denied"],
)
async def test_a_channel_that_refuses_slows_no_other_and_its_cards_are_in_the_default_one(code: str) -> None:
    """Whatever word Slack has for it."""
    async with begun() as stage:
        stage.wall.refuse[PM] = code
        late = []
        for number in range(6):
            await stage.commit(
                incident(f"inc-pm{number}", channel="#pm"), asking(incident(f"inc-{number}"), name=f"ap-{number}")
            )
            late.append(await until_asked(stage, f"inc-{number}"))
            await asyncio.sleep(70)
        assert max(late) < 4
        assert "firing" not in await statuses(stage, NAME) | await statuses(stage, SHUT)
    assert [cards(stage, f"inc-pm{number}") for number in range(6)] == [
        [(OPS, f"inc-pm{number} open")] for number in range(6)
    ]
    assert stage.wall.closest() >= 1.0


async def test_a_default_channel_that_refuses_delays_no_decision_elsewhere() -> None:
    """Its own cards wait; a question in a healthy channel is asked at once."""
    async with begun() as stage:
        stage.wall.refuse[OPS] = "is_archived"
        await stage.commit(incident())
        await asyncio.sleep(60)
        late = []
        for number in range(6):
            await stage.commit(asking(incident(f"inc-q{number}", channel="#pm"), name=f"ap-{number}"))
            late.append(await until_asked(stage, f"inc-q{number}"))
            await asyncio.sleep(30)
    assert max(late) < 2


async def test_a_question_of_a_channel_that_is_archived_is_asked_in_the_default_one() -> None:
    """Its card moves, and the question with it: nobody can answer where nothing may be clicked."""
    async with begun() as stage:
        await stage.commit(asking(incident(channel="#pm")))
        await asyncio.sleep(5)
        stage.wall.refuse[PM] = "is_archived"
        await stage.commit(replace(asking(incident(channel="#pm")), why="more"))
        await asyncio.sleep(20)
    assert [one.channel for one in stage.wall.named("question:")] == [PM, OPS]
    card = stage.wall.named("card:")[-1]
    assert (card.channel, stage.wall.named("question:")[-1].thread) == (OPS, card.ts)


@pytest.mark.parametrize("name", ["ops", "pm"])
async def test_a_channel_that_was_replaced_under_its_name_is_found(name: str) -> None:
    """Archived, and made anew with another id: within two minutes its cards are there, without a restart."""
    stage = Stage()
    old, new = stage.wall.names[name], "C0000000NEW"
    async with asyncio.TaskGroup() as group:
        stage.begin(group)
        await asyncio.sleep(1)
        await stage.commit(incident("inc-0", channel=f"#{name}"))
        await asyncio.sleep(3)
        stage.wall.refuse[old] = "is_archived"
        stage.wall.names = {**stage.wall.names, name: new}
        await stage.commit(incident(channel=f"#{name}"))
        await asyncio.sleep(120)
        await stage.commit(incident("inc-2", channel=f"#{name}"), replace(incident("inc-0"), why="more"))
        await asyncio.sleep(60)
        stage.end()
    assert cards(stage, "inc-0")[0] == (old, "inc-0 open")
    assert cards(stage, "inc-1") == [(new if name == "ops" else OPS, "inc-1 open")]
    assert cards(stage, "inc-2") == [(new, "inc-2 open")]
    if name == "ops":
        assert cards(stage, "inc-0")[1:] == [(new, "inc-0 open more")]


@pytest.mark.parametrize("seconds", [3_600.0, 250.0])
@pytest.mark.parametrize("edits", ["are put off too", "are taken"])
async def test_a_question_that_slack_puts_off_is_told_after_two_minutes(seconds: float, edits: str) -> None:
    """However long it says to wait, and also when what is not urgent goes through."""
    async with begun() as stage:
        await stage.commit(incident("inc-0"))
        await asyncio.sleep(3)
        stage.wall.throttle = {POST: seconds} | ({UPDATE: seconds} if edits == "are put off too" else {})
        await stage.commit(asking(incident()))
        for number in range(14):
            await stage.commit(replace(incident("inc-0"), why=f"look {number}"))
            await asyncio.sleep(10)
        fired = [alert for alert in await told(stage, PUT_OFF) if alert.status == "firing"]
        assert len(fired) == 1
        assert "1 of them for a decision" in fired[0].annotations["summary"]
        stage.wall.throttle = {}
        await until_asked(stage, "inc-1")
        await asyncio.sleep(5)
        assert await statuses(stage, PUT_OFF) == {"resolved"}


async def test_what_slack_put_off_and_nobody_waits_for_any_more_is_not_told() -> None:
    """An edit that was put off, of a card that looks right again by itself."""
    async with begun() as stage:
        await stage.commit(incident())
        await asyncio.sleep(3)
        stage.wall.throttle = {UPDATE: 250.0}
        await stage.commit(replace(incident(), why="for a moment"))
        await asyncio.sleep(5)
        await stage.commit(incident())
        await asyncio.sleep(240)
        assert stage.wall.throttled == 1
        await asyncio.sleep(10)
        await stage.commit(replace(incident(), why="much later"))
        await asyncio.sleep(60)
        assert stage.wall.throttled == 2
        assert "firing" not in await statuses(stage, PUT_OFF)


@dataclass
class Blind(Wall):
    """Does not tell its channels: the token lacks `channels:read`."""

    async def channels(self, wanted: Collection[str]) -> Mapping[str, str]:
        raise SlackRefusedError("conversations.list", "missing_scope")


async def test_channels_given_by_id_need_no_list() -> None:
    """Without the permission to list them nothing is wrong, and nobody is paged."""
    stage = Stage(wall=Blind())
    async with asyncio.TaskGroup() as group:
        board = Board(
            shelf=stage.shelf, slack=Hand(stage.wall, pace := Pace()), store=stage.store, shards=[SHARD],
            clock=stage.clock, alarms=stage.alarms, drawing=stage.drawing, pace=pace, channel=OPS, home=SHARD,
            replica="a", nonce=lambda: "n", manner=Manner(),
        )  # fmt: skip
        stage.boards["a"], stage.tasks["a"] = board, group.create_task(board.run())
        await asyncio.sleep(1)
        await stage.commit(incident(channel=PM))
        await asyncio.sleep(300)
        assert "firing" not in await statuses(stage, NAME) | await statuses(stage, SHUT)
        stage.end()
    assert cards(stage, "inc-1") == [(PM, "inc-1 open")]


async def test_the_names_that_policies_use_are_asked_for_with_the_default() -> None:
    """So that a public one which the bot has not joined yet is known before its first card."""
    asked: list[set[str]] = []

    class Counting(Wall):
        async def channels(self, wanted: Collection[str]) -> Mapping[str, str]:
            asked.append(set(wanted))
            return {"ops": OPS}

    channels = Channels(Hand(Counting(), Pace()), "#ops", lambda: {"#pm", "#quant"})
    await channels.look(0.0)
    assert asked == [{"#ops", "#pm", "#quant"}]


@dataclass
class Choosy(Wall):
    """Does not take one incident's messages."""

    async def post(
        self, channel: str, message: Message, *, name: str = "", nonce: str = "", thread: str = "", aloud: bool = False
    ) -> str:
        if name.endswith("|inc-1"):
            raise SlackRefusedError(POST, "metadata_too_large")
        return await super().post(channel, message, name=name, nonce=nonce, thread=thread, aloud=aloud)


async def test_a_message_that_slack_does_not_take_moves_nobody_elses() -> None:
    """The fault is the message's, not the channel's: the others go where they belong, and at once."""
    stage = Stage(wall=Choosy())
    async with begun(stage):
        for number in range(1, 8):
            await stage.commit(incident(f"inc-{number}", channel="#pm"))
            await asyncio.sleep(3)
    assert [cards(stage, f"inc-{number}") for number in range(2, 8)] == [
        [(PM, f"inc-{number} open")] for number in range(2, 8)
    ]


async def test_an_answer_that_was_lost_pages_nobody_once_the_message_was_found() -> None:
    """Nothing is left to post that could show that Slack takes messages; it was seen there, and that is enough."""
    async with begun() as stage:
        stage.wall.throttle = {UPDATE: 250.0}  # something else waits all the time
        await stage.commit(incident("inc-0"))
        await asyncio.sleep(2)
        await stage.commit(replace(incident("inc-0"), why="more"))
        await asyncio.sleep(2)
        stage.wall.lose = 1
        await stage.commit(incident())
        await asyncio.sleep(90)
        assert "firing" not in await statuses(stage, NAME)
    assert len(cards(stage, "inc-1")) == 1


class Stiff(MemoryShelf):
    """Does not forget places, for a while."""

    stiff = True

    async def drop(self, names: Sequence[str]) -> None:
        if self.stiff:
            raise StoreUnavailable("the test wants it")
        await super().drop(names)


async def test_a_store_that_is_away_while_a_channel_refuses_does_not_end_the_board() -> None:
    """What follows from the refusal is done when the store is back."""
    stage = Stage()
    stage.shelf = shelf = Stiff(stage.clock)
    stage.wall.refuse[PM] = "is_archived"
    async with asyncio.TaskGroup() as group:
        stage.begin(group)
        await asyncio.sleep(1)
        await stage.commit(incident(channel="#pm"))
        await asyncio.sleep(10)
        shelf.stiff = False
        await asyncio.sleep(10)
        stage.end()
    assert cards(stage, "inc-1") == [(OPS, "inc-1 open")]


async def test_channels_that_come_and_go_end_with_the_truth() -> None:
    """At random: every incident has a card that shows what the store says, and every line was said once, in order."""
    stage, random = Stage(manner=Manner(storm_cards=1_000)), Random(11)
    async with asyncio.TaskGroup() as group:
        stage.begin(group)
        await asyncio.sleep(1)
        for turn in range(200):
            number = random.randrange(10)
            channel = "#pm" if number % 2 else "#ops"
            await stage.commit(replace(incident(f"inc-{number}", channel=channel), why=f"turn {turn}"))
            await stage.say(f"turn {turn}", f"inc-{number}")
            stage.wall.refuse = {where: "is_archived" for where in (OPS, PM) if random.random() < 0.2}
            await asyncio.sleep(random.random() * 4)
        stage.wall.refuse = {}
        await asyncio.sleep(400)
        stage.end()
    loaded = await stage.store.load(SHARD, [f"inc-{number}" for number in range(10)])
    everything = []
    for name, found in loaded.items():
        assert f"{name} open {found.record.why}" in [text for _, text in cards(stage, name)]  # type: ignore[union-attr]
        said = [text for one in stage.wall.named(f"thread:{SHARD}|{name}") for text in one.text.split("\n")]
        turns = [int(text.partition(" ")[2]) for text in said]
        assert turns == sorted(set(turns))
        everything += turns
    assert len(everything) == 200
    assert stage.wall.closest() >= 1.0
