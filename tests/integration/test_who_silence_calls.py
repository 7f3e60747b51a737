"""Whom a decision card says silence calls, and whom the machine calls then: the same people, whatever went before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.adapters import http_cards
from bot.core.effects import PageOncall
from bot.core.events import ApprovalNeeded
from bot.core.orders import OperatorEscalated
from bot.core.plan import Rung
from tests.integration.door_twin import SYSTEM, TwinServices
from tests.unit.core.builders import MINUTE, opened, plan, rung, step
from tests.unit.core.candidates import terms

ACTING = replace(rung(200 * MINUTE, "pm", "resolved"), step=step("rung1-halt", action="trading.halt"))
PAGING, LAST = rung(200 * MINUTE, "pm"), rung(300 * MINUTE, "cro")


@pytest.mark.parametrize(
    ("ladder", "calls", "next_called"),
    [
        ((PAGING, LAST), 0, "pm"),
        ((PAGING, LAST), 1, "cro"),
        ((ACTING, LAST), 0, "pm"),
        ((ACTING, LAST), 1, "cro"),  # the rung waits on for what it does; its people were called
        ((ACTING,), 1, "trading-oncall"),
        ((), 0, "trading-oncall"),
    ],
)
def test_the_card_names_whom_silence_calls(ladder: tuple[Rung, ...], calls: int, next_called: str) -> None:
    """Also after a person has called the next people by hand, once or more."""
    floor = opened(replace(plan(step(automatic=False, risk="critical")), ladder=ladder))
    floor.report(floor.runs[-1], ApprovalNeeded, "critical: two must say yes", terms=terms())
    for number in range(calls):
        floor.tell("inc-1", OperatorEscalated(id=f"e/{number}", at=floor.now, by="demo-oncall"))
    card = http_cards.card(TwinServices(), SYSTEM, floor.incident(), "")
    assert card is not None
    before = len(floor.asked(PageOncall))
    floor.wait(61 * MINUTE)
    assert floor.incident().status == "parked"
    assert [page.service for page in floor.asked(PageOncall)[before:]] == [next_called]
    assert card["silence"] == f"nothing is sent and {next_called} is paged"
