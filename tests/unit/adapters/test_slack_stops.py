"""Before a freeze or a hold: what it would stop, read from the records of now, and then the button."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.adapters.slack.cards.shapes import Ref
from bot.adapters.slack.pages import modals, stop_modals
from bot.adapters.slack.pages.forms import FreezeForm, HoldForm
from bot.adapters.slack.pages.stop_modals import Stopped, ahead
from bot.core.incident import Incident
from bot.core.plan import Plan
from bot.sandbox.slack.limits import problems
from tests.unit.core.builders import MINUTE, START, mitigated, opened, parked, plan, rung, step, verifying

HALT = step("halt", action="trading.halt", component="router")
LADDER = (rung(2 * MINUTE, "pm"), replace(rung(5 * MINUTE, "cro", "resolved"), step=HALT))
PLAN: Plan = plan(step(), step("fail-over", action="redis.failover", component="redis"), ladder=LADDER)
FREEZE = FreezeForm(system="trading-core", component="", reason="a “bad” release", for_ms=120 * MINUTE)
HOLD = HoldForm(ref=Ref("inc-1", "dec-1", "d"), for_ms=15 * MINUTE, reason="reading")


def actions(incident: Incident, component: str = "") -> list[str]:
    return [each.action for each in ahead(incident, component)]


def test_what_is_ahead_of_an_incident_is_what_was_not_sent_and_is_not_over() -> None:
    """The step at hand until it was sent, those after it, and rungs that run something; nothing of what stands down."""
    fresh = opened(PLAN).incident()
    assert actions(fresh) == ["risk.reduce_kelly", "redis.failover", "trading.halt"]
    assert actions(fresh, "redis") == ["redis.failover"]
    assert actions(fresh, "store") == []
    assert actions(verifying(PLAN).incident()) == ["redis.failover", "trading.halt"]
    assert actions(parked(PLAN).incident()) == ["trading.halt"]
    assert actions(mitigated(plan(ladder=LADDER)).incident()) == ["trading.halt"]
    assert actions(replace(fresh, taken_by="demo-oncall")) == ["trading.halt"]
    acked = replace(LADDER[1], until="acked")
    taken = replace(opened(replace(PLAN, ladder=(acked,))).incident(), taken_by="demo-oncall")
    assert actions(taken) == []


def test_a_freeze_names_what_it_would_stop() -> None:
    """Incidents with what they have ahead, and the policies that act there; then the button, with what was typed."""
    shown = stop_modals.freeze(FREEZE, Stopped(pending=((opened(PLAN).incident(), (HALT,)),), armed=(PLAN,)))
    text = str(shown["blocks"])
    assert problems(shown) == []
    for told in ("all of trading-core", "2h", "inc-1: trading.halt on router", "var-breach: risk.reduce_kelly, redis"):
        assert told in text, told
    assert shown["submit"]["text"] == "Freeze"
    assert modals.read(shown["callback_id"], shown["private_metadata"], {}) == replace(FREEZE, confirmed=True)


def test_a_freeze_is_offered_whatever_there_is_to_be_stopped() -> None:
    """Nothing, more than fits, or nobody knows: what stops things is never refused for that."""
    many = tuple((replace(opened(PLAN).incident(), id=f"inc-{number}"), (HALT,) * 9) for number in range(500))
    for found, told in (
        (Stopped(pending=(), armed=()), "Nothing waits to be done there"),
        (Stopped(pending=many, armed=(PLAN,) * 200), "more"),
        (None, "could not be looked up in time"),
    ):
        for form in (FREEZE, replace(FREEZE, system="", component="", for_ms=None, reason='"\\' * 250)):
            shown = stop_modals.freeze(form, found)
            assert problems(shown) == []
            assert told in str(shown["blocks"])
            assert modals.read(shown["callback_id"], shown["private_metadata"], {}) == replace(form, confirmed=True)


def test_a_hold_says_which_rungs_would_have_run_what_and_when() -> None:
    """Those that come due within the time; their pages go on, and a rung that only pages is not named."""
    incident = verifying(PLAN).incident()
    shown = stop_modals.hold(HOLD, incident, START + MINUTE)
    text = str(shown["blocks"])
    assert problems(shown) == []
    assert "rung 2: page cro (critical), run trading.halt" in text
    assert "in 4 min" in text
    assert "rung 1" not in text
    assert modals.read(shown["callback_id"], shown["private_metadata"], {}) == replace(HOLD, confirmed=True)


@pytest.mark.parametrize("for_ms", [3 * MINUTE, 1_000])
def test_a_hold_that_would_hold_nothing_back_has_no_button(for_ms: int) -> None:
    """It would only be refused."""
    shown = stop_modals.hold(replace(HOLD, for_ms=for_ms), verifying(PLAN).incident(), START + MINUTE)
    assert problems(shown) == []
    assert "submit" not in shown
