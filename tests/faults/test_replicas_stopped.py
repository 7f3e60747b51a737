"""Replicas that stand still past their lease and then go on, one of them between an intent and its sending."""

from __future__ import annotations

import asyncio

import pytest

from bot.engine.loop import RECLAIM_EVERY_SECONDS, RECLAIM_IDLE_MS
from bot.sandbox.children import until
from tests.faults.crew import Crew, Replica, open_crew
from tests.faults.gate import gated

LEASE_S = RECLAIM_IDLE_MS / 1_000 + RECLAIM_EVERY_SECONDS
LATER_S = 6.0  # whatever a replica that wakes up would do, it would have done by then


async def holds(crew: Crew, replica: Replica) -> int:
    """How many deliveries it has in hand."""
    return sum([await crew.held(queue, replica.name) for queue in ("inbox", "outbox")])


async def ordered(crew: Crew) -> dict[str, int]:
    """How often each accepted alert was acted upon; the crew's clock may order something every five minutes besides."""
    orders = await crew.orders()
    return {case: orders[case] for case in crew.accepted}


@pytest.mark.timeout(300)  # generous: a busy machine starts a replica in half a minute
async def test_who_sleeps_past_the_lease_wakes_up_to_nothing() -> None:
    """What two stopped replicas held is taken over by the third, once; when they go on, neither sends anything."""
    async with open_crew() as crew, gated(crew.url) as gate:
        between = await crew.add("a", store_url=gate.url)
        gate.shut_at(b'"kind":"intent_declared"')  # as the commit says it in the audit
        await crew.alert("Work0", "work-between")
        await asyncio.wait_for(gate.shut.wait(), 60)
        between.stop()
        gate.open()  # the store's answer waits in its socket
        assert await crew.orders() == {}
        assert "intent_declared" in [line["event"]["kind"] for line in await crew.events("target:desk-0")]
        midway = await crew.add("b")
        await crew.add("c")

        # Another stops in the middle of whatever it does.
        async with crew.alerting("Work1", "Work2", "Late", every=0.1):
            await until("one has its hands full", lambda: holds(crew, midway), within=60)
            midway.stop()
        held = await holds(crew, midway)
        assert held > 0
        stopped_at = asyncio.get_running_loop().time()

        await crew.quiet(within=LEASE_S + 30)
        await until("every rung has run", crew.rungs_ran, within=60)  # one may have been due a second after that
        await crew.quiet()
        assert asyncio.get_running_loop().time() - stopped_at > 5  # not at once: the lease was theirs
        before = await ordered(crew)
        await crew.accounts()
        (parked,) = (await crew.incidents())["work-between"]
        assert (parked.status, "interruption" in parked.why) == ("parked", True)

        between.go_on()
        midway.go_on()
        await asyncio.sleep(LATER_S)
        assert await ordered(crew) == before
        await crew.accounts()
        for replica in crew.replicas.values():
            await crew.is_ready(replica)
        await crew.alert("Work0", "work-after", only="a")  # they are of use again
        await until("it works again", lambda: crew.ordered("work-after"), within=60)
