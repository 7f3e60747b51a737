"""YAML's traps are errors with a line and a fix, and nothing a file holds makes the reader raise."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.safe_yaml import MAX_DEPTH, Document, parse


@pytest.mark.parametrize(
    ("text", "line", "message", "fix"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "'a' is here twice (first on line 1)", "keep one"),
        ("a:\n  b: 1\n  b: 2\n", 3, "'b' is here twice", "keep one"),
        ("a: &x 1\n", 1, "anchor &x is not allowed", "write the value out"),
        ("a: 1\nb: *x\n", 2, "alias *x is not allowed", "write the value out"),
        ("a: 1\nb: yes\n", 2, "unquoted yes is a boolean to some readers", 'quote it: "yes"'),
        ("a: Off\n", 1, "unquoted Off is a boolean to some", "write true or false"),
        ("on: 1\n", 1, "unquoted on is a boolean", "quote it"),
        ("a: .inf\n", 1, ".inf is not a finite number", "write a number"),
        ("a: -.Inf\n", 1, "-.Inf is not a finite number", ""),
        ("a: .NaN\n", 1, ".NaN is not a finite number", ""),
        ("a: 1e999\n", 1, "1e999 is not a finite number", ""),
        ("a: 0x10\n", 1, "read as different numbers", "plain decimal"),
        ("a: 1_000\n", 1, "read as different numbers", "plain decimal"),
        ("a: 010\n", 1, "starts with a zero", "without"),
        ("a: 12345678901234567890\n", 1, "more than 18 digits", "quote it"),
        ("a: !!str 1\n", 1, "tag tag:yaml.org,2002:str is not allowed", "remove it"),
        ("a: 1\nb: !!python/object:os.system x\n", 2, "is not allowed", "remove it"),
        ("a: !secret x\n", 1, "tag !secret is not allowed", "remove it"),
        ("a: 1\n---\nb: 2\n", 2, "a second document starts here", "one document per file"),
        ("<<: {a: 1}\n", 1, "merge keys", "write the values out"),
        ("? [a]\n: 1\n", 1, "a key must be plain text", ""),
        ("1: a\n", 1, "the key 1 is not text", 'quote it: "1"'),
        ("a: [1, 2\nb: 3\n", 2, "not valid YAML", "quotes"),
        ("a:\n\tb: 1\n", 2, "not valid YAML", ""),
        ("a: \x07\n", 1, "not valid YAML", "unprintable"),
        ("[" * (MAX_DEPTH + 1), 1, "nested deeper than 32 levels", "flatten"),
        ("a: " + "x" * 1_048_576, 1, "more than 1 MiB", "split it"),
        ("a: \ud800\n", 1, "not valid text", "UTF-8"),
    ],
)
def test_each_trap_is_an_error_with_line_and_fix(text: str, line: int, message: str, fix: str) -> None:
    """What two readers could understand differently, or what could run or blow up, is refused where it stands."""
    problem = parse("f.yaml", text).problems[0]
    assert (problem.source, problem.line) == ("f.yaml", line)
    assert message in problem.message
    assert fix in problem.fix


def test_plain_values_mean_what_yaml_1_2_says() -> None:
    """Dates and times of day stay text, numbers are decimal, quoted words are text."""
    text = 'a: 1\nb: -0.5\nc: true\nd: null\ne: 2026-01-01\nf: 12:30:00\ng: "yes"\nh: [x, 2]\ni:\nj: 1e3\nk: |\n  two\n'
    document = parse("f.yaml", text)
    assert document.problems == ()
    assert document.value == {
        "a": 1, "b": -0.5, "c": True, "d": None, "e": "2026-01-01", "f": "12:30:00", "g": "yes", "h": ["x", 2],
        "i": None, "j": 1000.0, "k": "two\n",
    }  # fmt: skip


def test_every_path_has_its_line_and_missing_ones_their_parents() -> None:
    """Problems found later point at the right line."""
    document = parse("f.yaml", "# head\npolicies:\n  - name: a\n    plan:\n      - action: x\n  - name: b\n")
    assert document.line(("policies", 1, "name")) == 6
    assert document.line(("policies", 0, "plan", 0, "action")) == 5
    assert document.line(("policies", 0, "plan", 0, "with", "reason")) == 5
    assert (
        str(document.problem(("policies", 1, "name"), "is b", "call it c"))
        == "f.yaml:6: policies[1].name: is b (call it c)"
    )


def test_all_traps_of_one_file_are_told_at_once() -> None:
    """One run of the check shows every mistake, not the first."""
    assert [p.line for p in parse("f.yaml", "a: yes\nb: .nan\nc: 0x1\n").problems] == [1, 2, 3]


FRAGMENTS = st.lists(
    st.sampled_from(
        [*"\n :-[]{},#&*!|>'\"%@`?~ab0.\t", "---", "...", "<<", ": ", "- ", "\n  ", "yes", ".inf", "!!str "]
    ),
    max_size=40,
).map("".join)


@settings(deadline=None)  # machines that build are busy
@given(st.one_of(st.text(max_size=200), FRAGMENTS))
def test_nothing_makes_the_reader_raise(text: str) -> None:
    """Whatever the bytes, the answer is a document or problems, and a clean document holds plain values only."""
    document = parse("f.yaml", text)
    assert isinstance(document, Document)
    if not document.problems:
        _plain(document.value)


def _plain(value: object) -> None:
    assert value is None or isinstance(value, str | int | float | bool | list | dict)
    if isinstance(value, dict):
        assert all(isinstance(key, str) for key in value)
        for inner in value.values():
            _plain(inner)
    if isinstance(value, list):
        for inner in value:
            _plain(inner)
