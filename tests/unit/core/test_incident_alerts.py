"""Alerts in every order: copies, stale ones, flapping, groups, floods. None is lost, none acts twice in an episode."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from bot.core.effects import PageOncall, ResolvePage
from bot.core.events import ApprovalNeeded, MessageDelivered, StepUnneeded
from bot.core.incident_end import RECHECK_MS
from bot.core.incident_moves import GUARD_RETRY_MS, PATIENCE_MS
from bot.core.orders import OperatorResolved
from bot.core.plan import Page
from bot.core.record import Applied, Denied, Ignored
from tests.unit.core.builders import (
    HEALTHY,
    MINUTE,
    SECOND,
    START,
    Floor,
    alert,
    ended,
    fired,
    mitigated,
    opened,
    parked,
    plan,
    rung,
)


def _resolved(made: object = None) -> Floor:
    floor = mitigated(made)  # type: ignore[arg-type]
    floor.end(alert())
    assert floor.incident().status == "resolved"
    return floor


def _force(floor: Floor) -> object:
    return floor.tell("inc-1", OperatorResolved(id="resolve", at=floor.now, by="demo-oncall", force=True))


# --- copies, stale ones, order -----------------------------------------------------------------------------------


def test_a_copy_of_a_firing_changes_nothing() -> None:
    """Alertmanager repeats itself; an incident acts once."""
    floor = opened()
    before = floor.incident()
    assert isinstance(floor.fire(alert(), plan()), Ignored)
    assert floor.incident() == before
    assert len(floor.runs) == 1


def test_a_stale_firing_and_a_stale_end_change_nothing() -> None:
    """A firing older than the one known is over; its end says nothing about the newer one."""
    floor = opened()
    newer = alert(starts=START + MINUTE)
    floor.fire(newer)
    assert isinstance(floor.fire(alert()), Ignored)
    assert isinstance(floor.end(alert()), Ignored)
    assert floor.incident().firing == (newer,)


@pytest.mark.parametrize("teller", ["andon", "watch:prometheus", "schedule:eod", "stream:gate"])
def test_only_who_told_that_it_fires_can_end_it(teller: str) -> None:
    """A webhook with somebody else's fingerprint ends nothing; what Andon raised itself it cannot take over either."""
    floor = Floor()
    own = replace(alert(), source=teller)
    floor.fire(own, plan())
    floor.fire(alert())
    assert isinstance(floor.end(alert()), Ignored)
    if own.own:
        assert isinstance(floor.fire(alert(starts=START + MINUTE)), Ignored)
        floor.end(alert(starts=START + MINUTE))
    assert floor.incident().firing == (own,)
    floor.end(own)
    assert floor.incident().firing == ()


def test_the_end_of_an_alert_never_seen_changes_nothing() -> None:
    """It opens nothing and resolves nothing."""
    floor = opened()
    assert isinstance(floor.end(alert("unknown")), Ignored)
    assert isinstance(floor.end(alert(), to="inc-none"), Ignored)
    assert floor.incident("inc-none").episode == 0


def test_an_end_that_overtakes_its_firing_is_not_trusted_over_the_firing() -> None:
    """Taken as firing (never dropped): evidence, not the order of messages, decides that it is over."""
    floor = mitigated()
    late = alert("b")
    assert isinstance(floor.end(late), Ignored)
    floor.fire(late)
    floor.end(alert())
    assert floor.incident().status == "mitigated"
    floor.end(late)
    assert floor.incident().status == "resolved"


def test_the_same_firing_again_after_its_end_is_taken_as_firing_and_does_not_act_again() -> None:
    """Inside the hold it joins the episode; the plan is not run twice for one episode."""
    floor = _resolved()
    floor.fire(alert())
    assert (floor.incident().status, floor.incident().episode, len(floor.runs)) == ("mitigated", 1, 1)


COPIES = [fired(alert(), plan()), ended(alert()), fired(alert(), plan()), ended(alert())]


@pytest.mark.parametrize("order", sorted(set(itertools.permutations(range(4)))))
def test_copies_from_two_alertmanagers_in_any_order_act_once_and_lose_nothing(order: tuple[int, ...]) -> None:
    """Each of the two sends the firing and its end; whatever arrives first, there is one run and no silent loss."""
    floor = Floor()
    for index in order:
        floor.tell("inc-1", COPIES[index])
    assert len(floor.runs) == 1
    floor.succeed(floor.runs[0])
    floor.observe(True)
    incident = floor.incident()
    last_is_the_end = COPIES[order[-1]].kind == "alert_resolved"
    assert incident.status == ("resolved" if last_is_the_end else "mitigated")
    assert bool(incident.firing) is not last_is_the_end


# --- flapping ----------------------------------------------------------------------------------------------------


