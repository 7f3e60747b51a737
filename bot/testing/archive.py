"""The archive's twin in memory. Implements `ports.Archive`; the contract suite runs on it and on the files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from bot.core import audit
from bot.core.words import AggregateId, Millis
from bot.engine.ports import Archived, ArchiveProblem, ArchiveVerdict
from bot.errors import StoreUnavailable


class MemoryArchive:
    """Keeps what it is given. With `broken` set, the disk refuses for that reason."""

    def __init__(self) -> None:
        self.kept: dict[AggregateId, Archived] = {}
        self.broken = ""

    async def keep(self, closed: Archived, at: Millis) -> None:
        """Keep it."""
        if self.broken:
            raise StoreUnavailable(self.broken)
        self.kept[closed.incident.id] = closed

    async def find(self, incident: AggregateId) -> Archived | None:
        """What was kept."""
        return self.kept.get(incident)

    async def listed(self, prefix: str = "") -> tuple[tuple[str, AggregateId], ...]:
        """In the order they were kept."""
        return tuple((each.incident.system, name) for name, each in self.kept.items() if name.startswith(prefix))

    async def verify(self, look: Callable[[Archived], None] = lambda found: None) -> ArchiveVerdict:
        """Walk every chain."""
        for each in self.kept.values():
            look(each)
        problems = [
            ArchiveProblem(incident=name, problem=problem)
            for name, each in self.kept.items()
            for problem in audit.verify(each.audit, each.head, each.version)
        ]
        links = sum(len(each.audit) for each in self.kept.values())
        listed = Counter(each.incident.system for each in self.kept.values())
        return ArchiveVerdict(files=len(self.kept), links=links, listed=listed, problems=tuple(problems))
