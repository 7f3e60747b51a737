"""Slack as people at their desks see it: cards, threads, decisions, modals; and their hands.

Around the local Slack of `bot.sandbox.slack`, to which a real `andon serve` is connected by Socket Mode. Messages are
found by what Andon wrote into their metadata, judged by the words that stand on the screen.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bot.sandbox.children import until
from bot.sandbox.slack.limits import problems
from bot.sandbox.slack.population import APPROVER, CHANNELS, ONCALL, SECOND, VIEWER
from bot.sandbox.slack.server import LocalSlack
from bot.sandbox.slack.world import Posted

WITHIN = 15.0  # seconds for one thing to be seen; most take a second, since a channel takes one message a second
OPS = "C0OPS"
MEMBERS = {"demo-oncall": ONCALL, "demo-approver": APPROVER, "demo-second": SECOND, "demo-visitor": VIEWER}


class Screen:
    """What is seen, and done."""

    def __init__(self, slack: LocalSlack) -> None:
        self.slack = slack

    def section(self, folder: Path) -> dict[str, Any]:
        """The `slack:` of andon.yaml that leads here."""
        app = self.slack.world.app
        files = {}
        for name, token in (("bot", app.bot_token), ("app", app.app_token)):
            files[name] = folder / f"slack-{name}.token"
            files[name].write_text(token)
        return {
            "mode": "socket", "credentials": f"file:{files['bot']}", "app_credentials": f"file:{files['app']}",
            "api_url": self.slack.api_url, "channel": f"#{CHANNELS[OPS]}",
        }  # fmt: skip

    def named(self, kind: str, incident: str) -> list[Posted]:
        """Andon's messages of a kind ("card", "question", "thread") about an incident, oldest first."""
        world = self.slack.world
        every = [posted for channel in world.channels for posted in world.shown(channel)]
        return [posted for posted in every if _name(posted).startswith(f"{kind}:") and f"|{incident}" in _name(posted)]

    async def card(self, incident: str, *said: str) -> Posted:
        """The incident's one card, once it says all of this."""
        found = await self._seen(lambda: self.named("card", incident), said, f"the card of {incident}")
        assert len(self.named("card", incident)) == 1, "an incident has one card"
        return found

    async def question(self, incident: str, *said: str, number: int = 1) -> Posted:
        """The `number`-th decision card of an incident, once it says all of this."""
        return await self._seen(
            lambda: self.named("question", incident)[number - 1 : number], said, f"decision {number} of {incident}"
        )

    async def told(self, incident: str, *said: str) -> str:
        """What the incident's thread tells, once it says all of this."""
        card = await self.card(incident)

        def thread() -> str:
            return "\n".join(words(reply) for reply in self.slack.world.replies(card.channel, card.ts))

        async def look() -> str:
            return thread() if all(each in thread() for each in said) else ""

        try:
            return await until(f"the thread of {incident} says {said}", look, within=WITHIN)
        except Exception as problem:
            problem.add_note(f"it says: {thread()}")
            raise

    async def only_for(self, user: str, *said: str) -> str:
        """Words for this user's eyes, once there are some that say all of this."""

        async def look() -> str:
            world = self.slack.world
            every = [p for channel in world.channels for p in world.shown(channel, to=user) if p.only_for == user]
            return next((words(p) for p in reversed(every) if all(each in words(p) for each in said)), "")

        return await until(f"{user} is told {said}", look, within=WITHIN)

    async def click(self, user: str, posted: Posted, verb: str, *, version: int = -1) -> None:
        """Press a button of a message; `version` 0 is as it looked at first."""
        outcome = await self.slack.people.click(user, posted.channel, posted.ts, f"andon:{verb}", version=version)
        assert not outcome.error, outcome

    async def modal(self, user: str, *said: str) -> Any:
        """The modal in front of this user, once it says all of this."""

        async def look() -> Any:
            view = self.slack.people.modal(user)
            return view if view is not None and all(each in _text(view.body) for each in said) else None

        return await until(f"{user} sees a modal that says {said}", look, within=WITHIN)

    async def send(self, user: str, view: Any, **values: Any) -> dict[str, str]:
        """Submit a modal; what is wrong, by field."""
        outcome = await self.slack.people.submit(user, view.id, values)
        return dict(outcome.errors)

    async def type(self, user: str, text: str, channel: str = OPS) -> None:
        """A slash command."""
        outcome = await self.slack.people.command(user, channel, text)
        assert not outcome.error, outcome

    def misfits(self) -> list[str]:
        """Everything ever shown that is not within Slack's limits."""
        world = self.slack.world
        return [
            f"{_name(posted)}: {problem}"
            for channel in world.channels
            for posted in world.shown(channel)
            for version in posted.versions
            for problem in problems(list(version.blocks))
        ]

    async def _seen(self, find: Callable[[], list[Posted]], said: tuple[str, ...], what: str) -> Posted:
        async def look() -> Posted | None:
            found = find()
            return found[0] if found and all(each in words(found[0]) for each in said) else None

        try:
            return await until(f"{what} says {said}", look, within=WITHIN)
        except Exception as problem:
            problem.add_note(f"it says: {[words(each) for each in find()]}")
            raise


def words(posted: Posted) -> str:
    """Everything that stands on a message, buttons and where they lead too."""
    return f"{posted.now.text}\n{_text(list(posted.now.blocks))}"


def buttons(posted: Posted) -> set[str]:
    """The verbs of a message's buttons."""
    return {
        element["action_id"].removeprefix("andon:").partition(":")[0]
        for block in posted.now.blocks
        if block["type"] == "actions"
        for element in block["elements"]
        if element.get("action_id", "").startswith("andon:")
    }


def _name(posted: Posted) -> str:
    return str((posted.metadata.get("event_payload") or {}).get("name", ""))


def _text(part: Any) -> str:
    if isinstance(part, dict):
        own = [part[key] for key in ("text", "url") if isinstance(part.get(key), str)]
        return "\n".join([*own, *(_text(value) for value in part.values() if isinstance(value, (dict, list)))])
    if isinstance(part, list):
        return "\n".join(_text(each) for each in part)
    return ""
