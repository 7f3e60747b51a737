"""The judge of the simulation on approvals: what is no yes, however it looks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.simulation.components import Arrival
from tests.simulation.people import Deed
from tests.simulation.small_ledgers import (
    FLATTEN,
    GOOD,
    H1,
    HALT,
    K1,
    KICK,
    KICKED,
    ONE,
    behind,
    fired,
    known,
    laws,
    send,
    vote,
    with_sends,
)


def approved_by(*deeds: Deed, **more: Any) -> set[str]:
    """The good run with other people's deeds than its own."""
    return laws(replace(GOOD, deeds=deeds, **more))


def test_nobody_said_yes() -> None:
    """A risky request that nobody was asked about."""
    assert approved_by() == {"approved where due"}


def test_a_yes_after_the_fact_is_none() -> None:
    """The click came when it had been sent."""
    assert approved_by(vote("demo-oncall", KICK, 9_500)) == {"approved where due"}


def test_a_yes_to_something_else_is_none() -> None:
    """They said yes to another batch."""
    assert approved_by(vote("demo-oncall", KICK, 5_000, "k9")) == {"approved where due"}


def test_a_yes_that_came_too_late_is_none() -> None:
    """The question had run out at the click."""
    assert approved_by(vote("demo-oncall", KICK, 5_000, expires=4_000)) == {"approved where due"}


def test_a_yes_of_somebody_who_might_not_decide_is_none() -> None:
    """A viewer's click."""
    assert approved_by(vote("demo-viewer", KICK, 5_000)) == {"approved where due"}


def test_a_yes_of_somebody_who_has_left_is_none() -> None:
    """They had been taken out of people.yaml long before it was sent; the same click counts while they are there."""
    late = replace(KICKED, sent_at=40_000, at=40_001)
    lines = (known(H1), known(K1), *behind(ONE, late))
    run = replace(GOOD, arrivals=(ONE, late), lines=lines, deeds=(vote("demo-approver", KICK, 5_000),))
    assert laws(run) == set()
    assert laws(replace(run, adopted=((10_000, "", "left"),))) == {"approved where due"}


def test_a_yes_of_whoever_fired_it_is_none() -> None:
    """The alert was injected by the one who approves."""
    assert approved_by(vote("demo-oncall", KICK, 5_000), firings=(H1, fired("StuckGate", "k1", by="demo-oncall"))) == {
        "approved where due"
    }


def test_a_no_beats_a_yes() -> None:
    """Somebody said no, was heard, and then it was sent."""
    no = vote("demo-second", KICK, 6_000, verb="deny")
    assert approved_by(vote("demo-oncall", KICK, 5_000), no) == {"approved where due"}


def test_one_question_covers_one_intent() -> None:
    """A second kick of the same batch, and only one question was answered."""
    anew = fired("StuckGate", "k1", at=19_000)
    more = with_sends(send(KICK, "int-7", 20_000, "k1"), firings=(*GOOD.firings, anew))
    more = replace(more, lines=(*more.lines, known(anew)))
    assert laws(more) == {"approved where due"}
    second = vote("demo-oncall", KICK, 19_500, question="dec-2")
    assert laws(replace(more, deeds=(*GOOD.deeds, second))) == set()


@pytest.mark.parametrize(("people", "holds"), [(("demo-second",), False), (("demo-second", "demo-second"), False),
                                               (("demo-second", "demo-chief"), True)])  # fmt: skip
def test_a_critical_step_needs_two_people(people: tuple[str, ...], holds: bool) -> None:
    """One person, one who clicks twice, and two."""
    deeds = (*GOOD.deeds, *(vote(who, FLATTEN, 5_000 + n, "r1", question="dec-2") for n, who in enumerate(people)))
    complaints = laws(replace(with_sends(send(FLATTEN, "int-6", 9_000, "r1")), deeds=deeds))
    assert complaints == (set() if holds else {"approved where due"})


def test_a_yes_is_bound_to_what_it_was_about() -> None:
    """Trading was on when they were asked; somebody had switched it off long before it was sent."""
    halt = send(HALT, "int-6", 40_000, "VaR", field="trading", before="off", after="off")
    yes = vote("demo-oncall", HALT, 5_000, "VaR", question="dec-2", before='{"trading":"on"}')
    off = Arrival(sent_at=9_000, at=9_000, replica="", component="risk-engine", request="by hand trading", body="",
                  key="", fence=0, field="trading", effect="by hand", before="on", after="off")  # fmt: skip
    run = replace(with_sends(halt, off), deeds=(*GOOD.deeds, yes))
    run = replace(run, lines=(*GOOD.lines, *behind(halt)))
    assert laws(run) == {"approved where due"}
    assert laws(replace(run, arrivals=(*GOOD.arrivals, halt))) == set()


def test_who_orders_a_risky_step_and_may_decide_needs_nobody_else() -> None:
    """An eligible person's order carries their own yes; a viewer's does not."""
    ordered = Deed(at=5_000, person="demo-oncall", verb="run", id="op", to="inc-o", action="http.call",
                   component="order-gate", arguments='{"body":{"batch":"k1"}}', answer="applied")  # fmt: skip
    assert approved_by(ordered) == set()
    assert approved_by(replace(ordered, person="demo-viewer")) == {"approved where due"}


def test_what_a_stricter_policy_in_force_forbids_needs_a_yes() -> None:
    """A hedge is risky everywhere for a minute, and is sent by itself all the same."""
    late = replace(ONE, sent_at=40_000, at=40_001)
    run = replace(GOOD, arrivals=(KICKED, late), lines=(known(H1), known(K1), *behind(KICKED, late)))
    assert laws(run) == set()
    assert laws(replace(run, adopted=((10_000, "", "stricter"),))) == {"approved where due"}
