"""The law that what was due was done, fed ledgers of an Andon that does nothing: it complains where that is certain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from bot.core.events import Budget
from tests.simulation.components import Arrival
from tests.simulation.facts import Facts
from tests.simulation.floor import Paged
from tests.simulation.oracle_due import done
from tests.simulation.people import Deed
from tests.simulation.senders import Firing
from tests.simulation.small_ledgers import CUT, CYCLE, FLATTEN, HEDGE, KICK, fired, known, send, vote

PAUSE: Final = "POST /api/router/pause"
HEDGED: Final = fired(ended=None)  # h1, from 1.0 s on
KICKED: Final = fired("StuckGate", "k1", ended=None)
BREACH: Final = fired("VaRBreach", "", ended=None)


def by_hand(component: str, field: str, value: float | str, at: int = 900) -> Arrival:
    """What somebody changes on the floor."""
    return Arrival(
        sent_at=at, at=at, replica="", component=component, request=f"by hand {field}", body="", key="", fence=0,
        field=field, effect="by hand", after=value,
    )  # fmt: skip


def idle(*firings: Firing, **more: Any) -> Facts:
    """A run in which these fired and were folded, and Andon did nothing."""
    return Facts(ends=60_000, now=80_000, firings=firings, lines=tuple(map(known, firings)), **more)


def asked(at: int = 1_010) -> Paged:
    """Somebody was paged for a decision."""
    return Paged(at=at, kind="page", key="x", service="trading-oncall", incident="inc-1", effect="e", opened=True)


def complains(facts: Facts) -> bool:
    """Whether the law has anything to say."""
    return bool(list(done(facts)))


# --- by itself ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("firing", "floor", "request_", "component"),
    [
        (HEDGED, (), HEDGE, "order-gate"),
        (BREACH, (by_hand("risk-engine", "stress", 2.4),), CUT, "risk-engine"),
        (fired("ModelSwitching", "", ended=None), (by_hand("model-router", "restless", 60.0),), PAUSE, "model-router"),
        (fired("StaleFeeds", "", ended=6_000), (by_hand("feed-a", "state", "stale"),), CYCLE, "feed-a"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_an_armed_policy_acts_within_a_second(
    firing: Firing, floor: tuple[Arrival, ...], request_: str, component: str
) -> None:
    """Its alert fires and its guard is true; a request that comes late, or elsewhere, is none."""
    sent = send(request_, "int-1", 1_020, firing.labels["batch"], component=component)
    assert complains(idle(firing, arrivals=floor))
    assert not complains(idle(firing, arrivals=(*floor, sent)))
    assert complains(idle(firing, arrivals=(*floor, replace(sent, at=2_500))))
    assert complains(idle(firing, arrivals=(*floor, replace(sent, component="elsewhere"))))


def test_a_guard_that_is_false_makes_nothing_due() -> None:
    """VaR is low by the engine itself, or became so meanwhile; Kelly is cut already; somebody owns the router."""
    high = by_hand("risk-engine", "stress", 2.4)
    assert complains(idle(BREACH, arrivals=(high,)))
    assert not complains(idle(BREACH))
    assert not complains(idle(BREACH, arrivals=(high, by_hand("risk-engine", "stress", 0.5, 1_500))))
    assert not complains(idle(BREACH, arrivals=(high, by_hand("risk-engine", "kelly_fraction", 0.1))))
    restless, owned = by_hand("model-router", "restless", 60.0), by_hand("model-router", "router", "running", 700)
    assert not complains(idle(fired("ModelSwitching", "", ended=None), arrivals=(owned, restless)))


def test_a_cool_down_puts_off_what_is_due_and_no_longer() -> None:
    """The second batch waits three seconds for the first, and is due right after."""
    other = fired(batch="h2", ended=None)
    first, second = send(HEDGE, "int-1", 1_020), send(HEDGE, "int-2", 4_100, "h2")
    assert not complains(idle(HEDGED, other, arrivals=(first, second)))
    assert complains(idle(HEDGED, other, arrivals=(first,)))
    assert complains(idle(HEDGED, other, arrivals=(first, replace(second, at=5_500))))


def test_the_second_feed_follows_the_first() -> None:
    """Three seconds after it; not where somebody made it fresh meanwhile."""
    stale = tuple(by_hand(name, "state", "stale") for name in ("feed-a", "feed-b"))
    first = send(CYCLE, "int-1", 1_020, "stale", component="feed-a", field="state", after="fresh")
    second = replace(first, component="feed-b", key="int-2", sent_at=4_050, at=4_051)
    firing = fired("StaleFeeds", "", ended=None)
    assert complains(idle(firing, arrivals=(*stale, first)))
    assert not complains(idle(firing, arrivals=(*stale, first, second)))
    assert not complains(idle(firing, arrivals=(*stale, first, by_hand("feed-b", "state", "fresh", 3_000))))


@pytest.mark.parametrize(
    "excuse",
    [
        {"troubles": ((500, 66_000),)},
        {"adopted": ((300, "r1", "stricter"),)},
        {"budget": Budget(limit=1, within_ms=30_000), "arrivals": (send(CYCLE, "int-9", 500, component="feed-a"),)},
        {"deeds": (Deed(at=400, person="p", verb="freeze", id="op", to="target:*"),)},
        {"deeds": (Deed(at=400, person="p", verb="disarm", id="op", to="target:*", action="unhedged"),)},
        {"deeds": (Deed(at=1_500, person="p", verb="take", id="op", to="inc-1"),)},
        {"firings": (replace(HEDGED, ended=1_900),)},
        {"firings": (replace(HEDGED, accepted=None),)},
    ],
    ids=["trouble", "reload", "budget", "freeze", "disarmed", "taken", "over", "never told"],
)
def test_where_it_is_not_certain_nothing_is_said(excuse: dict[str, Any]) -> None:
    """Each of these may have kept Andon from it, or made it needless."""
    assert complains(idle(HEDGED))
    assert not complains(replace(idle(HEDGED), **excuse))


def test_what_excuses_came_before_or_was_about_the_same() -> None:
    """A trouble that begins later, another variant, another policy's disarming: no excuse."""
    assert complains(idle(HEDGED, troubles=((2_500, 70_000),)))
    assert complains(idle(HEDGED, adopted=((300, "", "retuned"),)))
    other = Deed(at=400, person="p", verb="disarm", id="op", to="target:*", action="stale-feeds")
    assert complains(idle(HEDGED, deeds=(other,)))


