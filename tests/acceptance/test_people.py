"""Law 5 on a real floor: who may say yes, to what exactly, how often, until when; and how each no is told.

Real `andon serve`, store, Alertmanager; one process for all scenarios, each a case of its own. What counts is what the
trading system was asked: its ledger is the judge of every scenario.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bot.client import DeclinedError
from tests.acceptance.harness.desk import (
    APPROVER,
    CUT,
    HALT,
    ONCALL,
    SECOND,
    VISITOR,
    Desk,
    cut,
    halt,
    open_desk,
    policy,
)
from tests.integration.attacks import at_api, at_webhooks
from tests.integration.door_twin import raw
from tests.integration.raw_http import shoot

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60), pytest.mark.asyncio(loop_scope="module")]

HOOK = "/webhooks/alertmanager"
SOCKET = ""  # `demo-oncall` once more, by the uid at the other end of the unix socket
CRO = {"after": "10m", "page": {"service": "cro"}}
ALL = (ONCALL, APPROVER, SECOND)
POLICIES = [
    policy("halt", "Halt", plan=[halt(risk="critical")], ladder=[CRO]),
    policy("hasty", "Hasty", plan=[halt(risk="critical", approve_within="1500ms")], ladder=[CRO]),
    policy("glass", "Glass", plan=[halt(risk="critical", break_glass=SECOND)], ladder=[CRO]),
    policy("cut", "Cut", plan=[cut(risk="risky")]),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def floor() -> AsyncIterator[Desk]:
    async with open_desk(POLICIES) as desk:
        yield desk


@pytest_asyncio.fixture(loop_scope="module")
async def desk(floor: Desk) -> Desk:
    """Trading on, Kelly at 0.25, VaR over its limit."""
    await floor.calm()
    return floor


async def test_granted_by_two_people_it_is_sent_once(desk: Desk) -> None:
    """One yes is not enough for a critical step; the second sends one request, and both names are in the audit."""
    await desk.alert("granted", "Halt")
    card = await desk.asked("granted")
    assert (card["before"], card["wanted"], card["quorum"]) == ('{"trading":"on"}', '{"trading":"off"}', 2)
    assert await desk.vote(APPROVER, card) == "yes from demo-approver: 1 of 2"
    assert await desk.requests(HALT, "granted") == []
    assert await desk.vote(SECOND, card) == "trading.halt approved by demo-approver, demo-second"
    assert len(await desk.done(HALT, "granted")) == 1
    await desk.incident("granted", status="mitigated")
    assert (await desk.sandbox("GET", "/api/risk/status"))["trading"] == "off"


async def test_two_hundred_copies_of_one_yes_are_one_request(desk: Desk) -> None:
    """The same yes at once over both doors, half as repeated requests, half as new clicks: one request leaves."""
    await desk.alert("copies", "Cut")
    card = await desk.asked("copies")

    async def copy(number: int) -> str:
        try:
            return await desk.vote((SOCKET, ONCALL)[number % 2], card, key="one-and-the-same" if number % 4 < 2 else "")
        except DeclinedError as refused:
            return str(refused)

    answers = await asyncio.gather(*(copy(number) for number in range(200)))
    assert len(answers) == 200
    yes, copied = "risk.reduce_kelly approved by demo-oncall", "a copy of a request that was taken before"
    assert answers.count(yes) == 1
    assert all(a in (yes, copied) or a.startswith("nothing waits for a decision here") for a in answers), set(answers)
    await desk.incident("copies", status="mitigated")
    assert len(await desk.requests(CUT, "copies")) == 1


async def test_denied_by_one_it_is_not_sent(desk: Desk) -> None:
    """Deny beats an approval that was given before; then nothing waits any more."""
    await desk.alert("denied", "Halt")
    card = await desk.asked("denied")
    await desk.vote(APPROVER, card)
    assert await desk.vote(SECOND, card, "deny", reason="a bad tick") == (
        "trading.halt denied by demo-second: a bad tick"
    )
    incident = await desk.incident("denied", status="parked")
    with pytest.raises(DeclinedError) as refused:
        await desk.vote(ONCALL, card)
    assert str(refused.value) == (
        "nothing waits for a decision here: the incident is parked (trading.halt denied by demo-second: a bad tick)"
    )
    assert desk.pages(incident["id"])[1:] == []  # only the one that asked
    assert await desk.requests(HALT, "denied") == []


async def test_silence_is_not_approval(desk: Desk) -> None:
    """Nobody answers in time: nothing is sent, the next rung is called with the command to type, a late yes is told."""
    await desk.alert("expired", "Hasty")
    card = await desk.asked("expired")
    await desk.vote(APPROVER, card)
    assert card["silence"] == "nothing is sent and cro is paged"
    incident = await desk.incident("expired", status="parked")
    assert "nobody decided on trading.halt in time" in incident["why"]
    summary = await desk.paged(incident["id"], "cro")
    assert "nobody decided on trading.halt in time" in summary
    assert "by hand: curl" in summary
    with pytest.raises(DeclinedError, match="nothing waits for a decision here: the incident is parked"):
        await desk.vote(SECOND, card)
    asked_and_called = [service for service, _ in desk.pages(incident["id"])]
    assert asked_and_called == ["trading-oncall", "cro"]
    assert await desk.requests(HALT, "expired") == []


async def test_a_target_that_drifted_voids_the_yes(desk: Desk) -> None:
    """Somebody changes Kelly between the question and the yes: nothing is sent, it is asked anew with what changed."""
    await desk.alert("drifted", "Cut")
    card = await desk.asked("drifted")
    await desk.sandbox("POST", "/api/risk/emergency-reduce", {"kelly_fraction": 0.2, "reason": "by hand"})
    await desk.vote(APPROVER, card)
    again = await desk.asked("drifted", not_=card["approval"])
    assert again["why"].startswith(
        "the target has changed since it was approved: kelly_fraction was 0.25 and is 0.2; asks to run"
    )
    assert again["before"] == '{"kelly_fraction":0.2}'
    assert await desk.requests(CUT, "drifted") == []
    with pytest.raises(DeclinedError) as refused:
        await desk.vote(APPROVER, card)
    assert "this decision is over" in str(refused.value)
    await desk.vote(APPROVER, again)
    assert len(await desk.done(CUT, "drifted")) == 1


async def test_what_somebody_did_meanwhile_is_not_done_again(desk: Desk) -> None:
    """Trading is stopped by hand while people are asked: after the second yes nothing is sent, and it says why."""
    await desk.alert("by hand", "Halt")
    card = await desk.asked("by hand")
    await desk.vote(APPROVER, card)
    await desk.sandbox("POST", "/api/stop-trading", {"reason": "by hand"})
    await desk.vote(SECOND, card)
    incident = await desk.incident("by hand", status="mitigated")
    assert incident["results"][-1]["why"] == "trading is stopped already"
    assert await desk.requests(HALT, "by hand") == []


async def test_hostile_requests_at_both_doors_are_refused_and_do_nothing(desk: Desk) -> None:
    """A running Andon under every attack of the list, while a question waits: no 5xx, no request leaves, it goes on."""
    await desk.alert("hostile", "Halt")
    card = await desk.asked("hostile")
    good = {"approval": card["approval"], "digest": card["digest"]}
    hook = {name: sent for name, sent in at_webhooks(HOOK, raw(), "").items() if not name.startswith("stranger")}
    doors = zip(desk.ports, (hook, at_api(f"token-of-{APPROVER}", card["incident"], good)), strict=True)
    answers = {name: await shoot(port, *packets) for port, attacks in doors for name, packets in attacks.items()}
    assert {name: told for name, told in answers.items() if not told.is_refusal or told.shows_the_inside} == {}
    assert len(answers) > 120
    assert "Traceback" not in (desk.folder / "andon.log").read_text(errors="replace")
    assert await desk.requests(HALT, "hostile") == []
    await desk.vote(APPROVER, card)
    await desk.vote(SECOND, card)
    assert len(await desk.done(HALT, "hostile")) == 1


async def test_the_wrong_person_is_told_who_may(desk: Desk) -> None:
    """Known but in no roster: neither yes nor no counts. A stranger's token opens nothing."""
    await desk.alert("wrong", "Halt")
    card = await desk.asked("wrong", person=VISITOR)
    may = "demo-oncall, demo-approver, demo-second may"
    assert card["you"]["not_approve"] == f"demo-visitor may not decide on critical steps of trading-core; {may}"
    for verdict in ("approve", "deny"):
        with pytest.raises(DeclinedError) as refused:
            await desk.vote(VISITOR, card, verdict)
        assert str(refused.value) == card["you"]["not_approve"]
    with pytest.raises(DeclinedError) as refused:
        await desk.vote("nobody", card)
    assert (refused.value.status, str(refused.value)) == (401, "this token belongs to nobody")
    incident = await desk.incident("wrong", status="awaiting_approval")
    assert incident["approval"]["votes"] == []
    clicks = [why for _, kind, why in await desk.story(incident["id"]) if kind == "approval_voted"]
    assert clicks == [f"denied: {card['you']['not_approve']}"] * 2


