"""One thing somebody did in Slack, and what they are told: the shapes between `listeners` and those that answer.

Made by `listeners` from a payload; answered by `clicks`, `submissions` and `commands`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from bot.adapters.desk import Order, Outcome
from bot.adapters.slack.cards import text
from bot.adapters.slack.cards.blocks import message, section
from bot.adapters.slack.cards.shapes import Message
from bot.adapters.slack.heard.members import Known
from bot.core.record import Applied, Denied, Ignored
from bot.core.words import AggregateId
from bot.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """A click, a command, a mention or a modal sent: by whom, where, and under which id.

    `id` repeats when Slack tells it again, so that a copy changes nothing. `channel` is "" in the Home tab.
    `team` is where it was done, `home` where Slack says that the account is at home, if it says so.
    """

    id: str
    team: str
    user: str
    home: str = ""
    trigger: str = ""  # opens a modal, once, within 3 s
    channel: str = ""
    thread: str = ""
    response_url: str = ""
    view: str = ""  # the modal's id
    alone: bool = False  # what was clicked stands in an answer that only they see

    def order(self, who: Known) -> Order:
        """As an order at the desk. The account is part of the id: nobody's click stands for somebody else's."""
        return Order(person=who.person, id=f"op/{who.person}/{self.id}", via=who.via)


@dataclass(frozen=True, slots=True)
class Tell:
    """Say this to them alone, or to everybody in the channel; with `replaces`, in the place of what they clicked."""

    message: Message
    in_channel: bool = False
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class Show:
    """Open this modal, or put it in the place of the one they sent. `about`: its incident, "" for none."""

    view: Mapping[str, Any]
    about: AggregateId = ""


@dataclass(frozen=True, slots=True)
class Errors:
    """What is wrong with a modal, by block_id; it stays open."""

    problems: Mapping[str, str]


Answer: TypeAlias = Tell | Show | Errors | None  # None: what they see changes by itself


def told(words: str) -> Tell:
    """A sentence for them alone. `words` are ours; what is foreign in them is made harmless."""
    safe = text.escape(words)
    return Tell(message(safe, [section(safe)]))


def said(outcomes: Sequence[Outcome]) -> str:
    """What was decided, everywhere it was asked."""
    return "; ".join(dict.fromkeys(_word(outcome, several=len(outcomes) > 1) for outcome in outcomes))


def refused(outcomes: Sequence[Outcome]) -> bool:
    """Whether nothing but refusals came back."""
    return all(isinstance(decision, Denied) for _, _, decision in outcomes)


def changed(outcomes: Sequence[Outcome]) -> bool:
    """Whether anything is different now."""
    return any(isinstance(decision, Applied) for _, _, decision in outcomes)


def _word(outcome: Outcome, *, several: bool) -> str:
    shard, _, decision = outcome
    match decision:
        case Applied(why=why):
            words = f"Done: {why}"
        case Ignored(reason=why):
            words = f"Nothing changes: {why}"
        case Denied(reason=why):
            words = f"Not done: {why}"
    return f"{shard}: {words}" if several else words


def problem(error: Exception) -> str:
    """An error of ours as a sentence for whoever caused it."""
    fix = str(getattr(error, "fix", ""))
    words = f"{error.field} {error.message}" if isinstance(error, InputError) else str(error)
    return f"{words} — {fix}" if fix else words
