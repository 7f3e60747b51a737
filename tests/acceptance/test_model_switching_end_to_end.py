"""Row T1 from switches to a paused router and back, with real Prometheus, Alertmanager, Valkey and `andon serve`."""

from __future__ import annotations

from typing import Any

import pytest

from bot.sandbox.children import until
from tests.acceptance.harness.floor import STEP_WITHIN, Floor, open_floor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

# The minute that is counted becomes two seconds, and the quarter of an hour of the lease five; the rest is as shipped.
WAITS = {"within 1m": "2s", "lease 15m": "5s"}
Json = dict[str, Any]


async def _router(floor: Floor, state: str) -> Json:
    """The router's status, once it is so."""

    async def look() -> Json | None:
        status = await floor.sandbox("GET", "/api/router/status")
        return dict(status) if status["state"] == state else None

    return await until(f"the router is {state}", look, within=STEP_WITHIN)


async def _moves(floor: Floor) -> list[tuple[str, str]]:
    """Every pause and resume of the router, by whom."""
    effects = await floor.sandbox("GET", "/ledger?kind=effect")
    return [(effect["after"], effect["owner"]) for effect in effects if effect["what"] == "router"]


async def _verified(floor: Floor) -> Json:
    """The incident of the switching, once its pause is verified."""

    async def look() -> Json | None:
        lines = (await floor.api("GET", "/incidents?all=1"))["incidents"]
        for line in (line for line in lines if line["policy"] == "model-switching"):
            incident = (await floor.api("GET", f"/incidents/{line['id']}"))["incident"]
            if [result["outcome"] for result in incident["results"]] == ["succeeded", "verified"]:
                return dict(incident)
        return None

    return await until("the pause is verified", look, within=STEP_WITHIN)


async def _question(floor: Floor, *, not_: str = "") -> Json:
    """The card that asks whether the router may go on, once there is one (another than that of `not_`)."""

    async def look() -> Json | None:
        cards = (await floor.api("GET", "/decisions"))["waiting"]
        found = (card for card in cards if card["action"] == "router.resume" and card["incident"] != not_)
        return next(found, None)

    return await until("the lease asks", look, within=STEP_WITHIN)


async def _say_yes(floor: Floor, card: Json) -> None:
    yes = {"approval": card["approval"], "digest": card["digest"]}
    await floor.api("POST", f"/incidents/{card['incident']}/approve", yes)


async def test_switching_pauses_the_router_once_and_only_a_person_resumes_it() -> None:
    """Paused once, diagnosed, verified; the lease asks; a pause that the desk took over is not resumed by a yes, and
    one that is Andon's own is."""
    async with open_floor(ladder=WAITS, streams=False) as floor:
        await floor.sandbox("POST", "/faults/switching", {"pattern": "pingpong", "per_minute": 3000})
        status = await _router(floor, "paused")
        assert (status["owner"], status["reason"]) == ("andon", "more than 20 model switches a minute")
        incident = await _verified(floor)
        assert f"frozen: {status['model']}" in incident["results"][0]["why"]
        finding = incident["findings"]["router.switch_pattern"]
        assert "likely cause: bad routing rule threshold" in finding
        assert "suggested fix: update model_router_rules.yml" in finding
        await floor.sandbox("POST", "/faults/switching", {"clear": True})

        card = await _question(floor)
        await floor.sandbox("POST", "/api/router/pause", {"owner": "desk", "reason": "we look at the rules"})
        await _say_yes(floor, card)

        async def refused() -> str | None:
            errand = (await floor.api("GET", f"/incidents/{card['incident']}"))["incident"]
            return str(errand["why"]) if errand["status"] == "parked" else None

        why = await until("the resume is refused", refused, within=STEP_WITHIN)
        assert "paused by desk, not by Andon" in why
        assert await _moves(floor) == [("paused", "andon")]

        await floor.sandbox("POST", "/api/router/pause", {"owner": "andon", "reason": "handed back"})
        await _say_yes(floor, await _question(floor, not_=card["incident"]))
        await _router(floor, "running")
        assert await _moves(floor) == [("paused", "andon"), ("running", "andon")]
        code, verdict = await floor.command("audit", "verify")
        assert (code, verdict["problems"]) == (0, [])
