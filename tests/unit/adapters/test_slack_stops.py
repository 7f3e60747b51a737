"""Before a freeze, a hold or a disarming: what it would stop; before a freeze is lifted: what that would let loose."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.adapters.slack.cards.shapes import Ref
from bot.adapters.slack.pages import arm_modals, lift_modals, modals, stop_modals
from bot.adapters.slack.pages.forms import ArmForm, FreezeForm, HoldForm, UnfreezeForm
from bot.adapters.slack.pages.lift_modals import MAX_MARKS, Lifted, is_as_shown, marks
from bot.adapters.slack.pages.stop_modals import Stopped, ahead
from bot.core.incident import Incident
from bot.core.plan import Plan, Step
from bot.core.target import Armed
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


LIFT = UnfreezeForm(system="trading-core", component="")
OFF = "trading-core is frozen by demo-oncall since 2026-01-01 00:00:00Z: a “bad” release"
STEPS = (HALT, replace(HALT, id="cut", action="risk.reduce_kelly", automatic=False))


def lifted(*, off: tuple[str, ...] = (OFF,), incidents: int = 1, cut: int = 0) -> Lifted:
    waits = tuple((replace(opened(PLAN).incident(), id=f"inc-{number}"), STEPS) for number in range(incidents))
    return Lifted(off=off, still=("trading-core|redis",), loose=Stopped(pending=waits, armed=(PLAN,), cut=cut))


def test_an_unfreeze_names_what_it_would_let_loose() -> None:
    """Who froze it, why and since when; what goes on by itself apart from what asks; what stays frozen; the button."""
    shown = lift_modals.preview(LIFT, lifted())
    text = str(shown["blocks"])
    assert problems(shown) == []
    for told in (
        OFF, "inc-0: by itself trading.halt on router; if people say yes risk.reduce_kelly on router",
        "var-breach: risk.reduce_kelly, redis.failover", "These stay frozen:", "trading-core / redis",
    ):  # fmt: skip
        assert told in text, told
    assert (shown["submit"]["text"], "as it was when you looked" in text) == ("Unfreeze", False)
    read = modals.read(shown["callback_id"], shown["private_metadata"], {})
    assert read == replace(LIFT, shown=marks(lifted()))
    assert "as it was when you looked" in str(lift_modals.preview(read, lifted())["blocks"])


def test_only_what_was_shown_is_let_loose() -> None:
    """Less of it than was shown is fine; another freeze, another incident or another policy is not."""
    shown = marks(lifted(incidents=3))
    assert is_as_shown(lifted(incidents=3), shown)
    assert is_as_shown(lifted(incidents=2), shown)
    assert not is_as_shown(lifted(incidents=4), shown)
    assert not is_as_shown(lifted(off=()), shown)
    assert not is_as_shown(lifted(off=(OFF, f"{OFF}!")), shown)
    policy = replace(lifted(), loose=Stopped(pending=(), armed=(replace(PLAN, policy_hash="b"),)))
    assert not is_as_shown(policy, shown)
    assert not is_as_shown(lifted(), ())


@pytest.mark.parametrize("page", [lifted(incidents=MAX_MARKS), lifted(cut=500)], ids=["many", "not all looked at"])
def test_in_a_storm_an_unfreeze_is_done_whatever_opens_meanwhile(page: Lifted) -> None:
    """The page says that it goes on too; what stopped automation since, or acts since, is shown first all the same."""
    shown = marks(page)
    text = str(lift_modals.preview(LIFT, page)["blocks"])
    for told in ("what opens while you read this would go on too", "`andon unfreeze` on the command line"):
        assert told in text, told
    for incidents in (1, 2 * MAX_MARKS):
        assert is_as_shown(lifted(incidents=incidents), shown)
    assert not is_as_shown(replace(page, off=(OFF, "one more")), shown)
    another = replace(page.loose, armed=(PLAN, replace(PLAN, policy="another")))
    assert not is_as_shown(replace(page, loose=another), shown)
    assert not is_as_shown(page, marks(lifted())), "who saw a page without that sentence"
    again = lift_modals.preview(replace(LIFT, shown=shown), replace(page, off=(OFF, "one more")))
    assert "• new: one more" in str(again["blocks"])


def test_a_page_that_is_shown_anew_names_what_is_new_first() -> None:
    """Nobody has to compare two pages by heart."""
    before = lifted(incidents=20)
    now = lifted(off=(OFF, "py-rt is frozen by demo-pm"), incidents=21)
    policies = (PLAN, replace(PLAN, policy="another"))
    now = replace(now, loose=replace(now.loose, armed=policies))
    shown = lift_modals.preview(replace(LIFT, shown=marks(before)), now)
    blocks = [block["text"]["text"].split("\n") for block in shown["blocks"] if block["type"] == "section"]
    assert problems(shown) == []
    firsts = {lines[0]: lines[1] for lines in blocks if len(lines) > 1}
    assert firsts["Would be lifted:"] == "• new: py-rt is frozen by demo-pm"
    assert firsts["What waits would go on:"].startswith("• new: inc-20: by itself trading.halt")
    assert firsts["These may act again from then on:"].startswith("• new: another: ")
    assert str(shown["blocks"]).count("new: ") == 3
    assert "new: " not in str(lift_modals.preview(LIFT, now)["blocks"])


def test_an_unfreeze_fits_whatever_it_would_let_loose() -> None:
    """Of more than a page carries it carries less; without a freeze, or unseen, it has no button."""
    many = lifted(off=tuple(OFF * 20 + str(number) for number in range(MAX_MARKS)), incidents=MAX_MARKS)
    shown = lift_modals.preview(LIFT, many)
    assert problems(shown) == []
    read = modals.read(shown["callback_id"], shown["private_metadata"], {})
    assert isinstance(read, UnfreezeForm)
    assert (len(marks(many)), is_as_shown(many, read.shown or ())) == (2, True)
    assert not is_as_shown(replace(many, off=(*many.off, "one more")), read.shown or ())
    for found in (lifted(off=()), None):
        assert problems(lift_modals.preview(LIFT, found)) == []
        assert "submit" not in lift_modals.preview(LIFT, found)


@pytest.mark.parametrize("waits", [(), ((opened(PLAN).incident(), (HALT,)),)], ids=["nothing", "something"])
def test_a_page_says_where_not_all_was_looked_at(waits: tuple[tuple[Incident, tuple[Step, ...]], ...]) -> None:
    """No page says that nothing waits where older incidents may; where all was looked at, none speaks of it."""
    armed = Armed(by="demo-oncall", at=START)
    for cut in (0, 500):
        found = Stopped(pending=waits, armed=(PLAN,), cut=cut)
        for shown in (
            stop_modals.freeze(FREEZE, found), arm_modals.stops(PLAN, armed, found),
            lift_modals.preview(LIFT, Lifted(off=(OFF,), still=(), loose=found)),
        ):  # fmt: skip
            text = str(shown["blocks"])
            assert problems(shown) == []
            assert ("newest 500 open incidents of a system were looked at" in text) == bool(cut)
            assert ("None of the 500 incidents looked at" in text) == (bool(cut) and not waits)
            assert any(each in text for each in ("Nothing waits", "No open incident waits")) == (not cut and not waits)


def test_a_disarming_names_what_it_would_stop() -> None:
    """What the policy does no more, and what its open incidents have ahead; where it is not armed, no button."""
    armed = Armed(by="demo-oncall", at=START)
    for found, told in (
        (Stopped(pending=((opened(PLAN).incident(), STEPS),), armed=()), "inc-1: by itself trading.halt on router"),
        (Stopped(pending=(), armed=()), "No open incident waits to do any of it"),
        (None, "could not be looked up in time"),
    ):
        shown = arm_modals.stops(PLAN, armed, found)
        text = str(shown["blocks"])
        assert problems(shown) == []
        for each in (told, "armed by demo-oncall since", "1. risk.reduce_kelly", "after 5m: trading.halt on router"):
            assert each in text, each
        read = modals.read(shown["callback_id"], shown["private_metadata"], {})
        mark = arm_modals.mark_of(PLAN, armed)
        assert read == ArmForm(system=PLAN.system, policy=PLAN.policy, on=False, seen=mark)
    assert "submit" not in arm_modals.stops(PLAN, None, None)
    others = (replace(armed, by="demo-second"), replace(armed, at=START + 1))
    assert len({mark, *(arm_modals.mark_of(PLAN, each) for each in others)}) == 3
    assert arm_modals.mark_of(replace(PLAN, policy_hash="b"), armed) != mark
