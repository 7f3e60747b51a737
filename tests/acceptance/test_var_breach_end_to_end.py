"""A VaR breach from scrape to closed incident, with nothing simulated in between but the trading system itself."""

from __future__ import annotations

import pytest

from bot.sandbox.alerts import fingerprint
from tests.acceptance.harness.floor import Floor, open_floor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


async def test_a_breach_is_cut_once_verified_and_closed(floor: Floor) -> None:
    """Prometheus scrapes → rule fires → Alertmanager posts → Andon acts → VaR falls → resolved → closed."""
    await floor.inject_var("BTC-USD", 2.4)
    incident = await floor.incident(status="closed")
    assert await floor.kelly() == 0.1
    assert await floor.var("BTC-USD") < 1.6
    (effect,) = await floor.effects()
    assert (effect["what"], effect["before"], effect["after"]) == ("kelly_fraction", 0.25, 0.1)
    assert effect["reason"] == "VaR breach on BTC-USD"
    assert [result["outcome"] for result in incident["results"]] == ["succeeded", "verified"]
    ((seen, state),) = incident["alerts"].items()
    assert seen == fingerprint(state["alert"]["labels"]), "the sandbox's own alerts carry Prometheus's fingerprints"
    assert not incident["paged"]
    code, verdict = await floor.command("audit", "verify")
    assert (code, verdict["problems"]) == (0, [])


async def test_copies_from_two_alertmanagers_act_once(floor_with_two_alertmanagers: Floor) -> None:
    """Highly available Alertmanagers both send; the target must still see one request and one effect."""
    floor = floor_with_two_alertmanagers
    await floor.inject_var("SOL-USD", 2.5)
    await floor.incident(status="closed")
    assert [e["after"] for e in await floor.effects()] == [0.1]
    posts = [e for e in await floor.sandbox("GET", "/ledger?kind=request") if e["what"].startswith("POST")]
    assert len(posts) == 1
    assert len((await floor.api("GET", "/incidents?all=1"))["incidents"]) == 1


async def test_a_breach_told_while_andon_is_dead_is_acted_on_when_it_is_back(floor: Floor) -> None:
    """kill -9 before the alert: Alertmanager retries, and the successor acts, once."""
    await floor.kill_andon()
    await floor.inject_var("ETH-USD", 2.4)
    await floor.alertmanager_knows("VaRBreach")
    await floor.start_andon()
    await floor.incident(status="closed")
    assert [e["after"] for e in await floor.effects()] == [0.1]


async def test_kill_in_the_middle_of_an_incident_still_acts_once(floor: Floor) -> None:
    """kill -9 right after the incident opened: intents and timers survive, nothing is doubled."""
    await floor.inject_var("BTC-USD", 2.4)
    await floor.any_incident()
    await floor.kill_andon()
    await floor.start_andon()
    await floor.incident(status="closed")
    assert [e["after"] for e in await floor.effects()] == [0.1]
    code, verdict = await floor.command("audit", "verify")
    assert (code, verdict["problems"]) == (0, [])


async def test_kill_in_each_state_on_the_way_to_the_end(floor: Floor) -> None:
    """kill -9 while verifying and while resolved: each successor goes on where the last one stood."""
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


async def test_kill_while_parked_keeps_waiting_for_a_human_and_for_health(floor: Floor) -> None:
    """Frozen, so nothing is done: the incident waits across kill -9, and resolves once people have put things right."""
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


async def test_two_symbols_are_one_incident_and_a_kill_while_acting_doubles_nothing() -> None:
    """A slow trading system, two breaches at once, kill -9 while the step is under way: one cut, for both."""
    async with open_floor(answer_ms=700) as floor:
        await floor.inject_var("BTC-USD", 2.4)
        await floor.inject_var("SOL-USD", 2.3)
        await floor.incident(status="acting")
        await floor.kill_andon()
        await floor.start_andon()
        incident = await floor.incident(status="closed")
        symbols = {state["alert"]["labels"]["symbol"] for state in incident["alerts"].values()}
        assert symbols == {"BTC-USD", "SOL-USD"}
        assert [e["after"] for e in await floor.effects()] == [0.1]
        assert len((await floor.api("GET", "/incidents?all=1"))["incidents"]) == 1
