"""Sequences and waits of a plan: steps that belong together, each gated; a failure stops and asks."""

from __future__ import annotations

from bot.core.effects import PageOncall
from bot.core.events import ApprovalNeeded, StepNotSent, StepUnknown, StepUnneeded
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
    asking = floor.runs[-1]
    assert (asking.step.component, asking.disposition) == ("strategist", "suggest")
    assert asking.why == "service.restart failed (the program ended with 3); shall service.restart go on"
    floor.report(asking, ApprovalNeeded, asking.why)
    assert floor.incident().status == "parked"  # without terms nobody can be asked, so people are paged
    assert any("failed (the program ended with 3)" in page.summary for page in floor.asked(PageOncall))


def test_a_halted_sequence_is_ended_by_a_person_not_by_silence() -> None:
    """Half done is not well, however healthy the evidence looks."""
    floor = failed_over()
    floor.declare(floor.runs[-1])
    floor.report(floor.runs[-1], StepNotSent, "the program ended with 3")
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
