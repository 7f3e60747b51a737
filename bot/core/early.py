"""A timer that rings before its time: it is set again, and nothing else happens (law 9: none early).

Asked by `bot.engine.fold` before any machine. The due times in the store's sorted set are not sealed, so whoever can
write there could make a rung ring now; and a clock that jumped ahead and back makes the same mistake honestly. The
record knows when it is due. Ringing took the timer out of the set, so it gets a new token, which puts it back.

What was dated in the future was dated by a clock that ran ahead, and would be late by as much. Only who has compared
its own clock with another may say so (`bot.engine.astray`, whose events' ids begin with `ASTRAY`): to a clock that is
behind, everything lies in the future. Then a timer is set for as long from now as it was meant to last.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeVar

from bot.core.events import TimerFired
from bot.core.incident import Incident
from bot.core.record import Applied, Timer, Transition
from bot.core.source import Source
from bot.core.target import QUEUE, Target
from bot.core.words import Millis

R = TypeVar("R", Incident, Target, Source)

AHEAD_MS: Final[Millis] = 5_000  # clocks of replicas differ by less; beyond it somebody's was wrong


ASTRAY: Final = "astray:"  # how the id of an event begins whose sender knows that its clock is right


def is_astray(timer: Timer, now: Millis) -> bool:
    """Whether a clock that ran ahead has set it."""
    return timer.since > now + AHEAD_MS


def put_back(record: R, event: object, now: Millis) -> Transition[R] | None:
    """The record with this timer set anew, when it rang early; None for everything else."""
    if not isinstance(event, TimerFired):
        return None
    told = event.id.startswith(ASTRAY)
    if told and isinstance(record, Target) and not event.name:
        return Transition(_dated_now(record, now), (), Applied("what a clock ahead has dated counts from now"))
    timer = record.timers.get(event.name)
    if timer is None or timer.token != event.token or timer.due <= now:
        return None
    counter = record.counter + 1
    token = f"{record.id}/{event.name}/{counter}"
    why = f"rang {(timer.due - now) / 1_000:.1f} s before its time, and is set again"
    again = Timer(due=timer.due, token=token, since=timer.since)
    if told and is_astray(timer, now):
        again = Timer(due=now + timer.due - timer.since, token=token, since=now)
        why = f"was set by a clock {(timer.since - now) / 1_000:.1f} s ahead, and is set again from now"
    kept = replace(record, counter=counter, timers={**record.timers, event.name: again})
    return Transition(kept, (), Applied(why))


def is_dated_ahead(target: Target, now: Millis) -> bool:
    """Whether a cool-down or the budget of a target begins in the future."""
    return any(at > now + AHEAD_MS for at in (*target.last_run.values(), *target.recent))


def _dated_now(target: Target, now: Millis) -> Target:
    """Whoever waits in the queue was told to wait by the wrong date: it is looked at again at once."""
    last_run = {action: min(at, now) for action, at in target.last_run.items()}
    dated = replace(target, last_run=last_run, recent=tuple(min(at, now) for at in target.recent))
    if QUEUE not in target.timers:
        return dated
    counter = target.counter + 1
    again = Timer(due=now, token=f"{target.id}/{QUEUE}/{counter}", since=now)
    return replace(dated, counter=counter, timers={**target.timers, QUEUE: again})
