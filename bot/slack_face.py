"""Slack's part of the house, joined: what speaks (chat, board), what hears (door or line, listeners), and who is who.

Made by `bot.app` where andon.yaml has `slack:`, and joined to the house by `bot.house`. In two steps, since the
engine's hands need chat and membership before there is a house whose desk the listeners could use.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from aiohttp import web
from pydantic import SecretStr
from slack_bolt.app.async_app import AsyncApp

from bot.adapters.connectors import Connectors
from bot.adapters.desk import Desk
from bot.adapters.desk_kill import KillLever
from bot.adapters.desk_runs import Runs
from bot.adapters.desk_silences import Silences
from bot.adapters.evidence_history import Histories
from bot.adapters.http_services import Check, Services
from bot.adapters.kill_switch import KillSwitch
from bot.adapters.slack.board.board import Board, Manner
from bot.adapters.slack.board.charts import Charts
from bot.adapters.slack.board.chat import SlackChat
from bot.adapters.slack.board.drawing import Pictures
from bot.adapters.slack.board.gallery import Gallery
from bot.adapters.slack.board.shelf import Shelf, incident_of
from bot.adapters.slack.heard import editing
from bot.adapters.slack.heard.clicks import Clicks
from bot.adapters.slack.heard.commands import Commands, Counter
from bot.adapters.slack.heard.copies import Copies
from bot.adapters.slack.heard.enquiries import Enquiries
from bot.adapters.slack.heard.homes import Homes
from bot.adapters.slack.heard.listeners import Listeners
from bot.adapters.slack.heard.members import Members
from bot.adapters.slack.heard.speaking import Speaking
from bot.adapters.slack.heard.spoken import Spoken
from bot.adapters.slack.heard.submissions import Submissions
from bot.adapters.slack.line.api import SlackApi
from bot.adapters.slack.line.door import PATH, Reply, SignedDoor, hand_on
from bot.adapters.slack.line.socket_line import SocketLine
from bot.adapters.slack.line.unread import Unread
from bot.adapters.targets_credentials import resolve
from bot.core.action import Catalogue
from bot.core.events import Budget
from bot.core.words import AggregateId
from bot.engine.alarms import Alarms
from bot.engine.beside import Eternal
from bot.engine.engine import Engine
from bot.engine.ports import Clock
from bot.errors import ConfigError, DeliveryError
from policies.andon import UNROUTED, SlackDoc

ASK_AGAIN_SECONDS: Final = 5.0  # who the bot is, while Slack does not say

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """What the rest of the house gives to its Slack part."""

    services: Services
    engine: Engine
    alarms: Alarms
    catalogue: Catalogue
    budget: Budget
    silences: Silences
    switch: KillSwitch
    connectors: Connectors


class SlackFace:
    """One workspace. `chat` and `members` are there at once, the rest after `join`."""

    def __init__(self, setup: SlackDoc, *, shelf: Shelf, clock: Clock, replica: str) -> None:
        """Raises ConfigError for a credential that is missing."""
        self._setup = setup
        self._clock = clock
        self._replica = replica
        self._shelf = shelf
        self._token = _secret(setup.credentials, "slack.credentials")
        if setup.mode == "socket":
            self._second = _secret(setup.app_credentials, "slack.app_credentials")
        else:
            self._second = _secret(setup.signing_secret, "slack.signing_secret")
        self.api = SlackApi(setup.api_url, self._token)
        self._team = setup.team
        self._neighbours: Neighbours | None = None
        self.chat = SlackChat(shelf, clock, self._nudge)
        self.members = Members(self.api, lambda: self._joined.engine.book.people, lambda: self._team)
        self._socket: SocketLine | None = None

    @property
    def _joined(self) -> Neighbours:
        assert self._neighbours is not None  # `join` comes before anything runs
        return self._neighbours

    def join(self, **parts: Any) -> None:
        """Build everything that needs the house. `parts`: the fields of `Neighbours`."""
        neighbours = self._neighbours = Neighbours(**parts)
        services, engine = neighbours.services, neighbours.engine
        storm = self._setup.storm
        charts = Charts(Histories(neighbours.connectors))
        self._gallery = Gallery(charts, self.api, services.store, self._clock, self._nudge)
        pictures = Pictures(
            services, editable=lambda incident: editing.is_editable(services, incident), chart=self._gallery.of
        )
        self._board = Board(
            shelf=self._shelf, slack=self.api, store=services.store, shards=services.shards, clock=self._clock,
            alarms=neighbours.alarms, drawing=pictures, pace=self.api.pace, channel=self._setup.channel, home=UNROUTED,
            replica=self._replica, nonce=lambda: secrets.token_hex(8),
            named=self._named, manner=Manner(storm_cards=storm.cards, storm_within_ms=storm.within),
        )  # fmt: skip
        speaking = Speaking(self.api, self._token.get_secret_value())
        self._homes = Homes(services, self.members, speaking, neighbours.budget, self._links)
        self._listeners = self._hearing(neighbours, speaking)
        self._unread = Unread(self.api, neighbours.alarms, UNROUTED, services.registry)
        self._bolt: AsyncApp | None = None
        engine.on_commit(self._committed)

    def _hearing(self, near: Neighbours, speaking: Speaking) -> Listeners:
        services = near.services
        desk, runs = Desk(services), Runs(services)
        counter = Counter(
            services=services, desk=desk, runs=runs, silences=near.silences, catalogue=near.catalogue,
            kill=KillLever(services, desk, near.switch), enquiries=Enquiries(services, near.silences, near.budget),
            outcomes=self._board.outcomes,
        )  # fmt: skip
        copies = Copies(services)
        return Listeners(
            members=self.members, clicks=Clicks(services, desk, copies), copies=copies,
            submissions=Submissions(services, desk, runs, near.silences, near.catalogue),
            spoken=Spoken(Commands(counter), self._shelf), homes=self._homes, speaking=speaking,
        )  # fmt: skip

    # --- for the house ----------------------------------------------------------------------------------------------

    def tasks(self) -> dict[str, Eternal]:
        """Everything that runs beside the engine for as long as the process lives."""
        tasks: dict[str, Eternal] = {
            "slack identity": self._identify,
            "slack people": self.members.run,
            "slack board": self._board.run,
            "slack listeners": self._listeners.run,
            "slack homes": self._homes.run,
            "slack charts": self._gallery.run,
            "slack unread": self._unread.run,
        }
        if self._setup.mode == "socket":
            tasks["slack line"] = self._line
        return tasks

    def mount(self, app: web.Application) -> None:
        """Add Slack's own door, in HTTP mode."""
        if self._setup.mode == "http":
            door = SignedDoor(self._second.get_secret_value().encode(), self._dispatch, self._unread.noted)
            app.router.add_post(PATH, door.handle)

    def check(self) -> Check:
        """The line on `/readyz`: without Slack Andon works on, and pages."""
        return Check("slack", True, self._standing)

    async def close(self) -> None:
        """Close the connections to Slack."""
        await self.api.close()

    # --- inside -----------------------------------------------------------------------------------------------------

    @property
    def _standing(self) -> str:
        line = f", its line: {self._socket.standing}" if self._socket is not None else ""
        return f"{self._setup.mode} mode, {self._board.reach.standing}{line}"

    def _committed(self, shard: str, changed: Sequence[AggregateId]) -> None:
        self._board.committed(shard, changed)
        self._homes.changed()

    def _nudge(self, names: Sequence[str]) -> None:
        self._board.nudge(names)

    async def _links(self) -> dict[AggregateId, str]:
        """Where the incidents' cards stand."""
        placed = (await self._shelf.places()).values()
        cards = [(incident_of(each.name), each) for each in placed if each.ts and each.name.startswith("card:")]
        return {subject[1]: self._board.placer.link(each) for subject, each in cards if subject is not None}

    def _named(self) -> set[str]:
        """What policies call their channels."""
        plans = self._joined.engine.book.policies()
        return {name for plan in plans for name in (plan.channel, *(rung.notify for rung in plan.ladder)) if name}

    async def _identify(self) -> None:
        """Learn who the bot is, and which workspace is ours: until then nobody is known."""
        while not (self._team and self.api.known):
            try:
                me = await self.api.me()
                self._team = self._team or str(me.get("team_id", ""))
            except DeliveryError as error:
                log.warning("slack_identity_unknown", error=str(error))
            if not (self._team and self.api.known):
                await asyncio.sleep(ASK_AGAIN_SECONDS)
        await asyncio.get_running_loop().create_future()

    def _application(self) -> AsyncApp:
        """slack-bolt's application, made inside the running loop."""
        if self._bolt is None:
            self._bolt = self._listeners.application()
        return self._bolt

    async def _line(self) -> None:
        """Keep the line. While all of Slack is away, the board says so; a line that fails alone is for the keeper."""
        while True:
            try:
                self._socket = SocketLine(self._application(), self._second, self._unread.noted)
                await self._socket.run()
            except DeliveryError:
                if await self._answers():
                    raise
            await asyncio.sleep(ASK_AGAIN_SECONDS)

    async def _answers(self) -> bool:
        try:
            await self.api.probe()
        except DeliveryError:
            return False
        return True

    async def _dispatch(self, payload: Mapping[str, Any]) -> Reply:
        """A verified request in HTTP mode, once it was read."""
        return await hand_on(self._application(), payload)


def _secret(reference: str, owner: str) -> SecretStr:
    found = resolve(reference, os.environ, owner=owner)
    if found is None:
        raise ConfigError(f"{owner} in andon.yaml names no credential; write env:NAME or file:PATH")
    return found
