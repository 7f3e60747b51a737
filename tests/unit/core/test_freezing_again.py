"""A freeze on top of a freeze: what stays of the first."""

from __future__ import annotations

import pytest

from bot.core import system_machine, target_machine
from bot.core.orders import TargetFrozen
from bot.core.target import Target
from bot.core.words import SYSTEM_TARGET, AggregateId, Millis


def _frozen(target: Target, number: int, until: Millis | None, now: Millis) -> Target:
    event = TargetFrozen(id=f"f{number}", at=now, by="demo-oncall", reason=f"reason {number}", until=until)
    machine = system_machine if target.id == SYSTEM_TARGET else target_machine
    return machine.step(target, event, now).record


@pytest.mark.parametrize("name", [SYSTEM_TARGET, "target:risk-engine"])
def test_a_reminder_survives_a_freeze_that_names_none(name: AggregateId) -> None:
    """Who freezes again without an end never silences the question somebody else asked to be asked."""
    target = _frozen(Target(id=name, system="trading-core"), 1, 60_000, 1_000)
    again = _frozen(target, 2, None, 2_000)
    assert again.freeze is not None
    assert (again.freeze.reason, again.freeze.until) == ("reason 2", 60_000)
    assert [timer.due for timer in again.timers.values()] == [60_000]
    later = _frozen(again, 3, 90_000, 3_000)
    assert later.freeze is not None
    assert later.freeze.until == 90_000
    assert [timer.due for timer in later.timers.values()] == [90_000]
