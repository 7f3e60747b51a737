"""What must be known of a PromQL text: its quoted strings, and the series selectors it reads. Pure.

Called by `evidence_queries` to fill labels in, and by `evidence_sources` for freshness: an instant query's own
timestamp is the time of asking, so the age of what it read comes from `timestamp(selector)` of each selector.
This is a tokeniser, not a parser; Prometheus itself refuses what is not PromQL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from bot.errors import TargetError

MAX_SELECTORS = 4  # per expression; each costs one more query
_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)
      | (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
      | (?P<number>[0-9.][0-9a-zA-Z_.]*)
      | (?P<space>\s+|\#[^\n]*)
      | (?P<op>=~|!~|.)""",
    re.VERBOSE | re.DOTALL,
)
# https://prometheus.io/docs/prometheus/latest/querying/operators/ — words that are no metric where they stand
_LABEL_LISTS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_WORDS = _LABEL_LISTS | {"bool", "offset", "and", "or", "unless", "atan2", "inf", "nan"}

Token = tuple[str, str]  # kind, text


def fill(query: str, substitute: Callable[[str, Callable[[str], str]], str]) -> str:
    """Rewrite each quoted string by `substitute(text, turn)`, where `turn` makes a value safe at that place.

    Raises TargetError when a placeholder stands outside a quoted string.
    """
    parts: list[str] = []
    operator = ""
    for kind, text in _tokens(query):
        if kind == "string":
            parts.append(substitute(text, _turn(text[0], regex=operator in ("=~", "!~"))))
        elif text == "$":
            raise TargetError("in PromQL a label goes inside a quoted string")
        else:
            parts.append(text)
        operator = operator if kind == "space" else text
    return "".join(parts)


def selectors(query: str) -> tuple[str, ...]:
    """The distinct series selectors an expression reads, without range, offset or `@`. At most MAX_SELECTORS."""
    found = tuple(dict.fromkeys(_selectors([token for token in _tokens(query) if token[0] != "space"])))
    if len(found) > MAX_SELECTORS:
        raise TargetError(f"it reads {len(found)} series selectors; at most {MAX_SELECTORS} can be proved fresh")
    return found


def _tokens(query: str) -> Iterator[Token]:
    for match in _TOKEN.finditer(query):
        yield match.lastgroup or "op", match.group()


def _selectors(tokens: list[Token]) -> Iterator[str]:
    at = 0
    while at < len(tokens):
        kind, text = tokens[at]
        following = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        at += 1
        if text == "[":
            at = _past(tokens, at, "]")
        elif text == "{":
            end = _past(tokens, at, "}")
            yield "{" + "".join(t for _, t in tokens[at:end])
            at = end
        elif kind == "name" and text.lower() in _WORDS:
            if text.lower() in _LABEL_LISTS and following == "(":
                at = _past(tokens, at, ")")
        elif kind == "name" and following == "{":
            end = _past(tokens, at + 1, "}")
            yield text + "".join(t for _, t in tokens[at:end])
            at = end
        elif kind == "name" and following != "(" and following.lower() not in ("by", "without"):
            yield text


def _past(tokens: list[Token], at: int, closing: str) -> int:
    """The index after the next `closing`; label lists and matchers do not nest."""
    while at < len(tokens) and tokens[at][1] != closing:
        at += 1
    return min(at + 1, len(tokens))


def _turn(quote_mark: str, *, regex: bool) -> Callable[[str], str]:
    """How a value becomes text inside a string with this quote mark."""

    def turn(value: str) -> str:
        literal = re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", value) if regex else value
        if quote_mark == "`":
            if "`" in literal:
                raise TargetError("a label's value holds a backtick, inside a backtick string")
            return literal
        return literal.replace("\\", "\\\\").replace(quote_mark, f"\\{quote_mark}")

    return turn
