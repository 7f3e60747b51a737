"""Figures as people write them: values, and what differs between two looks at a target. Pure.

Used by `bot.console_values` and the cards in Slack; what is told here is data, and whoever shows it makes it harmless.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from bot.core.words import JsonText


@dataclass(frozen=True, slots=True)
class Change:
    """One field, as it was and as it is or is wanted; `was` is None where nothing but `now` is known."""

    name: str
    was: str | None
    now: str


def parsed(text: JsonText) -> dict[str, Any]:
    """A JSON object that is passed on as text; {} for what is none."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def plain(value: object) -> str:
    """A figure or word as people write it."""
    if value is None:
        return "?"
    return f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)


def changes(before: JsonText, after: JsonText) -> tuple[Change, ...]:
    """Each field that differs; what was read alone when nothing was read after."""
    old, new = parsed(before), parsed(after)
    if not new:
        return tuple(Change(name, None, plain(value)) for name, value in sorted(old.items()))
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    return tuple(Change(name, plain(old.get(name)), plain(new.get(name))) for name in names)


def intended(before: JsonText, wanted: JsonText) -> tuple[Change, ...]:
    """Each field that is wanted otherwise; fields nobody asked about are left out."""
    old, new = parsed(before), parsed(wanted)
    return tuple(
        Change(name, plain(old.get(name)), plain(value))
        for name, value in sorted(new.items())
        if old.get(name) != value
    )
