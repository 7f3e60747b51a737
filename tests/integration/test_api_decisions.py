"""Decisions over the operators' API: who may say yes, what it is bound to, how a refusal is told and audited."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.adapters.http_services import PersonToken
from bot.client import Api, BadRequestError, DeclinedError, Place, connect
from bot.engine.action_ports import CannotTell
from tests.integration.door_twin import SYSTEM, Open, TwinServices, on_socket, opened
from tests.integration.pending import ask, record

PEOPLE = ("demo-oncall", "demo-approver", "demo-second", "demo-guest")


@pytest.fixture
async def services() -> TwinServices:
    return TwinServices(
        people={os.getuid(): "demo-oncall"},
        tokens=tuple(PersonToken(person=who, secret=f"token of {who}".encode()) for who in PEOPLE),
    )


@pytest.fixture
async def door(services: TwinServices, tmp_path: Path) -> AsyncIterator[Open]:
    async with opened(services, on_socket(tmp_path)) as door:
        yield door


@asynccontextmanager
async def as_(door: Open, person: str) -> AsyncIterator[Api]:
    """The API as somebody sees it who shows their token."""
    async with connect(Place(socket=door.addresses.api_socket, token=f"token of {person}")) as api:
        yield api


async def vote(
    door: Open, person: str, incident: str, verdict: str = "approve", card: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """Look at the card as this person, then decide on exactly that."""
    async with as_(door, person) as api:
        shown = card or (await api.get(f"/incidents/{incident}"))["decision"]
        body = {"approval": shown["approval"], "digest": shown["digest"], **more}
        return await api.post(f"/incidents/{incident}/{verdict}", body)


async def last_line(services: TwinServices, incident: str) -> dict[str, Any]:
    """The newest event in the incident's audit."""
    line: dict[str, Any] = json.loads((await services.store.audit(SYSTEM, incident))[-1].body)["events"][-1]
    return line


async def test_the_card_has_everything_a_yes_is_a_yes_to(services: TwinServices, door: Open) -> None:
    """Before, wanted, evidence, guard, votes, until when, what silence means, the command by hand, and who you are."""
    incident = await ask(services, requesters=("demo-oncall",))
    async with as_(door, "demo-approver") as api:
        card = (await api.get(f"/incidents/{incident}"))["decision"]
        waiting = (await api.get("/decisions"))["waiting"]
        (line,) = (await api.get("/incidents"))["incidents"]
    assert waiting == [card]
    assert line["decide_by"] == card["expires_at"] == services.clock.now() + 300_000
    assert (card["before"], card["wanted"]) == ('{"trading":true,"orders":3}', '{"trading":false}')
    assert card["readings"][0]["value"] == 2.31
    assert (card["quorum"], card["missing"]) == (1, 1)
    assert card["may_still_vote"] == ["demo-approver", "demo-second"]
    assert card["silence"] == "nothing is sent and cro is paged"
    assert card["by_hand"].startswith("curl")
    assert card["you"]["not_approve"] == ""
    async with as_(door, "demo-oncall") as api:
        you = (await api.get(f"/incidents/{incident}"))["decision"]["you"]
    assert "brought this about" in you["not_approve"]
    assert you["not_deny"] == ""


async def test_a_yes_from_an_eligible_person_lets_the_step_run(services: TwinServices, door: Open) -> None:
    """The incident goes back to acting, and the run carries the approval with the voter's name."""
    incident = await ask(services)
    told = await vote(door, "demo-approver", incident, reason="looked at the book")
    assert told["decisions"][0]["decision"] == "applied"
    after = await record(services, incident)
    assert (after.status, after.approval) == ("acting", None)
    async with as_(door, "demo-approver") as api:
        assert (await api.get("/decisions"))["waiting"] == []


@pytest.mark.parametrize(
    ("person", "words"),
    [("demo-guest", "demo-guest may not decide on risky steps"), ("demo-oncall", "brought this about")],
)
async def test_the_wrong_person_is_refused_and_the_click_is_audited(
    services: TwinServices, door: Open, person: str, words: str
) -> None:
    """409 with one sentence and what to do; the audit keeps who clicked and why it was refused; nothing changes."""
    incident = await ask(services, requesters=("demo-oncall",))
    with pytest.raises(DeclinedError, match=words) as refused:
        await vote(door, person, incident)
    assert refused.value.fix
    assert refused.value.status == 409
    line = await last_line(services, incident)
    assert (line["event"]["kind"], line["event"]["by"], line["decision"]) == ("approval_voted", person, "denied")
    assert words in line["why"]
    assert (await record(services, incident)).status == "awaiting_approval"


