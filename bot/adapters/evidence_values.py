"""From what a source says to a value and a time that can be trusted: pure, used by connectors and evidence.

A value is a finite float, a bool or short text. A time is milliseconds since the Unix epoch, read from epoch seconds
or milliseconds (told apart by size) or from ISO 8601 with a zone. Everything else raises TargetError with the reason.
"""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from typing import Any

from bot.core.words import Millis
from bot.errors import TargetError

FUTURE_MS: Millis = 5_000  # how far a source's clock may run ahead; NTP keeps machines within far less
MAX_TEXT = 200  # characters of a text value; a figure or a state name is far shorter
# Between these, a number can only be seconds (below) or milliseconds (above): 1e11 s is the year 5138, 1e11 ms is 1973.
MILLISECONDS_FROM = 1e11
LATEST_MS = 4_102_444_800_000  # the year 2100: beyond it stand microseconds, and mistakes
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?\Z", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)\Z", re.IGNORECASE)


def text_value(text: str) -> float | str:
    """A hash field's or sample's text: a finite number where it is one, else short text."""
    text = text.strip()
    if _NUMBER.match(text):
        return finite(float(text))
    if _NOT_FINITE.match(text):
        raise TargetError(f"it reads {text}, which is no figure")
    if not text:
        raise TargetError("it is empty")
    if len(text) > MAX_TEXT or not text.isprintable():
        raise TargetError(f"it is no figure and no short text: {text[:40]!r}…")
    return text


def json_document(body: bytes) -> Any:
    """The document. NaN and infinities, which JSON does not know, are errors."""
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise TargetError(f"its answer is not JSON: {str(error)[:80]}") from error


def json_at(document: Any, path: str) -> Any:
    """What stands at a dotted path (`var_pct.BTC-USD`, `items.0.value`); a key may hold dots itself."""
    if not path:
        return document
    if isinstance(document, dict):
        parts = path.split(".")
        for cut in range(len(parts), 0, -1):
            key = ".".join(parts[:cut])
            if key in document:
                return json_at(document[key], ".".join(parts[cut:]))
    elif isinstance(document, list):
        first, _, rest = path.partition(".")
        if first.isascii() and first.isdigit() and len(first) < 6 and int(first) < len(document):
            return json_at(document[int(first)], rest)
    raise TargetError(f"its answer has nothing at {path!r}")


def plain_value(value: Any, path: str) -> float | str | bool:
    """A JSON value that is a figure, a bool or short text."""
    match value:
        case bool():
            return value
        case int() | float():
            try:
                return finite(float(value))
            except OverflowError as error:
                raise TargetError(f"the number at {path!r} is too large") from error
        case str():
            return text_value(value)
        case _:
            raise TargetError(f"at {path!r} is no single value")


def finite(value: float) -> float:
    """The number, unless it is NaN or infinite."""
    if not math.isfinite(value):
        raise TargetError(f"it reads {value}, which is no figure")
    return value


def time_ms(value: object) -> Millis:
    """A source's own time: epoch seconds or milliseconds (number or text), or ISO 8601 with a zone."""
    if isinstance(value, str):
        value = value.strip()
        if not _NUMBER.match(value):
            return _iso_ms(value)
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise TargetError(f"its time is {str(value)[:40]!r}, which is no time")
    in_ms = float(value) if value >= MILLISECONDS_FROM else float(value) * 1_000
    if in_ms > LATEST_MS:
        raise TargetError(f"its time is {value:g}: neither seconds nor milliseconds since 1970")
    return int(in_ms)


def age_error(
    value: float | str | bool, taken_at: Millis, now: Millis, max_age_ms: Millis, *, there_at: Millis = 0
) -> str:
    """Why the reading must not be used, or "". `now`: when it was asked for; `there_at`: when the answer was there, for
    what was taken meanwhile is not from the future."""
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    if taken_at > max(now, there_at) + FUTURE_MS:
        return f"it reads {shown}, dated {(taken_at - now) / 1_000:.1f} s in the future"
    if now - taken_at > max_age_ms:
        return f"it reads {shown}, but is {(now - taken_at) / 1_000:.1f} s old (at most {max_age_ms / 1_000:g} s)"
    return ""


def _iso_ms(text: str) -> Millis:
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise TargetError(f"its time is {text[:40]!r}, which is no time") from error
    if when.tzinfo is None:
        raise TargetError(f"its time {text[:40]!r} does not say its zone")
    return int(when.timestamp() * 1_000)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")
