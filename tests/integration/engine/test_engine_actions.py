"""What the engine does for actions: it asks where they ask, probes what it does not know, and tells what was left."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace

import pytest

from bot.core.incident_moves import TURN_MS
from bot.core.orders import ApprovalVoted
from bot.core.words import target_id
from bot.engine.action_ports import Proceed, ReadBack
from tests.integration.engine.floor import BREACH, PLAN, STEP, Floor, Hang, RiskEngine

ONCE = replace(PLAN, steps=(replace(STEP, delivery="once", verify=None, guard=""),), evidence={}, healthy="")
BACK = replace(STEP, id="1-back", action="risk.restore", direction="raises", risk="risky", automatic=False,
               delivery="once", guard="", verify=None, arguments='{"kelly_fraction":0.2}')  # fmt: skip
BACK_PLAN = replace(ONCE, policy="order", mode="suggest", steps=(BACK,), hold_ms=100, close_ms=60_000)
LEASED = replace(STEP, lease_ms=300, undo="risk.restore", undo_plan=BACK_PLAN)


@dataclass
class Careful(RiskEngine):
    """Says True only of what it can prove, may ask for a person, and remembers what it was told was left."""

    ask: str = ""
    left: list[str] = field(default_factory=list)

    async def inspect(self, context, arguments):
        self.left.append(context.left)
        wanted = json.loads(arguments)["kelly_fraction"]
        body = json.dumps({"kelly_fraction": wanted})
        return Proceed(json.dumps({"kelly_fraction": self.kelly}), body, body, ask=self.ask)

    async def read_back(self, context, proceed):
        wanted = json.loads(proceed.arguments)["kelly_fraction"]
        after = json.dumps({"kelly_fraction": self.kelly})
        return ReadBack(after, True if self.kelly == wanted else None, f"Kelly is {self.kelly}")


async def _floor(url: str, plan, **careful) -> Floor:
    floor = Floor(url, plan)
    floor.risk = Careful(**careful)
    await floor.start()
    await floor.arm()
    return floor


async def test_what_took_effect_before_a_kill_is_proved_by_a_probe_and_not_sent_again(valkey) -> None:
    """Delivery once, killed after the send: the recorded before and arguments are enough to prove it."""
    floor = await _floor(valkey, ONCE)
    hang = Hang()
    floor.risk.after_send = hang
    await floor.fire(BREACH)
    await asyncio.wait_for(hang.reached.wait(), 5)
    await floor.kill()
    floor.risk.after_send = None
    await floor.start()
    incident = await floor.status("mitigated")
    assert "an interruption" in incident.results[0].why
    assert floor.risk.requests == [0.1]
    await floor.kill()


async def test_what_no_probe_can_prove_is_left_to_a_person_and_never_sent_again(valkey) -> None:
    """Delivery once, killed before the send: "not done yet" proves nothing, the request may still be under way."""
    floor = await _floor(valkey, ONCE)
    hang = Hang()
    floor.risk.before_send = hang
    await floor.fire(BREACH)
    await asyncio.wait_for(hang.reached.wait(), 5)
    await floor.kill()
    floor.risk.before_send = None
    await floor.start()
    incident = await floor.status("parked")
    assert "nobody can tell whether it took effect" in incident.why
    assert "Kelly is 0.2" in incident.results[0].why, "what the probe saw, in its own words"
    assert floor.risk.requests == []
    await floor.kill()


@pytest.mark.parametrize("took_effect", [True, False])
async def test_an_outage_longer_than_a_turn_never_makes_what_was_sent_unsent(valkey, took_effect: bool) -> None:
    """Back after its time is over: what was promised is looked at first; unproved, it is a person's."""
    floor = await _floor(valkey, ONCE)
    hang = Hang()
    if took_effect:
        floor.risk.after_send = hang
    else:
        floor.risk.before_send = hang
    await floor.fire(BREACH)
    await asyncio.wait_for(hang.reached.wait(), 5)
    await floor.kill()
    floor.risk.before_send = floor.risk.after_send = None
    floor.ahead_ms = TURN_MS + 60_000
    await floor.start()
    await floor.quiet()
    incident = await floor.incident()
    outcomes = {result.outcome for result in incident.results}
    assert outcomes <= {"succeeded", "unknown"}
    assert ("succeeded" in outcomes) is took_effect
    assert took_effect or incident.status == "parked"
    assert not any("not_sent" in line for line in floor.people.intents)
    assert floor.risk.requests == ([0.1] if took_effect else [])
    await floor.kill()


async def test_a_yes_to_one_doubt_is_no_yes_to_another(valkey) -> None:
    """What the action asks a person to weigh is part of the question."""
    floor = await _floor(valkey, ONCE, ask="the primary is not slow as seen from here (p99 300 us)")
    await floor.fire(BREACH)
    incident = await floor.status("awaiting_approval")
    floor.risk.ask = "9,900 of 10,000 clients are connected"
    await _yes(floor, incident)

    async def asked_again() -> bool:
        now = await floor.incident()
        return now.approval is not None and now.approval.id != incident.approval.id

    await floor.until(asked_again, "another question")
    assert floor.risk.requests == []
    floor.risk.ask = "8,800 of 10,000 clients are connected"  # the same doubt with other figures
    await _yes(floor, await floor.incident())
    await floor.status("mitigated")
    assert floor.risk.requests == [0.1]
    await floor.kill()


async def _yes(floor: Floor, incident) -> None:
    asked = incident.approval
    yes = ApprovalVoted(
        id=f"yes/{asked.id}", at=1, by="demo-approver", approval=asked.id, digest=asked.terms.digest, verdict="approve"
    )
    await floor.engine.tell("trading-core", incident.id, yes)


async def test_an_action_may_ask_for_a_person_where_the_policy_would_act(valkey) -> None:
    """Armed, safe and automatic, and still asked: the action saw something that a person must weigh."""
    floor = await _floor(valkey, ONCE, ask="the primary answers within 0.2 ms: the cause may not be its own")
    await floor.fire(BREACH)
    incident = await floor.status("awaiting_approval")
    assert "the cause may not be its own" in incident.why
    assert floor.risk.requests == []
    await floor.kill()


async def test_the_end_of_a_lease_asks_a_person_and_tells_the_action_what_was_left(valkey) -> None:
    """Nothing is taken back by itself; with a yes it is, once, and the action could compare with what Andon left."""
    floor = await _floor(valkey, replace(PLAN, steps=(LEASED,)))
    await floor.fire(BREACH)

    async def asked() -> bool:
        lines = await floor.store.incidents("trading-core", closed=False, limit=10)
        return any(line.incident.approval is not None for line in lines)

    await floor.until(asked, "a question")
    assert floor.risk.requests == [0.1]
    lines = await floor.store.incidents("trading-core", closed=False, limit=10)
    errand = next(line.incident for line in lines if line.incident.approval is not None)
    assert json.loads(floor.risk.left[-1]) == {"kelly_fraction": 0.1}
    assert "its lease is over" in errand.why
    assert errand.requesters == ()
    await _yes(floor, errand)

    async def taken_back() -> bool:
        return (await floor.target(target_id("risk-engine"))).leases == {}

    await floor.until(taken_back, "the end of the lease")
    assert floor.risk.requests == [0.1, 0.2]
    await floor.kill()
