"""Text from an alert, whatever it is, stays text wherever it goes (law 11): each place is read by its own reader."""

from __future__ import annotations

import json
import shlex
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

from hypothesis import assume, example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot import log
from bot.adapters import evidence_promql, evidence_queries
from bot.adapters.report_markdown import safe
from bot.adapters.targets_command import CommandTarget
from bot.adapters.terminal import MAX_LINE, plain
from bot.console import clean
from bot.core.alert import Alert
from bot.errors import TargetError
from handlers.webhook import MAX_VALUE
from policies import expressions, matchers
from policies.problems import UnclearError
from policies.rendering import MAX_TEXT, label_values, render
from tests.unit.fuzzing import examples

ATTACKS = (
    "$(touch /tmp/x)",
    "`id`",
    "; rm -rf /",
    "| cat",
    "&& id",
    "\n id",
    "-rf",
    "--",
    "~",
    "*",
    "$HOME",
    "'\"\\",
    "!!",
    "\r\nX-Evil: 1",
    "\r\n\r\nGET / HTTP/1.1",
    "%0d%0a",
    "..",
    "../../x",
    "/",
    "//evil",
    "?a=1",
    "#x",
    "%2e%2e%2f",
    "@evil",
    ":80",
    "${labels.symbol}",
    "$${labels.symbol}",
    "{{ 7*7 }}",
    "{% x %}",
    "%s%n",
    "{0.__class__}",
    "evidence.var > 0",
    "' || true || '",
    '" || true || "',
    "true",
    ".*",
    "(a+)+$",
    '"} or vector(1) or x{y="',
    "\\",
    '\\"',
    "`",
    "*/",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "&lt;",
    "<!channel>",
    "<@U1>",
    "<https://evil|ok>",
    "[x](https://evil)",
    "![x](https://evil)",
    "https://evil.example",
    "www.evil.example",
    "a@evil.example",
    "# x",
    "- x",
    "1. x",
    "> x",
    "| a | b |",
    "```",
    "---",
    "*b*",
    "_i_",
    "~~s~~",
    "\\*",
    "\x1b[31mred",
    "\x1b]0;t\x07",
    "\x9b31m",
    "\b\b",
    "\0",
    "\u202e",
    "\u2028",
    "\ufeff",
    "\U000e0041",
    "[bold]x[/]",
    "2026-01-01 [critical] PAGE",
    "a\tb",
    "\x85",
    "null",
    "NaN",
    "1e999",
    "0x10",
    "",
    " ",
    "x" * 1_500,
)
TEXTS = st.one_of(
    st.sampled_from(ATTACKS),
    st.text(max_size=30),
    st.lists(st.sampled_from(ATTACKS), min_size=2, max_size=4).map("".join),
    st.text(alphabet=st.characters(categories=["Cc", "Cf", "Zl", "Zp", "Zs", "Po", "Sm", "Cs"]), max_size=12),
).map(lambda text: text[:MAX_VALUE])
LINE_ENDS = frozenset("\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")


@examples(100)
@given(TEXTS)
@example("\r\nX-Evil: 1")
def test_no_text_leaves_its_argument(text: str) -> None:
    """JSON keeps its shape; what is inside has no line end, so it is at most one header value, and can be sent."""
    alert = Alert(fingerprint="f", status="firing", labels={"l": text, "other": "x"}, starts_at=1)
    arguments = '{"a":{"${labels.l}":["on ${labels.l}!"]},"n":0.1,"t":true}'
    assume(text)
    rendered = render(arguments, label_values([alert]))
    found = json.loads(rendered)
    [inside] = found["a"]["${labels.l}"]
    assert (found["n"], found["t"], set(found)) == (0.1, True, {"a", "n", "t"})
    assert inside.startswith("on ")
    assert len(inside) <= MAX_TEXT
    assert not LINE_ENDS & set(inside)
    assert inside.encode().decode() == inside
    assert render(rendered, {}) == rendered if "${" not in rendered else True


@examples(100)
@given(st.lists(TEXTS, max_size=3))
def test_a_shell_reads_the_words_back(words: list[str]) -> None:
    """The line that a person may paste has exactly these words, whatever they hold."""
    line = CommandTarget("tools", allow=["/usr/bin/scale"]).by_hand("/usr/bin/scale", words)
    assert shlex.split(line) == ["/usr/bin/scale", *words]


