"""When the store has forgotten what it acknowledged: nothing is declared, a journal remembers, and it goes on."""

from __future__ import annotations

from dataclasses import replace

from bot.core.effects import PageOncall
from bot.core.events import IntentDeclared
from bot.core.intents import IntentRecalled, WritesLost, WritesReconciled
from bot.core.orders import TargetUnfrozen
from bot.core.record import Applied, Denied, Ignored
from bot.core.system_machine import state_of
from bot.core.target import MAX_RECALLED, RECALLED_MS
from bot.core.words import SYSTEM_TARGET, target_id
from tests.unit.core.builders import Floor, alert, intent_of, opened, plan

ENGINE = target_id("risk-engine")


def lost(floor: Floor, replica: str = "r1") -> object:
    return floor.tell(SYSTEM_TARGET, WritesLost(id=f"l-{replica}", at=floor.now, by=replica, why="the store forgot"))


def back(floor: Floor, replica: str = "r1") -> object:
    return floor.tell(
        SYSTEM_TARGET, WritesReconciled(id=f"b-{replica}", at=floor.now, by=replica, why="nothing was missing")
    )


def recalled(intent: IntentDeclared, outcome: str = "open") -> IntentRecalled:
    return IntentRecalled(id="c", at=intent.at, by="r1", intent=intent, outcome=outcome)  # type: ignore[arg-type]


def test_nothing_is_declared_while_a_replica_is_in_doubt() -> None:
    """Even what was granted before: the last question before sending is whether the store can be believed."""
    floor = opened()
    lost(floor)
    refused = floor.declare(floor.runs[0])
    assert isinstance(refused, Denied)
    assert "the store forgot" in refused.reason
    assert floor.asked(PageOncall)[-1].severity == "critical"


def test_it_goes_on_only_when_every_replica_in_doubt_has_compared() -> None:
    """Two replicas found losses; one journal is not enough."""
    floor = opened()
    lost(floor, "r1")
    lost(floor, "r2")
    back(floor, "r1")
    assert isinstance(floor.declare(floor.runs[0]), Denied)
    back(floor, "r2")
    assert isinstance(floor.declare(floor.runs[0]), Applied)


def test_a_person_may_say_that_it_goes_on() -> None:
    """The replica that was in doubt may never come back."""
    floor = opened()
    lost(floor)
    floor.tell(SYSTEM_TARGET, TargetUnfrozen(id="u", at=floor.now, by="demo-oncall"))
    assert state_of(floor.target(SYSTEM_TARGET)) == "active"
    assert isinstance(back(floor), Ignored)


def test_an_intent_that_only_a_journal_remembers_is_kept_and_counts_for_the_cool_down() -> None:
    """Whoever runs its step again finds it among what was recalled."""
    floor = opened()
    intent = replace(intent_of(floor.runs[0], floor.now), intent="forgotten")
    floor.tell(SYSTEM_TARGET, recalled(intent, "done"))
    assert intent in floor.target(ENGINE).recalled
    assert floor.target(ENGINE).last_run[intent.action] == intent.at


def test_an_intent_that_was_not_sent_starts_no_cool_down() -> None:
    """Nothing happened, so nothing has to settle."""
    floor = opened()
    floor.tell(SYSTEM_TARGET, recalled(replace(intent_of(floor.runs[0], floor.now), intent="forgotten"), "not_sent"))
    assert floor.target(ENGINE).last_run == {}


def test_an_intent_that_the_store_knows_is_not_kept_twice() -> None:
    """A journal read again tells nothing new."""
    floor = opened()
    floor.declare(floor.runs[0])
    before = floor.target(ENGINE)
    floor.tell(SYSTEM_TARGET, recalled(intent_of(floor.runs[0], floor.now)))
    assert floor.target(ENGINE) == before


def test_a_later_attempt_replaces_the_one_that_is_known() -> None:
    """The store kept the first attempt and forgot the second: the second decides what may still be sent."""
    floor = opened()
    floor.declare(floor.runs[0])
    second = replace(intent_of(floor.runs[0], floor.now), attempt=2)
    floor.tell(SYSTEM_TARGET, recalled(second))
    assert second in floor.target(ENGINE).recalled


def test_an_approval_that_a_forgotten_intent_used_up_stays_used_up() -> None:
    """Else a failover would make one yes good for two requests."""
    floor = opened()
    intent = replace(intent_of(floor.runs[0], floor.now), intent="forgotten", approval="dec-1")
    floor.tell(SYSTEM_TARGET, recalled(intent))
    assert "dec-1" in floor.target(SYSTEM_TARGET).spent


def test_a_request_for_a_turn_is_denied_in_words_while_in_doubt() -> None:
    """The incident says why it does not act, and a person is called."""
    floor = Floor()
    lost(floor)
    floor.fire(alert(), plan())
    assert floor.incident().status == "parked"
    assert "the store forgot" in floor.incident().why


def test_whoever_was_at_work_lately_is_waited_for() -> None:
    """One replica found it; another's journal may know of an action that the first would run again."""
    floor = opened()
    event = WritesLost(id="l", at=floor.now, by="r1", why="the store forgot", others=("r2",))
    floor.tell(SYSTEM_TARGET, event)
    back(floor, "r1")
    assert isinstance(floor.declare(floor.runs[0]), Denied)
    lost(floor, "r2")  # it learns that it is waited for, and compares as if it had found it
    back(floor, "r2")
    assert isinstance(floor.declare(floor.runs[0]), Applied)


def test_a_loss_that_is_told_again_changes_nothing_and_pages_nobody() -> None:
    """A journal that cannot be read is tried again and again."""
    floor = opened()
    lost(floor)
    pages = len(floor.asked(PageOncall))
    assert isinstance(lost(floor), Ignored)
    assert len(floor.asked(PageOncall)) == pages


def test_a_recalled_fence_is_not_given_again() -> None:
    """A target that compares fences would refuse the next turn, or take it for the one before."""
    floor = opened()
    floor.tell(SYSTEM_TARGET, recalled(replace(intent_of(floor.runs[0], floor.now), intent="forgotten", fence=7)))
    assert floor.target(ENGINE).fence == 7


def test_more_than_can_be_kept_freezes_the_component() -> None:
    """What falls off the end would count as never done: people look before anything goes on."""
    floor = opened()
    first = intent_of(floor.runs[0], floor.now)
    for number in range(MAX_RECALLED + 1):
        floor.tell(SYSTEM_TARGET, recalled(replace(first, intent=f"i{number}", incident=f"inc-{number}")))
    frozen = floor.target(ENGINE)
    assert frozen.freeze is not None
    assert "has forgotten more than" in frozen.freeze.reason
    assert len(frozen.recalled) == MAX_RECALLED


def test_what_was_recalled_is_kept_for_three_days() -> None:
    """No step runs longer; after that it only makes the record large."""
    floor = opened()
    floor.tell(SYSTEM_TARGET, recalled(replace(intent_of(floor.runs[0], floor.now), intent="forgotten")))
    floor.now += 3 * RECALLED_MS + 1
    floor.freeze(ENGINE)
    assert floor.target(ENGINE).recalled == ()
