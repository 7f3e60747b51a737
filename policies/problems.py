"""What is wrong with a configuration file, as a value: where, what, and how to mend it.

Every reader in this room returns `Problem`s instead of stopping at the first mistake; `policies.loader` collects them
and `andon check` prints them. `UnclearError` is how a small parser (a duration, a matcher, a condition) reports up.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from bot.errors import ConfigError

Path: TypeAlias = tuple[str | int, ...]

MAX_TEXT = 1_000  # characters of a part of a problem: it quotes the file, and a file may hold a word of a megabyte


class UnclearError(ConfigError, ValueError):
    """A piece of text is not what it should be. `message` says what is wrong, `fix` what to write instead.

    It is also a ValueError, so that pydantic reports it with the path of the field it came from.
    """

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(f"{message} ({fix})" if fix else message)
        self.message = message
        self.fix = fix


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in one file. Sorts by file, then line. `path` is spelled ``policies[0].plan[1].action``."""

    source: str
    line: int
    path: str
    message: str
    fix: str = ""

    def __post_init__(self) -> None:
        for part in ("path", "message", "fix"):
            text = getattr(self, part)
            if len(text) > MAX_TEXT:
                object.__setattr__(self, part, text[: MAX_TEXT - 1] + "…")

    def __str__(self) -> str:
        where = f"{self.source}:{self.line}: " + (f"{self.path}: " if self.path else "")
        return f"{where}{self.message}" + (f" ({self.fix})" if self.fix else "")


def spell(path: Path) -> str:
    """A path as people write it: ``("policies", 0, "plan")`` -> ``policies[0].plan``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """``did you mean x?`` when a known word is close; `otherwise` when none is."""
    close = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else otherwise
