"""Leases: what an action did is meant to last so long; then people are asked, and nothing is undone by itself."""

from __future__ import annotations

from bot.core.effects import PageOncall
from bot.core.orders import LeaseEnded, LeaseRenewed, TargetFrozen
from bot.core.record import Applied, Denied
from tests.unit.core.builders import MINUTE, Floor, opened, plan, step

RISK_ENGINE = "target:risk-engine"
HALT = step("halt", action="trading.halt", lease_ms=30 * MINUTE, undo="trading.start", verify=None, guard="")
START_AGAIN = step("start", action="trading.start", direction="raises", verify=None, guard="")


def halted() -> Floor:
    floor = opened(plan(HALT))
    floor.succeed(floor.runs[-1])
    return floor


def questions(floor: Floor) -> list[str]:
    return [page.summary for page in floor.asked(PageOncall) if "was meant to last" in page.summary]


def test_a_lease_that_is_up_asks_and_undoes_nothing() -> None:
    """To the minute, with the three commands that answer it; no run begins by itself."""
    floor = halted()
    floor.wait(30 * MINUTE - 1)
    assert questions(floor) == []
    floor.wait(1)
    (asked,) = questions(floor)
    assert "andon lease renew trading-core/risk-engine trading.halt" in asked
    assert "andon run trading.start" in asked
    assert len(floor.runs) == 1


def test_nobody_answered_so_it_asks_again() -> None:
    """The same page each time, and it stays open until somebody does something about it."""
    floor = halted()
    floor.wait(61 * MINUTE)
    assert len(questions(floor)) == 2
    assert len({page.dedup_key for page in floor.asked(PageOncall) if page.summary in questions(floor)}) == 1


def test_renewing_takes_the_question_back_and_asks_later() -> None:
    """Counted from the renewal."""
    floor = halted()
    floor.wait(31 * MINUTE)
    before = len(floor.open_pages)
    renewed = LeaseRenewed(id="r", at=floor.now, by="demo-oncall", action="trading.halt", for_ms=10 * MINUTE)
    assert isinstance(floor.tell(RISK_ENGINE, renewed), Applied)
    assert len(floor.open_pages) == before - 1
    floor.wait(10 * MINUTE)
    assert len(questions(floor)) == 2


def test_the_undo_ends_the_lease() -> None:
    """Once what it did is taken back there is nothing left to ask."""
    floor = opened(plan(HALT, START_AGAIN))
    floor.succeed(floor.runs[-1])
    floor.succeed(floor.runs[-1])
    assert floor.target().leases == {}
    floor.wait(60 * MINUTE)
    assert questions(floor) == []


def test_a_person_ends_it_also_while_the_component_is_frozen() -> None:
    """A freeze keeps Andon from acting, not people from answering."""
    floor = halted()
    frozen = TargetFrozen(id="f", at=floor.now, by="demo-oncall", reason="deploy")
    floor.tell(RISK_ENGINE, frozen)
    floor.wait(31 * MINUTE)
    assert len(questions(floor)) == 1
    ended = LeaseEnded(id="e", at=floor.now, by="demo-oncall", action="trading.halt")
    assert isinstance(floor.tell(RISK_ENGINE, ended), Applied)
    again = LeaseEnded(id="e2", at=floor.now, by="demo-oncall", action="trading.halt")
    assert floor.tell(RISK_ENGINE, again) == Denied(
        "trading.halt has no lease on trading-core:risk-engine; leases there: none"
    )
