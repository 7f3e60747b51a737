"""Durations, instants and matchers: what they mean, and what is said when they mean nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import durations, matchers
from policies.problems import UnclearError
from policies.texts import instant


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("90s", 90_000),
        ("2m", 120_000),
        ("1h30m", 5_400_000),
        ("500ms", 500),
        ("0s", 0),
        ("1d", 86_400_000),
        ("1m1ms", 60_001),
    ],
)
def test_durations_are_read_and_spelled(text: str, ms: int) -> None:
    """A duration means milliseconds, and spelling it and reading it again gives the same."""
    assert durations.parse(text) == ms
    assert durations.parse(durations.spell(ms)) == ms


@pytest.mark.parametrize(
    "text", ["", "90", "s", "1m1h", "-1s", "1.5h", "1 m", "2m ", "1y", "9" * 7 + "s", "367d", "1s\n"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """No unit, wrong order, fractions, signs and more than a year are errors, never guesses."""
    with pytest.raises(UnclearError):
        durations.parse(text)


@settings(deadline=None)  # machines that build are busy
@given(st.integers(min_value=0, max_value=durations.MAX_MS))
def test_every_duration_can_be_spelled(ms: int) -> None:
    """Spelling loses nothing."""
    assert durations.parse(durations.spell(ms)) == ms


def test_instants_need_a_zone() -> None:
    """An instant without a zone would mean another time on another machine."""
    assert instant("2026-01-01T00:00:00Z") == 1_767_225_600_000
    assert instant("2026-01-01T01:00:00+01:00") == 1_767_225_600_000
    with pytest.raises(UnclearError, match="zone"):
        instant("2026-01-01T00:00:00")
    with pytest.raises(UnclearError, match="not an instant"):
        instant("tomorrow")


@pytest.mark.parametrize(
    ("text", "labels", "holds"),
    [
        ('alertname="VaRBreach"', {"alertname": "VaRBreach"}, True),
        ("alertname=VaRBreach", {"alertname": "VaRBreach"}, True),
        (' alertname = "VaRBreach" ', {"alertname": "VaRBreach"}, True),
        ('alertname="VaRBreach"', {}, False),
        ('symbol=""', {}, True),
        ('symbol!=""', {}, False),
        ('symbol!="BTC"', {"symbol": "ETH"}, True),
        ('severity=~"critical|page"', {"severity": "page"}, True),
        ('severity=~"critical|page"', {"severity": "pager"}, False),
        ('severity!~"critical|page"', {"severity": "info"}, True),
        ('severity!~"critical|page"', {"severity": "page"}, False),
        ('symbol=~"BTC.*"', {"symbol": "BTC-USD"}, True),
        ('symbol=~"TC.*"', {"symbol": "BTC-USD"}, False),
        ('symbol=~"BTC|ETH.+"', {"symbol": "BTCX"}, False),
        ('symbol=~"a.c"', {"symbol": "abc"}, True),
        ('symbol=~".*"', {}, True),
        ('"región"="eu"', {"región": "eu"}, True),
        ('x="a\\"b\\\\c\\n"', {"x": 'a"b\\c\n'}, True),
        (r'x=~"a\.b"', {"x": "a.b"}, True),
        (r'x=~"a\.b"', {"x": "acb"}, False),
    ],
)
def test_matchers_mean_what_alertmanager_means(text: str, labels: dict[str, str], holds: bool) -> None:
    """Anchored, RE2, and a missing label counts as empty."""
    assert matchers.parse(text).matches(labels) is holds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no label name"),
        ("alertname", "no =, !=, =~ or !~"),
        ('="x"', "no label name"),
        ('alertname=="x"', "== is not"),
        ('{alertname="x"}', "braces"),
        ('a="x",b="y"', "more than one matcher"),
        ('a="x', 'no closing "'),
        ("a=x y", "left over"),
        ('a=~"("', "not valid RE2: missing )"),
        ('a=~"(?=x)"', "not valid RE2"),
        (r'a=~"(x)\1"', "not valid RE2"),
        ("a='x'", "single quotes"),
        ("a=" + "x" * 3_000, "characters"),
    ],
)
def test_what_is_no_matcher_is_refused(text: str, message: str) -> None:
    """The message says where it stops making sense; back-references and look-aheads are not RE2."""
    with pytest.raises(UnclearError) as caught:
        matchers.parse(text)
    assert message in caught.value.message
    assert caught.value.fix


@settings(deadline=None)  # machines that build are busy
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(list('ab"=~!{},\\() |.*')), max_size=20).map("".join)))
def test_a_matcher_is_read_or_refused(text: str) -> None:
    """No text raises anything but UnclearError, and what is read means the same when written out again."""
    try:
        matcher = matchers.parse(text)
    except UnclearError:
        return
    again = matchers.parse(str(matcher))
    for value in ("", "a", "b", matcher.value):
        assert matcher.accepts(value) == again.accepts(value)