async def test_one_person_with_two_identities_counts_once(desk: Desk) -> None:
    """The uid at the socket and the token over TCP are one human in people.yaml: their second yes is refused."""
    await desk.alert("twice", "Halt")
    card = await desk.asked("twice")
    assert await desk.vote(SOCKET, card) == "yes from demo-oncall: 1 of 2"
    with pytest.raises(DeclinedError) as refused:
        await desk.vote(ONCALL, card)
    assert str(refused.value) == "demo-oncall has said yes already; one person counts once"
    code, said = await desk.command("approve", card["incident"], "--yes")
    assert (code, said["error"]) == (1, "demo-oncall has said yes already; one person counts once")
    assert await desk.requests(HALT, "twice") == []
    await desk.vote(SECOND, card)
    assert len(await desk.done(HALT, "twice")) == 1


async def test_whoever_brought_it_about_cannot_approve_it(desk: Desk) -> None:
    """`andon fire` by a person: their yes is refused by either identity and at the command line; their no is not."""
    labels = ("Halt", "case=requester", "severity=critical", "system=trading-core", "symbol=BTC-USD")
    assert (await desk.command("fire", *labels))[0] == 0
    card = await desk.asked("requester")
    own = "demo-oncall brought this about, and nobody approves what they asked for themselves"
    code, said = await desk.command("approve", card["incident"], "--yes")
    assert (code, said["error"]) == (1, own)
    for identity in (SOCKET, ONCALL):
        with pytest.raises(DeclinedError) as refused:
            await desk.vote(identity, card)
        assert str(refused.value) == own
    assert await desk.vote(ONCALL, card, "deny") == "trading.halt denied by demo-oncall"
    assert await desk.requests(HALT, "requester") == []


