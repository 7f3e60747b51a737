"""Figures as people write them: values, what changed, dated readings. Pure; used by the `bot.console_*` modules.

Whatever comes from a target or an alert goes through `bot.console.clean`, so it stays one harmless line.
"""

from __future__ import annotations

from rich.text import Text

from bot.console import Json, clean, moment, span
from bot.core.words import Millis
from bot.engine import figures
from bot.engine.figures import parsed as parsed
from bot.engine.figures import plain as plain


def changes(before: str, after: str) -> list[Text]:
    """``kelly_fraction  0.25 → 0.1`` for each field that differs; what was read alone when nothing was read after."""
    return [_change(each) for each in figures.changes(before, after)]


def intended(before: str, wanted: str) -> list[Text]:
    """``trading  true → false`` for each field that is wanted otherwise; fields nobody asked about are left out."""
    return [_change(each) for each in figures.intended(before, wanted)]


def reading(found: Json, now: Millis | None = None) -> Text:
    """One reading: its value, where it is from, and when it was taken (how long ago, where `now` is known)."""
    if found.get("error"):
        return Text.assemble(clean(found["name"], "bold"), ": ", clean(found["error"], "yellow"))
    source = f"  ({found['source']})" if found.get("source") else ""
    taken = found.get("taken_at")
    when = "" if not taken else f", {moment(taken)}" if now is None else f", {span(now - taken)} old"
    return Text.assemble(clean(found["name"], "bold"), " = ", clean(plain(found["value"])), clean(source + when, "dim"))


def _change(change: figures.Change) -> Text:
    if change.was is None:
        return Text.assemble(clean(change.name), "  ", clean(change.now))
    return Text.assemble(clean(change.name), "  ", clean(change.was), " → ", clean(change.now, "bold"))
