"""Substitution is by path, of data, into text values — and nothing an alert says becomes more than text."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.alert import Alert
from policies.problems import UnclearError
from policies.rendering import MAX_TEXT, RenderError, label_values, references, render, shared_labels


def test_distinct_values_of_several_alerts_are_sorted_and_joined(alert: Callable[..., Alert]) -> None:
    """One incident of three symbols names them all, once each, always in the same order."""
    alerts = [alert(symbol="ETH"), alert(symbol="BTC"), alert(symbol="ETH", host="a")]
    rendered = render('{"reason":"VaR breach on ${labels.symbol}","kelly_fraction":0.1}', label_values(alerts))
    assert json.loads(rendered) == {"kelly_fraction": 0.1, "reason": "VaR breach on BTC, ETH"}


def test_a_path_without_a_value_stops_the_rendering() -> None:
    """An argument with a hole in it is never sent."""
    with pytest.raises(RenderError, match=r"labels\.symbol"):
        render('{"reason":"on ${labels.symbol}"}', {"symbol": ("",)})
    with pytest.raises(RenderError, match=r"annotations\.summary"):
        render('{"reason":"${annotations.summary}"}', {})


@settings(deadline=None)  # machines that build are busy
@given(st.text(max_size=80))
def test_a_label_is_data_whatever_it_holds(value: str) -> None:
    """Quotes, braces, further placeholders: the JSON keeps its shape and nothing is substituted twice."""
    rendered = json.loads(render('{"a":{"b":["x${labels.l}"]},"n":1}', {"l": (value, "${labels.l}")}))
    assert set(rendered) == {"a", "n"}
    (text,) = rendered["a"]["b"]
    assert len(text) == len("x" + ", ".join({v for v in (value, "${labels.l}") if v}))
    assert "${labels.l}" in text


def test_odd_labels_cannot_make_an_argument_invalid() -> None:
    """A newline, a NUL or half a surrogate in a label would otherwise stop the protective action it appears in."""
    rendered = render('{"reason":"on ${labels.l}"}', {"l": ("a\nb\x00c\ud800d",)})
    assert json.loads(rendered) == {"reason": "on a\ufffdb\ufffdc\ufffdd"}
    rendered.encode()


def test_long_texts_are_cut_with_an_ellipsis() -> None:
    """A thousand symbols do not make a megabyte of argument."""
    rendered = json.loads(render('{"a":"${labels.l}"}', {"l": ["y" * 5_000]}))
    assert len(rendered["a"]) == MAX_TEXT
    assert rendered["a"].endswith("…")


def test_a_literal_placeholder_can_be_written() -> None:
    """`$${` is the escape."""
    assert json.loads(render('{"a":"$${labels.x}"}', {})) == {"a": "${labels.x}"}
    assert references("$${labels.x}") == ()


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("${evidence.var}", "absolute"),
        ("${label.symbol}", "did you mean labels?"),
        ("${labels.symbol | upper}", "did you mean labels?"),
        ("${}", "only ${labels.NAME}"),
        ("${labels.symbol", "$${"),
        ("${labels['x']}", ""),
    ],
)
def test_only_paths_are_substituted(text: str, fix: str) -> None:
    """No filters, no expressions, no readings."""
    with pytest.raises(UnclearError) as caught:
        references(text)
    assert fix in caught.value.fix


def test_shared_labels_are_those_all_alerts_agree_on(alert: Callable[..., Alert]) -> None:
    """Conditions see a label only when it has one value for the whole incident."""
    alerts = [
        alert(symbol="ETH", system="t"),
        alert(symbol="BTC", system="t"),
        alert(symbol="BTC", system="t", host="a"),
    ]
    assert shared_labels(alerts) == {"system": "t"}
    assert shared_labels([]) == {}
