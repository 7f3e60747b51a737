"""A VaR breach from scrape to closed incident, with nothing simulated in between but the trading system itself."""

from __future__ import annotations

import pytest

from bot.sandbox.alerts import fingerprint
from tests.acceptance.harness.floor import open_floor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


async def test_a_breach_told_by_two_alertmanagers_is_cut_once_verified_and_closed() -> None:
    """Prometheus scrapes → rule fires → Alertmanagers post → Andon acts → VaR falls → resolved → closed.

    Highly available Alertmanagers both send; the target must still see one request and one effect.
    """
    async with open_floor(alertmanagers=2) as floor:
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
        posts = [e for e in await floor.sandbox("GET", "/ledger?kind=request") if e["what"].startswith("POST")]
        assert len(posts) == 1
        assert len((await floor.api("GET", "/incidents?all=1"))["incidents"]) == 1


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
