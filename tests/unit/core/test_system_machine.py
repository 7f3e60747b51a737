"""What is true for all of a system's automation: arming, freeze, the budget and its protective reserve."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core import lifts, system_machine
from bot.core.effects import PageOncall
from bot.core.events import Budget
from bot.core.intents import IntentRecalled, WritesLost, WritesReconciled
from bot.core.orders import PolicyArmed, PolicyDisarmed, TargetFrozen, TargetUnfrozen
from bot.core.record import Applied, Denied, Ignored
from bot.core.requests import CONFIGURATION, MAX_HEARD
from bot.core.target import MAX_RECENT
from bot.core.words import SYSTEM_TARGET
from tests.unit.core.builders import MINUTE, START, Floor, alert, intent_of, opened, plan, step


def _act(floor: Floor, number: int, *, direction: str = "lowers", budget: Budget | None = None) -> object:
    """Open an incident of its own component and declare its intent."""
    made = plan(step(component=f"engine-{number}", direction=direction))
    floor.fire(alert(f"a{number}"), made, to=f"inc-{number}")
    run = floor.runs[-1]
    assert run.incident == f"inc-{number}"
    return floor.declare(run, budget=budget or Budget(limit=3, within_ms=10 * MINUTE, reserve=1))


def _unfreeze(floor: Floor) -> object:
    return floor.tell(
        SYSTEM_TARGET, TargetUnfrozen(id=f"unfreeze/{len(floor.decisions)}", at=floor.now, by="demo-oncall")
    )


def test_disarming_stops_even_what_was_granted_before() -> None:
    """The last question before sending is whether the policy may still act."""
    floor = opened()
    gone = PolicyDisarmed(id="disarm", at=floor.now, by="demo-oncall", policy="var-breach")
    floor.tell(SYSTEM_TARGET, gone)
    refused = floor.declare(floor.runs[0])
    assert isinstance(refused, Denied)
    assert "disarmed" in refused.reason
    assert isinstance(floor.tell(SYSTEM_TARGET, gone), Ignored)


def test_what_a_person_disarmed_only_a_person_arms_again() -> None:
    """A restart reads `armed:` again and must not undo a person's word."""
    floor = Floor()
    floor.tell(SYSTEM_TARGET, PolicyDisarmed(id="disarm", at=floor.now, by="demo-oncall", policy="var-breach"))
    by_file = PolicyArmed(id="arm1", at=floor.now, by=CONFIGURATION, policy="var-breach")
    by_hand = PolicyArmed(id="arm2", at=floor.now, by="demo-pm", policy="var-breach")
    assert isinstance(floor.tell(SYSTEM_TARGET, by_file), Ignored)
    assert isinstance(floor.tell(SYSTEM_TARGET, by_hand), Applied)
    assert isinstance(floor.tell(SYSTEM_TARGET, by_hand), Ignored)
    assert floor.target(SYSTEM_TARGET).disarmed == {}


def test_what_the_configuration_armed_and_lists_no_more_is_disarmed_and_may_be_listed_again() -> None:
    """Taking a line out of `armed:` counts at the next start; it is nobody's word against arming."""
    floor = Floor(armed=())
    by_file = PolicyArmed(id="configuration/p", at=floor.now, by=CONFIGURATION, policy="p")
    gone = PolicyDisarmed(id="configuration/-p", at=floor.now, by=CONFIGURATION, policy="p")
    for _ in range(2):
        assert isinstance(floor.tell(SYSTEM_TARGET, by_file), Applied)
        assert isinstance(floor.tell(SYSTEM_TARGET, gone), Applied)
        assert (floor.target(SYSTEM_TARGET).armed, floor.target(SYSTEM_TARGET).disarmed) == ({}, {})


def test_the_configuration_does_not_disarm_what_a_person_armed() -> None:
    """`andon arm` is not in the file, and outlives a restart."""
    floor = Floor()
    gone = PolicyDisarmed(id="configuration/-", at=floor.now, by=CONFIGURATION, policy="var-breach")
    refused = floor.tell(SYSTEM_TARGET, gone)
    assert isinstance(refused, Ignored)
    assert "armed by demo-oncall" in refused.reason
    assert "var-breach" in floor.target(SYSTEM_TARGET).armed


