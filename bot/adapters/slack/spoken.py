"""Words said to Andon: a slash command, a mention, or a question about a message of its own.

Called by `listeners` once it is known who speaks. A mention cannot open a form, since Slack gives it no trigger.
"""

from __future__ import annotations

from bot.adapters.slack import answers
from bot.adapters.slack.commands import Commands
from bot.adapters.slack.members import Known
from bot.adapters.slack.person import Answer, Deed, Tell
from bot.adapters.slack.shelf import Shelf, incident_of


class Spoken:
    """Answers words."""

    def __init__(self, commands: Commands, shelf: Shelf) -> None:
        self._commands = commands
        self._shelf = shelf

    async def answer(self, who: Known, text: str, deed: Deed) -> Answer:
        """Do what was said. Raises what the desk raises."""
        return await self._commands.answer(deed.order(who), text, forms=bool(deed.trigger))

    async def about(self, who: Known, channel: str, ts: str, deed: Deed) -> Answer:
        """Show the incident that this message is about."""
        for name, placed in (await self._shelf.places()).items():
            subject = incident_of(name)
            if subject is not None and ts and placed.channel == channel and ts in (placed.ts, placed.thread):
                return await self._commands.answer(deed.order(who), f"show {subject[1]}")
        words = "this message is none of Andon's cards"
        return Tell(answers.wrong(words, "use it on a card, or `/andon incidents` to find one"))
