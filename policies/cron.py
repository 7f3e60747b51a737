"""Cron lines and time zones, judged strictly: what passes here means one thing, and APScheduler runs it so.

Called by `policies.lint_sources`. Refused on purpose, because cron and APScheduler (3.11) read them differently:
weekday numbers (1 is Monday in cron, Tuesday in APScheduler), a day and a weekday both given (either in cron, both in
APScheduler), what APScheduler takes but drops in silence (`mon-fri/2`, `jan-3`), and what it does not take (`1-mar`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from policies.problems import UnclearError, did_you_mean

EXAMPLE = 'write it like "30 6 * * mon-fri"'
MAX_LINE = 200  # characters
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS_IN = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # of a leap year: 29 feb does come, every four
_PART = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/(\d+))?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Field:
    """One of the five: its bounds, and the names that stand for its values (`names[0]` is `low`)."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("weekday", 0, 6, _WEEKDAYS),
)


def check(line: str) -> tuple[set[int], ...]:
    """The values each of the five fields stands for. Raises UnclearError unless they name a time which comes."""
    fields = line.split()
    if len(fields) != len(_FIELDS) or len(line) > MAX_LINE:
        raise UnclearError(f"{line[:MAX_LINE]!r} is not minute, hour, day, month and weekday", EXAMPLE)
    read = tuple(_values(field, text) for field, text in zip(_FIELDS, fields, strict=True))
    if fields[2] != "*" and fields[4] != "*":
        raise UnclearError(
            "a day and a weekday are both given: cron means either, and the scheduler would mean both",
            "leave one of them *, or write two schedules",
        )
    if not any(day <= _DAYS_IN[month - 1] for month in read[3] for day in read[2]):
        raise UnclearError(f"{line!r} never comes: no such day in these months", EXAMPLE)
    return read


def check_zone(name: str) -> None:
    """Raises UnclearError unless `name` is a time zone that this machine knows."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: the name of a directory of zones
        fix = did_you_mean(name, available_timezones(), "write it like America/New_York or UTC")
        raise UnclearError(f"no time zone named {name!r}", fix) from error


def _values(field: _Field, text: str) -> set[int]:
    """The values that a field's text stands for."""
    values: set[int] = set()
    for part in text.split(","):
        found = _PART.match(part)
        if found is None:
            raise UnclearError(f"{part!r} is not a {field.name}", EXAMPLE)
        first, last, step = found.groups()
        if field.names and step is not None and first is not None and not first.isdigit():
            raise UnclearError(f"{part!r} steps through names, which the scheduler would ignore", "list the names")
        if first is not None and last is not None and first.isdigit() != last.isdigit():
            raise UnclearError(f"{part!r} mixes a name and a number", "write two names or two numbers")
        low = _value(field, first) if first is not None else field.low
        high = _value(field, last) if last is not None else low if first is not None and step is None else field.high
        if low > high:
            raise UnclearError(f"{part!r} ends before it begins", _split(field, low, high))
        if step is not None and not 1 <= int(step) <= high - low:
            raise UnclearError(f"every {step} is not a step within {field.name} {low} to {high}", EXAMPLE)
        values |= set(range(low, high + 1, int(step) if step is not None else 1))
    return values


def _value(field: _Field, text: str) -> int:
    word = text.lower()
    if word in field.names:
        return field.names.index(word) + field.low
    if field.name == "weekday":
        why = "cron and the scheduler count weekdays differently" if text.isdigit() else "no such weekday"
        raise UnclearError(f"weekday {text!r}: {why}", f"write names: {', '.join(_WEEKDAYS)}")
    if not text.isdigit() or not field.low <= int(text) <= field.high:
        raise UnclearError(f"{field.name} {text!r} is not from {field.low} to {field.high}", EXAMPLE)
    return int(text)


def _split(field: _Field, low: int, high: int) -> str:
    """How to write a range that goes over the end, like fri-mon."""
    spell: Sequence[str | int] = field.names or range(field.high + 1)
    base = field.low if field.names else 0
    return f"write {spell[low - base]}-{spell[-1]},{spell[field.low - base]}-{spell[high - base]}"
