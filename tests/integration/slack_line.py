"""Slack over the doors' twin, by wire: a local Slack, Socket Mode, slack-bolt and slack-sdk, the real engine."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp.abc import ResolveResult
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from slack_bolt.app.async_app import AsyncApp

from bot.adapters.desk import Desk
from bot.adapters.desk_runs import Runs
from bot.adapters.desk_silences import Silences
from bot.adapters.slack.board.shelf_twin import MemoryShelf
from bot.adapters.slack.heard.clicks import Clicks
from bot.adapters.slack.heard.copies import Copies
from bot.adapters.slack.heard.homes import Homes
from bot.adapters.slack.heard.listeners import Listeners
from bot.adapters.slack.heard.members import Members
from bot.adapters.slack.heard.speaking import Speaking
from bot.adapters.slack.heard.spoken import Spoken
from bot.adapters.slack.heard.submissions import Submissions
from bot.adapters.slack.line.api import SlackApi
from bot.adapters.slack.line.socket_line import SocketLine
from bot.adapters.slack.line.unread import Unread
from bot.core.intents import Budget
from bot.engine.alarms import Alarms
from bot.sandbox.slack.population import APPROVER, ONCALL, SECOND, VIEWER
from bot.sandbox.slack.server import LocalSlack
from bot.sandbox.slack.state import View
from bot.sandbox.slack.world import Posted
from handlers.routing import UNROUTED
from policies.people import PeopleDocument
from remediations.catalogue import CATALOGUE
from tests.integration.commands_twin import Slack, words_of
from tests.integration.door_twin import ROSTER, TwinServices

OPS = "C0OPS"
HOST = "slack.localhost"  # uploads and answers go to another host, below it
SOON = 15.0  # seconds for what comes by itself
LOOK_S = 0.1  # between two looks at open Home tabs
ACCOUNTS = {"demo-oncall": ONCALL, "demo-approver": APPROVER, "demo-second": SECOND, "demo-guest": VIEWER}


def people(team: str) -> PeopleDocument:
    """The twin's people, each with their account in the local Slack; one of them may only look."""
    whole = ROSTER.model_dump(exclude_defaults=True)
    for person in whole["people"]:
        person["slack"] = {"team": team, "user": ACCOUNTS[person["id"]]}
        person["roles"] = ["viewer"] if person["id"] == "demo-guest" else []
    return PeopleDocument.model_validate(whole)


@dataclass
class Line:
    """Somebody types, clicks and sends; `slack.world` has everything that was ever shown."""

    slack: LocalSlack
    services: TwinServices
    hands: Slack
    shelf: MemoryShelf
    app: AsyncApp
    unread: Unread

    async def command(self, user: str, text: str) -> Posted:
        """Type it in the channel; the answer."""
        before = self._said()
        outcome = await self.slack.people.command(user, OPS, f"/andon {text}")
        assert outcome.error == "", outcome
        return await self.said_after(before)

    async def asked_about(self, user: str, ts: str) -> Posted:
        """Use the shortcut on a message; the answer."""
        before = self._said()
        await self.slack.people.shortcut(user, "andon:about", channel=OPS, ts=ts)
        return await self.said_after(before)

    async def said_after(self, before: set[str]) -> Posted:
        """What the app says next in the channel."""
        async with asyncio.timeout(SOON):
            while not (new := self._said() - before):
                await asyncio.sleep(0.01)
        return self.slack.world.messages[OPS][new.pop()]

    async def opened(self, user: str, text: str) -> View:
        """Type it in the channel; the modal that opens."""
        before = self.slack.people.modal(user)
        outcome = await self.slack.people.command(user, OPS, f"/andon {text}")
        assert outcome.error == "", outcome
        async with asyncio.timeout(SOON):
            while (view := self.slack.people.modal(user)) is before or view is None:
                await asyncio.sleep(0.01)
        return view

    def _said(self) -> set[str]:
        room = self.slack.world.messages.get(OPS, {})
        return {ts for ts, posted in room.items() if posted.user == self.slack.world.app.user}


def shown(part: Posted | View) -> str:
    """All words of a message or a modal, as they are now."""
    blocks: Any = part.now.blocks if isinstance(part, Posted) else part.body["blocks"]
    return "\n".join(words_of(blocks))


async def here(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    """Every name is this machine's."""
    return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]


@asynccontextmanager
async def connected(folder: Path, services: TwinServices) -> AsyncIterator[Line]:
    """Everything joined as `bot.slack_face` does it, without the board."""
    async with LocalSlack(host=HOST) as slack, asyncio.TaskGroup() as tasks:
        slack.rates.enforced = False
        services.document = people(slack.world.team)
        hands, shelf = Slack(services, folder), MemoryShelf(services.clock)
        token = SecretStr(slack.world.app.bot_token)
        api = SlackApi(slack.api_url, token, lookup=here)
        await api.me()
        members = Members(api, services.roster, lambda: slack.world.team)
        speaking = Speaking(api, token.get_secret_value())
        silences = Silences(services, lambda: hands.alertmanagers)
        homes = Homes(services, members, speaking, Budget(limit=10, within_ms=600_000, reserve=3), look_s=LOOK_S)
        copies = Copies(services)
        listeners = Listeners(
            members=members,
            clicks=Clicks(services, Desk(services), copies),
            copies=copies,
            submissions=Submissions(services, Desk(services), Runs(services), silences, CATALOGUE),
            spoken=Spoken(hands.commands, shelf),
            homes=homes,
            speaking=speaking,
        )
        app = listeners.application()
        unread = Unread(api, Alarms(services.store, services.clock), UNROUTED, CollectorRegistry())
        line = SocketLine(app, SecretStr(slack.world.app.app_token), unread.noted)
        running = [tasks.create_task(each.run()) for each in (listeners, line, homes, unread)]
        async with asyncio.timeout(SOON):
            while line.standing != "connected":
                await asyncio.sleep(0.01)
        yield Line(slack, services, hands, shelf, app, unread)
        for task in running:
            task.cancel()
        await api.close()
