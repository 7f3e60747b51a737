"""YAML without its traps, and with the line of every path.

The loader calls `parse` first; the documents are validated from its `value`, and their problems find their line through
`Document.line`. Built from the parser's events alone — no node graph, no constructors, no recursion — so that a hostile
file can neither run anything nor blow anything up. YAML 1.1's surprises are errors with their fix instead of guesses:
duplicate keys, anchors and aliases, tags, merge keys, yes/no/on/off, octal and hexadecimal numbers, infinities.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

from policies.problems import Path, Problem, spell

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"

MAX_BYTES = 1_048_576  # a policy file is written by people; more than 1 MiB is a mistake or an attack
MAX_DEPTH = 32  # the deepest sensible document nests 8 levels
MAX_DIGITS = 18  # fits 64 bits, and keeps int() from working on a million digits

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "false": False}
# https://yaml.org/type/bool.html: what YAML 1.1 readers take for a boolean and YAML 1.2 readers do not
_SOMETIMES_BOOL = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false"})
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]+)?")
_NON_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_ODD_NUMBER = re.compile(r"[-+]?(0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO]?[0-7_]+|[0-9][0-9]*_[0-9_]*)")

_NodeEvent: TypeAlias = yaml.ScalarEvent | yaml.SequenceStartEvent | yaml.MappingStartEvent
_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where the wheel has it: ten times faster


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: its plain value, the line of every path in it, and what was wrong with it as YAML."""

    source: str
    value: Value
    lines: dict[Path, int]
    problems: tuple[Problem, ...]

    def line(self, path: Path) -> int:
        """The line of `path`, or of the nearest ancestor that exists; lines count from 1."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def problem(self, path: Path, message: str, fix: str = "") -> Problem:
        """A problem at `path`."""
        return Problem(self.source, self.line(path), spell(path), message, fix)


def parse(source: str, text: str) -> Document:
    """Read one YAML document. Never raises: what is wrong is in `problems`, and then `value` is not to be trusted."""
    reader = _Reader(source)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return reader.stop(1, "the file is not valid text", "save it as UTF-8")
    if size > MAX_BYTES:
        return reader.stop(1, f"the file has {size:,} bytes, more than 1 MiB", "split it into one file per system")
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if not reader.take(event):
                break
    except yaml.MarkedYAMLError as error:
        return reader.stop(*_syntax_error(error))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1 if isinstance(error.position, int) else 1
        return reader.stop(line, f"not valid YAML: {error.reason}", "remove the unprintable character")
    return reader.done()


def _syntax_error(error: yaml.MarkedYAMLError) -> tuple[int, str, str]:
    """Where the parser gave up and, often more telling, what it was reading and where that began."""
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    began = ""
    if error.context and error.context_mark and error.context_mark.line + 1 != line:
        began = f" {error.context} that starts on line {error.context_mark.line + 1}"
    return (
        line,
        f"not valid YAML:{began} {error.problem or error.context or ''}".rstrip(),
        "check indentation, colons and quotes",
    )


@dataclass(slots=True)
class _Open:
    """A mapping or sequence that is being read."""

    path: Path
    value: list[Value] | dict[str, Value]
    key: str | None = None
    first_lines: dict[str, int] = field(default_factory=dict)


class _Reader:
    """Folds parser events into plain values. One instance reads one file."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._stack: list[_Open] = []
        self._root: Value = None
        self._documents = 0
        self._lines: dict[Path, int] = {(): 1}
        self._problems: list[Problem] = []

    def stop(self, line: int, message: str, fix: str) -> Document:
        self._problems.append(Problem(self._source, line, "", message, fix))
        return self.done()

    def done(self) -> Document:
        return Document(self._source, self._root, self._lines, tuple(self._problems))

    def take(self, event: yaml.Event) -> bool:
        """Fold one event; False ends the reading (what follows could only confuse)."""
        line = event.start_mark.line + 1 if event.start_mark else 1
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    self._wrong(line, (), "a second document starts here", "keep one document per file; remove the ---")
                    return False
            case yaml.AliasEvent():
                path = self._next_path(line)
                self._wrong(line, path, f"alias *{event.anchor} is not allowed", "write the value out")
                self._put(None, path)
            case yaml.ScalarEvent() | yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                return self._node(event, line)
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._stack.pop()
            case _:
                pass
        return True

    def _node(self, event: _NodeEvent, line: int) -> bool:
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.value, dict) and top.key is None:
            return self._key(event, line, top)
        path = self._next_path(line)
        self._check_node(event, line, path)
        if isinstance(event, yaml.ScalarEvent):
            self._put(self._scalar(event, line, path), path)
            return True
        if len(self._stack) >= MAX_DEPTH:
            self._wrong(line, path, f"nested deeper than {MAX_DEPTH} levels", "flatten it")
            return False
        opened: list[Value] | dict[str, Value] = [] if isinstance(event, yaml.SequenceStartEvent) else {}
        self._put(opened, path)
        self._stack.append(_Open(path, opened))
        return True

    def _key(self, event: _NodeEvent, line: int, top: _Open) -> bool:
        if not isinstance(event, yaml.ScalarEvent):
            self._wrong(line, top.path, "a key must be plain text", "write `name: value`")
            return False
        key = event.value
        path = (*top.path, key)
        self._check_node(event, line, path)
        if key == "<<" and event.implicit[0]:
            self._wrong(line, top.path, "merge keys (<<) are not allowed", "write the values out")
        elif event.implicit[0] and not isinstance(self._plain(key, line, path), str):
            self._wrong(line, path, f"the key {key} is not text", f'quote it: "{key}"')
        if key in top.first_lines:
            first = top.first_lines[key]
            self._wrong(line, path, f"the key {key!r} is here twice (first on line {first})", "keep one of them")
        else:
            top.first_lines[key] = line
            self._lines[path] = line
        top.key = key
        return True

    def _check_node(self, event: _NodeEvent, line: int, path: Path) -> None:
        if event.anchor is not None:
            self._wrong(line, path, f"anchor &{event.anchor} is not allowed", "write the value out where it is needed")
        if event.tag is not None:
            self._wrong(line, path, f"tag {event.tag} is not allowed", "remove it; quote the value if it is text")

    def _next_path(self, line: int) -> Path:
        if not self._stack:
            self._lines[()] = line
            return ()
        top = self._stack[-1]
        if isinstance(top.value, list):
            path: Path = (*top.path, len(top.value))
            self._lines[path] = line
            return path
        return (*top.path, top.key if top.key is not None else "")

    def _put(self, value: Value, path: Path) -> None:
        if not self._stack:
            self._root = value
            return
        top = self._stack[-1]
        if isinstance(top.value, list):
            top.value.append(value)
        else:
            top.value[str(path[-1])] = value
            top.key = None

    def _scalar(self, event: yaml.ScalarEvent, line: int, path: Path) -> Value:
        return self._plain(event.value, line, path) if event.implicit[0] else str(event.value)

    def _plain(self, text: str, line: int, path: Path) -> Value:
        """What an unquoted scalar means; what two YAML readers could read differently is a problem."""
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        if text.lower() in _SOMETIMES_BOOL:
            message = f"unquoted {text} is a boolean to some readers and text to others"
            self._wrong(line, path, message, f'write true or false, or quote it: "{text}"')
            return text
        if _INT.fullmatch(text) or _FLOAT.fullmatch(text):
            return self._number(text, line, path)
        if _NON_FINITE.fullmatch(text):
            self._wrong(line, path, f"{text} is not a finite number", "write a number")
        elif _ODD_NUMBER.fullmatch(text):
            message = f"{text} is read as different numbers by different readers"
            self._wrong(line, path, message, f'write it as a plain decimal, or quote it: "{text}"')
        return text

    def _number(self, text: str, line: int, path: Path) -> Value:
        if _INT.fullmatch(text):
            if len(text.lstrip("+-")) <= MAX_DIGITS:
                return int(text)
            self._wrong(line, path, f"the number has more than {MAX_DIGITS} digits", "quote it if it is text")
            return 0
        if text.lstrip("+-").startswith("0") and text.lstrip("+-")[1:2].isdigit():
            self._wrong(line, path, f"{text} starts with a zero", f'write it without, or quote it: "{text}"')
            return 0
        number = float(text)
        if math.isfinite(number):
            return number
        self._wrong(line, path, f"{text} is not a finite number", "write a number")
        return 0

    def _wrong(self, line: int, path: Path, message: str, fix: str) -> None:
        self._problems.append(Problem(self._source, line, spell(path), message, fix))
