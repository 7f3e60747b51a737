"""A timer that rings before its time: it is set again, and nothing else happens (law 9: none early).

Asked by `bot.engine.fold` before any machine. The due times in the store's sorted set are not sealed, so whoever can
write there could make a rung ring now; and a clock that jumped ahead and back makes the same mistake honestly. The
record knows when it is due. Ringing took the timer out of the set, so it gets a new token, which puts it back.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from bot.core.events import TimerFired
from bot.core.incident import Incident
from bot.core.record import Applied, Timer, Transition
from bot.core.source import Source
from bot.core.target import Target
from bot.core.words import Millis

R = TypeVar("R", Incident, Target, Source)


def put_back(record: R, event: object, now: Millis) -> Transition[R] | None:
    """The record with this timer set anew, when it rang early; None for everything else."""
    if not isinstance(event, TimerFired):
        return None
    timer = record.timers.get(event.name)
    if timer is None or timer.token != event.token or timer.due <= now:
        return None
    counter = record.counter + 1
    again = Timer(due=timer.due, token=f"{record.id}/{event.name}/{counter}")
    kept = replace(record, counter=counter, timers={**record.timers, event.name: again})
    return Transition(kept, (), Applied(f"rang {(timer.due - now) / 1_000:.1f} s before its time, and is set again"))
