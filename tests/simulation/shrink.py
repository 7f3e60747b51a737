"""A smaller script with the same violation, so that a person can read what it takes.

Called by `__main__` for a seed that fails. Steps are dropped as long as the same law is broken, first many at a time,
then one by one; chance has a stream of its own for each concern, so that dropping a step changes little else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tests.simulation.runner import Verdict, run
from tests.simulation.script import Calm
from tests.simulation.troubles import Failover, FollowerAway
from tests.simulation.world import Script, Step

MAX_RUNS: Final = 150  # about fifteen seconds; what is left by then is short enough to read


def shrink(script: Script, law: str, judge: Callable[[Script], Verdict] = run) -> Script:
    """The smallest script found that still breaks `law`, as `judge` has it."""
    left = MAX_RUNS

    def fails(steps: tuple[Step, ...]) -> bool:
        nonlocal left
        left -= 1
        return _breaks(judge(replace(script, steps=(*steps, *kept))), law)

    # Without the end of all alarm nothing could come to rest, and every script would fail alike.
    kept = tuple(step for step in script.steps if isinstance(step, Calm))
    steps = tuple(step for step in script.steps if not isinstance(step, Calm))
    size = max(1, len(steps) // 2)
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
    return _simpler(replace(script, steps=(*steps, *kept)), law, judge)


def _simpler(script: Script, law: str, judge: Callable[[Script], Verdict]) -> Script:
    """With as few replicas and as little behind the store as it takes."""
    named = {getattr(step, "replica", "") for step in script.steps} - {""}
    for replicas in range(1, script.setup.replicas):
        smaller = replace(script, setup=replace(script.setup, replicas=replicas))
        if named <= {f"r{number + 1}" for number in range(replicas)} and _breaks(judge(smaller), law):
            script = smaller
            break
    if any(isinstance(step, Failover | FollowerAway) for step in script.steps):
        return script  # a store that nobody follows cannot fail over
    alone = replace(script, setup=replace(script.setup, followed=False, confirmed=False))
    if alone != script and _breaks(judge(alone), law):
        script = alone
    return script


def _breaks(verdict: Verdict, law: str) -> bool:
    return any(violation.law == law for violation in verdict.violations)
