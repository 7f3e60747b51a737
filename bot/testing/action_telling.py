"""How the contract classes tell their author what is wrong: one sentence, without the suite's own tracebacks.

Used by `bot.testing.action_contract` and `bot.testing.diagnosis_contract` when pytest runs them.
"""

from __future__ import annotations

from collections.abc import Callable

from bot.testing.action_gate import Broken


def need_trial(made: type, line: str) -> None:
    """A class that pytest would collect has its trial. Raises TypeError where it is written, once for all its tests."""
    if made.__name__.startswith("Test") and not hasattr(made, "trial"):
        raise TypeError(f"{made.__name__} has no trial: write `{line}` into it")


def told(check: Callable[[], None]) -> None:
    """Run it; what is broken becomes a red test of one sentence."""
    import pytest  # only those who run the classes need it

    try:
        check()
    except Broken as error:
        sentence = str(error)
    else:
        return
    pytest.fail(sentence, pytrace=False)
