"""A crash before and after every await: one seed without trouble, once for each call that a replica makes in it.

Called by `__main__` (`--around SEED`; `--every K` takes one call in K, `--call N` that one alone). Seen from outside, a
process is nothing but its calls to store, journal, targets, evidence, chat and pager; so what can be told apart is
whether it dies before a call leaves, while it is under way, or when it is answered. The seeds of `make sim` die at
drawn calls, amid other trouble; here it is each in turn.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, get_args

from tests.simulation.runner import run
from tests.simulation.troubles import KilledAround
from tests.simulation.wire import Where
from tests.simulation.world import Script

AWAY_MS: Final = 1_000  # as a supervisor starts it again
REPLICA: Final = "r1"


@dataclass(frozen=True, slots=True)
class Crash:
    """The nth call of the replica, and where around it."""

    nth: int
    where: Where


def around(calls: Iterable[int]) -> list[Crash]:
    """Everywhere around these calls."""
    return [Crash(nth, where) for nth in calls for where in get_args(Where)]


def count(script: Script) -> int:
    """How many calls the replica makes in it until its end."""
    return run(script).calls_of[REPLICA]


def with_crash(script: Script, crash: Crash) -> Script:
    """The script in which the replica dies there."""
    killed = KilledAround(
        at=0, until=script.ends, replica=REPLICA, port="", nth=crash.nth, where=crash.where, away_ms=AWAY_MS
    )
    return replace(script, steps=(killed, *script.steps))
