"""An audit chain, read: each link's time, state, events and effects as plain data. Part of `bot.engine.report`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bot.core.audit import AuditEntry
from bot.core.words import Millis
from bot.engine.report_words import Json

MAX_SHOWN = 200  # characters of a link that cannot be read


@dataclass(frozen=True, slots=True)
class Link:
    """One link, as `bot.engine.explain` wrote it. `events` are ``{decision, event, why}``."""

    at: Millis
    state: str
    events: tuple[Json, ...]
    effects: tuple[Json, ...]


def read_link(entry: AuditEntry) -> Link:
    """A link's body. One that is no JSON of ours any more is told as such, instead of hiding the rest."""
    try:
        body = json.loads(entry.body)
        events, effects = (tuple(dict(line) for line in body[part]) for part in ("events", "effects"))
        return Link(int(body["at"]), str(body["state"]), events, effects)
    except (ValueError, KeyError, TypeError):
        line = {"decision": "", "event": {"kind": "unreadable entry"}, "why": entry.body[:MAX_SHOWN]}
        return Link(0, "", (line,), ())


def events_of(links: Sequence[Link]) -> Iterator[tuple[Millis, Json, Json]]:
    """(time of the commit, line, event) of every event, in order."""
    for link in links:
        for line in link.events:
            yield link.at, line, line.get("event") or {}
