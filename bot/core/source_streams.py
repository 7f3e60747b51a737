"""What a foreign stream tells its source: entries that are alerts, and entries that are counted. Pure.

A row of `source_machine.TABLE`. Exactness is `source_windows`'; here is what counts at all:

* an entry counts at its own event time; one dated more than `MAX_FUTURE_MS` ahead counts as of now, so a wrong clock
  over there cannot empty the windows;
* an entry that had left its series' window before it came is late and does not count;
* the window falls when later entries push the old ones out, or, when none come, once that much time has passed here
  and a look shows that there is nothing more to read. A stream that nobody can read ends nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from bot.core import source_windows as windows
from bot.core.alert import Alert
from bot.core.effects import RaiseAlert
from bot.core.ids import label_fingerprint
from bot.core.record import Applied, Decision, Ignored
from bot.core.source import MAX_COUNT, MAX_WINDOWS, Window
from bot.core.source_events import StreamEntry, StreamRead, StreamRule
from bot.core.source_moves import Pairs, SourceDraft
from bot.core.words import Millis

MAX_FUTURE_MS: Millis = 60_000  # clocks of two hosts that are kept differ by milliseconds; this much is a broken one
Rules: TypeAlias = Mapping[str, StreamRule]  # by name

UNKNOWN_MS: Millis = 3_600_000  # how long a window is kept whose rule this book has not: replicas reload minutes apart


@dataclass(slots=True)
class _Tally:
    """What became of the entries of one read, for the decision's words."""

    alerts: int = 0
    counted: int = 0
    late: int = 0
    future: int = 0
    dropped: int = 0
    unreadable: int = 0
    touched: set[str] = field(default_factory=set)  # windows that took an entry


def read(draft: SourceDraft, event: StreamRead) -> Decision:
    """Take a batch, once: only from where the last one ended."""
    source = draft.source
    taken = source.position if event.stream == source.stream else ""
    if event.position != taken:
        return Ignored(f"read after {event.position or 'nothing'}, but {taken or 'nothing'} was taken last")
    rules = {rule.name: _bounded(rule) for rule in event.rules}
    if event.next_position == taken and not event.entries and not event.gap:
        fallen = _fall(draft, event)
        return Applied(f"quiet long enough: {', '.join(fallen)} fell") if fallen else Ignored("nothing new")
    if event.stream != source.stream:
        _forget_all(draft)
    draft.change(stream=event.stream, position=event.next_position, added=event.added)
    tally = _Tally()
    for entry in event.entries:
        _take(draft, entry, rules, tally)
    _expect_falls(draft, rules, tally.touched)
    _fall(draft, event)
    _forget_idle(draft, rules)
    _report(draft, event, tally)
    return Applied(_words(event, tally))


def _bounded(rule: StreamRule) -> StreamRule:
    """Within what a window can hold, whatever was configured."""
    return replace(rule, count=max(0, min(rule.count, MAX_COUNT)), within_ms=max(1, rule.within_ms))


# --- entries -----------------------------------------------------------------------------------------------------


def _take(draft: SourceDraft, entry: StreamEntry, rules: Rules, tally: _Tally) -> None:
    if entry.problem:
        tally.unreadable += 1
    if entry.alert:
        draft.effects.append(RaiseAlert(alert=_alert(draft, entry), at=draft.now))
        tally.alerts += 1
    at = entry.at
    if at > draft.now + MAX_FUTURE_MS:
        at = draft.now
        tally.future += 1
    fields = dict(entry.fields)
    for rule in rules.values():
        if all(fields.get(name) == value for name, value in rule.where):
            values = tuple((name, fields.get(name, "")) for name in rule.by)
            _count(draft, rules, rule, values, at, tally)


def _count(draft: SourceDraft, rules: Rules, rule: StreamRule, values: Pairs, at: Millis, tally: _Tally) -> None:
    key = json.dumps([rule.name, *(value for _, value in values)], ensure_ascii=False)
    window = draft.source.windows.get(key)
    if window is None:
        if len(draft.source.windows) >= MAX_WINDOWS:
            _forget_idle(draft, rules)
        if len(draft.source.windows) >= MAX_WINDOWS:
            tally.dropped += 1
            return
        window = Window(rule=rule.name)
    if windows.is_late(window, at, rule.within_ms):
        tally.late += 1
        return
    tally.counted += 1
    tally.touched.add(key)
    window = replace(windows.add(window, at, rule.count, rule.within_ms), seen_at=draft.now)
    labels = _labels(draft, rule, values)
    raised = draft.source.raised.get(key)
    exceeded = windows.exceeds(window, rule.count)
    if raised is not None and (not exceeded or raised.labels != labels):
        draft.end(key)
    if exceeded and (raised is None or raised.labels != labels):
        since = max(at, window.fired_at + 1)  # a firing is known by its start, so each has one of its own
        window = replace(window, fired_at=since)
        draft.fire(key, labels, rule.annotations, since)
    _put(draft, key, window)


