"""What the board has drawn: every kind of message, by the modules that render, with what only the house knows.

The one `sights.Drawing` of the product. Made by the composition root with the house's services, whose people and
policies are those in force at the moment of drawing. Nothing here asks or waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bot.adapters import http_cards
from bot.adapters.http_services import Services
from bot.adapters.slack.board import digest, timeline
from bot.adapters.slack.board.shelf import Line
from bot.adapters.slack.board.sights import Sight, StormSight
from bot.adapters.slack.cards import decision_card, incident_card
from bot.adapters.slack.cards.decision_card import Extras
from bot.adapters.slack.cards.decision_ending import ending
from bot.adapters.slack.cards.incident_card import CardView
from bot.adapters.slack.cards.shapes import Message
from bot.adapters.slack.cards.text import TIMELESS
from bot.core.incident import Incident
from bot.core.words import JsonText, Millis


class Pictures:
    """Draws what the board asks for.

    `editable`: whether people may ask for a safer value than the one a question names. `chart`: the picture of a
    question (its file's id, and what it shows in words), ("", "") while there is none.
    """

    def __init__(
        self,
        services: Services,
        editable: Callable[[Incident], bool] = lambda incident: False,
        chart: Callable[[Sight], tuple[str, str]] = lambda sight: ("", ""),
    ) -> None:
        self._services = services
        self._editable = editable
        self._chart = chart

    def card(self, sight: Sight, now: Millis) -> Message:
        """The incident's card."""
        plan = sight.incident.plan
        view = CardView(
            incident=sight.incident,
            shard=sight.shard,
            dashboard=plan.dashboard if plan is not None else "",
            pages={contact.service: contact.url for contact in self._services.roster().contacts},
            decision=sight.link,
            parent_card=sight.parent,
            # A figure that moves is no reason to edit a card: it is shown with whatever else changed.
            readings=sight.incident.readings if now != TIMELESS else (),
        )
        return incident_card.render(view, now)

    def question(self, sight: Sight, now: Millis) -> Message | None:
        """The decision card; None when nothing is asked."""
        told = http_cards.card(self._services, sight.shard, sight.incident, "")
        if told is None or sight.incident.plan is None:
            return None
        chart, words = self._chart(sight)
        extras = Extras(
            chart=chart,
            chart_says=words,
            outcomes=sight.outcomes,
            card=sight.card,
            runbook=sight.incident.plan.runbook,
            editable=self._editable(sight.incident),
            holdable=incident_card.holdable(sight.incident),
        )
        return decision_card.render(told, extras, now)

    def question_facts(self, sight: Sight) -> JsonText:
        """What `ended` will need of the question when it is gone from the record."""
        told = http_cards.card(self._services, sight.shard, sight.incident, "")
        return decision_card.kept(told) if told is not None else "{}"

    def ended(
        self, kept: JsonText, chain: Sequence[JsonText], incident: Incident | None, now: Millis
    ) -> tuple[Message, bool]:
        """The card of a question that is asked no more, and whether that is the last word on it."""
        found = ending(kept, chain, incident)
        return decision_card.closed(kept, found), found.last

    def facts(self, sight: Sight) -> JsonText:
        """What the thread tells about."""
        return timeline.facts(sight.incident)

    def told(self, before: JsonText, after: JsonText, now: Millis) -> tuple[str, ...]:
        """What the thread is to say because the facts changed."""
        return timeline.told(before, after)

    def line(self, line: Line) -> str:
        """A line of the engine's as mrkdwn."""
        return timeline.line(line)

    def thread(self, words: Sequence[str], link: str = "") -> tuple[Message, int]:
        """As many of these lines as fit one message, and how many that is."""
        return timeline.thread(words, link)

    def elsewhere(self, sight: Sight) -> str:
        """What is open and has its card in another channel."""
        return timeline.elsewhere(sight.incident)

    def digest(self, sight: StormSight, now: Millis) -> Message:
        """One message for a channel's storm."""
        return digest.render(sight, now)
