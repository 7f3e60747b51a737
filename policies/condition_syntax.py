"""The part of CEL that conditions may use, as a syntax tree.

`policies.expressions` evaluates with the CEL library, which accepts any path and shows root names only. This parser
is our own walk over the same text: it knows every path, every function and every comparison, so that a typo is an
error at load, two conditions can be compared, and a verdict can be explained in words. It accepts a subset:
``|| && !``, comparisons, ``in``, arithmetic, literals, lists, ``evidence.x``, ``labels.y`` and a few functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from policies.problems import UnclearError, did_you_mean

MAX_LENGTH = 1_000  # characters of one condition
MAX_NESTING = 32  # parentheses; keeps both parsers off the recursion limit
ROOTS = ("evidence", "labels")
FUNCTIONS = {"size": 1, "double": 1, "int": 1, "string": 1}  # name -> arguments
METHODS = {"contains": 1, "startsWith": 1, "endsWith": 1, "matches": 1}

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<string>"(?:[^"\\\n]|\\["\\n])*"|'(?:[^'\\\n]|\\['\\n])*')
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<op>\|\||&&|==|!=|<=|>=|[<>!+\-*/%().,\[\]])
    )""",
    re.VERBOSE,
)
COMPARISONS = ("==", "!=", "<=", ">=", "<", ">")


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class PathNode:
    """``evidence.var`` or ``labels.symbol``."""

    root: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, text, boolean or null, with the text it was written as."""

    value: float | str | bool | None
    text: str


@dataclass(frozen=True, slots=True)
class Compare:
    """A leaf that is true or false by comparing two values (also ``in``)."""

    operator: str
    left: Node
    right: Node
    text: str


@dataclass(frozen=True, slots=True)
class Logic:
    """``&&``, ``||`` or ``!`` over conditions."""

    operator: str
    parts: tuple[Node, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Apply:
    """A function, method or arithmetic operator applied to values. A method's receiver is the first part."""

    name: str
    parts: tuple[Node, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list literal."""

    parts: tuple[Node, ...]
    text: str


Node: TypeAlias = PathNode | Literal | Compare | Logic | Apply | Items
_Below: TypeAlias = Callable[[], Node]


def parse(text: str) -> Node:
    """The tree of a condition. Raises UnclearError for anything outside the subset, naming the nearest known word."""
    if len(text) > MAX_LENGTH:
        raise UnclearError(f"the condition has {len(text):,} characters", f"keep it under {MAX_LENGTH:,}")
    if not text.strip():
        raise UnclearError("the condition is empty", "write it like evidence.var > 1.8, or leave the key out")
    return _Parser(text).whole()


def walk(node: Node) -> Iterator[Node]:
    """The node and everything under it."""
    yield node
    match node:
        case Compare():
            yield from walk(node.left)
            yield from walk(node.right)
        case Logic() | Apply() | Items():
            for part in node.parts:
                yield from walk(part)
        case _:
            pass


def paths(node: Node) -> tuple[PathNode, ...]:
    """Every path in the tree, in order of appearance."""
    return tuple(n for n in walk(node) if isinstance(n, PathNode))


def is_condition(node: Node) -> bool:
    """Whether the node is true or false by itself, rather than a value."""
    return isinstance(node, Compare | Logic) or (isinstance(node, Apply) and node.name in METHODS)


def _tokens(text: str) -> list[Token]:
    out: list[Token] = []
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None:
            rest = text[at:].lstrip()
            hint = {"?": "write two conditions with && and || instead of ? :", "=": "compare with =="}
            raise UnclearError(f"{rest[0]!r} is not understood in a condition", hint.get(rest[0], _ALLOWED))
        kind = found.lastgroup or ""
        out.append(Token(kind, found.group(kind), found.start(kind), found.end(kind)))
        at = found.end()
    out.append(Token("end", "", len(text), len(text)))
    return out


_ALLOWED = "conditions know evidence.NAME, labels.NAME, comparisons, && || !, in, + - * / and a few functions"


class _Parser:
    """Recursive descent over the tokens; one instance reads one condition."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._or()
        left = self._now()
        if left.kind != "end":
            raise UnclearError(
                f"{self._text[left.start :]!r} is left over after {self._text[: left.start].strip()!r}", _ALLOWED
            )
        return node

    def _now(self) -> Token:
        return self._tokens[self._at]

    def _accept(self, *texts: str) -> Token | None:
        token = self._now()
        if token.kind in {"op", "name"} and token.text in texts:
            self._at += 1
            return token
        return None

    def _expect(self, text: str) -> None:
        if self._accept(text) is None:
            found = self._now()
            shown = repr(found.text) if found.text else "the end"
            raise UnclearError(f"expected {text} before {shown} in {self._text!r}", "check the parentheses")

    def _since(self, start: int) -> str:
        return self._text[start : self._tokens[self._at - 1].end]

    def _or(self) -> Node:
        return self._chain("||", self._and)

    def _and(self) -> Node:
        return self._chain("&&", self._relation)

    def _chain(self, operator: str, below: _Below) -> Node:
        start = self._now().start
        parts = [below()]
        while self._accept(operator):
            parts.append(below())
        if len(parts) == 1:
            return parts[0]
        for part in parts:
            self._must_be_condition(part)
        return Logic(operator, tuple(parts), self._since(start))

    def _must_be_condition(self, node: Node) -> None:
        if not is_condition(node) and not (isinstance(node, Literal) and isinstance(node.value, bool)):
            raise UnclearError(f"{node.text} is a value, not a condition", f"compare it, like {node.text} > 1.8")

    def _relation(self) -> Node:
        start = self._now().start
        left = self._sum()
        operator = self._accept(*COMPARISONS, "in")
        if operator is None:
            return left
        right = self._sum()
        after = self._now()
        if after.text in COMPARISONS:
            raise UnclearError(f"two comparisons in a row in {self._text!r}", "join them with &&")
        return Compare(operator.text, left, right, self._since(start))

    def _sum(self) -> Node:
        return self._arithmetic(("+", "-"), lambda: self._arithmetic(("*", "/", "%"), self._unary))

    def _arithmetic(self, operators: tuple[str, ...], below: _Below) -> Node:
        start = self._now().start
        node = below()
        while (operator := self._accept(*operators)) is not None:
            node = Apply(operator.text, (node, below()), self._since(start))
        return node

    def _unary(self) -> Node:
        start = self._now().start
        if self._accept("!"):
            inner = self._nested(self._unary)
            self._must_be_condition(inner)
            return Logic("!", (inner,), self._since(start))
        if self._accept("-"):
            inner = self._nested(self._unary)
            if isinstance(inner, Literal) and isinstance(inner.value, float):
                return Literal(-inner.value, self._since(start))
            return Apply("negate", (inner,), self._since(start))
        return self._member()

    def _nested(self, below: _Below) -> Node:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise UnclearError(f"the condition nests deeper than {MAX_NESTING}", "split it")
        node = below()
        self._depth -= 1
        return node

    def _member(self) -> Node:
        start = self._now().start
        node = self._primary()
        while self._accept("."):
            name = self._now()
            self._at += 1
            if name.kind != "name" or self._now().text != "(":
                raise UnclearError(f"{self._text[start : name.end]} goes too deep", "a reading or label has no parts")
            if name.text not in METHODS:
                fix = did_you_mean(name.text, METHODS, "known: " + ", ".join(sorted(METHODS)))
                raise UnclearError(f"unknown function {name.text}()", fix)
            arguments = self._arguments(name.text, METHODS[name.text])
            if name.text == "matches" and not isinstance(arguments[0], Literal):
                # A label's text must not become an expression: `.*` would make any guard true.
                raise UnclearError("matches() needs its expression written out", 'write it like .matches("BTC.*")')
            node = Apply(name.text, (node, *arguments), self._since(start))
        if self._now().text == "[":
            raise UnclearError(f"[ ] is not available after {node.text}", "write evidence.NAME or labels.NAME")
        return node

    def _primary(self) -> Node:
        token = self._now()
        self._at += 1
        match token.kind, token.text:
            case "number", text:
                return Literal(float(text), text)
            case "string", text:
                return Literal(re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], text[1:-1]), text)
            case "name", "true" | "false":
                return Literal(token.text == "true", token.text)
            case "name", "null":
                return Literal(None, "null")
            case "name", _:
                return self._name(token)
            case "op", "(":
                node = self._nested(self._or)
                self._expect(")")
                return node
            case "op", "[":
                parts = self._list("]")
                return Items(parts, self._since(token.start))
            case _:
                shown = repr(token.text) if token.text else "the end"
                raise UnclearError(f"{shown} is not expected here in {self._text!r}", _ALLOWED)

    def _name(self, token: Token) -> Node:
        name = token.text
        if self._now().text == "(":
            if name not in FUNCTIONS:
                known = (*FUNCTIONS, *METHODS)
                raise UnclearError(
                    f"unknown function {name}()", did_you_mean(name, known, "known: " + ", ".join(sorted(known)))
                )
            arguments = self._arguments(name, FUNCTIONS[name])
            return Apply(name, arguments, self._since(token.start))
        if name not in ROOTS:
            fix = did_you_mean(name, ROOTS, "conditions know evidence.NAME and labels.NAME")
            raise UnclearError(f"unknown name {name}", fix)
        if not self._accept("."):
            raise UnclearError(f"{name} alone is not a value", f"write {name}.NAME")
        part = self._now()
        self._at += 1
        if part.kind != "name":
            raise UnclearError(f"{name}. is not followed by a name", f"write {name}.NAME")
        return PathNode(name, part.text, self._since(token.start))

    def _arguments(self, name: str, count: int) -> tuple[Node, ...]:
        self._expect("(")
        parts = self._list(")")
        if len(parts) != count:
            raise UnclearError(f"{name}() takes {count} argument{'s' if count > 1 else ''}, not {len(parts)}", "")
        return parts

    def _list(self, closing: str) -> tuple[Node, ...]:
        parts: list[Node] = []
        if self._accept(closing):
            return ()
        parts.append(self._nested(self._or))
        while self._accept(","):
            parts.append(self._nested(self._or))
        self._expect(closing)
        return tuple(parts)
