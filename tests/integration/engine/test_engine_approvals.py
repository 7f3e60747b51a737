"""Approvals on the real store: what people say yes to is sent once, and nothing else is."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bot.adapters.http_cards import strict
from bot.core.approval import PendingApproval
from bot.core.ids import incident_id
from bot.core.orders import ApprovalVoted, StepOrdered
from bot.core.record import Applied, Decision, Denied
from bot.errors import NotSent
from policies import approvals
from policies.people import PeopleDocument
from tests.integration.engine.floor import PLAN, SHARD, STEP, Floor

RISKY = replace(STEP, automatic=False, risk="risky")
CRITICAL = replace(STEP, automatic=False, risk="critical", break_glass="demo-oncall")
TWO = ("demo-approver", "demo-second")


async def asking(floor: Floor, breach) -> PendingApproval:
    """The engine at work, waiting for people."""
    await floor.start()
    await floor.arm()
    await floor.fire(breach)
    return await question(floor)


async def question(floor: Floor) -> PendingApproval:
    incident = await floor.status("awaiting_approval")
    assert incident.approval is not None
    return incident.approval


async def asked_anew(floor: Floor, first: PendingApproval) -> PendingApproval:
    """The question that comes after `first`."""

    async def another() -> bool:
        incident = await floor.incident()
        return incident is not None and incident.approval is not None and incident.approval.id != first.id

    await floor.until(another, "a second question")
    return await question(floor)


async def vote(floor: Floor, asked: PendingApproval, by: str, **changes: object) -> Decision:
    incident = await floor.incident()
    assert incident is not None
    assert incident.plan is not None
    glass, deny = bool(changes.get("break_glass")), changes.get("verdict") == "deny"
    refusal = approvals.refusal(
        floor.engine.book.people, SHARD, strict(incident.plan.steps[incident.cursor], asked.terms), by,
        asked.terms.requesters,
        break_glass=glass, reason=str(changes.get("reason", "")), deny=deny,
    )  # fmt: skip
    event = ApprovalVoted(
        id=f"vote/{by}/{asked.id}", at=1, by=by, approval=asked.id, digest=asked.terms.digest, verdict="approve",
        refusal=refusal,
    )  # fmt: skip
    return await floor.engine.tell(SHARD, incident.id, replace(event, **changes))  # type: ignore[arg-type]


async def test_an_approved_step_is_sent_once(valkey, breach):
    """The digest holds, the person still may: one request, and the intent names the approval it used."""
    floor = Floor(valkey, replace(PLAN, steps=(RISKY,)))
    asked = await asking(floor, breach)
    try:
        assert floor.risk.requests == []
        assert (asked.terms.quorum, asked.terms.eligible) == (1, TWO)
        assert isinstance(await vote(floor, asked, "demo-approver"), Applied)
        await floor.status("mitigated")
        assert floor.risk.requests == [0.1]
        assert (await floor.target("target:*")).spent == (asked.id,)
        assert await floor.audit_problems() == []
    finally:
        await floor.kill()


async def test_a_critical_step_needs_two_also_when_killed_in_between(valkey, breach):
    """The first yes is durable: the second, after a kill and a restart, completes it."""
    floor = Floor(valkey, replace(PLAN, steps=(CRITICAL,)))
    asked = await asking(floor, breach)
    await vote(floor, asked, "demo-approver")
    await floor.kill()
    await floor.start()
    try:
        asked = await question(floor)
        assert [one.by for one in asked.votes] == ["demo-approver"]
        assert floor.risk.requests == []
        await vote(floor, asked, "demo-second")
        await floor.status("mitigated")
        assert floor.risk.requests == [0.1]
    finally:
        await floor.kill()


async def test_drift_in_a_pin_voids_the_approval_and_asks_again(valkey, breach):
    """Kelly was 0.25 when people looked and is 0.2 when it would be sent: nothing leaves, people are asked anew."""
    floor = Floor(valkey, replace(PLAN, steps=(RISKY,)))
    first = await asking(floor, breach)
    try:
        floor.risk.kelly = 0.2
        await vote(floor, first, "demo-approver")

        again = await asked_anew(floor, first)
        assert "kelly_fraction was 0.25 and is 0.2" in again.why
        assert floor.risk.requests == []
        assert isinstance(await vote(floor, first, "demo-second"), Denied)
        await vote(floor, again, "demo-second")
        await floor.status("mitigated")
        assert floor.risk.requests == [0.1]
    finally:
        await floor.kill()


async def test_who_left_the_roster_before_it_was_sent_does_not_count(valkey, breach):
    """Eligible at the click and no longer at execution: asked anew, nothing sent."""
    floor = Floor(valkey, replace(PLAN, steps=(RISKY,)))
    asked = await asking(floor, breach)
    try:
        incident = await floor.incident()
        assert incident is not None
        accepted = ApprovalVoted(
            id="v", at=1, by="demo-approver", approval=asked.id, digest=asked.terms.digest, verdict="approve"
        )
        floor.engine.book.people = PeopleDocument.model_validate({"people": [{"id": "demo-approver"}]})
        assert isinstance(await floor.engine.tell(SHARD, incident.id, accepted), Applied)
        parked = await floor.status("parked")
        assert "since it was approved, demo-approver may not decide" in parked.why
        assert "nobody may" in parked.why
        assert floor.risk.requests == []
    finally:
        await floor.kill()


@pytest.mark.parametrize(
    ("by", "words"), [("demo-oncall", "may not decide on risky steps"), ("demo-stranger", "nobody in people.yaml")]
)
async def test_the_wrong_person_is_refused_and_the_audit_says_so(valkey, breach, by, words):
    """A refused vote changes nothing but the audit."""
    floor = Floor(valkey, replace(PLAN, steps=(RISKY,)))
    asked = await asking(floor, breach)
    try:
        decision = await vote(floor, asked, by)
        assert isinstance(decision, Denied)
        assert words in decision.reason
        incident = await floor.incident()
        assert incident is not None
        assert incident.approval == asked
        chain = await floor.store.audit(SHARD, incident.id)
        assert words in chain[-1].body
    finally:
        await floor.kill()


async def test_broken_glass_needs_the_right_person_and_a_reason(valkey, breach):
    """One named person alone, with a reason; everybody is called."""
    floor = Floor(valkey, replace(PLAN, steps=(CRITICAL,)))
    asked = await asking(floor, breach)
    try:
        assert isinstance(await vote(floor, asked, "demo-oncall", break_glass=True, reason=""), Denied)
        assert isinstance(
            await vote(floor, asked, "demo-oncall", break_glass=True, reason="both away", id="second try"), Applied
        )
        await floor.status("mitigated")
        assert floor.risk.requests == [0.1]
        assert any("broke the glass" in page for page in floor.people.pages)
    finally:
        await floor.kill()


async def test_an_order_of_an_eligible_person_is_sent_and_of_another_waits_for_a_yes(valkey, breach):
    """A risky order carries its eligible orderer's own yes; anybody else's asks."""
    floor = Floor(valkey)
    await floor.start()
    try:
        order = replace(
            PLAN, policy="order", mode="suggest", steps=(replace(RISKY, guard="", verify=None),), healthy=""
        )
        for number, by in enumerate(("demo-oncall", "demo-approver")):
            fresh = incident_id(SHARD, f"order:{number}", "x")
            event = StepOrdered(
                id=f"o{number}", at=1, key=f"order:{number}", plan=order, severity="warning", by=by, reason="as agreed"
            )
            assert isinstance(await floor.engine.tell(SHARD, fresh, event), Applied)
            if by == "demo-oncall":
                assert (await question(floor)).terms.requesters == ("demo-oncall",)
                assert floor.risk.requests == []
        await floor.quiet()
        assert floor.risk.requests == [0.1]
    finally:
        await floor.kill()


async def test_an_engaged_kill_switch_stops_what_was_granted(valkey, breach):
    """Read from the local disk before every declaration and every send."""
    floor = Floor(valkey)
    floor.people.switch = "the kill switch is engaged by demo-oncall: fire drill"
    await floor.start()
    await floor.arm()
    await floor.fire(breach)
    try:
        parked = await floor.status("parked")
        assert "fire drill" in parked.why
        assert floor.risk.requests == []
        assert floor.people.intents == [f"{parked.results[-1].intent}:not_sent"]
    finally:
        await floor.kill()


async def test_a_policy_made_stricter_meanwhile_asks_as_the_stricter_one(valkey, breach):
    """Both policies must allow it: one yes to a risky step is not enough once it is critical."""
    floor = Floor(valkey, replace(PLAN, steps=(RISKY,)))
    first = await asking(floor, breach)
    try:
        floor.engine.book.plan = replace(PLAN, policy_hash="h2", steps=(CRITICAL,))
        await vote(floor, first, "demo-approver")
        again = await asked_anew(floor, first)
        assert (again.terms.quorum, again.terms.risk, again.terms.break_glass) == (2, "critical", "")
        await vote(floor, again, "demo-approver")
        assert floor.risk.requests == []
        await vote(floor, again, "demo-second")
        await floor.status("mitigated")
        assert floor.risk.requests == [0.1]
    finally:
        await floor.kill()


async def test_a_policy_that_no_longer_has_the_step_lets_nobody_approve_it(valkey, breach):
    """Not asked again and again: it parks, with the reason."""
    floor = Floor(valkey, replace(PLAN, steps=(RISKY,)))
    first = await asking(floor, breach)
    try:
        floor.engine.book.plan = replace(PLAN, policy_hash="h2", steps=())
        await vote(floor, first, "demo-approver")
        parked = await floor.status("parked")
        assert "no longer has risk.reduce_kelly" in parked.why
        assert floor.risk.requests == []
    finally:
        await floor.kill()


async def test_a_second_attempt_is_judged_like_the_first(valkey, breach):
    """The first request provably never left; meanwhile Kelly drifted, so the yes no longer counts."""
    floor = Floor(valkey, replace(PLAN, steps=(RISKY,)))
    first = await asking(floor, breach)

    async def refused() -> None:
        floor.risk.kelly = 0.2
        raise NotSent("connection refused")

    try:
        floor.risk.before_send = refused
        await vote(floor, first, "demo-approver")
        again = await asked_anew(floor, first)
        assert "kelly_fraction was 0.25 and is 0.2" in again.why
        assert floor.risk.requests == []
    finally:
        await floor.kill()


async def test_what_was_handed_out_before_a_long_outage_is_not_sent_after_it(valkey, breach):
    """The incident has given that turn up; people were called, and nothing acts behind their backs."""
    floor = Floor(valkey)
    looking = asyncio.Event()

    async def hang(*_: object) -> None:
        looking.set()
        await asyncio.Event().wait()

    inspect, floor.risk.inspect = floor.risk.inspect, hang
    await floor.start()
    await floor.arm()
    await floor.fire(breach)
    await looking.wait()
    await floor.kill()
    floor.risk.inspect = inspect
    floor.ahead_ms = 3_600_000
    await floor.start()
    try:
        await floor.status("parked")
        await floor.quiet()
        assert floor.risk.requests == []
    finally:
        await floor.kill()