# --- the same request again --------------------------------------------------------------------------------------


def test_a_copy_of_an_arm_does_not_undo_a_later_disarm() -> None:
    """Nor the other way round; an id counts once, whether it changed something then or not."""
    floor = Floor(armed=())
    arm = PolicyArmed(id="arm", at=floor.now, by="demo-pm", policy="p")
    moot = PolicyArmed(id="moot", at=floor.now, by="demo-oncall", policy="p")
    assert isinstance(floor.tell(SYSTEM_TARGET, arm), Applied)
    assert "changes nothing: armed already" in str(floor.tell(SYSTEM_TARGET, moot))
    floor.tell(SYSTEM_TARGET, PolicyDisarmed(id="disarm", at=floor.now, by="demo-oncall", policy="p"))
    for copy in (arm, moot):
        assert isinstance(floor.tell(SYSTEM_TARGET, copy), Ignored)
    assert floor.target(SYSTEM_TARGET).armed == {}


@pytest.mark.parametrize("where", [SYSTEM_TARGET, "target:risk-engine"])
def test_a_copy_of_an_unfreeze_does_not_lift_a_newer_freeze(where: str) -> None:
    """Somebody else froze for a reason that the copy knows nothing of."""
    floor = Floor()
    moot = TargetUnfrozen(id="moot", at=floor.now, by="demo-oncall")
    lift = TargetUnfrozen(id="lift", at=floor.now, by="demo-oncall")
    floor.tell(where, moot)
    floor.freeze(where)
    floor.tell(where, lift)
    assert floor.target(where).freeze is None
    floor.tell(where, TargetFrozen(id="newer", at=floor.now, by="demo-pm", reason="incident"))
    for copy in (moot, lift):
        assert isinstance(floor.tell(where, copy), Ignored)
    assert floor.target(where).freeze is not None


@pytest.mark.parametrize("where", [SYSTEM_TARGET, "target:risk-engine"])
def test_an_unfreeze_lifts_nothing_that_whoever_says_so_has_not_seen(where: str) -> None:
    """Somebody froze it for another reason between their look and their click; once they have seen it, they may."""
    floor = Floor()
    floor.freeze(where)
    seen = lifts.marks(floor.target(where))
    floor.wait(MINUTE)
    floor.tell(where, TargetFrozen(id="newer", at=floor.now, by="demo-pm", reason="the exchange is down"))
    lift = TargetUnfrozen(id="lift", at=floor.now, by="demo-oncall", seen=seen)
    refused = floor.tell(where, lift)
    assert refused == Denied(f"{lifts.UNSEEN}: frozen by demo-pm: the exchange is down")
    assert floor.target(where).freeze is not None
    again = replace(lift, seen=(*lifts.marks(floor.target(where)), "of another target"))
    assert isinstance(floor.tell(where, again), Applied)
    assert floor.target(where).freeze is None


def test_an_unfreeze_ends_no_doubt_and_no_spent_budget_that_was_not_seen() -> None:
    """Each of them stops automation for a reason of its own; one that ended by itself meanwhile does not matter."""
    floor = Floor()
    floor.freeze()
    frozen = lifts.marks(floor.target(SYSTEM_TARGET))
    floor.tell(SYSTEM_TARGET, WritesLost(id="lost", at=floor.now, by="andon-1", why="the store has forgotten"))
    both = lifts.marks(floor.target(SYSTEM_TARGET))
    unseen = floor.tell(SYSTEM_TARGET, TargetUnfrozen(id="u1", at=floor.now, by="demo-oncall", seen=frozen))
    assert unseen == Denied(f"{lifts.UNSEEN}: andon-1 found that the store has forgotten")
    floor.tell(SYSTEM_TARGET, WritesReconciled(id="ended", at=floor.now, by="andon-1", why="nothing was missing"))
    lift = TargetUnfrozen(id="u2", at=floor.now, by="demo-oncall", seen=both)
    assert isinstance(floor.tell(SYSTEM_TARGET, lift), Applied)

    for number in (1, 2, 3):
        _act(floor, number, direction="neutral")
    assert system_machine.state_of(floor.target(SYSTEM_TARGET)) == "tripped"
    unseen = floor.tell(SYSTEM_TARGET, TargetUnfrozen(id="u3", at=floor.now, by="demo-oncall", seen=both))
    assert unseen == Denied(f"{lifts.UNSEEN}: its budget of automatic actions is used up")
    spent = lifts.marks(floor.target(SYSTEM_TARGET))
    lift = TargetUnfrozen(id="u4", at=floor.now, by="demo-oncall", seen=spent)
    assert isinstance(floor.tell(SYSTEM_TARGET, lift), Applied)


