"""Durations as people write them (`90s`, `2m`, `1h30m`, `500ms`) and as the core counts them: milliseconds.

Read by the document models through `Duration`; `spell` is for messages.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from bot.core.words import Millis
from policies.problems import UnclearError

MAX_MS = 366 * 86_400_000  # nothing here is meant to last longer than a year
PATTERN = r"^(?=.)(\d{1,6}d)?(\d{1,6}h)?(\d{1,6}m)?(\d{1,6}s)?(\d{1,9}ms)?$"
_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))
_DURATION = re.compile(PATTERN.replace("$", r"\Z"))


def parse(text: str) -> Millis:
    """Milliseconds. Raises UnclearError when `text` is not a duration or longer than a year."""
    found = _DURATION.match(text)
    if found is None:
        raise UnclearError(f"{text!r} is not a duration", "write it like 90s, 2m, 1h30m or 500ms")
    total = 0
    for (_, factor), part in zip(_UNITS, found.groups(), strict=True):
        if part is not None:
            total += int(re.sub(r"\D", "", part)) * factor
    if total > MAX_MS:
        raise UnclearError(f"{text} is longer than a year", "write at most 366d")
    return total


def spell(duration_ms: Millis) -> str:
    """The shortest spelling: 90_000 -> ``1m30s``; 0 -> ``0s``."""
    if duration_ms == 0:
        return "0s"
    parts, rest = [], duration_ms
    for unit, factor in _UNITS:
        count, rest = divmod(rest, factor)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def _read(value: object) -> Millis:
    if isinstance(value, str):
        return parse(value)
    shown = value if isinstance(value, int | float) and not isinstance(value, bool) else "this"
    raise UnclearError(f"{shown} has no unit", "write it like 90s, 2m, 1h30m or 500ms")


Duration = Annotated[int, BeforeValidator(_read), WithJsonSchema({"type": "string", "pattern": PATTERN})]
