"""Questions typed after `/andon`: gathered from the house, rendered by `answers`. Nothing here changes anything.

Used by `commands`. Whoever is known may ask, a viewer too.
"""

from __future__ import annotations

from typing import Final

from bot.adapters.desk_silences import Silences
from bot.adapters.http_cards import card
from bot.adapters.http_lookup import the_shard
from bot.adapters.http_questions import find_story
from bot.adapters.http_reports import Reports
from bot.adapters.http_services import Services
from bot.adapters.slack.cards import answers, overview
from bot.adapters.slack.cards.shapes import Message
from bot.adapters.slack.heard import asks, editing, grammar
from bot.core.events import Budget
from bot.core.words import Millis

SHIFT_MS: Final[Millis] = 12 * 3_600_000  # what a handoff looks back on


class Enquiries:
    """Answers questions."""

    def __init__(self, services: Services, silences: Silences, budget: Budget) -> None:
        self._services = services
        self._silences = silences
        self._budget = budget

    async def answer(self, ask: asks.Ask, person: str, *, aloud: bool = False) -> Message | None:
        """The answer; None for what is no question. Raises InputError for what there is not.

        `aloud`: everybody reads it, so it has nothing to press.
        """
        match ask:
            case asks.Help(verb=verb):
                return answers.help_page(grammar.pages(), topic=verb, foot=grammar.FOOT)
            case asks.Status():
                return answers.status(await self.look(person))
            case asks.Incidents(system=system):
                if system:
                    the_shard(self._services, system)
                return answers.incidents(await self.look(person), system)
            case asks.Show(incident=incident):
                return await shown(self._services, incident, person, aloud=aloud)
            case asks.Report(incident=incident):
                story = await find_story(self._services, incident)
                return answers.report(await Reports(self._services).account(story))
            case asks.Oncall(service=service):
                return answers.oncall(await self.look(person), service)
            case asks.Handoff():
                return await self._handoff(person)
            case _:
                return None

    async def look(self, person: str) -> overview.Overview:
        """Everything, as this person sees it."""
        return await overview.look(self._services, person, self._budget)

    async def _handoff(self, person: str) -> Message:
        view = await self.look(person)
        since = view.now - SHIFT_MS
        silenced = await self._silences.in_force()
        return answers.handoff(view, since, await overview.recent(self._services, since), silenced)


async def shown(services: Services, incident: str, person: str, *, aloud: bool = False) -> Message:
    """One incident with the buttons that this person may press; `aloud`, with none. Raises InputError."""
    story = await find_story(services, incident)
    waiting = None if story.archived else card(services, story.shard, story.incident, person)
    return answers.show(
        story.incident,
        waiting,
        services.clock.now(),
        archived=story.archived,
        editable=waiting is not None and editing.is_editable(services, story.incident),
        aloud=aloud,
    )