def test_requests_are_remembered_within_a_bound() -> None:
    """The record does not grow with its history."""
    floor = Floor()
    for number in range(MAX_HEARD + 10):
        floor.tell(SYSTEM_TARGET, TargetUnfrozen(id=f"u{number}", at=floor.now, by="demo-oncall"))
    heard = floor.target(SYSTEM_TARGET).heard
    assert (len(heard), heard[-1]) == (MAX_HEARD, f"u{MAX_HEARD + 9}")


# --- freezes and the budget --------------------------------------------------------------------------------------


def test_a_freeze_stops_even_what_was_granted_before_and_lifting_it_starts_nothing() -> None:
    """Between grant and send a freeze still counts."""
    floor = opened()
    floor.freeze()
    assert isinstance(floor.declare(floor.runs[0]), Denied)
    _unfreeze(floor)
    assert len(floor.runs) == 1


@pytest.mark.parametrize(
    ("where", "page"),
    [(SYSTEM_TARGET, "trading-core:freeze:{}"), ("target:risk-engine", "trading-core:risk-engine:freeze:{}")],
)
def test_a_freeze_past_its_time_is_not_lifted_but_asked_about_and_the_page_is_taken_back(where: str, page: str) -> None:
    """No timer lifts a freeze, of the system or of a component; a forgotten one is a page, until a person unfreezes."""
    floor = Floor()
    floor.tell(where, TargetFrozen(id="f", at=START, by="demo-oncall", reason="deploy", until=START + MINUTE))
    floor.wait(MINUTE)
    assert floor.target(where).freeze is not None
    assert floor.open_pages == {page.format(START)}
    floor.tell(where, TargetFrozen(id="f2", at=START, by="demo-oncall", reason="deploy", until=floor.now + MINUTE))
    assert floor.open_pages == set()
    floor.wait(MINUTE)
    assert floor.open_pages == {page.format(START + MINUTE)}, "the next freeze has a page of its own"
    floor.tell(where, TargetUnfrozen(id="u", at=floor.now, by="demo-oncall"))
    assert (floor.open_pages, floor.target(where).timers) == (set(), {})


def test_the_budget_trips_automation_to_suggest_and_keeps_a_reserve_for_protection() -> None:
    """Two of three may be anything, the third only lowers exposure; the trip pages once and a person lifts it."""
    floor = Floor()
    assert isinstance(_act(floor, 1, direction="neutral"), Applied)
    assert isinstance(_act(floor, 2, direction="neutral"), Applied)
    assert isinstance(_act(floor, 3, direction="neutral"), Denied)
    assert system_machine.state_of(floor.target(SYSTEM_TARGET)) == "tripped"
    assert floor.open_pages == {f"trading-core:automation-tripped:{START}"}

    floor.fire(alert("n"), plan(step(component="other", direction="neutral")), to="inc-n")
    assert (floor.runs[-1].incident, floor.runs[-1].disposition) == ("inc-n", "suggest")
    assert isinstance(_act(floor, 4), Applied), "the reserve"
    assert isinstance(_act(floor, 5), Denied), "the reserve is spent too"
    trips = [page for page in floor.asked(PageOncall) if ":automation-tripped:" in page.dedup_key]
    assert len(trips) == 1

    assert isinstance(_unfreeze(floor), Applied)
    assert not any("automation-tripped" in key for key in floor.open_pages)
    assert isinstance(_act(floor, 6, direction="neutral"), Applied)


