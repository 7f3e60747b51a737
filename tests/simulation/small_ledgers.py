"""Small ledgers for the tests of the judge: one good run, and what bad ones are made of.

Used by `test_oracle_laws` and `test_oracle_votes`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from bot.core.incident import Incident
from tests.simulation import oracle
from tests.simulation.components import Arrival
from tests.simulation.facts import Facts, Line
from tests.simulation.people import Deed, Shown
from tests.simulation.senders import Firing
from tests.simulation.world import EPOCH

KICK = "POST /api/gate/kick"
HEDGE = "POST /api/orders/hedge"
FLATTEN = "POST /api/orders/flatten"
HALT = "POST /api/stop-trading"
CUT = "POST /api/risk/emergency-reduce"
CYCLE = "POST /api/feed/cycle"
PLACE = {KICK: "order-gate", HEDGE: "order-gate", FLATTEN: "order-book", HALT: "risk-engine", CUT: "risk-engine"}
ACTION = {KICK: "http.call", HEDGE: "orders.hedge", FLATTEN: "orders.flatten", HALT: "trading.halt"}


def send(request: str, key: str, at: int, batch: str = "h1", **more: Any) -> Arrival:
    """A request that arrived."""
    told = {"batch": batch} if request in (KICK, HEDGE, FLATTEN) else {"reason": batch, **more.pop("body", {})}
    made = Arrival(
        sent_at=at, at=at + 1, replica="r1", component=PLACE.get(request, more.pop("component", "feed-a")),
        request=request, body=json.dumps(told), key=key, fence=1, effect="changed",
    )  # fmt: skip
    return replace(made, **more)


def fired(name: str = "Unhedged", batch: str = "h1", at: int = 1_000, **more: Any) -> Firing:
    """A firing that was accepted, and over so soon that nothing is due."""
    labels = {"alertname": name, "severity": more.pop("severity", "critical"), "batch": batch}
    firing = Firing(labels, f"fp-{batch}", EPOCH + at, at, accepted=at + 5, ended=at + 500)
    for field, value in more.items():
        setattr(firing, field, value)
    return firing


def line(kind: str, aggregate: str = "inc-1", decision: str = "applied", why: str = "", **event: Any) -> Line:
    """One event in a chain."""
    return Line(aggregate=aggregate, at=EPOCH, kind=kind, decision=decision, event={"kind": kind, **event}, why=why)


def known(firing: Firing) -> Line:
    """What a chain says of a firing that was folded."""
    return line("alert_fired", alert={"fingerprint": firing.fingerprint, "starts_at": firing.starts_at})


def behind(*sends: Arrival, outcome: str = "step_succeeded") -> tuple[Line, ...]:
    """The chains' explanation of these."""
    return tuple(
        found
        for each in {s.key: s for s in sends}.values()
        for found in (
            line("intent_declared", "target:x", intent=each.key, action="", approval="", ordered=False),
            line(outcome, intent=each.key),
        )
    )


def vote(person: str, request: str, at: int, batch: str = "k1", **more: Any) -> Deed:
    """A yes that was taken."""
    arguments = {"body": {"batch": batch}} if request == KICK else {"batch": batch}
    arguments = {"reason": batch} if request == HALT else arguments
    shown = Shown(
        incident="inc-1", approval=more.pop("question", "dec-1"), digest="d", action=ACTION[request],
        component=PLACE[request], arguments=json.dumps(arguments), before=more.pop("before", "{}"), quorum=1,
        expires_at=EPOCH + more.pop("expires", 60_000), requesters=(),
    )  # fmt: skip
    deed = Deed(at=at, person=person, verb="approve", id="op/x", to="inc-1", shown=shown, answer="applied")
    deed.answered_at = at + 5
    for field, value in more.items():
        setattr(deed, field, value)
    return deed


def incident(status: str = "parked", **more: Any) -> Incident:
    """An incident as it stands at the end."""
    return replace(Incident(id="inc-1", key="k", system="trading-core", severity="critical"), status=status, **more)


def laws(facts: Facts) -> set[str]:
    """Which laws complain."""
    return {each.law for each in oracle.complaints(facts)}


H1 = fired()
K1 = fired("StuckGate", "k1")
ONE = send(HEDGE, "int-1", 2_000)
KICKED = send(KICK, "int-2", 9_000, "k1")
GOOD = Facts(
    ends=60_000, now=80_000, arrivals=(ONE, KICKED), firings=(H1, K1), deeds=(vote("demo-oncall", KICK, 5_000),),
    lines=(known(H1), known(K1), *behind(ONE, KICKED)),
)  # fmt: skip


def with_sends(*sends: Arrival, **more: Any) -> Facts:
    """The good run, and these sends, explained."""
    return replace(
        GOOD, arrivals=(*GOOD.arrivals, *sends), lines=(*GOOD.lines, *behind(*sends)),
        **{"firings": GOOD.firings, **more},
    )  # fmt: skip
