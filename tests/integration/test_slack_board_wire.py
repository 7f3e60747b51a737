"""The board over HTTP: slack-sdk's client, the shelf on a Valkey, and the local Slack with its limits and faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from itertools import count, pairwise
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot.adapters.clock import wall_ms
from bot.adapters.embedded import EmbeddedValkey
from bot.adapters.redis_link import RedisLink
from bot.adapters.seal import Sealer
from bot.adapters.slack.board.board import Board, Manner
from bot.adapters.slack.board.chat import SlackChat
from bot.adapters.slack.board.redis_shelf import RedisShelf
from bot.adapters.slack.line.api import SlackApi
from bot.core.effects import PostMessage
from bot.core.incident import Incident
from bot.core.words import Millis
from bot.engine.alarms import Alarms
from bot.sandbox.slack.server import LocalSlack
from bot.sandbox.slack.world import Posted
from bot.testing import MemoryStore
from tests.contract.store_records import SHARD, put
from tests.unit.adapters.slack_wall import Plain, incident

PATIENCE_S = 30.0
QUICK = Manner(settle_ms=300, lease_ms=2_000, renew_s=0.3, sweep_s=1.0)


class Wall:
    """The wall clock, as an argument."""

    def now(self) -> Millis:
        return wall_ms()

    def real_seconds(self, duration_ms: Millis) -> float:
        return duration_ms / 1000


@dataclass
class Desk:
    """A local Slack and a replica of the board before it."""

    slack: LocalSlack
    store: MemoryStore
    board: Board
    chat: SlackChat
    task: asyncio.Task[None]
    another: Callable[[], Board]
    channel: str

    async def commit(self, *incidents: Incident) -> None:
        await put(self.store, *incidents)
        self.board.committed(SHARD, [one.id for one in incidents])

    def shown(self) -> list[Posted]:
        """What the app shows in the channel, replies too."""
        app = self.slack.world.app.user
        return [
            one
            for one in self.slack.world.messages.get(self.channel, {}).values()
            if one.user == app and not one.deleted
        ]

    def texts(self) -> list[str]:
        return [one.now.text for one in self.shown()]

    async def until(self, wanted: Callable[[], bool]) -> None:
        """Polls what the local Slack shows, which tells nobody when it changes."""
        async with asyncio.timeout(PATIENCE_S):
            while not wanted():
                await asyncio.sleep(0.02)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    embedded, store, clock, nonces = EmbeddedValkey(tmp_path), MemoryStore(), Wall(), count()
    url = await embedded.start()
    opened: list[RedisShelf | SlackApi] = []
    async with LocalSlack() as slack, asyncio.TaskGroup() as group:
        room = next(one for one in slack.world.channels.values() if slack.world.app.user in one.members)

        def board() -> Board:
            shelf = RedisShelf(RedisLink(url), Sealer(bytes(32)), clock)
            api = SlackApi(slack.api_url, SecretStr(slack.world.app.bot_token))
            opened.extend((shelf, api))
            number = next(nonces)
            made = Board(
                shelf=shelf, slack=api, store=store, shards=[SHARD], clock=clock, alarms=Alarms(store, clock),
                drawing=Plain(), pace=api.pace, channel=f"#{room.name}", home=SHARD, replica=f"r{number}",
                nonce=lambda: f"{number}-{next(nonces)}", manner=QUICK,
            )  # fmt: skip
            tasks.append(group.create_task(made.run()))
            return made

        tasks: list[asyncio.Task[None]] = []
        first = board()
        shelf = opened[0]
        assert isinstance(shelf, RedisShelf)
        yield Desk(slack, store, first, SlackChat(shelf, clock, first.nudge), tasks[0], board, room.id)
        for task in tasks:
            task.cancel()
    for each in opened:
        await each.close()
    await embedded.stop()


def seen(desk: Desk, incident_id: str, words: str) -> bool:
    return any(text.startswith(incident_id) and words in text for text in desk.texts())


async def test_cards_and_words_are_there_and_right_after_an_outage_a_429_and_lost_answers(desk: Desk) -> None:
    """One card an incident with its last state, each line once below it, never two messages within a second."""
    one = incident(channel="")
    await desk.commit(one)
    await desk.until(lambda: seen(desk, "inc-1", "open"))
    desk.slack.outage()
    await desk.commit(replace(one, why="during the outage"), incident("inc-2", channel=""))
    await desk.chat.post(PostMessage(id="m1", incident="inc-1", channel="", topic="acted", text="first"), SHARD)
    await asyncio.sleep(0.5)
    desk.slack.outage("")
    desk.slack.faults.lose_replies = 2
    await desk.until(lambda: seen(desk, "inc-1", "during the outage") and seen(desk, "inc-2", "open"))
    desk.slack.faults.limited_s = 1
    await desk.commit(replace(one, why="during the 429"))
    await desk.chat.post(PostMessage(id="m2", incident="inc-1", channel="", topic="acted", text="second"), SHARD)
    await asyncio.sleep(0.3)
    desk.slack.faults.limited_s = 0
    await desk.until(lambda: seen(desk, "inc-1", "during the 429") and "second" in "\n".join(desk.texts()))
    assert sorted(text.split()[0] for text in desk.texts() if text.startswith("inc-")) == ["inc-1", "inc-2"]
    card = next(posted for posted in desk.shown() if posted.now.text.startswith("inc-1"))
    below = [posted.now.text for posted in desk.shown() if posted.thread_ts == card.ts]
    assert "\n".join(below) == "first\nsecond"
    taken = [call for call in desk.slack.calls if call.ts and call.args.get("channel") == desk.channel]
    times = sorted(call.at for call in taken)
    assert min(b - a for a, b in pairwise(times)) >= 1_000


async def test_a_replica_that_dies_between_post_and_note_leaves_one_card_to_the_next(desk: Desk) -> None:
    """The next replica looks for the card by its metadata, finds it, and goes on with it."""
    desk.slack.faults.lose_replies = 1
    one = incident(channel="")
    await desk.commit(one)
    await desk.until(lambda: seen(desk, "inc-1", "open"))
    desk.task.cancel()
    desk.board = desk.another()
    await desk.commit(replace(one, why="seen by the next"))
    await desk.until(lambda: seen(desk, "inc-1", "seen by the next"))
    assert len(desk.shown()) == 1


async def test_a_card_is_there_soon_after_the_commit(desk: Desk) -> None:
    """Of what a person waits for after a webhook, the board and Slack take a third of a second at most."""
    await desk.until(lambda: desk.board.leading and bool(desk.board.placer.workspace_url))
    began = asyncio.get_running_loop().time()
    await desk.commit(incident(channel=""))
    await desk.until(lambda: seen(desk, "inc-1", "open"))
    assert asyncio.get_running_loop().time() - began < 1.0
