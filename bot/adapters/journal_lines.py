"""The lines of the journal of intents: what they say of intents, and what a new file must begin with.

Read by `bot.adapters.journal`, in threads. One JSON object a line: ``{"intent": "<codec text>", "system": …}`` or
``{"done": id, "outcome": …, "at": …}``; a file that begins with ``{"carries": "all"}`` holds what matters of the one
before. Earlier versions wrote ``{"marks": {system: [total, own]}, "replica": …}`` here as well; that is still read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from bot.adapters import marks_file
from bot.adapters.codec import decode_intent
from bot.core.events import IntentDeclared
from bot.core.target import REMEMBERED_MS
from bot.core.words import Millis
from bot.engine.high_water import Mark
from bot.engine.ports import Recollection, Remembered
from bot.errors import RecordForged, StoreUnavailable

MAX_LINE: Final = 1024 * 1024  # a longer line was never written by us
_OUTCOMES: Final = ("done", "not_sent", "unknown")
_CARRIES_ALL: Final = b'{"carries":"all"}\n'
_MARKS: Final = b'{"marks":'  # how a line of marks begins

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Known:
    """An intent in a file: of thousands of lines only the few that matter are kept as more than text."""

    at: Millis
    outcome: str
    lines: bytes


def open_intents(path: Path) -> list[IntentDeclared]:
    """The intents in the journal at `path` that have no outcome there, oldest first; see `recollection`."""
    return [each.intent for each in recollection(path).intents if each.outcome == "open"]


def recollection(path: Path, replica: str = "") -> Recollection:
    """The intents in the journal at `path` that are open or young, oldest first, and the newest marks of `replica`.

    A torn line (a crash while writing) and an unreadable intent are passed over: nothing was sent before its line was
    whole. A journal that does not exist holds nothing. StoreUnavailable when a file cannot be read.
    """
    try:
        matter = _that_matter(_known(path))
        marks = _lined_marks(path, replica) | marks_file.MarksFile(path.with_name(marks_file.FILE), replica).read()
    except OSError as error:
        raise StoreUnavailable(f"{path}: the journal of intents cannot be read: {error}") from error
    return Recollection(tuple(_remembered(each) for each in matter.values()), marks)


def carried_over(path: Path, size: int, room: int) -> bytes:
    """What a new file begins with, after `size` bytes of the current one: the intents that matter, oldest first.

    Past `room` the oldest stay behind, of the concluded ones before the open ones; they still stand in the file before,
    which is then read too.
    """
    matter = _that_matter(_known(path, size))
    kept, left = set[str](), room
    is_open = {name: each.outcome == "open" for name, each in matter.items()}
    for name in (*(n for n in reversed(matter) if is_open[n]), *(n for n in reversed(matter) if not is_open[n])):
        if len(matter[name].lines) <= left:
            left -= len(matter[name].lines)
            kept.add(name)
    if len(kept) < len(matter):
        log.warning("journal_crowded", carried=len(kept), left_behind=len(matter) - len(kept))
    first = _CARRIES_ALL if len(kept) == len(matter) else b""
    return first + b"".join(each.lines for name, each in matter.items() if name in kept)


def numbered(path: Path, number: int) -> Path:
    """The file that was the current one so many rotations ago."""
    return path.with_name(f"{path.name}.{number}")


def _that_matter(known: dict[str, _Known]) -> dict[str, _Known]:
    """Those that are open, or young by the newest one's clock."""
    latest = known[next(reversed(known))].at if known else 0
    return {name: each for name, each in known.items() if each.outcome == "open" or each.at >= latest - REMEMBERED_MS}


def _remembered(known: _Known) -> Remembered:
    line = json.loads(known.lines.partition(b"\n")[0])
    intent = decode_intent(line["intent"].encode())
    return Remembered(intent, str(line.get("system", "")), known.outcome)  # type: ignore[arg-type]  # one of _OUTCOMES


def _known(path: Path, size: int | None = None) -> dict[str, _Known]:
    """The intents of the journal, of its current file only the first `size` bytes. OSError when it cannot be read."""
    found: dict[str, _Known] = {}
    for place in _places(path):
        for raw in _lines(place, size if place == path else None):
            if not raw.startswith(_MARKS):
                _take(raw, found)
    return found


def _take(raw: bytes, found: dict[str, _Known]) -> None:
    line = _parsed(raw)
    raw = raw.rstrip(b"\n") + b"\n"  # a crash may have torn off only that
    if isinstance(line.get("intent"), str):
        try:
            intent = decode_intent(line["intent"].encode())
        except (RecordForged, UnicodeEncodeError):
            return
        found.pop(intent.intent, None)  # its newest attempt stands where it was declared
        found[intent.intent] = _Known(intent.at, "open", raw)
    elif "done" in line and str(line["done"]) in found and line.get("outcome") in _OUTCOMES:
        known = found[str(line["done"])]
        known.outcome = line["outcome"]
        known.lines += raw


def _lined_marks(path: Path, replica: str) -> dict[str, Mark]:
    """The marks of `replica` in lines of earlier versions. The newest line of each file names all there was."""
    marks: dict[str, Mark] = {}
    whose = json.dumps(replica, ensure_ascii=False).encode()
    for place in _places(path):
        newest = b""
        for raw in _lines(place):
            if raw.startswith(_MARKS) and whose in raw and raw.endswith(b"}\n"):
                newest = raw
        line = _parsed(newest)
        if line.get("replica") == replica:
            marks |= marks_file.marks_of(line.get("marks"))
    return marks


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):  # also bytes that are no UTF-8
        return {}
    return line if isinstance(line, dict) else {}


def _places(path: Path) -> Iterator[Path]:
    """The files to read, oldest first: the one before the current only where that does not say it all."""
    if next(_lines(path), b"") != _CARRIES_ALL:
        yield numbered(path, 1)
    yield path


def _lines(path: Path, size: int | None = None) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while (raw := file.readline(MAX_LINE)) and (size is None or file.tell() <= size):
                yield raw
    except FileNotFoundError:
        return
