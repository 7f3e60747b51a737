"""The Home tabs that people have open: published when they come, and again while what it shows changes.

`listeners` tells who opened theirs, the engine (through `bot.slack_face`) that something changed here; what another
replica did is found by looking again. A tab nobody looked at for a while is left as it is; it is made anew when it is
opened.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import structlog

from bot.adapters.http_services import Services
from bot.adapters.slack.cards import home, overview
from bot.adapters.slack.cards.text import TIMELESS
from bot.adapters.slack.heard.members import Members, Stranger
from bot.adapters.slack.heard.speaking import Speaking
from bot.adapters.slack.line.api import SlackThrottledError
from bot.core.events import Budget
from bot.core.words import AggregateId
from bot.errors import AndonError

LOOKED_AT_SECONDS: Final = 900.0  # how long a tab counts as open; nothing tells when it is closed
EVERY_SECONDS: Final = 5.0  # between two renderings of all tabs, and
EACH_SECONDS: Final = 0.75  # for each of them: views.publish is tier 4, 100 a minute, and a storm must not use it up
LOOK_SECONDS: Final = 15.0  # between looks while nothing is committed here: another replica may have
MAX_OPEN: Final = 50  # tabs kept fresh, those opened last

Links: TypeAlias = Callable[[], Awaitable[Mapping[AggregateId, str]]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Tab:
    """When it was opened, and what it shows, but for the time."""

    at: float
    look: str


class Homes:
    """Whose Home tab is kept fresh."""

    def __init__(
        self, services: Services, members: Members, speaking: Speaking, budget: Budget, links: Links | None = None,
        *, look_s: float = LOOK_SECONDS,
    ) -> None:  # fmt: skip
        """`links`: where each incident's card stands, as far as that is known. `look_s`: shorter in tests."""
        self._services = services
        self._members = members
        self._speaking = speaking
        self._budget = budget
        self._links = links
        self._look_s = look_s
        self._open: OrderedDict[tuple[str, str], _Tab] = OrderedDict()  # by (team, user)
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Something that a tab may show is different now."""
        self._changed.set()

    async def opened(self, team: str, user: str) -> None:
        """Publish this person's tab, and keep it fresh for a while."""
        self._open.pop((team, user), None)
        look = await self._publish(team, user)
        if look is None:
            return  # a crowd of strangers puts nobody's tab out of date
        self._open[team, user] = _Tab(asyncio.get_running_loop().time(), look)
        while len(self._open) > MAX_OPEN:
            self._open.popitem(last=False)

    async def run(self) -> None:
        """Keep open tabs fresh, for ever."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_s):
                    await self._changed.wait()
            self._changed.clear()
            oldest = asyncio.get_running_loop().time() - LOOKED_AT_SECONDS
            for who in [who for who, tab in self._open.items() if tab.at < oldest]:
                del self._open[who]
            await asyncio.sleep(await self._freshen())

    async def _freshen(self) -> float:
        """Look at each open tab; returns in how many seconds the next may be published."""
        every = min(EVERY_SECONDS, self._look_s)
        for who, tab in list(self._open.items()):
            try:
                look = await self._publish(*who, shown=tab.look)
            except SlackThrottledError as error:
                self._changed.set()  # the rest waits with it
                return max(every, error.seconds)
            except AndonError as error:
                log.warning("home_not_published", user=who[1], error=str(error))
                continue
            if self._open.get(who) is not tab:
                continue  # opened again meanwhile
            if look is None:
                del self._open[who]
            else:
                self._open[who] = replace(tab, look=look)
        return max(every, (len(self._open) - 1) * EACH_SECONDS)

    async def _publish(self, team: str, user: str, shown: str = "") -> str | None:
        """Show it, unless it still looks as it was `shown`; how it looks, or None for the tab of nobody known."""
        who = await self._members.who(team, user)
        if isinstance(who, Stranger):
            await self._speaking.publish(user, home.stranger(who.why))
            return None
        links = await self._links() if self._links is not None else {}
        seen = await overview.look(self._services, who.person, self._budget)
        look = _look_of(seen, links)
        if look != shown:
            await self._speaking.publish(user, home.render(seen, links))
        return look


def _look_of(seen: overview.Overview, links: Mapping[AggregateId, str]) -> str:
    """What tells two tabs apart: all but the hour, and what the hour gives back of the budgets."""
    used = [system.used(seen.budget, seen.now) for system in seen.systems]
    told = json.dumps([home.render(replace(seen, now=TIMELESS), links), used])
    return hashlib.sha256(told.encode()).hexdigest()
