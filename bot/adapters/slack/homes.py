"""The Home tabs that people have open: published when they come, and again while what it shows changes.

`listeners` tells who opened theirs, the engine (through `bot.slack_face`) that something changed. A tab nobody looked
at for a while is left as it is; it is made anew when it is opened.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

import structlog

from bot.adapters.http_services import Services
from bot.adapters.slack import home, overview
from bot.adapters.slack.members import Known, Members, Stranger
from bot.adapters.slack.speaking import Speaking
from bot.core.events import Budget
from bot.core.words import AggregateId
from bot.errors import AndonError

LOOKED_AT_SECONDS: Final = 900.0  # how long a tab counts as open; nothing tells when it is closed
EVERY_SECONDS: Final = 5.0  # between two renderings: views.publish is tier 4, and a storm must not use it up
MAX_OPEN: Final = 50  # tabs kept fresh, those opened last

Links: TypeAlias = Callable[[], Awaitable[Mapping[AggregateId, str]]]

log = structlog.get_logger(__name__)


class Homes:
    """Whose Home tab is kept fresh."""

    def __init__(
        self, services: Services, members: Members, speaking: Speaking, budget: Budget, links: Links | None = None
    ) -> None:
        """`links`: where each incident's card stands, as far as that is known."""
        self._services = services
        self._members = members
        self._speaking = speaking
        self._budget = budget
        self._links = links
        self._open: OrderedDict[tuple[str, str], float] = OrderedDict()  # (team, user) -> when it was opened
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Something that a tab may show is different now."""
        self._changed.set()

    async def opened(self, team: str, user: str) -> None:
        """Publish this person's tab, and keep it fresh for a while."""
        self._open.pop((team, user), None)
        if not await self._publish(team, user):
            return  # a crowd of strangers puts nobody's tab out of date
        self._open[team, user] = asyncio.get_running_loop().time()
        while len(self._open) > MAX_OPEN:
            self._open.popitem(last=False)

    async def run(self) -> None:
        """Keep open tabs fresh, for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            oldest = asyncio.get_running_loop().time() - LOOKED_AT_SECONDS
            for who in [who for who, at in self._open.items() if at < oldest]:
                del self._open[who]
            for team, user in list(self._open):
                try:
                    await self._publish(team, user)
                except AndonError as error:
                    log.warning("home_not_published", user=user, error=str(error))
            await asyncio.sleep(EVERY_SECONDS if self._open else 0)

    async def _publish(self, team: str, user: str) -> bool:
        """Show it; whether it is the tab of somebody known."""
        who = await self._members.who(team, user)
        if isinstance(who, Stranger):
            view = home.stranger(who.why)
        else:
            links = await self._links() if self._links is not None else {}
            view = home.render(await overview.look(self._services, who.person, self._budget), links)
        await self._speaking.publish(user, view)
        return isinstance(who, Known)