@examples(60)
@given(TEXTS)
def test_a_label_never_becomes_a_condition(text: str) -> None:
    """It is compared, and nothing in it is looked at as an expression; the verdict's words can be told."""
    for condition, holds in (
        ("labels.x == 'BTC'", text == "BTC"),
        ("labels.x != 'BTC'", text != "BTC"),
        ("labels.x.contains('|| true')", "|| true" in text),
        ("labels.x in ['a', 'b']", text in ("a", "b")),
    ):
        verdict = expressions.weigh(condition, [], {"x": text})
        assert verdict.holds in (holds, None)
        assert verdict.holds is not None or any("\ud800" <= char <= "\udfff" for char in text)
        verdict.why.encode()


@examples(80)
@given(TEXTS, TEXTS)
def test_a_label_never_becomes_a_matcher(text: str, other: str) -> None:
    """What equals it, matches; as an expression it is the policy's, not the label's."""
    assert matchers.parse('x=~"BTC.*"').matches({"x": text}) == (text.startswith("BTC") and "\n" not in text)
    quoted = str(matchers.Matcher("x", "=", other, frozenset({other})))
    with suppress(UnclearError):  # too long
        assert matchers.parse(quoted).matches({"x": text}) == (text == other)


@examples(80)
@given(TEXTS)
def test_no_text_leaves_its_string_in_promql(text: str) -> None:
    """PromQL's reader finds one string in each place, with this value, or the query is refused."""
    for query, mark in (('x{s="${labels.s}"} > 1', '"'), ("x{s='${labels.s}'} > 1", "'"), ("x{s=`${labels.s}`}", "`")):
        try:
            filled = evidence_queries.fill("promql", query, {"s": text})
        except TargetError:
            continue
        [inside] = [part for kind, part in evidence_promql._tokens(filled) if kind == "string"]
        assert (inside[0], inside[-1]) == (mark, mark)
        assert _unescaped(inside) == text


def _unescaped(literal: str) -> str:
    """A string of PromQL's as its value. https://prometheus.io/docs/prometheus/latest/querying/basics/#string-literals"""
    body = literal[1:-1]
    if literal[0] == "`":
        return body
    out, at = "", 0
    while at < len(body):
        at += body[at] == "\\"
        out += body[at]
        at += 1
    return out


@examples(80)
@given(TEXTS)
def test_no_text_leaves_its_part_of_a_path(text: str) -> None:
    """Neither host, nor another path, query or fragment; a part that is `..` is refused."""
    try:
        filled = evidence_queries.fill("http", "/api/${labels.s}/status", {"s": text})
    except TargetError:
        return
    parts = urlsplit("http://target:8080" + filled)
    assert (parts.netloc, parts.query, parts.fragment) == ("target:8080", "", "")
    assert [unquote(part) for part in parts.path.split("/")] == ["", "api", text, "status"]
    assert filled.isascii()


@examples(100)
@given(TEXTS)
@example("a\n\n# b")
@example("<b>&amp;</b>")
def test_no_text_becomes_markdown(text: str) -> None:
    """CommonMark's reader sees one run of words: no markup, link, tag, list or line end; and every character of it."""
    tokens = MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(f"- {safe(f'x{text}x')}")
    kinds = [token.type for token in tokens if token.type != "inline"]
    assert kinds == ["bullet_list_open", "list_item_open", "paragraph_open", "paragraph_close", "list_item_close",
                     "bullet_list_close"]  # fmt: skip
    [inline] = [token for token in tokens if token.type == "inline"]
    assert {child.type for child in inline.children or ()} <= {"text", "text_special"}
    shown = "".join(child.content for child in inline.children or ())
    assert [char for char in f"x{text}x" if char.isprintable() and char != " "] == [
        char for char in shown if char != " "
    ] or not text.isprintable()


@examples(80)
@given(TEXTS)
def test_no_text_leaves_its_line(text: str) -> None:
    """In the log, on the terminal, in the chat line: one line of printable characters, of bounded length."""
    event: dict[str, Any] = log.tidy(None, "info", {"event": "seen", "label": text})  # type: ignore[assignment]
    for shown in (event["label"], plain(text), clean(text).plain):
        assert shown.isprintable() or shown == ""
    assert len(plain(text)) <= MAX_LINE
    assert len(event["label"]) <= log.MAX_FIELD * 8
    assert clean(text).spans == []
