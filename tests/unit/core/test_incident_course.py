"""The course of one incident from its first alert to its close, told as timelines."""

from __future__ import annotations

import pytest

from bot.core.effects import ObserveEvidence, PageOncall, PostMessage
from bot.core.events import (
    ApprovalNeeded,
    StepNotSent,
    StepShadowed,
    StepSucceeded,
    StepUnknown,
    StepUnneeded,
)
from bot.core.incident_end import RECHECK_MS
from bot.core.incident_moves import GUARD_RETRIES, GUARD_RETRY_MS, PATIENCE_MS, RECHECKS_BEFORE_PARKING, TURN_MS
from bot.core.record import Applied, Ignored
from tests.unit.core.builders import (
    HEALTHY,
    MINUTE,
    SECOND,
    START,
    Floor,
    alert,
    mitigated,
    opened,
    plan,
    step,
    verifying,
)
from tests.unit.core.candidates import terms


def test_a_breach_is_cut_verified_mitigated_resolved_held_and_closed() -> None:
    """The main road: one alert, one run, one effect, verified; resolved only on fresh evidence; closed on time."""
    floor = opened(plan(healthy=HEALTHY))
    (run,) = floor.runs
    assert (run.disposition, run.fence, run.episode, floor.incident().status) == ("act", 1, 1, "acting")

    assert isinstance(floor.declare(run), Applied)
    floor.report(run, StepSucceeded, "kelly 0.25 -> 0.1", restore='{"kelly_fraction":0.25}')
    assert floor.incident().status == "verifying"
    assert floor.target().slot is None, "the slot is held only until the read-back"

    floor.observe(False, "var 1.9")
    floor.wait(5 * SECOND)
    floor.observe(True)
    assert floor.incident().status == "mitigated"
    assert floor.target().verifying is None

    floor.end(alert())
    assert floor.incident().status == "mitigated", "the end of an alert proves nothing (law 13)"
    floor.observe(True)
    assert floor.incident().status == "resolved"

    floor.wait(plan().hold_ms)
    floor.wait(plan().close_ms)
    incident = floor.incident()
    assert (incident.status, incident.timers, incident.closed_at) == (
        "closed",
        {},
        START + 5 * SECOND + plan().close_ms,
    )
    assert [result.outcome for result in incident.results] == ["succeeded", "verified"]
    assert incident.results[0].restore == '{"kelly_fraction":0.25}'
    assert len(floor.runs) == 1
    assert floor.open_pages == set()


def test_without_declared_evidence_the_end_of_the_last_alert_resolves() -> None:
    """Where the policy declares no evidence there is nothing fresher to ask."""
    floor = mitigated()
    floor.end(alert())
    assert floor.incident().status == "resolved"


def test_alerts_that_end_while_acting_resolve_the_incident_once_its_plan_is_done() -> None:
    """An incident never resolves with a step under way; it looks for health right after."""
    floor = opened()
    floor.end(alert())
    assert floor.incident().status == "acting"
    floor.succeed(floor.runs[0])
    assert floor.incident().status == "verifying"
    floor.observe(True)
    assert floor.incident().status == "resolved"


def test_a_guard_that_does_not_hold_while_the_alert_fires_is_looked_at_again_and_then_a_human_is_called() -> None:
    """Alert and evidence disagree: never dropped, never acted on blindly, and not in silence forever."""
    floor = opened()
    for _ in range(GUARD_RETRIES):
        floor.report(floor.runs[-1], StepUnneeded, "var 1.5 is not > 1.8")
        assert floor.incident().status == "open"
        assert floor.target().slot is None
        floor.wait(GUARD_RETRY_MS)
    assert floor.open_pages == set()
    floor.report(floor.runs[-1], StepUnneeded, "var 1.5 is not > 1.8")
    assert floor.incident().status == "parked"
    assert floor.calling == {"inc-1:trading-oncall"}
    assert len(floor.runs) == GUARD_RETRIES + 1
    assert len({run.fence for run in floor.runs}) == len(floor.runs)


