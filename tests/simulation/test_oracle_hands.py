"""The judge of the simulation on hands on, fed bad ledgers: what may still be sent after a take, and what may not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.words import Millis
from tests.simulation.facts import Facts, Line
from tests.simulation.people import Deed
from tests.simulation.small_ledgers import GOOD, ONE, laws, line

TOLD: Millis = 1_500  # half a second before the hedge left


def taken(**more: object) -> Deed:
    """ "I have it", applied."""
    deed = Deed(at=TOLD - 10, person="demo-oncall", verb="take", id="op/take", to="inc-1", answer="applied")
    deed.answered_at = TOLD
    for field, value in more.items():
        setattr(deed, field, value)
    return deed


def hedged(deed: Deed, *before: Line, episode: int = 1, declared: Millis = 1_990, **more: object) -> Facts:
    """The good run's hedge, in this episode of the incident, and a hand on it; `before` stands in its chain earlier."""
    lines = tuple(
        line("intent_declared", "target:x", intent=ONE.key, action="", approval="", ordered=False, incident="inc-1",
             episode=episode) if each.event.get("intent") == ONE.key and each.kind == "intent_declared" else each
        for each in GOOD.lines
    )  # fmt: skip
    return replace(
        GOOD, lines=(*before, line("operator_took", id=deed.id), *lines), deeds=(*GOOD.deeds, deed),
        journalled={(ONE.replica, ONE.key): (declared,)}, **more,
    )  # type: ignore[arg-type]  # fmt: skip  # the fields are Facts' own


def test_what_is_declared_after_a_take_is_acted_beside_a_hand() -> None:
    """Told that it is theirs, and half a second later Andon promises and sends."""
    assert laws(hedged(taken())) == {"a hand is heeded"}


def test_what_was_declared_before_may_still_leave() -> None:
    """It was under way; also when another replica sends it again later."""
    assert laws(hedged(taken(), declared=TOLD - 1)) == set()
    again = hedged(taken())
    assert laws(replace(again, journalled={**again.journalled, ("r2", ONE.key): (TOLD - 1,)})) == set()


@pytest.mark.parametrize(
    "change", [{"answer": "denied"}, {"answer": "no answer"}, {"verb": "ack"}, {"to": "inc-2"}, {"verb": "hold"}]
)
def test_only_a_take_that_was_heard_counts_and_only_there(change: dict[str, object]) -> None:
    """An ack stops pages and nothing else; what was refused or not heard holds nobody back."""
    assert laws(hedged(taken(**change))) == set()


def test_a_relapse_is_nobodys_any_more() -> None:
    """A take holds for the episode it was made in, whichever that is."""
    assert laws(hedged(taken(), episode=2)) == set()
    earlier = line("step_unneeded", "inc-1", episode=2, intent="int-0")
    assert laws(hedged(taken(), earlier, episode=2)) == {"a hand is heeded"}


def test_a_take_that_the_store_forgot_holds_nobody_back() -> None:
    """What people said is not in the journal (see docs/reliability.md)."""
    assert "a hand is heeded" not in laws(hedged(taken(), forgotten=(1_700,)))
