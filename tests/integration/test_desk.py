"""The desk over the real engine: the same from any side, bounded, told twice without effect, refused to viewers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import pytest

from bot.adapters.desk import MAX_FREEZE_MS, MAX_HOLD_MS, MAX_WORDS, Desk, Order, Outcome
from bot.adapters.desk_runs import Runs, Wanted
from bot.adapters.http_errors import Unwelcome
from bot.core.record import Applied, Denied, Ignored
from bot.errors import InputError
from policies.people import PeopleDocument
from tests.integration.door_twin import SYSTEM, TwinServices
from tests.integration.pending import ask, record


def by(person: str, name: str = "1") -> Order:
    return Order(person=person, id=f"op/{person}/slack/{name}", via="slack:T1/U1")


async def test_an_order_told_twice_is_one_order() -> None:
    """A doubled click, a redelivery, a retry after a lost reply: the same id changes nothing again."""
    services = TwinServices()
    desk = Desk(services)
    incident = await ask(services)
    asked = (await record(services, incident)).approval
    assert asked is not None

    async def vote() -> Outcome:
        (outcome,) = await desk.vote(
            by("demo-approver"), incident, "approve", approval=asked.id, digest=asked.terms.digest
        )
        return outcome

    first, second = await vote(), await vote()
    assert (first[:2], second[:2]) == ((SYSTEM, incident), (SYSTEM, incident))
    assert isinstance(first[2], Applied)
    assert isinstance(second[2], Ignored | Denied)
    assert (await record(services, incident)).status == "acting"
    wanted = Wanted(action="trading.halt", system=SYSTEM, arguments={"reason": "as asked"}, reason="as asked")
    ordered = [await Runs(services).run(by("demo-oncall", "2"), wanted) for _ in range(2)]
    assert ordered[0][0] == ordered[1][0]
    assert isinstance(ordered[1][1][0][2], Ignored)


async def test_a_vote_carries_the_account_it_came_through() -> None:
    """It is asked about again right before anything is sent."""
    services = TwinServices()
    incident = await ask(services, changes={"risk": "critical"})
    asked = (await record(services, incident)).approval
    assert asked is not None
    await Desk(services).vote(by("demo-approver"), incident, "approve", approval=asked.id, digest=asked.terms.digest)
    after = (await record(services, incident)).approval
    assert after is not None
    assert [(vote.by, vote.via) for vote in after.votes] == [("demo-approver", "slack:T1/U1")]


async def test_what_is_out_of_bounds_is_refused_before_it_is_an_event() -> None:
    """Slack's fields are bounded by Slack only; the desk judges what comes from anywhere."""
    services = TwinServices()
    desk, incident = Desk(services), await ask(services)
    before = len(await services.store.audit(SYSTEM, incident))
    long, order = "x" * (MAX_WORDS + 1), by("demo-oncall")
    wrong: list[Callable[[], Awaitable[list[Outcome]]]] = [
        lambda: desk.resolve(order, incident, note=long),
        lambda: desk.escalate(order, incident, reason=long),
        lambda: desk.hold(order, incident, 60_000, reason=long),
        lambda: desk.hold(order, incident, 0),
        lambda: desk.hold(order, incident, MAX_HOLD_MS + 1),
        lambda: desk.vote(order, incident, "deny", approval="a", digest="d", reason=long),
        lambda: desk.freeze(order, reason=""),
        lambda: desk.freeze(order, reason=long),
        lambda: desk.freeze(order, reason="x", for_ms=MAX_FREEZE_MS + 1),
        lambda: desk.freeze(order, component="risk-engine", reason="x"),
        lambda: desk.lease(order, system=SYSTEM, component="risk-engine", action="trading.halt", for_ms=-1),
    ]
    for each in wrong:
        with pytest.raises(InputError):
            await each()
    assert len(await services.store.audit(SYSTEM, incident)) == before


async def test_a_viewer_orders_nothing_from_any_side() -> None:
    """The role may look and not act, also where no door has asked before."""
    services = TwinServices()
    incident = await ask(services)
    services.document = PeopleDocument.model_validate({"people": [{"id": "demo-oncall", "roles": ["viewer"]}]})
    desk, runs, order = Desk(services), Runs(services), by("demo-oncall")
    wanted = Wanted(action="trading.halt", system=SYSTEM, arguments={"reason": "x"}, reason="x")
    orders: list[Callable[[], Awaitable[object]]] = [
        lambda: desk.ack(order, incident),
        lambda: desk.take(order, incident),
        lambda: desk.resolve(order, incident),
        lambda: desk.escalate(order, incident),
        lambda: desk.hold(order, incident, 60_000),
        lambda: desk.vote(order, incident, "deny", approval="a", digest="d"),
        lambda: desk.freeze(order, reason="x"),
        lambda: desk.unfreeze(order, system=SYSTEM, component="risk-engine"),
        lambda: desk.arm(order, "var-breach"),
        lambda: desk.disarm(order, "var-breach"),
        lambda: desk.lease(order, system=SYSTEM, component="risk-engine", action="trading.halt", for_ms=None),
        lambda: runs.preview(order, wanted),
        lambda: runs.run(order, wanted),
    ]
    for each in orders:
        with pytest.raises(Unwelcome, match="may look, not act"):
            await each()
    events = [json.loads(entry.body)["events"] for entry in await services.store.audit(SYSTEM, incident)]
    assert "operator_" not in json.dumps(events)
