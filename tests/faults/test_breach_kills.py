"""A VaR breach on real programs, and `andon serve` killed in each state of its incident: one cut, nothing forgotten."""

from __future__ import annotations

from tests.acceptance.harness.floor import open_floor


async def test_a_breach_told_while_andon_is_dead_is_acted_on_when_it_is_back() -> None:
    """kill -9 before the alert: Alertmanager retries, and the successor acts, once."""
    async with open_floor() as floor:
        await floor.kill_andon()
        await floor.inject_var("ETH-USD", 2.4)
        await floor.alertmanager_knows("VaRBreach")
        await floor.start_andon()
        await floor.incident(status="closed")
        assert [e["after"] for e in await floor.effects()] == [0.1]


async def test_kill_in_the_middle_of_an_incident_still_acts_once() -> None:
    """kill -9 right after the incident opened: intents and timers survive, nothing is doubled."""
    async with open_floor() as floor:
        await floor.inject_var("BTC-USD", 2.4)
        await floor.any_incident()
        await floor.kill_andon()
        await floor.start_andon()
        await floor.incident(status="closed")
        assert [e["after"] for e in await floor.effects()] == [0.1]
        code, verdict = await floor.command("audit", "verify")
        assert (code, verdict["problems"]) == (0, [])


async def test_kill_in_each_state_on_the_way_to_the_end() -> None:
    """kill -9 while verifying and while resolved: each successor goes on where the last one stood."""
    async with open_floor() as floor:
        await floor.inject_var("BTC-USD", 2.4)
        for status in ("verifying", "resolved"):
            await floor.incident(status=status)
            await floor.kill_andon()
            await floor.start_andon()
        incident = await floor.incident(status="closed")
        assert [result["outcome"] for result in incident["results"]] == ["succeeded", "verified"]
        assert [e["after"] for e in await floor.effects()] == [0.1]
        code, verdict = await floor.command("audit", "verify")
        assert (code, verdict["problems"]) == (0, [])


async def test_kill_while_parked_keeps_waiting_for_a_human_and_for_health() -> None:
    """Frozen, so nothing is done: the incident waits across kill -9, and resolves once people have put things right."""
    async with open_floor() as floor:
        code, _ = await floor.command("freeze", "--reason", "release under way")
        assert code == 0
        await floor.inject_var("ETH-USD", 2.4)
        parked = await floor.incident(status="parked")
        await floor.kill_andon()
        await floor.start_andon()
        assert (await floor.incident(status="parked"))["why"] == parked["why"]
        await floor.desk_restores()
        await floor.incident(status="closed")
        assert await floor.effects() == []
