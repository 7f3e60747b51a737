"""Conditions: typos are errors at load, verdicts have figures, and doubt is never taken for yes or no."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.reading import Reading
from policies import expressions
from policies.expressions import Verdict, weigh
from policies.hysteresis import overlap
from policies.problems import UnclearError


def var(value: float | str | bool | None, error: str = "") -> list[Reading]:
    return [Reading(name="var", value=value, error=error)]


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        ("evidnce.var > 1", "unknown name evidnce", "did you mean evidence?"),
        ("env.HOME == 'x'", "unknown name env", "evidence.NAME and labels.NAME"),
        ("sze(labels.x) > 1", "unknown function sze()", "did you mean size?"),
        ("labels.x.startswith('a')", "unknown function startswith()", "did you mean startsWith?"),
        ("timestamp('2026') > 1", "unknown function timestamp()", ""),
        ("[1].exists(x, x > 0)", "unknown function exists()", ""),
        ("evidence.var", "is not true or false", "compare it"),
        ("evidence.var + 1.0", "is not true or false", "compare it"),
        ("evidence.var > 1 && evidence.var", "is a value, not a condition", "compare it"),
        ("!evidence.var", "is a value, not a condition", ""),
        ("true", "is not true or false", ""),
        ("1 < 2", "looks at nothing", ""),
        ("evidence.var = 1", "'=' is not understood", "=="),
        ("evidence.var > 1 ? true : false", "'?' is not understood", "&&"),
        ("evidence['var'] > 1", "evidence alone is not a value", "evidence.NAME"),
        ("evidence.var.high > 1", "goes too deep", ""),
        ("(evidence.var > 1", "expected )", "parentheses"),
        ("evidence.var > 1)", "left over", ""),
        ("1 < evidence.var < 2", "two comparisons in a row", "&&"),
        ("evidence.var + 1 > 2", "cannot be evaluated", "1.0, not 1"),
        ("size(evidence.var, 2) > 1", "size() takes 1 argument, not 2", ""),
        ("labels.x.matches('(')", "cannot be evaluated", ""),
        ("labels.x.matches(labels.y)", "needs its expression written out", "matches("),
        ("labels.x.matches('a' + labels.y)", "needs its expression written out", "matches("),
        ("", "empty", ""),
        ("(" * 40 + "evidence.var > 1" + ")" * 40, "nests deeper", "split"),
        ("evidence.var > " + "1" * 1_000, "characters", ""),
        ("evidence.var > 1 // quiet", "'/'", ""),
        ("evidence.var in evidence", "alone is not a value", ""),
    ],
)
def test_what_is_no_condition_is_refused_at_load(text: str, message: str, fix: str) -> None:
    """The library alone would take most of these and fail at 03:00."""
    with pytest.raises(UnclearError) as caught:
        expressions.compile(text)
    assert message in caught.value.message
    assert fix in caught.value.fix


def test_paths_are_checked_against_what_is_declared() -> None:
    """A reading that is not declared and a label that is not shared are named, with the nearest that is."""
    condition = expressions.compile('evidence.vra > 1.8 && labels.symbl == "BTC"')
    reading, label = expressions.check(condition, {"var"}, {"symbol"})
    assert (reading.message, reading.fix) == ("evidence.vra is not declared", "did you mean var?")
    assert label.fix == "did you mean symbol?"
    assert expressions.check(expressions.compile("evidence.var > 1"), {"var"}, ()) == ()


@pytest.mark.parametrize(
    ("text", "readings", "verdict"),
    [
        ("evidence.var > 1.8", var(2.31), Verdict(True, "var 2.31 > 1.8")),
        ("evidence.var > 1.8", var(1.42), Verdict(False, "var 1.42 is not > 1.8")),
        ("evidence.var >= 2", var(2), Verdict(True, "var 2 >= 2")),
        ("!(evidence.var > 1.8)", var(1.42), Verdict(True, "var 1.42 is not > 1.8")),
        ("!(evidence.var > 2 || evidence.var < 1)", var(1), Verdict(True, "var 1 is not > 2 or var 1 is not < 1")),
        ("evidence.var > 1 && evidence.var < 2", var(3.0), Verdict(False, "var 3 > 1 and var 3 is not < 2")),
        ("evidence.var < 1 || evidence.var > 2", var(3.0), Verdict(True, "var 3 is not < 1 or var 3 > 2")),
        ('labels.symbol == "BTC"', [], Verdict(True, "symbol 'BTC' == \"BTC\"")),
        ('evidence.var == "OPEN"', var("OPEN"), Verdict(True, "var 'OPEN' == \"OPEN\"")),
        ("evidence.var == true", var(True), Verdict(True, "var True == true")),
        ("evidence.var in [1.0, 2.0]", var(2.0), Verdict(True, "var 2 is in [1.0, 2.0]")),
        ('labels.symbol.startsWith("B")', [], Verdict(True, "symbol 'BTC' starting with \"B\"")),
        ("evidence.var * 2.0 > 3.0", var(2.0), Verdict(True, "evidence.var * 2.0 (var 2) > 3.0")),
    ],
)  # fmt: skip
def test_a_verdict_says_why_with_the_figures(text: str, readings: list[Reading], verdict: Verdict) -> None:
    """A person reads the reason on the card and in the audit without opening a dashboard."""
    assert weigh(text, readings, {"symbol": "BTC"}) == verdict


@pytest.mark.parametrize(
    ("text", "readings", "why"),
    [
        ("evidence.var > 1.8", [], "there is no reading of var"),
        ("evidence.var > 1.8", var(None, "91 s old, at most 60 s"), "var: 91 s old, at most 60 s"),
        ("evidence.var > 1.8", var(9.9, "91 s old"), "var: 91 s old"),
        ("evidence.var > 1.8", var(None), "var: no value"),
        ("evidence.var > 1.8", var(math.nan), "no figure to act on"),
        ("evidence.var > 1.8", var(math.inf), "no figure to act on"),
        ("evidence.var > 1.8", var("2.3"), "cannot be evaluated"),
        ("2.0 / evidence.var > 1.8", var(0.0), "no figure to act on"),
        ("evidence.var > 1.8 || 1.0 < -2.0 / (evidence.var - 2.0)", var(2.0), "no figure to act on"),
        ("evidence.var > 1.8", var(True), "cannot be evaluated"),
        ('labels.host == "a"', [], "do not share one value of the label host"),
        ("evidence.var >", var(2.0), "not expected here"),
    ],
)
def test_doubt_is_neither_yes_nor_no(text: str, readings: list[Reading], why: str) -> None:
    """Stale, missing, non-finite or mistyped evidence never lets a guard pass and never proves health."""
    verdict = weigh(text, readings, {"symbol": "BTC"})
    assert verdict.holds is None
    assert why in verdict.why


def test_an_unused_reading_in_error_does_not_matter() -> None:
    """Only what the condition looks at can make it doubtful."""
    readings = [*var(2.0), Reading(name="other", value=None, error="down")]
    assert weigh("evidence.var > 1.8", readings, {}).holds is True


WORDS = [
    "evidence.var",
    "labels.symbol",
    " ",
    "(",
    ")",
    "&&",
    "||",
    "!",
    "<",
    ">=",
    "==",
    "1",
    "2.5",
    '"x"',
    "in",
    "[",
    "]",
    ",",
    ".",
    "+",
    "-",
    "/",
    "0",
    "size(",
    "null",
    "true",
]
SCALARS = st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=5))


@settings(deadline=None)  # machines that build are busy
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(WORDS), max_size=14).map("".join)), SCALARS)
def test_weighing_never_raises(text: str, value: float | str | bool | None) -> None:
    """Dispatch gets a verdict whatever the text and whatever was read."""
    verdict = weigh(text, var(value), {"symbol": "BTC"})
    assert verdict.holds in {True, False, None}
    assert verdict.why


@pytest.mark.parametrize(
    ("guard", "until", "overlaps"),
    [
        ("evidence.var > 1.8", "evidence.var < 1.6", False),
        ("evidence.var > 1.8", "evidence.var < 1.9", True),
        ("evidence.var > 1.8", "evidence.var < 1.8", True),
        ("evidence.var > 1.8", "evidence.var <= 1.8", True),
        ("1.8 < evidence.var", "1.6 > evidence.var", False),
        ("evidence.ops < 10000", "evidence.ops > 9000", True),
        ("evidence.ops < 10000", "evidence.ops > 12000", False),
        ("evidence.var > 1.8 && evidence.n > 3", "evidence.var < 1.6", False),
        ("evidence.var > 1.8 && evidence.n > 3", "evidence.var < 1.9 && evidence.n < 2", False),
        ("evidence.var > 1.8 || evidence.n > 3", "evidence.var < 1.9", False),
        ("evidence.var > 1.8", "evidence.other < 9", False),
        ("evidence.var > -1", "evidence.var < -2", False),
        ("evidence.var > -1", "evidence.var < 0", True),
    ],
)
def test_a_verification_needs_room_below_its_trigger(guard: str, until: str, overlaps: bool) -> None:
    """Without a gap a breach would count as mended while it lasts, or flap at its edge."""
    found = overlap(expressions.compile(guard).tree, expressions.compile(until).tree)
    assert bool(found) is overlaps
