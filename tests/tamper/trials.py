"""One trial: an edit, a verification, and whether it was found and named.

Run by `__main__`, and by the default suite.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bot.engine.audit_verification import Verdict
from tests.tamper.edits_files import BUNDLE_EDITS, FILE_EDITS
from tests.tamper.edits_store import STORE_EDITS, Edit
from tests.tamper.floor import Floor, floor

EDITS: Mapping[str, Edit] = {**STORE_EDITS, **FILE_EDITS, **BUNDLE_EDITS}


@dataclass
class Outcome:
    """How many edits of each kind were made, and those that were missed, or were blamed on something else."""

    made: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        self.made += other.made
        self.missed += other.missed


def said(verdict: Verdict) -> str:
    """All that verification says, in one text."""
    lines = [f"{each.system} {each.aggregate}: {each.problem}" for each in verdict.problems]
    lines += [f"archive {each.aggregate}: {each.problem}" for each in verdict.archive]
    return "\n".join([*lines, *verdict.checkpoints])


async def trial(on: Floor, seed: int, outcome: Outcome, kind: str = "") -> None:
    """One edit, of this kind or of one chosen by `seed`, and put back afterwards."""
    rng = random.Random(seed)
    kind = kind or rng.choice(sorted(EDITS))
    outcome.made[kind] += 1
    try:
        expected = await EDITS[kind](on, rng)
        if kind in BUNDLE_EDITS:
            if expected != ("",):
                outcome.missed.append(f"seed {seed}, {kind}: {expected[0]}")
            return
        verdict = await on.verify()
        found = said(verdict)
        if verdict.ok:
            outcome.missed.append(f"seed {seed}, {kind}: nothing was found; expected one of {expected}")
        elif not any(words in found for words in expected):
            outcome.missed.append(f"seed {seed}, {kind}: expected one of {expected}, but was told:\n{found}")
    finally:
        if kind not in BUNDLE_EDITS:
            await on.restore()


async def run(folder: Path, seeds: range, told: Callable[[int], None] = lambda done: None) -> Outcome:
    """Every seed on one floor; the untouched floor must verify before and after."""
    outcome = Outcome()
    async with floor(folder) as on:
        for done, seed in enumerate(seeds, start=1):
            if done == 1:
                await _whole(on, outcome)
            await trial(on, seed, outcome)
            told(done)
        await _whole(on, outcome)
    return outcome


async def _whole(on: Floor, outcome: Outcome) -> None:
    verdict = await on.verify()
    if not verdict.ok:
        outcome.missed.append(f"the untouched floor does not verify:\n{said(verdict)}")
