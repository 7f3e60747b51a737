"""What a person typed after `/andon`, in words: Slack's escapes undone, curly quotes straight, blanks in quotes kept.

`grammar` reads the words; `listeners` pass the text of a command, a mention or a shortcut as Slack sent it. Slack turns
``@name`` into ``<@U1|name>``, an address into ``<https://x|x>``, ``--`` into a dash and ``"`` into “ and ”, each of
which would make something else of a command. Source: https://docs.slack.dev/messaging/formatting-message-text
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from bot.errors import InputError

MAX_TEXT: Final = 4_000  # characters of a command; a longer one was pasted by mistake
MAX_WORDS: Final = 200  # of them; a reason of 500 characters has a hundred

_TOKEN: Final = re.compile(r"<([^<>]*)>")
_QUOTES: Final = str.maketrans(dict.fromkeys("“”„‟«»″", '"') | dict.fromkeys("‘’‚′", "'") | {"\u00a0": " "})
_DASH: Final = re.compile(r"(?<!\S)[—–]{1,2}(?=[a-z])")  # a `--` that was made pretty, before an option
_ENTITIES: Final = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))  # the last one last: `&amp;lt;` is `&lt;`


@dataclass(frozen=True, slots=True)
class Word:
    """One word: `text` without its quotes, `raw` as it was typed."""

    text: str
    raw: str

    @property
    def quoted(self) -> bool:
        """Whether any of it stood in quotes: then it is text, whatever it looks like."""
        return '"' in self.raw


def read(text: str) -> tuple[Word, ...]:
    """The command's words. Raises InputError for one that is too long, or whose quote is never closed."""
    if len(text) > MAX_TEXT:
        raise InputError("command", f"is longer than {MAX_TEXT} characters; say it in fewer words")
    words = tuple(_words(plain(text)))
    if len(words) > MAX_WORDS:
        raise InputError("command", f"has more than {MAX_WORDS} words; say it in fewer")
    return words


def plain(text: str) -> str:
    """The text as it was typed, before Slack read it. Idempotent only for text without entities, so call it once."""
    whole = text.encode("utf-8", "replace").decode()  # half a surrogate pair can be kept nowhere
    shown = _TOKEN.sub(_typed, whole).translate(_QUOTES)
    for entity, character in _ENTITIES:
        shown = shown.replace(entity, character)
    return _DASH.sub("--", shown)


def _typed(found: re.Match[str]) -> str:
    """What stood there before Slack made a token of it."""
    inside = found.group(1)
    target, bar, label = inside.partition("|")
    match target[:1]:
        case "@" | "#":
            return target[0] + (label or target[1:])
        case "!":
            return "@" + (label.lstrip("@") or target[1:].partition("^")[0])
        case _:
            return label if bar and label else target.removeprefix("mailto:")


def _words(text: str) -> list[Word]:
    found: list[Word] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        end = _end(text, at)
        raw = text[at:end]
        found.append(Word(_unquoted(raw), raw))
        at = end
    return found


def _end(text: str, at: int) -> int:
    """Where the word that begins at `at` ends: at a blank outside of double quotes.

    Single quotes group nothing: they are apostrophes far more often.
    """
    inside = False
    while at < len(text) and (inside or not text[at].isspace()):
        if text[at] == "\\" and inside:
            at += 1
        elif text[at] == '"':
            inside = not inside
        at += 1
    if inside:
        raise InputError("command", 'has a quote " that is never closed; close it, or leave it out')
    return min(at, len(text))


def _unquoted(raw: str) -> str:
    """Without its quotes; inside of them ``\\"`` is a quote and ``\\\\`` a backslash."""
    told: list[str] = []
    inside = skip = False
    for at, character in enumerate(raw):
        if skip:
            skip = False
            told.append(character)
        elif inside and character == "\\" and raw[at + 1 : at + 2] in ('"', "\\"):
            skip = True
        elif character == '"':
            inside = not inside
        else:
            told.append(character)
    return "".join(told)
