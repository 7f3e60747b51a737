"""A timer that rings before its time does nothing but wait again (law 9), whoever made it ring."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.early import ASTRAY, put_back
from bot.core.events import TimerFired
from bot.core.incident import Incident
from bot.core.plan import Page, Rung
from bot.core.record import Applied, Timer
from bot.core.source import Source
from bot.core.target import Target
from bot.engine.fold import fold_one
from tests.unit.core.builders import START, opened, plan

DUE = 60_000
TIMERS = {"rung:1": Timer(due=DUE, token="t"), "hold": Timer(due=9, token="h")}
RECORDS = [
    Incident(id="inc-1", key="k", system="s", timers=TIMERS),
    Target(id="target:risk", system="s", timers=TIMERS),
    Target(id="target:*", system="s", timers=TIMERS),
    Source(id="source:watch:w", system="s", timers=TIMERS),
]


def rings(at: int, name: str = "rung:1", token: str = "t") -> TimerFired:
    return TimerFired(id=f"{name}|{token}", at=at, name=name, token=token)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.id)
def test_an_early_timer_is_set_again(record: Incident | Target | Source) -> None:
    """It keeps its time, gets a token that the store's set does not hold any more, and nothing goes out."""
    folded = fold_one(record, rings(DUE - 1), DUE - 1)
    again = folded.record.timers["rung:1"]
    assert (again.due, folded.effects) == (DUE, ())
    assert again.token not in ("t", "")
    assert isinstance(folded.decision, Applied)
    assert "before its time" in folded.decision.why
    assert folded.record.timers["hold"] == TIMERS["hold"]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.id)
def test_a_timer_that_is_due_or_given_up_goes_its_way(record: Incident | Target | Source) -> None:
    """What is on time, and what nobody waits for, is the machine's business."""
    assert put_back(record, rings(DUE), DUE) is None
    assert put_back(record, rings(0, token="old"), 0) is None
    assert put_back(record, rings(0, name="other"), 0) is None
    assert put_back(record, object(), 0) is None


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.id)
def test_a_timer_that_a_clock_ahead_has_set_lasts_as_long_as_it_was_meant_to(
    record: Incident | Target | Source,
) -> None:
    """The clock was a day ahead: fifteen seconds are fifteen seconds from now, not a day."""
    day = 86_400_000
    wrong = replace(record, timers={"rung:1": Timer(due=day + 15_000, token="t", since=day)})
    told = TimerFired(id=f"{ASTRAY}t", at=1_000, name="rung:1", token="t")
    again = fold_one(wrong, told, 1_000).record.timers["rung:1"]
    assert (again.due, again.since) == (16_000, 1_000)
    kept = fold_one(wrong, rings(1_000), 1_000).record.timers["rung:1"]  # by a clock that may be the wrong one itself
    assert (kept.due, kept.since) == (day + 15_000, day)


def test_every_machine_says_when_it_set_a_timer() -> None:
    """Else nobody could tell a far time from a wrong one."""
    floor = opened(plan(ladder=(Rung(after_ms=60_000, page=Page(service="cro", severity="critical")),)))
    floor.freeze("target:risk-engine")
    for record in floor.records.values():
        for timer in record.timers.values():
            assert timer.since == START


def test_what_a_clock_ahead_has_dated_counts_from_now_once_told() -> None:
    """Only by whoever knows that its clock is right: to a clock that is behind, every cool-down lies in the future."""
    later = START + 3_600_000
    target = Target(id="target:risk-engine", system="s", last_run={"risk.reduce_kelly": later}, recent=(START, later))
    told = TimerFired(id=f"{ASTRAY}x", at=START + 1, name="", token="")
    after = fold_one(target, told, START + 1).record
    assert isinstance(after, Target)
    assert (after.last_run, after.recent) == ({"risk.reduce_kelly": START + 1}, (START, START + 1))
    assert fold_one(target, rings(START + 1), START + 1).record == target


def test_whoever_waits_by_a_wrong_date_is_looked_at_again_at_once() -> None:
    """The cool-down counts from now once told; the timer that was set by its old date must not keep the queue."""
    waits = {"queue": Timer(due=START + 3_600_000, token="q", since=START)}
    target = Target(id="target:risk-engine", system="s", last_run={"a": START + 3_600_000}, timers=waits)
    told = TimerFired(id=f"{ASTRAY}x", at=START, name="", token="")
    after = fold_one(target, told, START).record
    assert isinstance(after, Target)
    assert (after.timers["queue"].due, after.timers["queue"].token != "q") == (START, True)
