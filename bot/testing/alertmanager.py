"""An Alertmanager in memory that can be asked: implements `AlertSource` and `Silencer`, passes their contract suite.

It holds what it is told, with the times a test gives; `down` makes it stop answering, `restart` makes it forget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bot.core.alert import Alert
from bot.core.words import Millis
from bot.engine.standing import View
from bot.errors import SourceError
from handlers.alertmanager_api import HeldAlert
from handlers.alertmanager_silences import Condition, HeldSilence
from handlers.routing import UNROUTED
from policies import matchers


class MemoryAlertmanager:
    """`uptime_ms` and `fed_ms` are as the test sets them; by default an old and well fed one."""

    def __init__(self, name: str = "a", *, receiver: str = "", every_ms: Millis = 60_000) -> None:
        self.name = name
        self.receiver = receiver
        self.every_ms = every_ms
        self.held: dict[str, HeldAlert] = {}
        self.uptime_ms: Millis = 86_400_000
        self.fed_ms: Millis = 1_000
        self.down = ""  # set: it does not answer, for that reason
        self.unread: frozenset[str] = frozenset()  # fingerprints of alerts it lists in an odd form
        self.looks = 0
        self.now: Millis = 0  # by its own clock, which starts and ends silences
        self.silenced: list[HeldSilence] = []

    def fire(self, alert: Alert, *, receivers: tuple[str, ...] = (UNROUTED,), muted_by: str = "") -> None:
        """It is told that an alert fires."""
        self.held[alert.fingerprint] = HeldAlert(
            alert=alert, receivers=receivers, muted_by=muted_by, settled=True, updated_at=alert.starts_at
        )

    def mute(self, fingerprint: str) -> None:
        """Somebody silences an alert it holds."""
        self.held[fingerprint] = replace(self.held[fingerprint], muted_by="1 silence")

    def end(self, fingerprint: str) -> None:
        """The alert ends; nothing is delivered to anybody."""
        del self.held[fingerprint]

    def restart(self) -> None:
        """It comes back empty, as Alertmanager does: alerts are not kept over a restart."""
        self.held.clear()
        self.uptime_ms = 0

    async def look(self) -> View:
        """What it holds."""
        self.looks += 1
        if self.down:
            raise SourceError(self.down)
        fed_ms = self.fed_ms if self.held else None
        return View(held=dict(self.held), uptime_ms=self.uptime_ms, fed_ms=fed_ms, unread=self.unread)

    async def silences(self) -> tuple[HeldSilence, ...]:
        """The silences that were ordered; none of them ends."""
        if self.down:
            raise SourceError(self.down)
        return tuple(self.silenced)

    async def silence(self, conditions: Sequence[Condition], *, for_ms: Millis, by: str, comment: str) -> str:
        """Mute what meets all of these."""
        if self.down:
            raise SourceError(self.down)
        told = tuple(f'{each.name}{each.operator}"{each.value}"' for each in conditions)
        meets = matchers.test(told)
        for held in list(self.held.values()):
            if meets(dict(held.alert.labels)):
                self.mute(held.alert.fingerprint)
        name = f"silence-{len(self.silenced) + 1}"
        self.silenced.append(HeldSilence(id=name, matchers=told, ends_at=self.now + for_ms, by=by, comment=comment))
        return name
