"""Alertmanager's matchers, read and applied: ``name="v"``, ``!=``, ``=~``, ``!~``.

Semantics as documented at https://prometheus.io/docs/alerting/latest/configuration/#matcher: a missing label counts as
the empty string, expressions are anchored on both sides, names may be any UTF-8 in quotes. Expressions run in RE2, the
dialect Alertmanager itself uses, in time linear in the label. `policies.index` applies them to alerts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, TypeAlias, cast

import re2

from policies.problems import UnclearError

Operator: TypeAlias = Literal["=", "!=", "=~", "!~"]

MAX_MATCHER = 2_000  # characters; a longer one is generated, and belongs into a recording rule
MAX_REMEMBERED = 4_096  # matchers and expressions kept between loads, a few kB each: the same text means the same
_RESERVED = frozenset("{}!=~,\\\"'`")
_PLAIN_ALTERNATIVES = re.compile(r"[\w :/@%,;&#<>'\"=!~-]+(\|[\w :/@%,;&#<>'\"=!~-]+)*")
_ESCAPES = {"n": "\n", "\\": "\\", '"': '"'}


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label. `any_of` holds the values where it means exactly these (``=`` and plain ``a|b``)."""

    name: str
    operator: Operator
    value: str
    any_of: frozenset[str] | None = None
    _regex: re2._Regexp | None = field(default=None, repr=False, compare=False)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the label set satisfies the matcher."""
        return self.accepts(labels.get(self.name, ""))

    def accepts(self, value: str) -> bool:
        """Whether one label value satisfies the matcher."""
        if self.any_of is not None:
            inside = value in self.any_of
        else:
            assert self._regex is not None
            # Half a surrogate pair is text to Python, and none to RE2.
            text = value if value.isascii() else value.encode("utf-8", "replace").decode()
            inside = self._regex.fullmatch(text) is not None
        return inside == (self.operator in {"=", "=~"})

    def __str__(self) -> str:
        return f"{self.name}{self.operator}{_quote(self.value)}"


@lru_cache(maxsize=MAX_REMEMBERED)
def parse(text: str) -> Matcher:
    """Read one matcher. Raises UnclearError that says at which character it stops making sense."""
    if len(text) > MAX_MATCHER:
        raise UnclearError(f"the matcher has {len(text):,} characters", f"keep it under {MAX_MATCHER:,}")
    body = text.strip()
    if body.startswith("{"):
        raise UnclearError("braces are not part of a matcher here", "list the matchers one by one, without { }")
    name, at = _word(body, 0, "label name")
    if not name:
        raise UnclearError(f"no label name at the start of {text!r}", _EXAMPLE)
    at = _skip(body, at)
    operator = next((o for o in ("=~", "!=", "!~", "=") if body.startswith(o, at)), None)
    if operator is None:
        raise UnclearError(f"no =, !=, =~ or !~ after {name!r}", _EXAMPLE)
    if body.startswith("==", at):
        raise UnclearError("== is not a matcher's operator", "write a single =")
    value, at = _word(body, _skip(body, at + len(operator)), "value")
    rest = body[_skip(body, at) :]
    if rest.startswith(","):
        raise UnclearError(f"more than one matcher in {text!r}", "list them one by one")
    if rest:
        raise UnclearError(
            f"{rest!r} is left over after {name}{operator}{_quote(value)}", "quote the value: " + _EXAMPLE
        )
    return _build(name, cast(Operator, operator), value)


def test(texts: Sequence[str]) -> Callable[[dict[str, str]], bool]:
    """Compile matchers into one test: do they all hold for these labels? Raises UnclearError."""
    compiled = tuple(map(parse, texts))
    return lambda labels: all(matcher.matches(labels) for matcher in compiled)


_EXAMPLE = 'write it like alertname="VaRBreach" or severity=~"critical|page"'


def _build(name: str, operator: Operator, value: str) -> Matcher:
    if operator in {"=", "!="}:
        return Matcher(name, operator, value, frozenset({value}))
    if _PLAIN_ALTERNATIVES.fullmatch(value):
        return Matcher(name, operator, value, frozenset(value.split("|")))
    return Matcher(name, operator, value, None, _regex(value))


@lru_cache(maxsize=MAX_REMEMBERED)
def _regex(text: str) -> re2._Regexp:
    """Compile RE2; memoised because the same text always gives the same program."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        first = error.args[0] if error.args else ""
        reason = first.decode(errors="replace") if isinstance(first, bytes) else str(first)
        fix = "see https://github.com/google/re2/wiki/Syntax"
        raise UnclearError(f"the expression {text!r} is not valid RE2: {reason}", fix) from error


def _word(text: str, at: int, what: str) -> tuple[str, int]:
    """A quoted or bare word starting at `at`, and where it ends."""
    if at < len(text) and text[at] == '"':
        return _quoted(text, at + 1, what)
    if at < len(text) and text[at] == "'":
        raise UnclearError(f"the {what} is in single quotes", 'use double quotes: name="value"')
    end = at
    while end < len(text) and text[end] not in _RESERVED and not text[end].isspace():
        end += 1
    return text[at:end], end


def _quoted(text: str, at: int, what: str) -> tuple[str, int]:
    out: list[str] = []
    while at < len(text):
        char = text[at]
        if char == '"':
            return "".join(out), at + 1
        if char == "\\" and at + 1 < len(text):
            escaped = text[at + 1]
            out.append(_ESCAPES.get(escaped, "\\" + escaped))  # as Alertmanager: an unknown escape stays as written
            at += 2
        else:
            out.append(char)
            at += 1
    raise UnclearError(f'the {what} has no closing "', _EXAMPLE)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _quote(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
