"""A crash before and after every await: one seed without trouble, once for each call that a replica makes in it.

Called by `__main__` (`--around SEED`). Seen from outside, a process is nothing but its calls to store, journal,
targets, evidence, chat and pager; so what can be told apart is whether it dies before a call leaves, while it is under
way, or when it is answered. The seeds of `make sim` die at drawn calls, amid other trouble; here it is each in turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, get_args

from tests.simulation.runner import run
from tests.simulation.script import draw
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


def walk(processes: Executor, seed: int) -> Iterator[tuple[Crash, list[tuple[str, str]]]]:
    """Every crash of this seed, with the violations that it brought about."""
    base = calm(seed)
    calls = processes.submit(count, base).result()
    crashes = [Crash(nth, where) for nth in range(1, calls + 1) for where in get_args(Where)]
    yield from zip(crashes, processes.map(partial(crashed, base), crashes, chunksize=10), strict=True)


def calm(seed: int) -> Script:
    """The seed's script with what happens on the floor, and no trouble."""
    script = draw(seed)
    return replace(script, steps=tuple(step for step in script.steps if not step.is_trouble))


def count(script: Script) -> int:
    """How many calls the replica makes in it until its end."""
    return run(script).calls_of[REPLICA]


def crashed(script: Script, crash: Crash) -> list[tuple[str, str]]:
    """The violations of the script with this crash."""
    killed = KilledAround(
        at=0, until=script.ends, replica=REPLICA, port="", nth=crash.nth, where=crash.where, away_ms=AWAY_MS
    )
    verdict = run(replace(script, steps=(killed, *script.steps)))
    return [(each.law, each.words) for each in verdict.violations]
