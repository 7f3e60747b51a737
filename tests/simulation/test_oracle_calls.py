"""The laws that people are called, told and left in peace, fed ledgers of an Andon that says nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from bot.core.target import Freeze, Lease, Target
from tests.simulation.components import Arrival
from tests.simulation.facts import Facts
from tests.simulation.floor import Paged
from tests.simulation.oracle_calls import called, taken_back, told
from tests.simulation.oracle_votes import PAUSE
from tests.simulation.people import Deed
from tests.simulation.senders import Firing
from tests.simulation.small_ledgers import FLATTEN, fired, incident, known, line, send
from tests.simulation.world import EPOCH

ALONE: Final = fired("PeopleOnly", "p1", ended=None)  # from 1.0 s on
BREACH: Final = fired("VaRBreach", "", ended=None)
RUNAWAY: Final = fired("RunawayOrders", "r1", ended=None)


def by_hand(component: str, field: str, value: float | str, at: int = 900) -> Arrival:
    """What somebody changes on the floor."""
    return Arrival(
        sent_at=at, at=at, replica="", component=component, request=f"by hand {field}", body="", key="", fence=0,
        field=field, effect="by hand", after=value,
    )  # fmt: skip


HIGH: Final = by_hand("risk-engine", "stress", 9.0)


def page(service: str, at: int, summary: str = "", key: str = "inc-1:x", **more: Any) -> Paged:
    """Somebody is called."""
    made = Paged(at=at, kind="page", key=key, service=service, incident="inc-1", effect="e", summary=summary)
    return replace(made, **more)


def silent(*firings: Firing, **more: Any) -> Facts:
    """A run in which these fired and were folded, and Andon called nobody."""
    return Facts(ends=60_000, now=80_000, firings=firings, lines=tuple(map(known, firings)), **more)


def complaints(facts: Facts) -> str:
    """What the law has to say."""
    return "; ".join(called(facts))


@pytest.mark.parametrize(
    ("firing", "floor", "rungs"),
    [
        (ALONE, (), ((6_000, "lead"), (12_000, "head"))),
        (BREACH, (HIGH, by_hand("risk-engine", "trading", "off")), ((10_000, "pm"), (16_000, "cro"))),
        (RUNAWAY, (), ((9_000, "cro"),)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_rung_is_climbed_when_its_time_has_come(
    firing: Firing, floor: tuple[Arrival, ...], rungs: tuple[tuple[int, str], ...]
) -> None:
    """Its own service, about this incident, within a second; earlier is no fault, if people escalate."""
    pages = [page(service, firing.began + after + 10) for after, service in rungs]
    run = silent(firing, arrivals=floor, paged=pages)
    assert complaints(run) == ""
    for number, (after, service) in enumerate(rungs):
        others = [other for other in pages if other is not pages[number]]
        assert f"{service} was not paged" in complaints(replace(run, paged=others))
        late = replace(pages[number], at=firing.began + after + 1_500)
        assert complaints(replace(run, paged=[*others, late]))
        assert complaints(replace(run, paged=[*others, replace(pages[number], incident="inc-2")]))


def test_a_problem_that_is_dealt_with_calls_nobody_further() -> None:
    """VaR is low again, the orders are flattened, a person has it, the alert has ended; or nothing is certain."""
    low = by_hand("risk-engine", "stress", 0.5, 5_000)
    assert "pm" in complaints(silent(BREACH, arrivals=(HIGH,)))
    assert "pm" not in complaints(silent(BREACH, arrivals=(HIGH, low)))
    flat = send(FLATTEN, "int-1", 5_000, "r1")
    assert complaints(silent(RUNAWAY))
    assert not complaints(silent(RUNAWAY, arrivals=(flat,)))
    assert complaints(silent(RUNAWAY, arrivals=(send(FLATTEN, "int-1", 5_000, "r2"),)))
    ack = Deed(at=2_000, person="p", verb="ack", id="op", to="inc-1")
    assert complaints(silent(ALONE))
    assert not complaints(silent(ALONE, deeds=(ack,)))
    assert not complaints(silent(replace(ALONE, ended=6_500)))
    assert not complaints(silent(ALONE, troubles=((500, 66_000),)))


def test_a_halt_that_is_due_is_asked_about() -> None:
    """At its time, while VaR is high and trading is on."""
    rungs = [page("pm", 11_010), page("cro", 17_010)]
    asked = page("trading-oncall", 17_020, "var-breach needs a decision: …; asks to run trading.halt (…)")
    run = silent(BREACH, arrivals=(HIGH,), paged=rungs)
    assert "asked to halt" in complaints(run)
    assert not complaints(replace(run, paged=[*rungs, asked]))
    assert complaints(replace(run, paged=[*rungs, replace(asked, at=5_000)]))
    assert not complaints(replace(run, arrivals=(HIGH, by_hand("risk-engine", "trading", "off", 3_000))))
    frozen = Deed(at=400, person="p", verb="freeze", id="op", to="target:*")
    assert not complaints(replace(run, deeds=(frozen,)))


def test_a_lease_that_is_over_is_asked_about() -> None:
    """Ten seconds after the pause, unless the router was touched meanwhile."""
    pause = send(PAUSE, "int-1", 5_000, component="model-router", field="router", after="paused")
    asked = page("trading-oncall", 15_010, "router.resume needs a decision")
    assert "lease" in complaints(Facts(now=80_000, arrivals=(pause,)))
    assert not complaints(Facts(now=80_000, arrivals=(pause,), paged=(asked,)))
    assert complaints(Facts(now=80_000, arrivals=(pause,), paged=(replace(asked, at=17_000),)))
    touched = by_hand("model-router", "router", "running", 9_000)
    assert not complaints(Facts(now=80_000, arrivals=(pause, touched)))


def test_silence_is_told() -> None:
    """Twelve seconds without a sign of life, also where none ever comes again."""
    regular = tuple(range(0, 84_000, 4_000))
    gap = tuple(sign for sign in regular if not 20_000 < sign < 40_000)
    told_of = page("catch-all", 32_050, "catch-all: AndonSourceSilent (1 firing)")
    assert not complaints(Facts(now=80_000, signs=regular))
    assert "no sign of life" in complaints(Facts(now=80_000, signs=gap))
    assert complaints(Facts(now=80_000, signs=regular[:5]))
    assert not complaints(Facts(now=80_000, signs=gap, paged=(told_of,)))
    assert complaints(Facts(now=80_000, signs=gap, paged=(replace(told_of, at=34_000),)))
    assert not complaints(Facts(now=80_000, signs=gap, troubles=((0, 66_000),)))


def test_chat_hears_of_what_opens() -> None:
    """Within a second; where no clock was wrong, for the chain's own time counts."""
    opened = line("alert_fired", why="opened by policy people-only")
    run = Facts(now=80_000, lines=(opened,))
    assert list(told(run))
    assert not list(told(replace(run, posted=((10, "inc-1", "opened"),))))
    assert list(told(replace(run, posted=((10, "inc-2", "opened"), (10, "inc-1", "parked")))))
    assert list(told(replace(run, posted=((1_500, "inc-1", "opened"),))))
    assert not list(told(replace(run, offsets=((500, "r1", 5_000),))))


