"""Says when an Alertmanager cannot be asked, or when its silence means nothing while something is at stake.

Called by `bot.engine.antientropy` after every look. Each state is an alarm of its own (`bot.engine.alarms`) once it has
lasted for the patience given, and is cleared by the first look that finds it gone, or when it is no longer asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Final

from bot.core.alert import ANDON
from bot.core.words import Millis
from bot.engine.alarms import Alarms
from bot.engine.ports import Clock, Store
from bot.engine.standing import Looks
from handlers.routing import UNROUTED

UNREACHABLE: Final = "AndonAlertmanagerUnreachable"
EMPTY: Final = "AndonAlertmanagerEmpty"
LABEL: Final = "alertmanager"
SHOWN: Final = 5  # alerts named in a summary
MAX_INCIDENTS: Final = 500  # open ones looked through for old alarms, newest first


class Reach:
    """Remembers since when what is wrong is wrong."""

    def __init__(self, alarms: Alarms, clock: Clock, patience_ms: Millis) -> None:
        self._alarms = alarms
        self._clock = clock
        self._patience_ms = patience_ms
        self._since: dict[tuple[str, str], Millis] = {}  # (alarm, Alertmanager)

    async def tell(self, looks: Looks, doubted: Mapping[str, str], at_stake: Sequence[str]) -> None:
        """`at_stake`: names of alerts we think fire and nobody lists; without any, an empty one is simply quiet."""
        shown = ", ".join(sorted(set(at_stake))[:SHOWN])
        for name, why in looks.away.items():
            await self._wrong(
                UNREACHABLE,
                name,
                f"Alertmanager {name} cannot be asked what fires ({why}); nothing is taken for resolved because it is "
                "missing there; look whether it runs, and whether url and credentials in andon.yaml are right",
            )
        for name in looks.views:
            await self._fine(UNREACHABLE, name)
            why = doubted.get(name, "")
            if why and at_stake:
                await self._wrong(
                    EMPTY,
                    name,
                    f"{shown} still fires for all we know, and nobody lists it: {why}; nothing is taken for resolved; "
                    "look whether Prometheus reaches it, and whether a Watchdog alert is configured",
                )
            else:
                await self._fine(EMPTY, name)

    async def forget_all_but(self, configured: Set[str], store: Store) -> None:
        """Clear alarms about Alertmanagers that are asked no more, also what a predecessor said. Raises StoreError."""
        told = set(self._since)
        for line in await store.incidents(UNROUTED, closed=False, limit=MAX_INCIDENTS):
            for state in line.incident.alerts.values():
                alert = state.alert
                if state.firing and alert.source == ANDON and alert.name in (UNREACHABLE, EMPTY):
                    told.add((alert.name, alert.labels.get(LABEL, "")))
        for alarm, name in sorted(told):
            if name not in configured:
                await self._fine(alarm, name)

    async def _wrong(self, alarm: str, name: str, summary: str) -> None:
        since = self._since.setdefault((alarm, name), self._clock.now())
        if self._clock.now() - since >= self._patience_ms:
            await self._alarms.raise_(UNROUTED, alarm, summary, labels=((LABEL, name),))

    async def _fine(self, alarm: str, name: str) -> None:
        self._since.pop((alarm, name), None)
        await self._alarms.clear(UNROUTED, alarm, labels=((LABEL, name),))