async def test_who_left_the_roster_before_the_click_is_refused(desk: Desk) -> None:
    """The roster of the click counts, not that of the question."""
    await desk.alert("left before", "Halt")
    card = await desk.asked("left before")
    try:
        await desk.people_are(approvers=(ONCALL, SECOND))
        with pytest.raises(DeclinedError) as refused:
            await desk.vote(APPROVER, card)
    finally:
        await desk.people_are(approvers=ALL)
    assert str(refused.value) == (
        "demo-approver may not decide on critical steps of trading-core; demo-oncall, demo-second may"
    )
    assert (await desk.incident("left before", status="awaiting_approval"))["approval"]["votes"] == []


async def test_who_left_the_roster_after_the_click_does_not_count(desk: Desk) -> None:
    """Both said yes, and one leaves the roster while the step is about to be sent: it is not, and is asked anew."""
    await desk.alert("left after", "Halt")
    card = await desk.asked("left after")
    await desk.vote(APPROVER, card)
    try:
        async with desk.trading_core_stands_still():
            await desk.vote(SECOND, card)
            await desk.people_are(approvers=(ONCALL, SECOND))
        again = await desk.asked("left after", not_=card["approval"])
        assert again["why"].startswith(
            "since it was approved, demo-approver may not decide on critical steps of trading-core; "
            "demo-oncall, demo-second may; asks to run trading.halt"
        )
        assert await desk.requests(HALT, "left after") == []
        await desk.vote(SECOND, again)
        await desk.vote(ONCALL, again)
        assert len(await desk.done(HALT, "left after")) == 1
    finally:
        await desk.people_are(approvers=ALL)


async def test_hands_on_stands_automation_down(desk: Desk) -> None:
    """`andon take`: what was asked is void, a yes that comes after is refused, and nothing is sent."""
    await desk.alert("taken", "Halt")
    card = await desk.asked("taken")
    await desk.vote(APPROVER, card)
    code, said = await desk.command("take", card["incident"])
    assert (code, said["decisions"][0]["why"]) == (0, "demo-oncall has it")
    incident = await desk.incident("taken", status="parked")
    assert (incident["taken_by"], incident["approval"]) == ("demo-oncall", None)
    with pytest.raises(DeclinedError) as refused:
        await desk.vote(SECOND, card)
    assert "demo-oncall has it; automation stands down here" in str(refused.value)
    code, said = await desk.command("approve", card["incident"], "--yes")
    assert (code, said["error"].partition(":")[0]) == (1, f"nothing waits for a decision on {card['incident']}")
    assert await desk.requests(HALT, "taken") == []


async def test_escalating_calls_the_next_people_now(desk: Desk) -> None:
    """`andon escalate`: the rung that is due in ten minutes is called at once, with the reason that was typed."""
    await desk.alert("escalated", "Halt")
    card = await desk.asked("escalated")
    code, said = await desk.command("escalate", card["incident"], "--reason", "I am alone here")
    assert (code, said["decisions"][0]["why"]) == (0, "paged cro")
    assert "escalated by demo-oncall: I am alone here" in await desk.paged(card["incident"], "cro")
    assert (await desk.incident("escalated", status="awaiting_approval"))["level"] == 1


