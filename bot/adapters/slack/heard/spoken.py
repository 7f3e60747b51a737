"""Words said to Andon: a slash command, a mention, or a question about a message of its own.

Called by `listeners` once it is known who speaks. Slack gives a mention no trigger, so it cannot open a form: what asks
for one is answered with a button that carries what was typed, and the click opens it, for whoever typed it.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Final

from bot.adapters.slack.board.shelf import Shelf, incident_of
from bot.adapters.slack.cards import answers
from bot.adapters.slack.cards.blocks import actions, button, message, section
from bot.adapters.slack.cards.shapes import MAX_VALUE, verb_of
from bot.adapters.slack.cards.text import code, escape, length
from bot.adapters.slack.heard.commands import Commands
from bot.adapters.slack.heard.members import Known
from bot.adapters.slack.heard.person import Answer, Deed, Show, Tell
from bot.adapters.slack.heard.typed_text import plain

MAX_EDITED: Final = 500  # messages whose edit was answered; who edits one often is told so once
MAX_SHOWN: Final = 300  # characters of what was typed, above the button
_TYPED: Final = "typed"  # in an action_id: the button carries what was typed
_SIGNS: Final = {"&": "\\u0026", "<": "\\u003c", ">": "\\u003e"}  # as JSON: whatever escapes these leaves them whole


class Spoken:
    """Answers words."""

    def __init__(self, commands: Commands, shelf: Shelf) -> None:
        self._commands = commands
        self._shelf = shelf
        self._edited: OrderedDict[tuple[str, str], None] = OrderedDict()  # by channel and ts, oldest first

    async def answer(self, who: Known, text: str, deed: Deed) -> Answer:
        """Do what was said. Raises what the desk raises."""
        found = await self._commands.answer(deed.order(who), text)
        return found if isinstance(found, Tell) or deed.trigger else _offered(found, text, deed)

    async def opened(self, who: Known, value: str, deed: Deed) -> Answer:
        """What a mention said, read and judged anew now that its button gives a trigger."""
        text = _carried(value, deed.user)
        if text is None:
            words = "this button opens a form only for whoever typed it; nothing was done"
            return Tell(answers.wrong(words, "type it yourself; /andon help lists what Andon understands"))
        return await self.answer(who, text, deed)

    def edited(self, deed: Deed, ts: str) -> Answer:
        """What a mention says now was done when it was said, or never: an order is given by saying it, once."""
        if (deed.channel, ts) in self._edited:
            return None
        self._edited[deed.channel, ts] = None
        while len(self._edited) > MAX_EDITED:
            self._edited.popitem(last=False)
        return Tell(answers.wrong("an edit changes nothing; what was done before stays", "say it anew"))

    async def about(self, who: Known, channel: str, ts: str, deed: Deed) -> Answer:
        """Show the incident that this message is about."""
        for name, placed in (await self._shelf.places()).items():
            subject = incident_of(name)
            if subject is not None and ts and placed.channel == channel and ts in (placed.ts, placed.thread):
                return await self._commands.answer(deed.order(who), f"show {subject[1]}")
        words = "this message is none of Andon's cards"
        return Tell(answers.wrong(words, "use it on a card, or `/andon incidents` to find one"))


def is_typed(action: str) -> bool:
    """Whether this `action_id` is of a button that carries what was typed."""
    return action.endswith(f":{_TYPED}")


def _offered(form: Show, text: str, deed: Deed) -> Tell:
    """The button that opens a form; of a form that only tells something, its words."""
    view = form.view
    if "submit" not in view:
        told = " ".join(block["text"]["text"] for block in view["blocks"] if block["type"] == "section")
        return Tell(message(escape(told), view["blocks"]))
    value = json.dumps({"by": deed.user, "text": text}, ensure_ascii=False).encode("utf-8", "replace").decode()
    for sign, written in _SIGNS.items():
        value = value.replace(sign, written)
    if length(value) > MAX_VALUE:
        return Tell(answers.wrong("this asks for a form, and is longer than a button carries", "type it after /andon"))
    words = f"This asks for a form, so nothing was done yet:\n{code(f'/andon {plain(text)}', MAX_SHOWN)}"
    opening = button("Open the form …", verb_of(view["callback_id"]), value, place=_TYPED, style="primary")
    return Tell(message("This asks for a form, so nothing was done yet.", [section(words), actions([opening])]))


def _carried(value: str, user: str) -> str | None:
    """What this user typed; None for a value that is none of ours, or somebody else's."""
    try:
        found = json.loads(value) if length(value) <= MAX_VALUE else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not user or found.get("by") != user:
        return None
    text = found.get("text")
    return text if isinstance(text, str) else None