def _labels(draft: SourceDraft, rule: StreamRule, values: Pairs) -> Pairs:
    """In one order, so that the same labels are the same alert; the rule's own win."""
    merged = {"alertname": rule.name, "stream": draft.source.name, **dict(values), **dict(rule.labels)}
    return tuple(sorted(merged.items()))


def _alert(draft: SourceDraft, entry: StreamEntry) -> Alert:
    """The alert that an entry is: canonical JSON of `handlers.streams`."""
    told = json.loads(entry.alert)
    return Alert(
        fingerprint=label_fingerprint(told["labels"]),
        status=told["status"],
        labels=told["labels"],
        starts_at=told["starts_at"],
        ends_at=told["ends_at"],
        annotations=told["annotations"],
        generator_url=told["generator_url"],
        source=f"stream:{draft.source.name}",
    )


# --- windows -----------------------------------------------------------------------------------------------------


def _put(draft: SourceDraft, key: str, window: Window) -> None:
    draft.change(windows={**draft.source.windows, key: window})


def _expect_falls(draft: SourceDraft, rules: Rules, touched: set[str]) -> None:
    """Set when each window falls if nothing more comes: the event time that is left, from now on."""
    for key in touched:
        window = draft.source.windows[key]
        falls_at = None
        if key in draft.source.raised:
            falls_at = draft.now + windows.falls_in(window, rules[window.rule].within_ms)
        _put(draft, key, replace(window, falls_at=falls_at))


def _fall(draft: SourceDraft, event: StreamRead) -> list[str]:
    """End what is over by the time of a look that found nothing more to read; which windows those are."""
    looked_at = min(event.at, draft.now)
    windows = draft.source.windows.items()
    fallen = [key for key, w in windows if event.caught_up and w.falls_at is not None and w.falls_at <= looked_at]
    for key in fallen:
        draft.end(key)
        _put(draft, key, replace(draft.source.windows[key], falls_at=None))
    return fallen


def _forget_all(draft: SourceDraft) -> None:
    """It is another stream now: what was counted in the old one is over."""
    for key in draft.source.windows:
        draft.end(key)
    draft.change(windows={})


def _forget_idle(draft: SourceDraft, rules: Rules) -> None:
    """Windows that hold nothing any more make room: by the stream's time and by ours, as either may lag.

    One whose rule this book has not may be counted by a replica with another book. It is kept until it has fallen, as
    any, and for a while after its newest entry.
    """
    newest = max((window.times[-1][0] for window in draft.source.windows.values()), default=0)

    def idle(window: Window) -> bool:
        rule = rules.get(window.rule)
        if rule is None:
            return window.seen_at + UNKNOWN_MS <= draft.now
        return window.times[-1][0] + rule.within_ms <= newest and window.seen_at + rule.within_ms <= draft.now

    kept = {key: w for key, w in draft.source.windows.items() if key in draft.source.raised or not idle(w)}
    if len(kept) < len(draft.source.windows):
        draft.change(windows=kept)


# --- words -------------------------------------------------------------------------------------------------------


def _report(draft: SourceDraft, event: StreamRead, tally: _Tally) -> None:
    """What a person must know beyond the alerts themselves."""
    name = draft.source.name
    if event.gap:
        draft.say("AndonStreamGap", f"stream {name}: {event.gap}", event.alert_severity)
    if tally.unreadable:
        first = next(entry for entry in event.entries if entry.problem)
        draft.say(
            "AndonStreamUnreadable",
            f"stream {name}: {tally.unreadable} entries are not alerts; {first.id}: {first.problem}",
        )
    if tally.dropped:
        draft.change(dropped=draft.source.dropped + tally.dropped)
        draft.say(
            "AndonStreamTooManySeries",
            f"stream {name}: more than {MAX_WINDOWS} series at a time, so {tally.dropped} entries of further ones were "
            "not counted; count by fewer fields (`by:`), or by fields with fewer values",
        )


def _words(event: StreamRead, tally: _Tally) -> str:
    told = (
        (event.gap, event.gap),
        (tally.alerts, f"{tally.alerts} alerts"),
        (tally.counted, f"{tally.counted} counted"),
        (tally.late, f"{tally.late} too late to count"),
        (tally.future, f"{tally.future} dated in the future, counted as of now"),
        (tally.dropped, f"{tally.dropped} of too many series, not counted"),
        (tally.unreadable, f"{tally.unreadable} not readable as alerts"),
    )
    parts = [text for worth, text in told if worth]
    return f"{len(event.entries)} entries up to {event.next_position}" + (f": {'; '.join(parts)}" if parts else "")
