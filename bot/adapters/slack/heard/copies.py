"""Answers that one person alone sees: what stands in them once something was done from there, by a click or by a form.

Used by `clicks` and `listeners`. Slack lets nobody edit such an answer but through the address that a click on it
brings, for half an hour and five times. A form brings none when it is sent, so the address of the click that opened it
waits here, under the form's id. Whoever knows it can speak as Andon, so it is put into nothing that a client gets to
see, nor into the store, which is sealed and not encrypted. A form that is sent to another replica leaves its copy as it
was, until the next click there.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from bot.adapters.http_services import Services
from bot.adapters.slack.cards.blocks import message, section
from bot.adapters.slack.cards.text import escape
from bot.adapters.slack.heard.enquiries import shown
from bot.adapters.slack.heard.person import Answer, Deed, Show, Tell
from bot.core.words import AggregateId
from bot.errors import AndonError

MAX_KEPT: Final = 500  # forms open at once; of more, the oldest ones leave their copies as they were
KEPT_SECONDS: Final = 1_800.0  # an address is good for half an hour


@dataclass(frozen=True, slots=True)
class Copy:
    """Where a form was opened from. `about`: the incident that is shown there, "" for none."""

    address: str = field(repr=False)
    user: str
    about: AggregateId
    at: float  # by the loop's clock


class Copies:
    """The copies whose forms are open, of this replica."""

    def __init__(self, services: Services, now: Callable[[], float] | None = None) -> None:
        """`now`: seconds, for tests."""
        self._services = services
        self._now = now or (lambda: asyncio.get_running_loop().time())
        self._open: OrderedDict[str, Copy] = OrderedDict()  # by the form's id, oldest first

    def opened(self, view: str, deed: Deed, about: AggregateId) -> None:
        """A form was opened by a click in an answer that only this person sees."""
        if not (view and deed.alone and deed.response_url):
            return
        self._open[view] = Copy(deed.response_url, deed.user, about, self._now())
        while len(self._open) > MAX_KEPT:
            self._open.popitem(last=False)

    def done(self, deed: Deed, answer: Answer) -> Copy | None:
        """The copy that the form sent came from, to be made anew; None while the form stays open, and for no copy."""
        kept = self._open.get(deed.view)
        if kept is None or kept.user != deed.user or not _ends(answer):
            return None
        del self._open[deed.view]
        return kept if self._now() - kept.at < KEPT_SECONDS else None

    async def anew(self, about: AggregateId, person: str, safe: str) -> Tell:
        """What came of it (`safe`: escaped), with the incident as it is now: in the place of what was there."""
        alone = message(safe, [section(safe)])
        if not about:
            return Tell(alone, replaces=True)
        try:
            now = await shown(self._services, about, person)
        except AndonError:  # it is done all the same, and they must hear that
            return Tell(alone)
        return Tell(message(safe, [section(safe), *now.blocks]), replaces=True)


def _ends(answer: Answer) -> bool:
    """Whether a form is over with this answer: not one that is to be corrected, nor a page with a button."""
    return isinstance(answer, Tell) or (isinstance(answer, Show) and "submit" not in answer.view)


def said_by(answer: Answer) -> str:
    """The words of a form's last answer, escaped."""
    match answer:
        case Tell(message=said):
            return said.text
        case Show(view=view):
            return escape(" ".join(block["text"]["text"] for block in view["blocks"] if block["type"] == "section"))
    return ""
