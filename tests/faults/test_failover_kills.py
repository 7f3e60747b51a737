"""Row T3 with `andon serve` killed at each point of the failover: it happens exactly once, and nobody forgets it."""

from __future__ import annotations

import asyncio

from tests.acceptance.harness.failover import FailoverFloor, open_failover_floor


async def _ends_well(floor: FailoverFloor) -> None:
    """Failed over once, the services on the new primary, no acknowledged write lost, the audit whole."""
    incident = await floor.incident(status="resolved", within=60)
    assert [result["outcome"] for result in incident["results"]].count("unknown") == 0
    assert await floor.failovers() == 1
    for name, health in (await floor.services()).items():
        assert (health["status"], health["redis"]) == ("healthy", floor.replica.address), name
    writes = await floor.sandbox("GET", "/ledger/writes")
    assert writes["lost"] == 0
    assert writes["acknowledged"] > 0
    code, verdict = await floor.command("audit", "verify")
    assert (code, verdict["problems"]) == (0, [])


async def test_killed_right_after_the_request_and_in_the_read_back_it_is_done_once() -> None:
    """The Sentinel took it, its answer never came, Andon died; its successor dies while it proves what was done.

    The third one finds epoch and roles as wanted and a history that never forked, so that not a byte is lost; it fails
    nothing over a second time, and goes on with the services.
    """
    async with open_failover_floor("answer") as floor:
        await floor.slow()
        await floor.held()
        await floor.kill_andon()
        floor.wires.hold = ""
        await asyncio.gather(floor.start_andon(), floor.canary_written())
        await floor.kill_andon()
        await floor.start_andon()
        await _ends_well(floor)
        assert floor.wires.requests == 1


async def test_killed_before_the_request_left_a_person_decides() -> None:
    """The intent was declared and nothing proves that it was not sent: never sent again by itself, never forgotten."""
    async with open_failover_floor("request") as floor:
        await floor.slow()
        await floor.held()
        await floor.kill_andon()
        floor.wires.hold = ""
        await floor.start_andon()
        incident = await floor.incident(status="parked")
        assert [(r["step"], r["outcome"]) for r in incident["results"]] == [("1.1-redis.failover", "unknown")]
        assert await floor.failovers() == 0
        assert floor.wires.requests == 1
