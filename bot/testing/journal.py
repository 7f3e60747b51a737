"""The intent journal's twin in memory. Implements `ports.Journal`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from bot.core.events import IntentDeclared
from bot.core.words import Millis
from bot.engine.ports import Mark, Recollection, Remembered
from bot.errors import StoreUnavailable


class MemoryJournal:
    """Keeps intents and their outcomes. `broken`: why the disk refuses; `kill_switch`: who engaged it and why."""

    def __init__(self) -> None:
        self.intents: dict[str, IntentDeclared] = {}
        self.systems: dict[str, str] = {}
        self.outcomes: dict[str, Literal["done", "not_sent", "unknown"]] = {}
        self.marks: dict[str, Mark] = {}
        self.broken = ""
        self.kill_switch = ""

    def killed(self) -> str:
        """What `kill_switch` says."""
        return self.kill_switch

    async def intend(self, intent: IntentDeclared, system: str = "") -> None:
        """Keep the intent."""
        if self.broken:
            raise StoreUnavailable(self.broken)
        self.intents[intent.intent] = intent
        self.systems[intent.intent] = system

    async def note(self, marks: Mapping[str, Mark]) -> None:
        """Keep the marks."""
        if self.broken:
            raise StoreUnavailable(self.broken)
        self.marks = dict(marks)

    async def recollect(self) -> Recollection:
        """All of it."""
        if self.broken:
            raise StoreUnavailable(self.broken)
        remembered = [
            Remembered(intent, self.systems[name], self.outcomes.get(name, "open"))
            for name, intent in self.intents.items()
        ]
        return Recollection(tuple(remembered), dict(self.marks))

    async def conclude(self, intent: str, outcome: Literal["done", "not_sent", "unknown"], at: Millis) -> None:
        """Keep its outcome."""
        if self.broken:
            raise StoreUnavailable(self.broken)
        self.outcomes[intent] = outcome

    def open_intents(self) -> list[IntentDeclared]:
        """Intents without an outcome, oldest first."""
        return [intent for name, intent in self.intents.items() if name not in self.outcomes]
