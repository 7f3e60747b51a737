"""The words of one command, taken off from the left: options first, then places, incidents, durations, and the rest.

Used by `grammar`, one object a command. Whatever does not fit raises UnclearError with what to type instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from bot.adapters.slack.heard.asks import Place
from bot.adapters.slack.heard.typed_text import Word
from bot.core.words import Millis
from policies import durations
from policies.problems import UnclearError, did_you_mean

EVERYWHERE: Final = frozenset({"all", "everywhere", "*"})
MAX_SHOWN: Final = 80  # characters of somebody's word in an answer
_FOR: Final = "for"
_INCIDENT: Final = re.compile(r"(inc-)?[a-z2-7]{1,10}", re.IGNORECASE)
_ARGUMENT: Final = re.compile(r"([a-z_][\w.-]*)=(.*)", re.IGNORECASE | re.DOTALL)
_MATCHER: Final = re.compile(r'("[^"]+"|[^\s"=!~]+)(=~|!~|!=|=).*', re.DOTALL)
_CONNECTIVES: Final = frozenset({"because", "reason:", "reason"})  # before a reason, as people say it


class CommandLine:
    """The words that are left. `usage` is how the verb is typed, told with every mistake."""

    def __init__(self, words: Sequence[Word], usage: str, options: Iterable[str], flags: Iterable[str]) -> None:
        """Takes `--name value`, `--name=value` and `--flag` out, wherever they stand."""
        self._usage = usage
        self._options: dict[str, Word] = {}
        self.flags: set[str] = set()
        self._left = self._without_options(list(words), set(options), set(flags))

    def _without_options(self, words: list[Word], options: set[str], flags: set[str]) -> list[Word]:
        left: list[Word] = []
        at = 0
        while at < len(words):
            word = words[at]
            at += 1
            if word.quoted or not word.text.startswith("--") or len(word.text) == 2:
                left.append(word)
                continue
            name, equals, value = word.text.removeprefix("--").partition("=")
            if name in flags and not equals:
                self.flags.add(name)
            elif name in options and equals:
                self._options[name] = Word(value, value)
            elif name in options and at < len(words):
                self._options[name] = words[at]
                at += 1
            elif name in options:
                raise self.unclear(f"--{name} needs a value after it")
            else:
                known = [f"--{each}" for each in sorted(options | flags)]
                hint = did_you_mean(f"--{name}", known, f"it takes {', '.join(known)}" if known else "it takes none")
                raise self.unclear(f"--{name[:MAX_SHOWN]} is no option here; {hint}")
        return left

    def unclear(self, what: str) -> UnclearError:
        """The mistake, with how the verb is typed."""
        return UnclearError(what, f"type it like: /andon {self._usage}")

    def __bool__(self) -> bool:
        return bool(self._left)

    def next(self) -> str:
        """The next word, taken; "" when none is left."""
        return self._left.pop(0).text if self._left else ""

    def incident(self) -> str:
        """The incident's id, or its first letters."""
        word = self.next()
        if not word:
            raise self.unclear("which incident? Name it by the first letters of its id; /andon incidents lists them")
        if not _INCIDENT.fullmatch(word):
            raise self.unclear(f"{word[:MAX_SHOWN]!r} is no incident's id; /andon incidents lists them")
        return word.lower()

    @property
    def names_place(self) -> bool:
        """Whether a place may stand next: any word but NAME=VALUE."""
        return bool(self._left) and _ARGUMENT.fullmatch(self._left[0].text) is None

    def place(self) -> Place:
        """SYSTEM, SYSTEM/COMPONENT or `all`."""
        word = self.next()
        if word.lower() in EVERYWHERE:
            return Place()
        system, slash, component = word.partition("/")
        if not system or (slash and not component):
            raise self.unclear(f"{word[:MAX_SHOWN]!r} is no place; name SYSTEM, SYSTEM/COMPONENT, or all")
        return Place(system, component)

    def duration(self) -> Millis | None:
        """`--for 2h`, or `for 2h` (or `2h`) next in the line; None where none is said."""
        said = self._options.get(_FOR)
        if said is not None:
            return self._length(said.text)
        if self._left and self._left[0].text.lower() == _FOR and len(self._left) > 1:
            found = _duration(self._left[1].text)
            if found is not None:
                del self._left[:2]
                return found
        found = _duration(self._left[0].text) if self._left else None
        if found is not None:
            del self._left[0]
        return found

    def _length(self, text: str) -> Millis:
        found = _duration(text)
        if found is None:
            raise self.unclear(f"{text[:MAX_SHOWN]!r} is no time; write it like 90s, 15m or 1h30m")
        return found

    def matchers(self) -> tuple[str, ...]:
        """Alertmanager's matchers, as many as stand here; commas and braces around them are taken off."""
        found: list[str] = []
        while self._left:
            raw = self._left[0].raw.strip("{},")
            if raw and not _MATCHER.fullmatch(raw):
                break
            found += [raw] if raw else []
            del self._left[0]
        return tuple(found)

    def arguments(self) -> dict[str, Any]:
        """NAME=VALUE words: what is a number, true, false or null in JSON is one, what is quoted is text."""
        found: dict[str, Any] = {}
        while self._left and (match := _ARGUMENT.fullmatch(self._left[0].text)) is not None:
            name, text = match[1], match[2]
            if name in found:
                raise self.unclear(f"{name} is said twice")
            found[name] = text if self._left[0].quoted else _value(text)
            del self._left[0]
        return found

    def rest(self, option: str = "") -> str:
        """All that is left, as a text; or what the option of this name says."""
        said = self._options.get(option)
        left, self._left = self._left, []
        if said is not None:
            if left:
                raise self.unclear(f"{left[0].text[:MAX_SHOWN]!r} is too much beside --{option}")
            return said.text.strip()
        if len(left) > 1 and left[0].text.lower() in _CONNECTIVES and left[1].text.lower() != "of":
            del left[0]
        return left[0].text.strip() if len(left) == 1 else " ".join(word.raw for word in left)

    def option(self, name: str) -> str:
        """What `--name` says; "" where it is not said."""
        said = self._options.get(name)
        return said.text if said is not None else ""

    def end(self) -> None:
        """Nothing may be left."""
        if self._left:
            raise self.unclear(f"{self._left[0].text[:MAX_SHOWN]!r} is too much here")


def _duration(text: str) -> Millis | None:
    try:
        return durations.parse(text)
    except UnclearError:
        return None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # the second: brackets by the thousand
        return text
