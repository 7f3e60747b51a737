"""What the board asks of whoever renders: the data a picture is made of, and the pictures, as one Protocol.

`scenery` makes sights of records, `showing` has them drawn and sent. Drawing is pure: everything it needs is in the
sight, in configuration it was given, and in `now`; drawn at `text.TIMELESS` it shows no countdown and no age, so two
such drawings differ only when the record does (`look_of`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bot.adapters.slack.board.shelf import Line
from bot.adapters.slack.cards.shapes import Message
from bot.core.incident import Incident
from bot.core.words import AggregateId, JsonText, Millis, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One incident, as it is to be shown. `link`: where its decision is asked, "" where none is.

    `card`, `parent`: where its card stands, and that of the incident that it is a branch of; "" while unknown.
    `outcomes`: what became of the same policy's last incidents, newest first, in plain words.
    """

    shard: str
    incident: Incident
    link: str = ""
    card: str = ""
    parent: str = ""
    outcomes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What the board keeps in mind of an incident: where it belongs, and how it looks now.

    `channel` is an id. `what`: its alerts in a few words, as they came. `question`: the approval that is asked for, ""
    while none is. `ended`: resolved or closed. `facts`: what the thread tells about (whoever draws reads it). Looks and
    facts are "" while it has no card.
    """

    shard: str
    incident: AggregateId
    version: int
    channel: str
    policy: str
    severity: Severity
    status: str
    opened_at: Millis
    ended: bool
    closed: bool
    question: str
    look: str
    question_look: str
    facts: JsonText
    what: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StormSight:
    """A channel's storm: who stands in the digest, and whether it is still going on."""

    channel: str
    began: Millis
    on: bool
    members: tuple[Brief, ...]
    carded: tuple[AggregateId, ...] = ()  # those of them that have a card of their own


class Drawing(Protocol):
    """Whoever renders. Everything returned is within Slack's limits and escaped."""

    def card(self, sight: Sight, now: Millis) -> Message:
        """The incident's card."""
        ...

    def question(self, sight: Sight, now: Millis) -> Message | None:
        """The decision card; None when nothing is asked."""
        ...

    def question_facts(self, sight: Sight) -> JsonText:
        """What `ended` will need of the question when it is gone from the record."""
        ...

    def ended(
        self, kept: JsonText, chain: Sequence[JsonText], incident: Incident | None, now: Millis
    ) -> tuple[Message, bool]:
        """The decision card of a question that is asked no more: no buttons, and who decided, from the bodies of the
        incident's chain (None: it left the store). And whether that is the last word on it.
        """
        ...

    def facts(self, sight: Sight) -> JsonText:
        """What the thread tells about, as canonical JSON."""
        ...

    def told(self, before: JsonText, after: JsonText, now: Millis) -> tuple[str, ...]:
        """What the thread is to say because the facts changed; mrkdwn, a line each."""
        ...

    def line(self, line: Line) -> str:
        """A line of the engine's as mrkdwn."""
        ...

    def thread(self, words: Sequence[str], link: str = "") -> tuple[Message, int]:
        """As many of these lines as fit one message, at least the first, and how many that is; `link`: to the card."""
        ...

    def elsewhere(self, sight: Sight) -> str:
        """For the channel that did not take the incident's card: what is open, as mrkdwn; a link to it follows."""
        ...

    def digest(self, sight: StormSight, now: Millis) -> Message:
        """One message for a channel's storm."""
        ...


def look_of(message: Message | None) -> str:
    """What tells two drawings apart; "" for none."""
    if message is None:
        return ""
    text = json.dumps([message.text, message.blocks], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
