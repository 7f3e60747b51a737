"""What the tour has seen and judged so far, and how it says so. Kept by `bot.demo.tour`, filled by its scenes."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, and whether it was kept."""

    name: str
    ok: bool
    detail: str


@dataclass(slots=True)
class Score:
    """What the tour has seen so far."""

    checks: list[Check] = field(default_factory=list)
    seconds_to_mitigate: list[float] = field(default_factory=list)
    incidents: list[str] = field(default_factory=list)
    decisions: list[dict[str, str]] = field(default_factory=list)  # who was asked what, and what became of it

    def check(self, name: str, ok: bool, detail: str) -> None:
        """Note a promise, and say so."""
        self.checks.append(Check(name, ok, detail))
        say(f"  {'ok  ' if ok else 'FAIL'} {name}: {detail}")


def say(text: str) -> None:
    """One line of progress."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