def test_flapping_inside_the_hold_stays_one_episode_and_calls_a_human_if_it_goes_on() -> None:
    """One run, one episode, however often it comes and goes."""
    floor = _resolved()
    for flap in range(1, 6):
        floor.wait(10 * SECOND)
        again = alert(starts=START + flap * MINUTE)
        floor.fire(again)
        assert floor.incident().status == "mitigated"
        floor.end(again)
        assert floor.incident().status == "resolved"
    floor.fire(alert(starts=START + 10 * MINUTE))
    floor.wait(PATIENCE_MS)
    assert (floor.incident().status, floor.incident().episode, len(floor.runs)) == ("parked", 1, 1)
    assert floor.calling == {"inc-1:trading-oncall"}


def test_a_relapse_of_an_incident_that_never_was_mitigated_parks_at_once() -> None:
    """The plan had its chance in this episode; a human looks."""
    floor = parked()
    floor.end(alert())
    assert floor.open_pages == set()
    floor.fire(alert(starts=START + MINUTE))
    assert (floor.incident().status, len(floor.runs), floor.calling) == ("parked", 1, {"inc-1:trading-oncall"})


def test_firing_again_after_the_hold_begins_a_numbered_episode_that_acts_anew() -> None:
    """A new episode: plan from its first step, fresh ladder, a higher fence, the old results kept."""
    floor = _resolved()
    floor.wait(plan().hold_ms)
    floor.fire(alert(starts=START + 5 * MINUTE), plan())
    incident = floor.incident()
    assert (incident.status, incident.episode, incident.cursor, incident.mitigated_at) == ("acting", 2, 0, None)
    first, second = floor.runs
    assert (first.episode, second.episode) == (1, 2)
    assert second.fence > first.fence
    assert second.id != first.id
    assert [result.episode for result in incident.results] == [1, 1]


def test_the_clock_decides_when_the_hold_is_over_not_the_arrival_of_its_timer() -> None:
    """After an outage of Andon itself the alert may be read before the overdue timer."""
    floor = _resolved()
    floor.now += plan().hold_ms
    floor.fire(alert(starts=START + 5 * MINUTE), plan())
    assert (floor.incident().episode, len(floor.runs)) == (2, 2)


def test_the_ladder_goes_on_after_a_relapse_inside_the_hold() -> None:
    """Resolving stops the ladder; the same episode's relapse takes it up where it was."""
    floor = parked(plan(ladder=(rung(MINUTE, "pm"), rung(5 * MINUTE, "cro"))))
    floor.wait(90 * SECOND)
    floor.end(alert())
    floor.wait(30 * SECOND)
    floor.fire(alert(starts=START + 2 * MINUTE))
    floor.wait(4 * MINUTE)
    assert [page.service for page in floor.asked(PageOncall)] == ["trading-oncall", "pm", "trading-oncall", "cro"]


def test_a_closed_incident_is_never_opened_again() -> None:
    """A new incident with a new id opens instead; the engine asks for it."""
    floor = _resolved()
    floor.wait(plan().close_ms)
    before = floor.incident()
    assert before.status == "closed"
    assert isinstance(floor.fire(alert(starts=START + 60 * MINUTE), plan()), Ignored)
    assert floor.incident() == before


# --- evidence of health against an alert that fires anew --------------------------------------------------------


def test_evidence_of_health_does_not_resolve_an_incident_whose_alert_fires_again() -> None:
    """The answer was asked for while nothing fired; by the time it comes, something does."""
    floor = mitigated(plan(healthy=HEALTHY))
    floor.end(alert())
    floor.fire(alert(starts=START + MINUTE))
    floor.observe(True)
    assert floor.incident().status == "mitigated"
    assert floor.incident().firing


def test_firing_again_while_mitigated_is_watched_again() -> None:
    """Patience may have been spent while nothing fired; without a new timer nobody would ever look."""
    floor = mitigated(plan(healthy=HEALTHY))
    floor.end(alert())
    for _ in range(3):
        floor.observe(None, "var is stale")
        floor.wait(RECHECK_MS)
    floor.now += PATIENCE_MS  # the sweeper was away
    floor.wait(0)
    assert "patience" not in floor.incident().timers
    assert floor.incident().status == "mitigated"
    floor.fire(alert(starts=START + 10 * MINUTE))
    assert "patience" in floor.incident().timers
    floor.wait(PATIENCE_MS)
    assert (floor.incident().status, floor.calling) == ("parked", {"inc-1:trading-oncall"})


