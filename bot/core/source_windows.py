"""Exact sliding counts in bounded memory: more than `count` entries within `within_ms` of event time.

A window ends at the newest entry and reaches back `within_ms`, without its far edge: an entry exactly `within_ms` older
than the newest has left. Only the newest ``count + 1`` times are kept, because only they decide: the count is exceeded
exactly while all of them are in the window, and it falls exactly when the oldest of them leaves it.
Pure arithmetic; called by `bot.core.source_streams`.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import replace

from bot.core.source import Window
from bot.core.words import Millis


def is_late(window: Window, at: Millis, within_ms: Millis) -> bool:
    """Whether an entry of this time has left the window already: it cannot change what is counted."""
    return bool(window.times) and at <= window.times[-1][0] - within_ms


def add(window: Window, at: Millis, count: int, within_ms: Millis) -> Window:
    """One more entry, in its place by event time; what no longer decides is forgotten."""
    times = list(window.times)
    if times and times[-1][0] == at:
        times[-1] = (at, times[-1][1] + 1)
    elif not times or times[-1][0] < at:
        times.append((at, 1))
    else:
        insort(times, (at, 1))
        times = _merged(times)
    return replace(window, times=_newest(times, count + 1, times[-1][0] - within_ms))


def exceeds(window: Window, count: int) -> bool:
    """Whether more than `count` entries are in the window."""
    return sum(many for _, many in window.times) > count


def falls_in(window: Window, within_ms: Millis) -> Millis:
    """How much event time must pass after the newest entry until the oldest of those that decide leaves."""
    return window.times[0][0] + within_ms - window.times[-1][0]


def _merged(times: list[tuple[Millis, int]]) -> list[tuple[Millis, int]]:
    runs: list[tuple[Millis, int]] = []
    for at, many in times:
        if runs and runs[-1][0] == at:
            runs[-1] = (at, runs[-1][1] + many)
        else:
            runs.append((at, many))
    return runs


def _newest(times: list[tuple[Millis, int]], limit: int, edge: Millis) -> tuple[tuple[Millis, int], ...]:
    """At most the newest `limit` entries, all of them later than `edge`."""
    over = sum(many for _, many in times) - limit
    first = 0
    while times[first][0] <= edge or over >= times[first][1]:
        over -= times[first][1]
        first += 1
    if over > 0:
        times[first] = (times[first][0], times[first][1] - over)
    return tuple(times[first:])
