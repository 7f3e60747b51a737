"""What became of every intent, judged by the targets' ledger alone: how often it took effect, and whom it paged.

Andon's own records and logs are never asked. Called by `tests.crash.tally` after the last round, when everything that
was held back has landed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Fate:
    """What the world saw of one lane of one round."""

    effects: int = 0
    repeats: int = 0  # requests that came again and changed nothing
    paged_at: int = 0  # CLOCK_MONOTONIC ns of the first page; 0: nobody was paged
    late: int = 0  # requests that landed after the recovery, whether they changed anything or not

    @property
    def doubled(self) -> bool:
        """More than one effect for one intent."""
        return self.effects > 1

    @property
    def parked(self) -> bool:
        """A person was told that Andon could not end this by itself."""
        return self.paged_at > 0

    @property
    def lost(self) -> bool:
        """An accepted alert that caused nothing, and nobody knows."""
        return self.effects == 0 and not self.parked

    @property
    def recovered(self) -> bool:
        """Done exactly once, with nobody's help."""
        return self.effects == 1 and not self.parked


Place = tuple[str, str]  # round, lane


def fates(ledger: Iterable[str]) -> dict[Place, Fate]:
    """The fate of every lane the ledger knows. A lane it does not know has had neither effect nor page: `Fate()`."""
    found: dict[Place, Fate] = defaultdict(Fate)
    for text in ledger:
        line = json.loads(text)
        fate = found[line["round"], line["lane"]]
        fate.late += bool(line.get("late"))
        match line["what"]:
            case "effect":
                fate.effects += 1
            case "same" | "refused":
                fate.repeats += 1
            case "page":
                fate.paged_at = fate.paged_at or line["at"]
            case "resolve":
                pass
            case other:
                raise ValueError(f"the ledger says {other!r}, and the judge does not know what that is")
    return found


def read_fates(path: Path) -> dict[Place, Fate]:
    """The fates in the ledger at `path`."""
    with path.open() as lines:
        return fates(lines)