def test_a_page_is_taken_back_when_its_incident_is_over() -> None:
    """Also one that was told again after it had been taken back; what still waits for a person stays."""
    opened, again = page("trading-oncall", 1_000), page("trading-oncall", 9_000)
    back = page("trading-oncall", 5_000, kind="resolve")
    over, waits = {"inc-1": incident("closed")}, {"inc-1": incident("parked")}
    assert list(taken_back(Facts(paged=(opened,), incidents=over)))
    assert not list(taken_back(Facts(paged=(opened,), incidents=waits)))
    assert not list(taken_back(Facts(paged=(opened, back), incidents=over)))
    heard = replace(line("message_delivered", page="inc-1:x"), at=EPOCH + 9_001)
    assert list(taken_back(Facts(paged=(opened, back, again), incidents=over, lines=(heard,))))
    assert not list(taken_back(Facts(paged=(opened, back, again), incidents=over))), "its sender had given it up"
    assert list(taken_back(Facts(paged=(opened,), incidents=over))), "never taken back at all"
    tripped = page("trading-oncall", 1_000, key="trading-core:automation-tripped:1")
    assert not list(taken_back(Facts(paged=(tripped,), incidents=over)))


@pytest.mark.parametrize(
    ("name", "key", "stands"),
    [
        ("target:*", "trading-core:automation-tripped:5", {"tripped_at": 5}),
        ("target:*", "trading-core:freeze:5", {"freeze": Freeze(by="ann", reason="deploy", since=5)}),
        ("target:halt", "trading-core:halt:freeze:5", {"freeze": Freeze(by="ann", reason="deploy", since=5)}),
        (
            "target:halt", "trading-core:halt:lease:trading.halt:5",
            {"leases": {"trading.halt": Lease(incident="inc-1", since=5, until=9, for_ms=4, asked=1)}},
        ),
    ],
)  # fmt: skip
def test_what_automation_paged_about_itself_is_taken_back_when_it_is_over(
    name: str, key: str, stands: dict[str, Any]
) -> None:
    """What stands is still a person's to look at; a page that nothing takes back says nothing."""
    opened, target = page("trading-oncall", 1_000, key=key), Target(id=name, system="trading-core")
    lost = page("trading-oncall", 1_000, key="trading-core:writes-lost:r1:5")
    assert list(taken_back(Facts(paged=(opened,), targets={name: target})))
    assert not list(taken_back(Facts(paged=(opened, lost), targets={name: replace(target, **stands)})))
