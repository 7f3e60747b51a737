"""A safer value instead of the one that is asked about: as many people as for the question, and both halves told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.core.events import Event
from bot.core.incident import Incident
from bot.core.orders import ApprovalVoted
from bot.core.record import Decision
from bot.errors import StoreUnavailable
from bot.sandbox.slack.population import APPROVER
from bot.sandbox.slack.state import View
from tests.integration.door_twin import SYSTEM, TwinServices
from tests.integration.pending import ask, record
from tests.integration.slack_line import OPS, SOON, Line, connected, shown

CUT = {"action": "risk.reduce_kelly", "arguments": '{"kelly_fraction":0.1,"reason":"VaR"}'}


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    async with connected(tmp_path, TwinServices()) as line:
        yield line


async def asked(line: Line, **changes: Any) -> tuple[str, View]:
    """A question, and the form for a safer value in front of somebody who may decide it."""
    incident = await ask(line.services, changes={**CUT, **changes})
    card = await line.command(APPROVER, f"approve {incident}")
    await line.slack.people.click(APPROVER, OPS, card.ts, "andon:edit")
    async with asyncio.timeout(SOON):
        while (form := line.slack.people.modal(APPROVER)) is None or "Instead of" not in shown(form):
            await asyncio.sleep(0.01)
    return incident, form


async def ordered(line: Line) -> list[Incident]:
    """Everything that somebody ordered."""
    lines = await line.services.store.incidents(SYSTEM, closed=True, limit=10)
    return [each.incident for each in lines if each.incident.ordered_by]


async def test_what_needs_two_people_needs_two_for_a_safer_value_too(line: Line) -> None:
    """Else one person could do nearly what two must agree on, by asking for a hair less."""
    incident, form = await asked(line, risk="critical")
    assert (
        await line.slack.people.submit(APPROVER, form.id, {"arg.kelly_fraction": "0.0999", "reason": "x"})
    ).error == ""
    (order,) = await ordered(line)
    assert order.plan is not None
    assert order.plan.steps[0].risk == "critical"
    assert (await record(line.services, incident)).status == "parked"


async def test_what_is_no_safer_is_not_ordered_by_a_form_for_safer_values(line: Line) -> None:
    """The value that is asked about has its own button, with its own count of people."""
    incident, form = await asked(line)
    await line.slack.people.submit(APPROVER, form.id, {"arg.kelly_fraction": "0.1", "reason": "x"})
    assert await ordered(line) == []
    assert (await record(line.services, incident)).status == "awaiting_approval"


async def test_a_form_without_its_bounds_orders_nothing(line: Line) -> None:
    """The proposed value, which is what is left then, is not ordered past the question's count of people."""
    incident, form = await asked(line)
    ref = json.loads(form.body["private_metadata"])["ref"]
    form.body["private_metadata"] = json.dumps({"ref": ref, "bounds": {}})
    await line.slack.people.submit(APPROVER, form.id, {"arg.kelly_fraction": "0.06", "reason": "x"})
    told = line.slack.people.modal(APPROVER)
    assert told is not None
    assert "are not safer than what is asked" in shown(told)
    assert await ordered(line) == []
    assert (await record(line.services, incident)).status == "awaiting_approval"


async def test_an_order_that_stands_is_not_told_as_refused(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store goes away between the order and the no to the question: both are told. Sent again, it is one order."""
    incident, form = await asked(line)
    usual = line.services.engine.tell

    async def tell(shard: str, to: str, event: Event) -> Decision:
        if isinstance(event, ApprovalVoted):
            raise StoreUnavailable("redis is away")
        return await usual(shard, to, event)

    monkeypatch.setattr(line.services.engine, "tell", tell)
    line.slack.faults.duplicates = 1
    await line.slack.people.submit(APPROVER, form.id, {"arg.kelly_fraction": "0.06", "reason": "x"})
    told = line.slack.people.modal(APPROVER)
    assert told is not None
    assert told.body["title"]["text"] == "Andon"
    (order,) = await ordered(line)
    assert order.id in shown(told)
    assert (await record(line.services, incident)).status == "awaiting_approval"
