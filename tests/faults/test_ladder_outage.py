"""A ladder whose rungs come due while `andon serve` is dead: real store and Alertmanager, the sandbox as target."""

from __future__ import annotations

import asyncio

from bot.adapters.clock import wall_ms
from bot.core.incident_ladder import FRESH_WINDOW_MS
from bot.sandbox.children import until
from tests.acceptance.harness.desk import CUT, WITHIN, cut, open_desk, policy

SCALE = 40  # of the clock after the outage: seconds of real time are minutes then

AWAY = [policy("away", "Away", ladder=[
    {"after": "4s", "page": {"service": "pm"}},
    {"after": "5s", "page": {"service": "cro"}, "until": "resolved", **cut("run")},
])]  # fmt: skip


async def test_rungs_of_an_outage_are_one_call_and_a_fresh_window() -> None:
    """Dead for minutes of its clock: one call to the highest rung; its action waits two minutes, and can be held."""
    async with open_desk(AWAY) as desk:
        await asyncio.gather(desk.alert("acts", "Away"), desk.alert("stopped", "Away"))
        acts, stopped = await desk.incident("acts", status="parked"), await desk.incident("stopped", status="parked")
        await desk.kill()
        died = wall_ms()

        async def minutes_later() -> bool:
            return (wall_ms() - died) * SCALE > 100_000

        await until("the outage is long enough", minutes_later, within=WITHIN)
        await desk.start(clock=f"{SCALE}@{died}")
        await desk.paged(stopped["id"], "cro")
        hold = await (await desk.as_("")).post(f"/incidents/{stopped['id']}/hold", {"for_ms": 3_600_000})
        assert "holds risk.reduce_kelly" in hold["decisions"][0]["why"]
        assert await desk.requests(CUT) == []
        assert "2 rungs came due while Andon was away" in await desk.paged(acts["id"], "cro")
        assert len(await desk.done(CUT, "acts")) == 1
        told = [(at, why) for at, kind, why in await desk.story(acts["id"]) if kind == "timer_fired"]
        assert told[0][1] == "applied: 2 rungs came due while Andon was away; level 2"
        assert told[1][1].endswith("runs risk.reduce_kelly")
        assert len(told) == 2
        assert told[1][0] - told[0][0] >= FRESH_WINDOW_MS
        assert [service for service, _ in desk.pages(acts["id"])] == ["trading-oncall", "cro"]
        assert await desk.requests(CUT, "stopped") == []