def test_what_fires_anew_may_join_what_was() -> None:
    """Only the first firing of an incident is certain to be one of its own."""
    first = replace(HEDGED, ended=1_100)
    assert not complains(idle(first, fired(at=9_000, ended=None)))


# --- with people -------------------------------------------------------------------------------------------------


def test_what_people_must_decide_on_is_asked() -> None:
    """Within a second somebody is paged, about this incident; who has seen it is not woken."""
    page = asked()
    assert complains(idle(KICKED))
    assert not complains(idle(KICKED, paged=(page,)))
    assert complains(idle(KICKED, paged=(replace(page, incident="inc-2"),)))
    assert complains(idle(KICKED, paged=(asked(2_500),)))
    ack = Deed(at=1_200, person="p", verb="ack", id="op", to="inc-1")
    assert not complains(idle(KICKED, deeds=(ack,)))
    runaway = fired("RunawayOrders", "r1", ended=None)
    assert complains(idle(runaway))
    assert not complains(idle(runaway, arrivals=(by_hand("order-book", "open_orders", 0.0),)))


def test_a_yes_is_carried_out() -> None:
    """Within a second; not where somebody says no, or it came too late."""
    yes = vote("demo-oncall", KICK, 5_000, seen_at=4_000)
    run = idle(KICKED, paged=(asked(),), deeds=(yes,))
    assert complains(run)
    assert not complains(replace(run, arrivals=(send(KICK, "int-2", 5_010, "k1"),)))
    assert not complains(replace(run, deeds=(yes, replace(yes, person="demo-chief", verb="deny", at=5_500))))
    assert not complains(replace(run, deeds=(replace(yes, answer="denied"),)))
    assert not complains(replace(run, deeds=(vote("demo-oncall", KICK, 5_000, expires=5_500),)))


def test_two_of_two_are_carried_out() -> None:
    """One yes is not enough for what is critical, nor one person twice; what they looked at has stayed the same."""
    firing = fired("RunawayOrders", "r1", ended=None)
    votes = [vote(who, FLATTEN, 5_000, "r1", seen_at=4_000) for who in ("demo-second", "demo-second", "demo-chief")]
    run = idle(firing, paged=(asked(),))
    assert not complains(replace(run, deeds=votes[:2]))
    assert complains(replace(run, deeds=votes))
    more = by_hand("order-book", "open_orders", 50.0, 4_500)
    assert not complains(replace(run, deeds=votes, arrivals=(more,)))


def test_an_order_is_carried_out() -> None:
    """Within a second, for who may; not while the engine is at something else, or frozen."""
    deed = Deed(
        at=5_000, person="demo-oncall", verb="run", id="op", to="inc-9", action="trading.halt", component="risk-engine",
        answer="applied", answered_at=5_010,
    )  # fmt: skip
    run = idle(deeds=(deed,))
    off = by_hand("risk-engine", "trading", "off", 5_020)
    assert complains(run)
    assert not complains(replace(run, arrivals=(off,)))
    assert complains(replace(run, arrivals=(replace(off, at=6_500),)))
    assert not complains(replace(run, deeds=(replace(deed, person="demo-viewer"),)))
    assert not complains(replace(run, deeds=(replace(deed, answer="denied"),)))
    assert not complains(replace(run, arrivals=(send(CUT, "int-1", 4_000),)))
    assert not complains(replace(run, troubles=((500, 66_000),)))
    frozen = Deed(at=400, person="p", verb="freeze", id="op", to="target:*")
    assert not complains(replace(run, deeds=(frozen, deed)))
