"""Phrases that several cards share: who has it, what comes next, what changed, what was read. Pure; mrkdwn out.

Used by `incident_card`, `decision_card`, `digest` and whoever answers in Slack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bot.adapters.http_cards import Card
from bot.adapters.slack.cards.text import aged, bold, clock, coming, escape, joined, short
from bot.core.incident import Incident, StepResult
from bot.core.words import JsonText, Millis
from bot.engine import figures, outlook

MAX_CHANGES: Final = 8  # fields of a target's state; no action shipped changes more
MAX_VALUE: Final = 120  # characters of one figure; what is longer is no figure
MAX_ERROR: Final = 200
MAX_CHANGED: Final = 900
MAX_AHEAD: Final = 240  # characters of one thing that comes next
MAX_FIRES: Final = 60  # characters of what fires, in a list of incidents
QUIET_LABELS: Final = frozenset({"alertname", "severity", "system", "job"})  # said elsewhere, or no help


def what_fires(incident: Incident) -> str:
    """``HostDown host=a``: the names of its alerts and the labels of the first. As they came: to be escaped."""
    alerts = [each.alert for _, each in sorted(incident.alerts.items())]
    names = ", ".join(dict.fromkeys(alert.name for alert in alerts))
    labels = sorted(alerts[0].labels.items()) if alerts else ()
    told = " ".join(f"{name}={value}" for name, value in labels if name not in QUIET_LABELS)
    return f"{names} {told}"[:MAX_FIRES].strip()


def who_has_it(incident: Incident) -> str:
    """Who looks after it, and what that means."""
    if incident.taken_by:
        return f"{bold(incident.taken_by)}; automation stands down here"
    if incident.acknowledged_by:
        at = f" at {clock(incident.acknowledged_at)}" if incident.acknowledged_at is not None else ""
        return f"{bold(incident.acknowledged_by)} has seen it{at}; paging stopped"
    return "*nobody yet*"


def ahead(found: outlook.Coming) -> str:
    """One thing that comes next, and when."""
    when = "again every few seconds" if found.due is None else coming(found.due)
    return f"{when}: {short(found.words, MAX_AHEAD)}"


def result_words(result: StepResult) -> str:
    """What a step's outcome changed; of what was never sent, what it would have."""
    told = figures.intended if result.outcome in ("asked", "shadowed") else figures.changes
    return change_words(told(result.before, result.after))


def change_words(changes: Sequence[figures.Change], *, gap: str = ", ") -> str:
    """``kelly_fraction 0.25 → *0.1*`` for each field."""
    return joined((_change(each) for each in changes), MAX_CHANGED, most=MAX_CHANGES, gap=gap)


def _change(change: figures.Change) -> str:
    now = bold(change.now, MAX_VALUE) or "(empty)"
    was = f"{short(change.was, MAX_VALUE)} → " if change.was is not None else ""
    return f"{short(change.name, MAX_VALUE)} {was}{now}"


def plain_step(card: Card) -> str:
    """A decision's step in a line of plain text, for forms: ``trading.halt on risk-engine: trading true → false``."""
    changed = plain_intent(card["before"], card["wanted"])
    return f"{card['action']} on {card['component'] or card['system']}{f': {changed}' if changed else ''}"


def plain_intent(before: JsonText, wanted: JsonText) -> str:
    """What a step would change, in plain text: ``trading true → false``; "" when that was not read."""
    changes = figures.intended(before, wanted)[:MAX_CHANGES]
    return ", ".join(f"{each.name} {each.was or '?'} → {each.now}" for each in changes)


def reading_line(name: str, value: object, taken_at: Millis | None, source: str, error: str, now: Millis) -> str:
    """One reading: its value, where it is from, and how old it is; or why there is none."""
    if error:
        return f"{bold(name, MAX_VALUE)}: {short(error, MAX_ERROR)}"
    origin = f" ({short(source, MAX_VALUE)})" if source else ""
    age = f", {aged(taken_at, now)}" if taken_at is not None else ""
    return f"{bold(name, MAX_VALUE)} = {escape(figures.plain(value)[:MAX_VALUE])}{origin}{age}"


def place(where: str) -> str:
    """`SYSTEM|COMPONENT` as people say it."""
    system, _, component = where.partition("|")
    return f"{system} / {component}" if component else system or "every system"
