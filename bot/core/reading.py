"""A dated reading of evidence, as every room passes it on."""

from __future__ import annotations

from dataclasses import dataclass

from bot.core.words import Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One evidence reading. `value` is None exactly when `error` says why; `taken_at` is the source's own time."""

    name: str
    value: float | str | bool | None
    taken_at: Millis | None = None
    source: str = ""
    error: str = ""