async def test_a_yes_to_something_else_than_what_is_asked_is_refused(services: TwinServices, door: Open) -> None:
    """Another digest, an old question, or none any more: each with its reason."""
    incident = await ask(services)
    async with as_(door, "demo-approver") as api:
        card = (await api.get(f"/incidents/{incident}"))["decision"]
    with pytest.raises(DeclinedError, match="look again"):
        await vote(door, "demo-approver", incident, card={**card, "digest": "f" * 64})
    with pytest.raises(DeclinedError, match="decision is over"):
        await vote(door, "demo-approver", incident, card={**card, "approval": "dec-old"})
    await vote(door, "demo-approver", incident, "deny", card=card, reason="false alarm")
    assert (await record(services, incident)).status == "parked"
    with pytest.raises(DeclinedError, match="nothing waits for a decision here"):
        await vote(door, "demo-approver", incident, card=card)


async def test_a_critical_step_needs_two_people(services: TwinServices, door: Open) -> None:
    """The first yes leaves one missing; the same person again does not count; the second person's does."""
    incident = await ask(services, changes={"risk": "critical"})
    assert "1 of 2" in (await vote(door, "demo-approver", incident))["decisions"][0]["why"]
    async with as_(door, "demo-approver") as api:
        card = (await api.get(f"/incidents/{incident}"))["decision"]
    assert (card["missing"], card["may_still_vote"]) == (1, ["demo-second"])
    assert card["you"]["not_approve"] == "you have said yes already"
    with pytest.raises(DeclinedError, match="one person counts once"):
        await vote(door, "demo-approver", incident)
    await vote(door, "demo-second", incident)
    assert (await record(services, incident)).status == "acting"


async def test_breaking_the_glass_needs_the_named_person_and_a_reason(services: TwinServices, door: Open) -> None:
    """Only whom policy and roster name, only with words; then one yes is enough for a critical step."""
    incident = await ask(services, changes={"risk": "critical"})
    with pytest.raises(DeclinedError, match="lets demo-second break the glass"):
        await vote(door, "demo-approver", incident, break_glass=True, reason="now")
    with pytest.raises(DeclinedError, match="typed reason"):
        await vote(door, "demo-second", incident, break_glass=True, reason=" ")
    await vote(door, "demo-second", incident, break_glass=True, reason="the desk is on fire")
    assert (await record(services, incident)).status == "acting"


async def test_taking_escalating_and_holding(services: TwinServices, door: Open) -> None:
    """More people are called; nothing to hold is said; who takes it voids the question, once."""
    incident = await ask(services)
    async with as_(door, "demo-guest") as api:
        escalated = await api.post(f"/incidents/{incident}/escalate", {"reason": "I am alone"})
        assert escalated["decisions"][0]["why"] == "paged cro"
        with pytest.raises(DeclinedError, match="no action of the ladder"):
            await api.post(f"/incidents/{incident}/hold", {"for_ms": 600_000})
        with pytest.raises(BadRequestError, match="for_ms"):
            await api.post(f"/incidents/{incident}/hold", {"for_ms": 5})
        await api.post(f"/incidents/{incident}/take")
        shown = await api.get(f"/incidents/{incident}")
    assert (shown["decision"], shown["incident"]["taken_by"]) == (None, "demo-guest")


async def test_an_order_says_beforehand_what_it_would_do(services: TwinServices, door: Open) -> None:
    """Before and wanted, risk, whose yes it needs; nothing is stored, and what cannot be read is said."""
    order = {"action": "risk.reduce_kelly", "system": SYSTEM, "arguments": {"kelly_fraction": 0.1}, "reason": "drill"}
    async with as_(door, "demo-oncall") as api:
        seen = await api.post("/run", {**order, "dry_run": True})
        assert (seen["outcome"], seen["wanted"]) == ("would act", '{"kelly_fraction":0.1}')
        assert seen["your_word_is_enough"] is True
        assert json.loads(seen["arguments"]) == {"kelly_fraction": 0.1, "reason": "drill"}
        services.seen = CannotTell("the risk engine does not answer")
        assert (await api.post("/run", {**order, "dry_run": True}))["why"] == "the risk engine does not answer"
        assert (await api.get("/incidents"))["incidents"] == []
    async with as_(door, "demo-guest") as api:
        guest = await api.post("/run", {**order, "dry_run": True})
    assert guest["your_word_is_enough"] is False
    assert guest["may_approve"] == ["demo-oncall", "demo-approver", "demo-second"]