def test_a_guard_that_holds_at_the_second_look_acts() -> None:
    """The evidence may lag the alert by a scrape or two."""
    floor = opened()
    floor.report(floor.runs[-1], StepUnneeded, "var 1.5 is not > 1.8")
    floor.wait(GUARD_RETRY_MS)
    floor.succeed(floor.runs[-1])
    assert floor.incident().status == "verifying"


def test_a_guard_that_does_not_hold_once_the_alert_is_over_ends_the_plan() -> None:
    """Nothing fires and nothing is wrong: there is nothing to do."""
    floor = opened()
    floor.end(alert())
    floor.report(floor.runs[-1], StepUnneeded, "var 1.5 is not > 1.8")
    assert floor.incident().status == "resolved"


def test_a_target_that_is_as_wanted_already_is_still_verified() -> None:
    """A no-op costs no slot and no budget, but its effect must show."""
    floor = opened()
    floor.report(floor.runs[-1], StepUnneeded, "kelly is 0.1 already", already=True)
    assert floor.incident().status == "verifying"
    assert floor.target().slot is None
    assert floor.target().verifying is None
    assert floor.target().last_run == {}


def test_a_policy_that_is_not_armed_runs_in_shadow_and_says_what_it_would_have_done() -> None:
    """Nothing acts that is not armed; a critical alert still reaches a human."""
    floor = opened(armed=())
    (run,) = floor.runs
    assert (run.disposition, run.fence) == ("shadow", 0)
    assert "not armed" in run.why
    floor.report(run, StepShadowed, "would run risk.reduce_kelly: 0.25 -> 0.1")
    assert floor.incident().status == "parked"
    said = [message for message in floor.asked(PostMessage) if message.topic == "shadowed"]
    assert [message.text for message in said] == ["would run risk.reduce_kelly: 0.25 -> 0.1"]
    assert floor.calling == {"inc-1:trading-oncall"}


@pytest.mark.parametrize(("mode", "disposition"), [("shadow", "shadow"), ("suggest", "suggest"), ("auto", "act")])
def test_the_mode_of_an_armed_policy_decides_how_its_step_runs(mode: str, disposition: str) -> None:
    """shadow watches, suggest asks, auto acts."""
    floor = opened(plan(mode=mode))
    assert [run.disposition for run in floor.runs] == [disposition]


def test_a_suggestion_waits_for_a_decision_and_silence_is_not_approval() -> None:
    """ApprovalNeeded pages; nobody answers; it parks and pages again, and nothing was sent."""
    floor = opened(plan(mode="suggest"))
    floor.report(floor.runs[-1], ApprovalNeeded, "policy var-breach only suggests", terms=terms())
    incident = floor.incident()
    assert incident.status == "awaiting_approval"
    assert floor.calling == {"inc-1:trading-oncall"}
    floor.wait(60 * MINUTE)
    assert floor.incident().status == "parked"
    assert "nobody decided" in floor.incident().why
    assert len(floor.runs) == 1
    assert len(floor.asked(PageOncall)) == 2


def test_a_step_that_needs_approval_gives_its_slot_back() -> None:
    """A person may take minutes; others must not wait for them."""
    floor = opened()
    floor.report(floor.runs[-1], ApprovalNeeded, "risky")
    assert floor.target().slot is None


def test_a_frozen_system_denies_the_turn_and_a_human_is_called() -> None:
    """Freeze is automation off: the incident parks, pages, and shows why."""
    floor = Floor()
    floor.freeze()
    floor.fire(alert(), plan())
    incident = floor.incident()
    assert (incident.status, incident.frozen, floor.runs) == ("parked", True, [])
    assert "frozen by demo-oncall: maintenance" in incident.why
    assert floor.calling == {"inc-1:trading-oncall"}


