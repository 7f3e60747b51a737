"""Queries and answers as text: where label values may stand, which series an expression reads, what is a value."""

from __future__ import annotations

import pytest

from bot.adapters import evidence_promql, evidence_queries, evidence_values
from bot.errors import TargetError


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("up", ["up"]),
        ('max(var_pct{symbol="a,b{}"}) > 1', ['var_pct{symbol="a,b{}"}']),
        ("sum by (job, instance) (rate(errors_total[5m])) / on (job) group_left (x) up", ["errors_total", "up"]),
        ("sum without(a) (x) and y unless z", ["x", "y", "z"]),
        ("job:latency:p99 * 1e3 offset 5m", ["job:latency:p99"]),
        ('{__name__="var_pct"}', ['{__name__="var_pct"}']),
        ("max_over_time(x[5m:1m])", ["x"]),
        ('label_replace(x, "a", "$1", "b", "(.*)")', ["x"]),
        ("x + x", ["x"]),
        ("vector(1) == bool 1", []),
        ("time() - Inf", []),
        ("x # y\n+ z", ["x", "z"]),
    ],
)
def test_the_series_an_expression_reads_are_found(expression: str, found: list[str]) -> None:
    """Functions, keywords, label lists, durations and strings are no series."""
    assert list(evidence_promql.selectors(expression)) == found


def test_too_many_series_cannot_be_proved_fresh() -> None:
    """Each costs one more query; past the bound a recording rule is the better way."""
    with pytest.raises(TargetError, match="at most"):
        evidence_promql.selectors("a + b + c + d + e")


@pytest.mark.parametrize(
    ("query", "value", "filled"),
    [
        ('x{s="${labels.s}"}', 'a"b\\c', 'x{s="a\\"b\\\\c"}'),
        ("x{s='${labels.s}'}", "a'b", "x{s='a\\'b'}"),
        ('x{s=~"${labels.s}|z"}', "a.b*", 'x{s=~"a\\\\.b\\\\*|z"}'),
        ("x{s=~`${labels.s}`}", "a.b", "x{s=~`a\\.b`}"),
        ('x{s!~ "${labels.s}"}', "(", 'x{s!~ "\\\\("}'),
    ],
)
def test_a_label_in_promql_stays_inside_its_string(query: str, value: str, filled: str) -> None:
    """Quotes and backslashes are escaped, and after =~ the value matches itself alone."""
    assert evidence_queries.fill("promql", query, {"s": value}) == filled


@pytest.mark.parametrize("query", ["x > ${labels.s}", "${labels.s}", "x{${labels.s}}", 'x{s="a"} # ${labels.s}\n$'])
def test_a_label_outside_a_string_is_refused(query: str) -> None:
    """Alert text is never part of an expression."""
    with pytest.raises(TargetError, match="quoted string"):
        evidence_queries.fill("promql", query, {"s": "1"})


def test_a_backtick_cannot_leave_a_raw_string() -> None:
    """Raw strings know no escape, so the value is refused."""
    with pytest.raises(TargetError, match="backtick"):
        evidence_queries.fill("promql", "x{s=`${labels.s}`}", {"s": "a`b"})


@pytest.mark.parametrize(
    ("text", "value"), [("2.31", 2.31), (" -1e3 ", -1000.0), (".5", 0.5), ("OPEN", "OPEN"), ("1_000", "1_000")]
)
def test_figures_and_short_texts_are_values(text: str, value: object) -> None:
    """What is written as a number is one; what Python alone would take for one is not."""
    assert evidence_values.text_value(text) == value


@pytest.mark.parametrize("text", ["nan", "-Infinity", "1e999", "", "a\x00", "x" * 201])
def test_what_is_no_value_is_refused(text: str) -> None:
    """Not finite, empty, unprintable, endless."""
    with pytest.raises(TargetError):
        evidence_values.text_value(text)


@pytest.mark.parametrize("body", [b"[" * 100_000, b"\xff", b"", b'{"a": 1' + b"0" * 400 + b"}", b'{"a": Infinity}'])
def test_a_hostile_document_is_an_error(body: bytes) -> None:
    """Depth, bad text and huge numbers end as errors, not as crashes."""
    with pytest.raises(TargetError):
        evidence_values.plain_value(evidence_values.json_at(evidence_values.json_document(body), "a"), "a")


@pytest.mark.parametrize("when", [True, None, [], -1, 0, "never", "2026-01-01T00:00:00", 1e16, float("inf")])
def test_what_is_no_time_is_refused(when: object) -> None:
    """A time that cannot be understood must not look fresh."""
    with pytest.raises(TargetError):
        evidence_values.time_ms(when)
