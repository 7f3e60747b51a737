"""An app that lacks a scope: what needs it is missing, and everything else is there, right and at once.

Over HTTP, with slack-sdk's client, before the local Slack, which refuses as Slack does (`missing_scope`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count

import pytest
import structlog
from pydantic import SecretStr

from bot.adapters.slack.board.board import Board
from bot.adapters.slack.board.placing import Slack
from bot.adapters.slack.board.shelf_twin import MemoryShelf
from bot.adapters.slack.line.api import SlackApi, SlackRefusedError
from bot.adapters.slack.manifest import SCOPES
from bot.core.incident import Incident
from bot.engine.alarms import Alarms
from bot.sandbox.slack.server import LocalSlack
from bot.testing import MemoryStore
from tests.contract.store_records import SHARD, put
from tests.integration.test_slack_board_wire import QUICK, Wall
from tests.unit.adapters.slack_wall import Plain, incident

OPTIONAL = sorted(SCOPES.keys() - {"chat:write"})
SOON_S = 8.0  # a lost answer is waited for, a channel that refuses is left, and a second passes between messages
AT_ONCE_S = 3.0


@dataclass
class Scene:
    """A local Slack with a default channel, a public and a private one, and a board before it."""

    slack: LocalSlack
    store: MemoryStore
    board: Board
    home: str
    rooms: dict[str, str]  # ids by name

    async def commit(self, *incidents: Incident) -> None:
        await put(self.store, *incidents)
        self.board.committed(SHARD, [one.id for one in incidents])

    def cards(self, name: str) -> list[tuple[str, str]]:
        """(channel, text) of this incident's cards."""
        app = self.slack.world.app.user
        every = (one for room in self.slack.world.messages.values() for one in room.values() if not one.deleted)
        return [(one.channel, one.now.text) for one in every if one.user == app and one.now.text.startswith(name)]

    async def until(self, wanted: Callable[[], bool], seconds: float) -> None:
        """Polls what the local Slack shows, which tells nobody when it changes."""
        async with asyncio.timeout(seconds):
            while not wanted():
                await asyncio.sleep(0.02)

    def leave(self, room: str) -> None:
        """Somebody takes the bot out of this channel."""
        self.slack.world.channels[room].members.discard(self.slack.world.app.user)


@asynccontextmanager
async def lacking(*scopes: str) -> AsyncIterator[Scene]:
    store, clock, nonces = MemoryStore(), Wall(), count()
    async with LocalSlack() as slack, asyncio.TaskGroup() as group:
        world = slack.world
        world.app.scopes = tuple(scope for scope in world.app.scopes if scope not in scopes)
        home = world.add_channel("andon-home", [world.app.user]).id
        me = [world.app.user]
        rooms = {name: world.add_channel(name, me, private=name == "desk").id for name in ("floor", "desk")}
        api = SlackApi(slack.api_url, SecretStr(world.app.bot_token))
        board = Board(
            shelf=MemoryShelf(clock), slack=api, store=store, shards=[SHARD], clock=clock, alarms=Alarms(store, clock),
            drawing=Plain(), pace=api.pace, channel=home, home=SHARD, replica="r", nonce=lambda: f"r-{next(nonces)}",
            manner=QUICK, named=lambda: {"#floor", "#desk"},
        )  # fmt: skip
        task = group.create_task(board.run())
        scene = Scene(slack, store, board, home, rooms)
        await scene.until(lambda: board.leading and bool(board.placer.workspace_url), AT_ONCE_S)
        yield scene
        task.cancel()
    await api.close()


@pytest.mark.parametrize("scope", OPTIONAL)
async def test_cards_are_right_and_prompt_without_any_one_scope_but_that_to_write(scope: str) -> None:
    """Also that of a post whose answer was lost, and whose channel threw the bot out; nobody else waits for it."""
    async with lacking(scope) as scene:
        floor = scene.rooms["floor"]
        scene.slack.faults.lose_replies = 1
        one = incident(channel=floor)
        await scene.commit(one)
        await scene.until(lambda: scene.slack.faults.lose_replies == 0, AT_ONCE_S)
        scene.leave(floor)
        await asyncio.sleep(QUICK.settle_ms / 1_000 + 0.8)  # the pause after a lost answer is over
        await scene.commit(replace(one, why="changed"), incident("inc-2", channel=""))
        await scene.until(lambda: scene.cards("inc-2") == [(scene.home, "inc-2 open")], AT_ONCE_S)
        where = scene.home if scope == "channels:join" else floor  # it goes back to look for its card
        await scene.until(lambda: (where, "inc-1 open changed") in scene.cards("inc-1"), SOON_S)
        assert scene.board.reach.slack.standing == "takes messages"
        await scene.commit(incident("inc-3", channel=scene.rooms["desk"]))
        await scene.until(lambda: scene.cards("inc-3") == [(scene.rooms["desk"], "inc-3 open")], AT_ONCE_S)


@pytest.mark.parametrize(
    ("scope", "found"), [("channels:read", "desk"), ("groups:read", "floor"), ("channels:history", "desk")]
)
async def test_what_one_kind_of_channel_lacks_does_not_hide_the_other(scope: str, found: str) -> None:
    """Slack refuses to list both kinds at once; the default channel has what is not found by its name."""
    async with lacking(scope) as scene:
        await scene.commit(incident(channel=f"#{found}"))
        await scene.until(lambda: scene.cards("inc-1") == [(scene.rooms[found], "inc-1 open")], AT_ONCE_S)
        hidden = "floor" if found == "desk" else "desk"
        await scene.commit(incident("inc-2", channel=f"#{hidden}"))
        where = scene.home if scope.endswith(":read") else scene.rooms[hidden]
        await scene.until(lambda: scene.cards("inc-2") == [(where, "inc-2 open")], AT_ONCE_S)


async def test_without_the_scope_to_write_everything_waits_and_says_so() -> None:
    """There is nothing else that could be tried: the board pauses, and goes on once the app has it again."""
    async with lacking("chat:write") as scene:
        await scene.commit(incident(channel=""))
        await scene.until(lambda: scene.board.reach.slack.failing, AT_ONCE_S)
        assert "missing_scope" in scene.board.reach.slack.standing
        scene.slack.world.app.scopes = tuple(SCOPES)
        await scene.until(lambda: scene.cards("inc-1") == [(scene.home, "inc-1 open")], SOON_S)


async def test_a_missing_scope_is_told_once_for_each_call() -> None:
    """With its name and what to do; a refusal at every sweep is not news."""
    async with lacking("channels:read", "groups:read") as scene:
        api: Slack = SlackApi(scene.slack.api_url, SecretStr(scene.slack.world.app.bot_token))
        with structlog.testing.capture_logs() as said:
            for _ in range(3):
                with pytest.raises(SlackRefusedError, match="missing_scope"):
                    await api.channels({"#floor"})
        assert isinstance(api, SlackApi)
        await api.close()
        told = [line for line in said if line["event"] == "slack_scope_missing" and "fix" in line]
        assert [(line["call"], line["scope"]) for line in told] == [("users.conversations", "channels:read")]
