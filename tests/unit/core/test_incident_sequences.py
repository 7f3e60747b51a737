"""Sequences and waits of a plan: steps that belong together, each gated; a failure stops and asks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.effects import PageOncall
from bot.core.events import (
    ApprovalNeeded,
    StepNotSent,
    StepShadowed,
    StepSucceeded,
    StepUnknown,
    StepUnneeded,
    TimerFired,
)
from bot.core.incident_moves import FRESH_WINDOW_MS, TURN_MS
from bot.core.orders import OperatorTook
from tests.unit.core.builders import HEALTHY, MINUTE, SECOND, Floor, alert, opened, plan, step

FAIL_OVER = step("1.1-fail-over", action="redis.failover", component="redis", direction="neutral", delivery="once",
                 sequence=1, on_failure="ask", verify=None)  # fmt: skip
HARMONISER = step("1.2-restart", action="service.restart", component="risk-harmoniser", direction="neutral",
                  sequence=1, on_failure="ask", verify=None, guard="")  # fmt: skip
STRATEGIST = step("1.4-restart", action="service.restart", component="strategist", direction="neutral",
                  sequence=1, on_failure="ask", verify=None, guard="", pause_ms=5 * SECOND)  # fmt: skip
SEQUENCE = plan(FAIL_OVER, HARMONISER, STRATEGIST, healthy=HEALTHY)


def failed_over() -> Floor:
    floor = opened(SEQUENCE)
    floor.succeed(floor.runs[-1])
    return floor


def components(floor: Floor) -> list[str]:
    return [run.step.component for run in floor.runs]


def test_a_sequence_goes_on_to_its_end_though_the_alert_has_ended() -> None:
    """A failover ends the alert at once; the dependants still stand on the old address and must follow."""
    floor = failed_over()
    floor.end(alert())
    assert floor.incident().status == "acting"
    floor.succeed(floor.runs[-1])
    floor.wait(5 * SECOND)
    floor.succeed(floor.runs[-1])
    assert components(floor) == ["redis", "risk-harmoniser", "strategist"]
    assert [run.committed for run in floor.runs] == [False, True, True]
    floor.observe(True)
    assert floor.incident().status == "resolved"


def test_what_has_not_begun_does_not_begin_once_the_alert_has_ended() -> None:
    """Only what has taken effect binds: before that a sequence is a plan like any other."""
    first = step("1.1-cut", sequence=1, guard="", verify=None)
    floor = opened(plan(first, HARMONISER, healthy=HEALTHY))
    floor.fire(alert("b", system="other"), plan(first, HARMONISER), to="inc-2")
    floor.end(alert("b", system="other"), to="inc-2")
    floor.succeed(floor.runs[-1])
    assert [run.incident for run in floor.runs] == ["inc-1", "inc-1"]
    assert floor.incident("inc-2").status in ("open", "resolved")


def test_a_wait_is_durable_time_between_two_steps() -> None:
    """To the millisecond, by a timer of the record; nothing sleeps."""
    floor = failed_over()
    floor.succeed(floor.runs[-1])
    assert "waits 5 s before service.restart" in floor.incident().why
    floor.wait(5 * SECOND - 1)
    assert components(floor)[-1] == "risk-harmoniser"
    floor.wait(1)
    assert components(floor)[-1] == "strategist"


def test_a_wait_of_a_sequence_is_not_cut_short_by_health() -> None:
    """Evidence of health resolves an incident, but not one whose dependants are half restarted."""
    floor = failed_over()
    floor.succeed(floor.runs[-1])
    floor.end(alert())
    assert floor.incident().status == "open"
    floor.wait(5 * SECOND)
    assert components(floor)[-1] == "strategist"


def test_a_failure_stops_and_asks_before_the_next_step() -> None:
    """The next step is handed out as a question that names what failed; nothing runs without a yes."""
    floor = failed_over()
    floor.declare(floor.runs[-1])
    floor.report(floor.runs[-1], StepNotSent, "the program ended with 3")
    floor.wait(5 * SECOND)
    asking = floor.runs[-1]
    assert (asking.step.component, asking.disposition) == ("strategist", "suggest")
    why = "service.restart on risk-harmoniser failed (the program ended with 3); shall service.restart go on"
    assert asking.why == why
    floor.report(asking, ApprovalNeeded, asking.why)
    assert floor.incident().status == "parked"  # without terms nobody can be asked, so people are paged
    assert any("failed (the program ended with 3)" in page.summary for page in floor.asked(PageOncall))


def test_a_halted_sequence_is_ended_by_a_person_not_by_silence() -> None:
    """Half done is not well, however healthy the evidence looks."""
    floor = failed_over()
    floor.declare(floor.runs[-1])
    floor.report(floor.runs[-1], StepNotSent, "the program ended with 3")
    floor.wait(5 * SECOND)
    floor.report(floor.runs[-1], ApprovalNeeded, "asks")
    looks = len(floor.outbox)
    floor.end(alert())
    floor.wait(10 * MINUTE)
    assert floor.incident().status == "parked"
    assert len(floor.outbox) == looks


def test_the_last_step_has_nothing_to_ask_about_and_parks() -> None:
    floor = failed_over()
    floor.succeed(floor.runs[-1])
    floor.wait(5 * SECOND)
    floor.declare(floor.runs[-1])
    floor.report(floor.runs[-1], StepNotSent, "the program ended with 3")
    assert floor.incident().status == "parked"
    assert floor.open_pages


def test_an_unknown_outcome_parks_and_the_rest_waits_for_a_person() -> None:
    """Nobody knows where the sequence stands, so nothing of it goes on by itself."""
    floor = opened(SEQUENCE)
    floor.declare(floor.runs[-1])
    floor.report(floor.runs[-1], StepUnknown, "no answer in time")
    floor.end(alert())
    floor.wait(10 * MINUTE)
    assert floor.incident().status == "parked"
    assert len(floor.runs) == 1


def test_a_guard_within_a_sequence_is_a_gate_that_is_waited_for() -> None:
    """Not skipped when the alert is over: a gate that stays shut is a failure of its step."""
    gated = plan(FAIL_OVER, step("1.2-restart", component="risk-harmoniser", sequence=1, on_failure="ask", verify=None))
    floor = opened(gated)
    floor.succeed(floor.runs[-1])
    floor.end(alert())
    floor.report(floor.runs[-1], StepUnneeded, "the guard does not hold: starting")
    assert floor.incident().status == "open"
    floor.wait(5 * SECOND)
    assert components(floor) == ["redis", "risk-harmoniser", "risk-harmoniser"]
    while floor.incident().status != "parked":
        floor.report(floor.runs[-1], StepUnneeded, "the guard does not hold: starting")
        floor.wait(5 * SECOND)
    assert "its gate stayed shut" in floor.incident().why


# --- half done is not done ---------------------------------------------------------------------------------------


def _restarts_failed() -> Floor:
    """The failover is done, the harmoniser was not restarted, and the strategist is looked at next."""
    floor = failed_over()
    floor.declare(floor.runs[-1])
    floor.report(floor.runs[-1], StepNotSent, "the program ended with 3")
    floor.wait(5 * SECOND)
    return floor


def test_a_step_that_is_already_so_does_not_answer_the_doubt() -> None:
    """Nobody said yes to go on: the step after it asks all the same."""
    last = step("1.5-tell", action="service.restart", component="gateway", sequence=1, on_failure="ask", verify=None,
                guard="")  # fmt: skip
    floor = opened(plan(FAIL_OVER, HARMONISER, STRATEGIST, last, healthy=HEALTHY))
    floor.succeed(floor.runs[-1])
    floor.declare(floor.runs[-1])
    floor.report(floor.runs[-1], StepNotSent, "the program ended with 3")
    floor.wait(5 * SECOND)
    floor.report(floor.runs[-1], StepUnneeded, "healthy on the new address already", already=True)
    assert (floor.runs[-1].step.component, floor.runs[-1].disposition) == ("gateway", "suggest")


def test_what_one_service_shows_mends_no_other() -> None:
    """The strategist is well, the harmoniser is dead: parked, with a page, never resolved."""
    floor = _restarts_failed()
    floor.report(floor.runs[-1], StepUnneeded, "healthy on the new address already", already=True)
    floor.end(alert())
    floor.wait(10 * MINUTE)
    assert floor.incident().status == "parked"
    assert floor.open_pages
    assert "the program ended with 3" in floor.incident().why


def test_hands_on_in_the_middle_leaves_it_to_the_hands() -> None:
    """Taken while the first step is verified: no evidence of health resolves what is half done."""
    verified = replace(FAIL_OVER, verify=step().verify)
    floor = opened(plan(verified, HARMONISER, healthy=HEALTHY))
    floor.succeed(floor.runs[-1])
    floor.tell("inc-1", OperatorTook(id="t", at=floor.now, by="demo-oncall"))
    floor.end(alert())
    floor.wait(10 * MINUTE)
    assert (floor.incident().status, len(floor.runs)) == ("parked", 1)


def test_a_late_success_of_the_first_step_still_binds() -> None:
    """Its outcome came after the turn was given up: the rest was not done, so nothing resolves by itself."""
    floor = opened(SEQUENCE)
    floor.declare(floor.runs[-1])
    floor.wait(TURN_MS)
    floor.report(floor.runs[-1], StepSucceeded, "done after all")
    floor.end(alert())
    floor.wait(10 * MINUTE)
    assert (floor.incident().status, len(floor.runs)) == ("parked", 1)


@pytest.mark.parametrize("on_failure", ["stop", "escalate"])
def test_half_done_always_calls_somebody(on_failure: str) -> None:
    """Nothing but a person ends it, so a person must know (law 9), also of a mere warning."""
    quiet = alert(severity="warning")
    floor = Floor()
    floor.fire(quiet, plan(FAIL_OVER, replace(HARMONISER, on_failure=on_failure), healthy=HEALTHY))
    floor.succeed(floor.runs[-1])
    floor.declare(floor.runs[-1])
    floor.report(floor.runs[-1], StepNotSent, "the program ended with 3")
    assert floor.incident().status == "parked"
    assert floor.open_pages


def test_a_policy_that_only_watches_now_calls_somebody_about_what_it_began() -> None:
    """Disarmed in the middle of a sequence."""
    floor = failed_over()
    floor.report(floor.runs[-1], StepShadowed, "would run service.restart")
    assert floor.incident().status == "parked"
    assert floor.open_pages


def test_a_wait_that_ended_while_andon_was_away_gives_people_a_window() -> None:
    """Nothing acts out of the blue hours later: people are called first (law 9)."""
    late = plan(step("1-say", component="", verify=None, guard=""), step("2-halt", pause_ms=30 * MINUTE, verify=None))
    floor = opened(late)
    floor.succeed(floor.runs[-1])
    due = floor.incident().timers["retry"]
    floor.now = due.due + 3 * 60 * MINUTE
    floor.tell("inc-1", TimerFired(id="late", at=floor.now, name="retry", token=due.token))
    assert len(floor.runs) == 1
    assert floor.open_pages
    floor.wait(FRESH_WINDOW_MS)
    assert len(floor.runs) == 2