def test_looks_at_health_stop_when_the_plan_goes_on() -> None:
    """While a guard is tried again the alert may end; once a step runs, only the plan's own observations count."""
    floor = opened(plan(healthy=HEALTHY))
    floor.report(floor.runs[-1], StepUnneeded, "not yet")
    floor.end(alert())
    assert "resolve:again" in floor.incident().timers
    floor.wait(GUARD_RETRY_MS)
    assert floor.incident().status == "acting"
    assert set(floor.incident().timers) == {"turn"}


def test_an_alert_that_ended_before_a_decision_was_asked_for_does_not_wait_for_one() -> None:
    """Nobody has to decide about a problem that is over."""
    floor = opened()
    floor.end(alert())
    floor.report(floor.runs[-1], ApprovalNeeded, "risky")
    assert (floor.incident().status, floor.open_pages) == ("resolved", set())


# --- dismissed by a person ---------------------------------------------------------------------------------------


def test_alerts_dismissed_by_force_stay_dismissed_until_they_fire_anew() -> None:
    """A repeat of the same firing does not undo a person's decision; a new firing does."""
    floor = parked()
    assert isinstance(_force(floor), Applied)
    assert isinstance(floor.fire(alert()), Ignored)
    assert floor.incident().status == "resolved"
    floor.fire(alert(starts=START + MINUTE))
    assert floor.incident().status == "parked"


def test_a_dismissed_alert_that_ends_is_no_news() -> None:
    """Its end changes nothing, and its repeat stays dismissed."""
    floor = parked()
    _force(floor)
    floor.end(alert())
    assert floor.incident().status == "resolved"
    assert isinstance(floor.fire(alert()), Ignored)


def test_the_end_of_a_newer_firing_does_not_inherit_an_older_dismissal() -> None:
    """The newer firing was dismissed by nobody, so when it is told (again) it counts."""
    floor = parked()
    _force(floor)
    newer = alert(starts=START + MINUTE)
    floor.end(newer)
    floor.fire(newer)
    assert (floor.incident().status, floor.incident().firing) == ("parked", (newer,))


def test_without_force_what_fires_keeps_the_incident_open() -> None:
    """A tired person must say it twice."""
    floor = parked()
    denied = floor.tell("inc-1", OperatorResolved(id="resolve", at=floor.now, by="demo-oncall"))
    assert isinstance(denied, Denied)
    assert "--force" in denied.reason


# --- opening -----------------------------------------------------------------------------------------------------


def test_without_a_plan_nothing_opens() -> None:
    """And nothing is remembered either, so the same alert with a plan opens."""
    floor = Floor()
    assert isinstance(floor.fire(alert()), Ignored)
    assert floor.incident().alerts == {}
    floor.fire(alert(), plan())
    assert floor.incident().status == "acting"


def test_a_catch_all_relapses_and_reopens_like_any_other() -> None:
    """A plan without steps has no step to fail on."""
    catch_all = plan(steps=(), page_on_open=Page(service="desk", severity="critical"))
    floor = opened(catch_all)
    floor.end(alert())
    assert floor.incident().status == "resolved"
    floor.fire(alert(starts=START + MINUTE))
    assert floor.incident().status == "parked"
    floor.end(alert(starts=START + MINUTE))
    floor.wait(plan().hold_ms)
    floor.fire(alert(starts=START + 9 * MINUTE))
    assert (floor.incident().status, floor.incident().episode) == ("parked", 2)
    assert floor.calling == {"inc-1:desk"}


# --- pages -------------------------------------------------------------------------------------------------------


def _taken(floor: Floor, page: PageOncall) -> None:
    """The pager takes a page, and the incident hears of it."""
    floor.outbox.append(page)
    took = MessageDelivered(
        id=f"{page.id}/delivered", at=floor.now, channel="pager", reference="r", page=page.dedup_key,
        service=page.service,
    )  # fmt: skip
    floor.tell("inc-1", took)


def test_a_page_that_goes_out_when_it_was_taken_back_is_taken_back_again() -> None:
    """Whoever had it in hand died after it was sent; another replica took it back; then it was sent once more."""
    floor = parked()
    (page,) = floor.asked(PageOncall)
    _taken(floor, page)
    assert floor.open_pages == {page.dedup_key}
    floor.end(alert())
    assert floor.open_pages == set()
    _taken(floor, page)
    assert floor.open_pages == set()
    assert floor.asked(ResolvePage)[-1].service == page.service
    floor.wait(plan().close_ms)
    assert floor.incident().status == "closed"
    _taken(floor, page)
    assert floor.open_pages == set()


def test_what_automation_pages_about_itself_is_not_the_incidents_to_take_back() -> None:
    """A spent budget is told with the incident that met it, and ends with the budget, not with the incident."""
    floor = parked()
    (page,) = floor.asked(PageOncall)
    tripped = replace(page, dedup_key="trading-core:automation-tripped:1")
    _taken(floor, tripped)
    assert tripped.dedup_key in floor.open_pages
