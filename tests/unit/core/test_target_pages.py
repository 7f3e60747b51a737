"""What automation pages about itself: told late, after it was taken back, it is taken back once more."""

from __future__ import annotations

import pytest

from bot.core.effects import PageOncall
from bot.core.events import MessageDelivered
from bot.core.orders import LeaseEnded, LeaseRenewed, TargetFrozen, TargetUnfrozen
from bot.core.record import Decision, Ignored
from bot.core.words import SYSTEM_TARGET
from tests.unit.core.builders import MINUTE, START, Floor, alert, opened, plan, step

RISK_ENGINE = "target:risk-engine"
HALT = step("halt", action="trading.halt", lease_ms=30 * MINUTE, undo="trading.start", verify=None, guard="")


def newest(floor: Floor, name: str) -> PageOncall:
    """The last page of this name."""
    return [page for page in floor.asked(PageOncall) if f":{name}:" in page.dedup_key][-1]


def late(floor: Floor, page: PageOncall) -> Decision:
    """The pager takes it now, or once more, and whose page it is hears of it."""
    floor.outbox.append(page)
    took = MessageDelivered(
        id=f"{page.id}/delivered", at=floor.now, channel="pager", reference="r", page=page.dedup_key,
        service=page.service,
    )  # fmt: skip
    return floor.tell(page.owner, took)


@pytest.mark.parametrize("where", [SYSTEM_TARGET, RISK_ENGINE])
def test_a_freeze_that_was_lifted(where: str) -> None:
    """Frozen and asked about, it stays open; lifted, or frozen anew, it does not, and the new one's page stays."""
    floor = Floor()
    floor.tell(where, TargetFrozen(id="f", at=START, by="demo-oncall", reason="deploy", until=START + MINUTE))
    floor.wait(MINUTE)
    first = newest(floor, "freeze")
    assert isinstance(late(floor, first), Ignored)
    assert floor.open_pages == {first.dedup_key}
    floor.tell(where, TargetFrozen(id="f2", at=START, by="demo-oncall", reason="deploy", until=floor.now + MINUTE))
    late(floor, first)
    assert floor.open_pages == set()
    floor.wait(MINUTE)
    second = newest(floor, "freeze")
    late(floor, first)
    assert floor.open_pages == {second.dedup_key}
    floor.tell(where, TargetUnfrozen(id="u", at=floor.now, by="demo-oncall"))
    late(floor, second)
    assert floor.open_pages == set()


def test_a_spent_budget_that_was_given_back() -> None:
    """The page came up with an incident; it is the system's to take back."""
    floor = Floor()
    for number in range(9):
        name = f"inc-{number}"
        floor.fire(alert(str(number)), plan(step(component=name, direction="neutral")), to=name)
        floor.declare(floor.runs[-1])
    page = newest(floor, "automation-tripped")
    assert (page.incident.startswith("inc-"), page.owner) == (True, SYSTEM_TARGET)
    late(floor, page)
    assert page.dedup_key in floor.open_pages
    floor.tell(SYSTEM_TARGET, TargetUnfrozen(id="u", at=floor.now, by="demo-oncall"))
    late(floor, page)
    assert page.dedup_key not in floor.open_pages


@pytest.mark.parametrize("answer", ["renewed", "ended"])
def test_a_lease_that_was_answered(answer: str) -> None:
    """Renewed, it asks again when its time is up once more, and then the same page stays."""
    floor = opened(plan(HALT))
    floor.succeed(floor.runs[-1])
    floor.wait(30 * MINUTE)
    page = newest(floor, "lease:trading.halt")
    late(floor, page)
    assert page.dedup_key in floor.open_pages
    said = {"id": "x", "at": floor.now, "by": "demo-oncall", "action": "trading.halt"}
    floor.tell(
        RISK_ENGINE, LeaseRenewed(**said, for_ms=10 * MINUTE) if answer == "renewed" else LeaseEnded(**said)  # type: ignore[arg-type]
    )  # fmt: skip
    late(floor, page)
    assert page.dedup_key not in floor.open_pages
    floor.wait(10 * MINUTE)
    late(floor, page)
    assert (page.dedup_key in floor.open_pages) == (answer == "renewed")


def test_what_nothing_takes_back_is_let_be() -> None:
    """Writes lost are a person's to close; so is another's page."""
    floor = Floor()
    for key in ("trading-core:writes-lost:r1:5", "hft:freeze:5", "", "trading-core:risk-engine:freeze:5"):
        took = MessageDelivered(id=f"d/{key}", at=START, channel="pager", reference="r", page=key, service="s")
        assert isinstance(floor.tell(SYSTEM_TARGET, took), Ignored)