async def test_an_order_opens_one_incident_however_often_it_is_sent(services: TwinServices, door: Open) -> None:
    """The same idempotency key is the same incident; who ordered it and why stands in its audit."""
    order = {"action": "risk.reduce_kelly", "system": SYSTEM, "arguments": {"kelly_fraction": 0.1}, "reason": "drill"}
    async with as_(door, "demo-oncall") as api:
        first = await api.post("/run", order, key="order-0001")
        await api.post("/run", order, key="order-0001")
        (line,) = (await api.get("/incidents"))["incidents"]
    assert line["id"] == first["incident"]
    assert (line["policy"], line["ordered_by"]) == ("order", "demo-oncall")
    opened = json.loads((await services.store.audit(SYSTEM, line["id"]))[0].body)["events"][0]
    assert (opened["event"]["kind"], opened["event"]["reason"]) == ("step_ordered", "drill")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"action": "risk.reduce_keli"}, "risk.reduce_kelly"),
        ({"system": "nowhere"}, "trading-core"),
        ({"arguments": {"kelly": 1}}, "kelly_fraction"),
        ({"component": "router"}, "risk-engine"),
    ],
)
async def test_an_order_that_cannot_be_is_refused_with_what_there_is(
    services: TwinServices, door: Open, change: dict[str, Any], words: str
) -> None:
    """An unknown action, system, argument or component: one sentence that names what would do."""
    order = {"action": "risk.reduce_kelly", "system": SYSTEM, "arguments": {"kelly_fraction": 0.1}, "reason": "drill"}
    async with as_(door, "demo-oncall") as api:
        with pytest.raises(BadRequestError, match=words):
            await api.post("/run", order | change)


async def test_a_stranger_may_look_at_what_waits_but_not_decide(services: TwinServices, door: Open) -> None:
    """A uid that people.yaml does not know sees the card with that reason, and is refused at the door."""
    incident = await ask(services)
    services.people.clear()
    async with connect(Place(socket=door.addresses.api_socket)) as api:
        card = (await api.get(f"/incidents/{incident}"))["decision"]
        assert "nobody in people.yaml" in card["you"]["not_approve"]
        with pytest.raises(DeclinedError, match="may look but not act"):
            await api.post(f"/incidents/{incident}/take")


async def test_an_order_says_beforehand_that_a_freeze_would_stop_it(services: TwinServices, door: Open) -> None:
    """Nobody confirms what cannot happen."""
    order = {"action": "risk.reduce_kelly", "system": SYSTEM, "arguments": {"kelly_fraction": 0.1}, "reason": "x"}
    async with as_(door, "demo-approver") as api:
        assert (await api.post("/run", {**order, "dry_run": True}))["stopped"] == ""
        await api.post("/freeze", {"system": SYSTEM, "component": "risk-engine", "reason": "deploy"})
        stopped = (await api.post("/run", {**order, "dry_run": True}))["stopped"]
    assert stopped == (
        f"{SYSTEM}/risk-engine is frozen by demo-approver: deploy; `andon unfreeze {SYSTEM}/risk-engine` lifts it"
    )


async def test_a_viewer_looks_and_never_acts(services: TwinServices, door: Open) -> None:
    """The role that keeps somebody's hands off, in one sentence."""
    people = services.roster().people
    viewer = [p.model_copy(update={"roles": ["viewer"]}) if p.id == "demo-guest" else p for p in people]
    services.document = services.roster().model_copy(update={"people": viewer})
    async with as_(door, "demo-guest") as api:
        assert (await api.get("/incidents"))["incidents"] == []
        with pytest.raises(DeclinedError, match="demo-guest has the role viewer: may look, not act"):
            await api.post("/freeze", {"reason": "x"})