def test_a_frozen_component_denies_the_turn() -> None:
    """A freeze may be as small as one component."""
    floor = Floor()
    floor.freeze("target:risk-engine")
    floor.fire(alert(), plan())
    assert (floor.incident().status, floor.incident().frozen, floor.runs) == ("parked", True, [])


@pytest.mark.parametrize("on_failure", ["continue", "stop", "escalate"])
def test_an_action_that_was_not_sent_never_counts_as_mitigation(on_failure: str) -> None:
    """With no step left, nothing has been mitigated whatever the policy says about going on."""
    floor = opened(plan(step(on_failure=on_failure)))
    floor.report(floor.runs[-1], StepNotSent, "connection refused")
    assert (floor.incident().status, floor.incident().mitigated_at) == ("parked", None)
    assert floor.calling == {"inc-1:trading-oncall"}
    assert floor.target().slot is None
    assert floor.target().last_run == {}, "what was not sent starts no cool-down"


def test_an_unknown_outcome_stops_the_plan_and_calls_a_human() -> None:
    """Nobody can tell what happened: no retry, no next step, whatever `on_failure` says."""
    floor = opened(plan(step("cut", on_failure="continue"), step("halt", component="router")))
    floor.declare(floor.runs[-1])
    floor.report(floor.runs[-1], StepUnknown, "no answer in time")
    assert floor.incident().status == "parked"
    assert len(floor.runs) == 1
    assert floor.calling == {"inc-1:trading-oncall"}
    assert floor.target().slot is None
    assert "risk.reduce_kelly" in floor.target().last_run, "it may have taken effect, so the cool-down counts"


def test_a_step_without_an_outcome_parks_and_its_late_outcome_is_kept() -> None:
    """A hung dispatcher hides nothing, and what it did is told when it is known."""
    floor = opened()
    (run,) = floor.runs
    floor.declare(run)
    floor.wait(TURN_MS)
    assert floor.incident().status == "parked"
    assert floor.target().slot is None
    assert floor.calling == {"inc-1:trading-oncall"}
    assert "risk.reduce_kelly" in floor.target().last_run, "it may have been sent, so the cool-down counts"

    assert isinstance(floor.report(run, StepSucceeded, "kelly 0.25 -> 0.1"), Applied)
    assert [result.outcome for result in floor.incident().results] == ["unknown", "succeeded"]
    assert floor.incident().status == "parked"
    assert "late outcome: kelly 0.25 -> 0.1" in [message.text for message in floor.asked(PostMessage)]


def test_a_copy_of_an_outcome_changes_nothing() -> None:
    """Two dispatchers may report the same run; it counts once."""
    floor = verifying()
    before = floor.incident()
    assert isinstance(floor.report(floor.runs[0], StepSucceeded, "kelly 0.25 -> 0.1"), Ignored)
    assert floor.incident() == before


def _two_steps(on_failure: str) -> Floor:
    return verifying(plan(step("cut", on_failure=on_failure), step("halt", action="trading.halt", component="router")))


def test_a_failed_verification_goes_on_where_the_policy_says_continue() -> None:
    """The effect did not show within its time, nor in the last look: the next step runs."""
    floor = _two_steps("continue")
    floor.wait(90 * SECOND)
    floor.observe(False)
    assert floor.runs[-1].step.id == "halt"
    assert floor.incident().results[-1].outcome == "unverified"
    assert floor.target().verifying is None


@pytest.mark.parametrize("on_failure", ["stop", "escalate"])
def test_a_failed_verification_parks_where_the_policy_says_stop_or_escalate(on_failure: str) -> None:
    """No further step runs by itself."""
    floor = _two_steps(on_failure)
    floor.wait(90 * SECOND)
    floor.observe(False)
    assert (floor.incident().status, len(floor.runs)) == ("parked", 1)
    assert floor.target().verifying is None
    assert floor.calling == {"inc-1:trading-oncall"}


