"""A smaller script with the same violation, so that a person can read what it takes.

Called by `__main__` for a seed that fails. Steps are dropped as long as the same law is broken, first many at a time,
then one by one; chance has a stream of its own for each concern, so that dropping a step changes little else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tests.simulation.runner import Verdict, run
from tests.simulation.world import Script, Step

MAX_RUNS: Final = 150  # about fifteen seconds; what is left by then is short enough to read


def shrink(script: Script, law: str) -> Script:
    """The smallest script found that still breaks `law`."""
    left = MAX_RUNS

    def fails(steps: tuple[Step, ...]) -> bool:
        nonlocal left
        left -= 1
        return _breaks(run(replace(script, steps=steps)), law)

    steps, size = script.steps, max(1, len(script.steps) // 2)
    while left > 0:
        smaller = steps
        start = 0
        while start < len(smaller) and left > 0:
            candidate = smaller[:start] + smaller[start + size :]
            if fails(candidate):
                smaller = candidate
            else:
                start += size
        if size == 1 and smaller == steps:
            break
        steps, size = smaller, max(1, size // 2)
    return _simpler(replace(script, steps=steps), law)


def _simpler(script: Script, law: str) -> Script:
    """With as few replicas and as little behind the store as it takes."""
    for setup in (
        replace(script.setup, replicas=1),
        replace(script.setup, replicas=2),
        replace(script.setup, followed=False, confirmed=False),
    ):
        smaller = replace(script, setup=setup)
        if setup.replicas < script.setup.replicas or setup.followed != script.setup.followed:
            named = {getattr(step, "replica", "") for step in script.steps} - {""}
            known = {f"r{number + 1}" for number in range(setup.replicas)}
            if named <= known and _breaks(run(smaller), law):
                script = smaller
    return script


def _breaks(verdict: Verdict, law: str) -> bool:
    return any(violation.law == law for violation in verdict.violations)