async def test_a_freeze_holds_what_was_approved_before_it(desk: Desk) -> None:
    """`andon freeze` between two yes: approved, yet denied its turn, and parked with the reason of the freeze."""
    await desk.alert("frozen", "Halt")
    card = await desk.asked("frozen")
    await desk.vote(APPROVER, card)
    code, _ = await desk.command("freeze", "trading-core/risk-engine", "--reason", "a release is under way")
    assert code == 0
    try:
        await desk.vote(SECOND, card)
        incident = await desk.incident("frozen", status="parked")
    finally:
        assert (await desk.command("unfreeze", "trading-core/risk-engine"))[0] == 0
    assert "a release is under way" in incident["why"]
    assert await desk.requests(HALT, "frozen") == []
    assert await desk.audit_verifies()


async def test_a_policy_that_changed_voids_the_yes(desk: Desk) -> None:
    """The policy is edited between the question and the yes: what people were shown is no longer what is in force."""
    await desk.alert("edited", "Cut")
    card = await desk.asked("edited")
    deeper = cut(risk="risky")
    deeper["with"] = {**deeper["with"], "kelly_fraction": 0.08}
    try:
        await desk.policies_are([*POLICIES[:-1], policy("cut", "Cut", plan=[deeper])])
        await desk.vote(APPROVER, card)
        refused = await desk.result("edited", number=2)
    finally:
        await desk.policies_are(POLICIES)
    assert refused["outcome"] == "asked"
    assert refused["why"].startswith("cut now gives risk.reduce_kelly other arguments than when this incident opened")
    assert await desk.requests(CUT, "edited") == []


async def test_one_named_person_may_break_the_glass(desk: Desk) -> None:
    """Alone, with a typed reason, and everybody on the ladder is paged; anybody else, or without words, is refused."""
    await desk.alert("glass", "Glass")
    card = await desk.asked("glass")
    refusals = []
    for person, reason in ((APPROVER, "it burns"), (SECOND, " ")):
        with pytest.raises(DeclinedError) as refused:
            await desk.vote(person, card, break_glass=True, reason=reason)
        refusals.append(str(refused.value))
    assert refusals == [
        "the policy lets demo-second break the glass for trading.halt, not demo-approver",
        "breaking the glass needs a typed reason: say --reason",
    ]
    said = await desk.vote(SECOND, card, break_glass=True, reason="it burns")
    assert said == "demo-second broke the glass for trading.halt alone: it burns"
    assert len(await desk.done(HALT, "glass")) == 1
    assert said in await desk.paged(card["incident"], "cro")


async def test_where_too_few_people_are_left_to_decide_it_says_so(desk: Desk) -> None:
    """Two must decide and only one may: nobody is asked in vain, the on-call gets the command to type."""
    try:
        await desk.people_are(approvers=(ONCALL, APPROVER))
        labels = ("Halt", "case=too few", "severity=critical", "system=trading-core", "symbol=BTC-USD")
        assert (await desk.command("fire", *labels))[0] == 0
        incident = await desk.incident("too few", status="parked")
    finally:
        await desk.people_are(approvers=ALL)
    assert "2 must approve it and demo-approver may; by hand: curl" in incident["why"]
    assert incident["why"] in await desk.paged(incident["id"], "trading-oncall")
    assert await desk.requests(HALT, "too few") == []


async def test_an_order_carries_the_yes_of_whoever_may_give_it(desk: Desk) -> None:
    """`andon run` of a risky step by somebody of the roster needs nobody else; by somebody of none, it asks."""
    order = ("run", "trading.halt", "--system", "trading-core", "--reason", "by order (order)", "--yes")
    code, said = await desk.command(*order)
    assert code == 0, said
    assert len(await desk.done(HALT, "order")) == 1
    await desk.calm()
    body = {"action": "trading.halt", "system": "trading-core", "arguments": {"reason": "by order (visitor)"}}
    visitor = await desk.as_(VISITOR)
    incident = (await visitor.post("/run", body))["incident"]
    card = await desk.question(incident)
    assert card["why"].startswith("demo-visitor may not decide on risky steps of trading-core")
    assert await desk.requests(HALT, "visitor") == []
    await desk.vote(APPROVER, card)
    assert len(await desk.done(HALT, "visitor")) == 1


async def test_kill_between_the_yes_and_the_request_sends_it_once(desk: Desk) -> None:
    """kill -9 while the approved step looks at the target: the successor redeems the same approval, once."""
    await desk.alert("killed", "Halt")
    card = await desk.asked("killed")
    await desk.vote(APPROVER, card)
    async with desk.trading_core_stands_still():
        await desk.vote(SECOND, card)
        await desk.kill()
    assert await desk.requests(HALT, "killed") == []
    await desk.start()
    assert len(await desk.done(HALT, "killed")) == 1
    incident = await desk.incident("killed", status="mitigated")
    assert [result["outcome"] for result in incident["results"]] == ["asked", "succeeded"]
    assert await desk.audit_verifies()