def test_stop_does_not_page_for_a_lesser_incident() -> None:
    """`stop` is the quiet end; `escalate` is the loud one."""
    floor = Floor()
    floor.fire(alert(severity="warning"), plan(step(on_failure="stop")))
    floor.report(floor.runs[-1], StepNotSent, "connection refused")
    assert (floor.incident().status, floor.open_pages) == ("parked", set())


def test_the_evidence_is_looked_at_every_few_seconds_while_verifying() -> None:
    """One look now, one `every_ms` after each answer, and one all the same when no answer comes."""
    floor = verifying()
    for _ in range(2):
        floor.observe(False, "var 2.0")
        floor.wait(5 * SECOND)
    assert len(floor.asked(ObserveEvidence)) == 3
    floor.wait(5 * SECOND)
    assert len(floor.asked(ObserveEvidence)) == 3
    floor.wait(10 * SECOND)
    assert len(floor.asked(ObserveEvidence)) == 4


def test_a_look_slower_than_the_pause_between_looks_counts() -> None:
    """A slow source is not asked over and over without its answer ever being heard."""
    floor = verifying()
    slow = floor.asked(ObserveEvidence)[-1]
    floor.wait(7 * SECOND)
    floor.observe(True, asked=slow)
    assert floor.incident().status == "mitigated"


def test_a_last_look_counts_after_andon_itself_was_away() -> None:
    """The deadline passed while nobody ran; the effect is there, so it is verified late rather than escalated."""
    floor = verifying()
    floor.wait(90 * SECOND)
    assert floor.incident().status == "verifying"
    floor.observe(True)
    assert floor.incident().status == "mitigated"
    assert floor.open_pages == set()


def test_a_last_look_without_an_answer_is_a_failure() -> None:
    """Evidence that stays silent does not keep an incident verifying for ever."""
    floor = verifying()
    floor.wait(2 * MINUTE)
    assert floor.incident().status == "parked"
    assert "the last look had no answer" in floor.incident().why


def test_an_observation_that_nobody_waits_for_any_more_changes_nothing() -> None:
    """Only the latest look counts, so a slow answer cannot undo a newer one."""
    floor = verifying()
    slow = floor.asked(ObserveEvidence)[-1]
    floor.wait(15 * SECOND)
    assert isinstance(floor.observe(True, asked=slow), Ignored)
    assert floor.incident().status == "verifying"


def test_an_alert_that_still_fires_long_after_the_plan_is_done_calls_a_human() -> None:
    """Verified is not over."""
    floor = mitigated()
    floor.wait(PATIENCE_MS)
    assert (floor.incident().status, floor.calling) == ("parked", {"inc-1:trading-oncall"})


def test_alerts_gone_but_evidence_unhealthy_calls_a_human_and_resolves_later_by_itself() -> None:
    """No news is not good news (law 13): a minute of disagreement pages; health then takes the page back."""
    floor = mitigated(plan(healthy=HEALTHY))
    floor.end(alert())
    for _ in range(RECHECKS_BEFORE_PARKING):
        assert floor.incident().status == "mitigated"
        floor.observe(None, "var is stale")
        floor.wait(RECHECK_MS)
    assert (floor.incident().status, floor.calling) == ("parked", {"inc-1:trading-oncall"})
    floor.observe(True)
    assert (floor.incident().status, floor.open_pages) == ("resolved", set())


def test_guard_retries_do_not_use_up_the_looks_at_health() -> None:
    """However often the guard was looked at before, unhealthy evidence after the alerts' end calls a human in time."""
    floor = opened(plan(healthy=HEALTHY))
    for _ in range(RECHECKS_BEFORE_PARKING + 1):
        floor.report(floor.runs[-1], StepUnneeded, "not yet")
        floor.wait(GUARD_RETRY_MS)
    floor.succeed(floor.runs[-1])
    floor.observe(True)
    floor.end(alert())
    for _ in range(RECHECKS_BEFORE_PARKING):
        assert floor.incident().status == "mitigated"
        floor.observe(False, "var 1.9")
        floor.wait(RECHECK_MS)
    assert floor.incident().status == "parked"
