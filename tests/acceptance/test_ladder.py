"""Ladders in real time: the shipped one with short waits behind Prometheus, and every wait of people across kill -9.

Real `andon serve`, store and Alertmanager; trading-core is the sandbox, and its ledger says what was asked of it.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from bot.sandbox.children import until
from tests.acceptance.harness.desk import APPROVER, CUT, HALT, SECOND, WITHIN, Desk, cut, halt, open_desk, policy
from tests.acceptance.harness.floor import STEP_WITHIN, Floor, open_floor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

LATE_MS = 1_500  # how late a rung may be on a machine that is shared with other tests; never early
HELD_MS = 9_000


async def test_the_shipped_ladder_from_scrape_to_halt() -> None:
    """Prometheus → Alertmanager → cut; it is not enough: pm is called, then cro; the halt waits for a yes, typed."""
    async with open_floor(ladder={"2m": "2s", "5m": "4s"}) as floor:
        await floor.inject_var("BTC-USD", 6.0)
        breach = await floor.any_incident()
        halt = await until("the ladder asks", lambda: _branch_that_asks(floor, breach), within=STEP_WITHIN)
        assert [effect["what"] for effect in await floor.effects()] == ["kelly_fraction"]
        code, answer = await floor.command("approve", halt, "--yes")
        assert (code, answer["decisions"][0]["why"]) == (0, "trading.halt approved by demo-oncall")

        async def told() -> bool:
            incident = (await floor.api("GET", f"/incidents/{breach}"))["incident"]
            return any(result["outcome"] == "branched" for result in incident["results"])

        await until("the halt is told to its incident", told, within=STEP_WITHIN)
        assert [effect["what"] for effect in await floor.effects()] == ["kelly_fraction", "trading"]
        first, second = await _climbed(floor, breach)
        assert 2_000 <= first <= 2_000 + LATE_MS
        assert 4_000 <= second <= 4_000 + LATE_MS


async def _branch_that_asks(floor: Floor, incident: str) -> str | None:
    branches = (await floor.api("GET", f"/incidents/{incident}"))["incident"]["branches"]
    for branch in branches:
        if (await floor.api("GET", f"/incidents/{branch}"))["decision"] is not None:
            return str(branch)
    return None


async def _climbed(floor: Floor, incident: str) -> list[int]:
    """When each rung was climbed, in milliseconds since the incident opened."""
    shown = await floor.api("GET", f"/incidents/{incident}")
    bodies = [json.loads(entry["body"]) for entry in shown["audit"]]
    climbs = [
        (body["at"], each["why"]) for body in bodies for each in body["events"] if each["why"].startswith("level ")
    ]
    assert [why for _, why in climbs] == ["level 1: paged pm", "level 2: paged cro, runs trading.halt"]
    return [at - shown["incident"]["episode_at"] for at, _ in climbs]


WAITS = [
    policy("leased", "Leased", plan=[halt(lease="9s")]),
    policy("votes", "Votes", plan=[halt(risk="critical")]),
    policy("rungs", "Rungs", ladder=[
        {"after": "1s", "page": {"service": "pm"}}, {"after": "10s", "page": {"service": "cro"}}]),
    policy("branch", "Branch", ladder=[{"after": "500ms", "until": "resolved", **halt("run")}]),
    policy("held", "Held", ladder=[{"after": "6s", "until": "resolved", **cut("run")}]),
]  # fmt: skip


async def test_kill_in_the_middle_of_every_wait() -> None:
    """One yes of two, between two rungs, a branch that asks, a held rung, a lease, a freeze that is to end: kill -9,
    and each goes on where it stood."""
    async with open_desk(WAITS) as desk:
        leased = await _leased_and_frozen(desk)
        cases = ("votes", "rungs", "branch", "held")
        await asyncio.gather(*(desk.alert(case, case.capitalize()) for case in cases))
        held = await desk.incident("held")
        order = {"for_ms": HELD_MS, "reason": "a fill is pending"}
        answer = await (await desk.as_("")).post(f"/incidents/{held['id']}/hold", order)
        assert answer["decisions"][0]["decision"] == "applied", answer
        due = (await desk.record(held["id"]))["held_until"]
        assert due > held["episode_at"] + HELD_MS
        card = await desk.asked("votes")
        await desk.vote(APPROVER, card)
        branch = await desk.question(await desk.branch("branch"))
        rungs = await desk.incident("rungs")
        await desk.paged(rungs["id"], "pm")
        await desk.kill()
        await desk.start()

        assert (await desk.asked("votes"))["digest"] == card["digest"]
        await desk.vote(SECOND, card)
        assert len(await desk.done(HALT, "votes")) == 1
        await desk.calm()
        assert (await desk.question(branch["incident"]))["digest"] == branch["digest"]
        await desk.vote(APPROVER, branch)
        assert len(await desk.done(HALT, "branch")) == 1
        await desk.paged(rungs["id"], "cro")
        assert len(await desk.done(CUT, "held")) == 1
        assert await _told_at(desk, held["id"], "runs risk.reduce_kelly") >= due
        assert await _climbed_at(desk, rungs["id"], 2) >= rungs["episode_at"] + 10_000
        assert (await _asked_again(desk, leased)).startswith("trading.halt on trading-core/risk-engine")
        assert (await _asked_again(desk, "target:redis")).startswith("the freeze of trading-core:redis")
        assert [service for service, _ in desk.pages(rungs["id"])] == ["trading-oncall", "pm", "cro"]
        for incident in (card["incident"], branch["incident"]):
            assert [service for service, _ in desk.pages(incident)] == ["trading-oncall"]
        assert [len(await desk.requests(HALT, case)) for case in ("votes", "branch")] == [1, 1]
        assert await desk.audit_verifies()


async def _leased_and_frozen(desk: Desk) -> str:
    """A halt that is meant to last nine seconds, and a freeze likewise; the halt's incident."""
    frozen = {"system": "trading-core", "component": "redis", "reason": "it moves", "for_ms": 9_000}
    await (await desk.as_("")).post("/freeze", frozen)
    await desk.alert("leased", "Leased")
    card = await desk.asked("leased")
    await desk.vote(APPROVER, card)
    await desk.incident("leased", status="mitigated")
    await desk.calm()
    return str(card["incident"])


async def _asked_again(desk: Desk, about: str) -> str:
    """The one page that asks whether it is to go on."""

    async def look() -> list[str]:
        return [summary for _, summary in desk.pages(about) if "was meant to last" in summary]

    (summary,) = await until(f"{about} is asked about", look, within=WITHIN)
    return summary


async def _climbed_at(desk: Desk, incident: str, level: int) -> int:
    """When the rung was climbed; once."""
    return await _told_at(desk, incident, f"applied: level {level}:")


async def _told_at(desk: Desk, incident: str, words: str) -> int:
    """When the one line with these words was told."""
    (at,) = [at for at, _, why in await desk.story(incident) if words in why]
    return at