def test_the_budget_is_a_sliding_window() -> None:
    """What is older than the window counts no more."""
    floor = Floor()
    for number in range(3):
        assert isinstance(_act(floor, number), Applied)
    floor.now += 10 * MINUTE
    assert isinstance(_act(floor, 4), Applied)
    assert len(floor.target(SYSTEM_TARGET).recent) == 1


def test_a_retry_of_an_intent_is_charged_once() -> None:
    """Attempts of one promise are one action."""
    floor = opened()
    (run,) = floor.runs
    for attempt in (1, 2, 3):
        assert isinstance(floor.declare(run, attempt=attempt), Applied)
    assert len(floor.target(SYSTEM_TARGET).recent) == 1


def test_a_promise_given_by_two_workers_is_charged_once() -> None:
    """One slept until another had taken its place: the component refuses it, and the budget does not count it."""
    floor = opened()
    (run,) = floor.runs
    assert isinstance(floor.declare(run), Applied)
    assert isinstance(floor.declare(run), Denied)
    assert len(floor.target(SYSTEM_TARGET).recent) == 1


def test_a_promise_that_was_never_charged_is_charged_when_it_is_taken_up_again() -> None:
    """Its worker died with it in the journal alone: its second attempt is the first that the budget hears of."""
    budget = Budget(limit=2, within_ms=10 * MINUTE, reserve=0)
    floor = Floor()
    floor.fire(alert("lost"), plan(step(component="engine-lost")), to="inc-lost")
    lost = floor.runs[-1]
    told = intent_of(lost, floor.now, budget=budget)
    recalled = IntentRecalled(id="recalled", at=floor.now, by="r1", intent=told, outcome="open")
    assert isinstance(floor.tell(SYSTEM_TARGET, recalled), Applied)
    assert isinstance(_act(floor, 1, budget=budget), Applied)
    assert isinstance(floor.declare(lost, attempt=2, budget=budget), Applied)
    assert isinstance(floor.declare(lost, attempt=3, budget=budget), Applied), "charged once"
    assert len(floor.target(SYSTEM_TARGET).recent) == 2
    assert isinstance(_act(floor, 2, budget=budget), Denied), "it took the second of two"


def test_a_promise_that_the_budget_refused_is_refused_again_when_it_is_taken_up() -> None:
    """Its worker died before it heard the refusal, and its journal remembers the promise."""
    budget = Budget(limit=1, within_ms=10 * MINUTE, reserve=0)
    floor = Floor()
    assert isinstance(_act(floor, 1, budget=budget), Applied)
    assert isinstance(_act(floor, 2, budget=budget), Denied)
    refused = floor.runs[-1]
    told = intent_of(refused, floor.now, budget=budget)
    floor.tell(SYSTEM_TARGET, IntentRecalled(id="recalled", at=floor.now, by="r1", intent=told, outcome="open"))
    assert isinstance(floor.declare(refused, attempt=2, budget=budget), Denied)


def test_no_budget_is_larger_than_what_is_remembered() -> None:
    """A limit beyond the record's bound must not mean no limit."""
    floor = opened()
    huge = Budget(limit=10 * MAX_RECENT, within_ms=10 * MINUTE, reserve=0)
    promised = intent_of(floor.runs[0], floor.now, budget=huge)
    for number in range(MAX_RECENT):
        intent = replace(promised, id=f"int-{number}/1", intent=f"int-{number}")
        assert isinstance(floor.tell(SYSTEM_TARGET, intent), Applied | Denied), number
    assert len(floor.target(SYSTEM_TARGET).recent) == MAX_RECENT
    floor.tell(SYSTEM_TARGET, promised)
    assert system_machine.state_of(floor.target(SYSTEM_TARGET)) == "tripped"


@pytest.mark.parametrize("armed", [(), ("var-breach",)])
def test_a_step_without_a_target_asks_the_system_alone(armed: tuple[str, ...]) -> None:
    """It holds no slot, but arming, freeze and budget count for it too."""
    floor = opened(plan(step(component="")), armed=armed)
    assert [run.disposition for run in floor.runs] == ["act" if armed else "shadow"]
    assert isinstance(floor.declare(floor.runs[0]), Applied if armed else Denied)
