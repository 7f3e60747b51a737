"""Killed in every state that waits: the successor goes on, and nothing is forgotten or done twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bot.core import incident_turns
from bot.core.reading import Reading
from bot.engine.action_ports import Finding
from tests.integration.engine.floor import PLAN, STEP, Floor

NEUTRAL = replace(PLAN, diagnose=("look",), steps=(replace(STEP, direction="neutral"),))
ASKS = replace(PLAN, steps=(replace(STEP, automatic=False),))


def unsure(kelly: float):
    """Evidence that stays just below the guard until Kelly is what the test says."""

    async def read(system, declared, alerts, now):
        return tuple(Reading(name=name, value=kelly, taken_at=now) for name in declared)

    return read


async def told(floor: Floor, breach, status: str) -> None:
    """Let the breach come in, and kill the engine when the incident stands at `status`."""
    await floor.start()
    await floor.arm()
    await floor.fire(breach)
    await floor.status(status)
    await floor.kill()


async def test_killed_while_diagnosing(valkey, breach):
    """The diagnosis never came back; its successor looks again and the plan goes on."""
    floor = Floor(valkey, NEUTRAL)
    looking = asyncio.Event()

    class Slow:
        async def look(self, context) -> Finding:
            looking.set()
            return await asyncio.Event().wait()

    class Quick:
        async def look(self, context) -> Finding:
            return Finding("one symbol is high")

    floor.risk.diagnosis = lambda name: Slow()
    await told(floor, breach, "diagnosing")
    floor.risk.diagnosis = lambda name: Quick()
    await floor.start()
    try:
        incident = await floor.status("mitigated")
        assert incident.findings == {"look": "one symbol is high"}
        assert floor.risk.requests == [0.1]
    finally:
        await floor.kill()


async def test_killed_while_awaiting_a_decision(valkey, breach, over):
    """The decision still waits, nobody is paged twice, and the end of the alert ends it."""
    floor = Floor(valkey, ASKS)
    await told(floor, breach, "awaiting_approval")
    pages = len(floor.people.pages)
    await floor.start()
    try:
        assert (await floor.status("awaiting_approval")).timers.keys() >= {"approval"}
        floor.risk.read = unsure(0.9)
        await floor.fire(over)
        await floor.status("closed")
        assert len(floor.people.pages) <= max(pages, 1)
        assert floor.risk.requests == []
    finally:
        await floor.kill()


async def test_killed_while_parked(valkey, breach, over):
    """Parked waits for a human over any number of restarts."""
    floor = Floor(valkey, replace(PLAN, mode="shadow"))
    await told(floor, breach, "parked")
    for _ in range(3):
        await floor.start()
        await floor.status("parked")
        await floor.kill()
    await floor.start()
    try:
        floor.risk.read = unsure(0.9)
        await floor.fire(over)
        await floor.status("closed")
        assert floor.risk.requests == []
    finally:
        await floor.kill()


async def test_killed_while_the_guard_does_not_hold_yet(valkey, breach, monkeypatch):
    """The alert fires, the evidence says not yet: the successor looks again, and acts when it does hold."""
    monkeypatch.setattr(incident_turns, "GUARD_RETRY_MS", 200)
    floor = Floor(valkey)
    evidence = floor.risk.read
    floor.risk.read = unsure(1.7)
    await told(floor, breach, "open")
    floor.risk.read = evidence
    await floor.start()
    try:
        await floor.status("mitigated")
        assert floor.risk.requests == [0.1]
    finally:
        await floor.kill()


@pytest.mark.parametrize("holder_dies", [True, False])
async def test_killed_while_waiting_for_its_turn(valkey, breach, holder_dies):
    """Two problems, one component: the second waits behind the first, and by its turn the first has helped both."""
    floor = Floor(valkey)
    floor.separate = True
    reached, go = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        reached.set()
        await go.wait()

    floor.risk.after_send = slow
    await floor.start()
    await floor.arm()
    other = replace(breach, fingerprint="e" * 16, labels={**breach.labels, "symbol": "ETH-USD"})
    await floor.fire(breach)
    await asyncio.wait_for(reached.wait(), 5)
    await floor.fire(other)

    async def queued() -> bool:
        return bool((await floor.target()).queue)

    await floor.until(queued, "the second waits in the queue")
    if holder_dies:
        await floor.kill()
        floor.risk.after_send = None
        await floor.start()
    go.set()

    async def both() -> bool:
        lines = await floor.store.incidents("trading-core", closed=True, limit=9)
        return {line.incident.status for line in lines} == {"mitigated", "open"}

    try:
        await floor.until(both, "one is mitigated, and the other's guard no longer holds")
        assert floor.risk.changes == [(0.25, 0.1)]
        assert (await floor.target()).queue == ()
        assert (await floor.target()).slot is None
    finally:
        await floor.kill()
