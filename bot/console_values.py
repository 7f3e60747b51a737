"""Figures as people write them: values, what changed, dated readings. Pure; used by the `bot.console_*` modules.

Whatever comes from a target or an alert goes through `bot.console.clean`, so it stays one harmless line.
"""

from __future__ import annotations

import json
from typing import Any

from rich.text import Text

from bot.console import Json, clean, moment, span
from bot.core.words import Millis


def parsed(text: str) -> dict[str, Any]:
    """A JSON object that the API passes on as text; {} for what is none."""
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


def changes(before: str, after: str) -> list[Text]:
    """``kelly_fraction  0.25 → 0.1`` for each field that differs; what was read alone when nothing was read after."""
    old, new = parsed(before), parsed(after)
    if not new:
        return [Text.assemble(clean(name), "  ", clean(plain(value))) for name, value in sorted(old.items())]
    return [
        _change(name, old.get(name), new.get(name)) for name in sorted({*old, *new}) if old.get(name) != new.get(name)
    ]


def intended(before: str, wanted: str) -> list[Text]:
    """``trading  true → false`` for each field that is wanted otherwise; fields nobody asked about are left out."""
    old, new = parsed(before), parsed(wanted)
    return [_change(name, old.get(name), value) for name, value in sorted(new.items()) if old.get(name) != value]


def reading(found: Json, now: Millis | None = None) -> Text:
    """One reading: its value, where it is from, and when it was taken (how long ago, where `now` is known)."""
    if found.get("error"):
        return Text.assemble(clean(found["name"], "bold"), ": ", clean(found["error"], "yellow"))
    source = f"  ({found['source']})" if found.get("source") else ""
    taken = found.get("taken_at")
    when = "" if not taken else f", {moment(taken)}" if now is None else f", {span(now - taken)} old"
    return Text.assemble(clean(found["name"], "bold"), " = ", clean(plain(found["value"])), clean(source + when, "dim"))


def _change(name: str, was: object, is_now: object) -> Text:
    return Text.assemble(clean(name), "  ", clean(plain(was)), " → ", clean(plain(is_now), "bold"))
