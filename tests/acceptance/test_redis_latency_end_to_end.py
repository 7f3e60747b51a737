"""Row T3 from a slow Redis to restarted services, with real Prometheus, Alertmanager, Valkeys and Sentinels."""

from __future__ import annotations

from typing import Any

import pytest

from bot.demo.config import SYSTEM
from tests.acceptance.harness.floor import open_floor
from tests.acceptance.harness.hammer import Hammer, hammering
from tests.acceptance.harness.slow_redis import LIMIT_US, PAUSE_MS, SERVICES, SlowRedisFloor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(170)]

FAILOVER, HARMONISER, STRATEGIST = "1.1-redis.failover", "1.2-service.restart", "1.4-service.restart"
Json = dict[str, Any]


async def test_a_slow_redis_is_failed_over_once_its_services_follow_and_it_goes_home_by_order_only() -> None:
    """Refused while the replica is stale; then coordinated, once, with nothing lost; then never back by itself.

    All the while two services write, and a client of the Sentinels' as fast as it is answered. The cooldown is cut to
    nothing, so that what holds the last failover back is the law, not the clock.
    """
    async with (
        open_floor(SlowRedisFloor, cooldown="1s") as floor,
        hammering(floor.sentinels, floor.master) as hammer,
    ):
        refused = await _refused_while_stale(floor)
        moved = await _failed_over(floor, refused["id"])
        await _nothing_lost(floor, hammer, [floor.home, floor.other])
        await _stays_away_from_home(floor, refused["id"], moved["id"])
        await _goes_home_by_order(floor)
        await _nothing_lost(floor, hammer, [floor.home, floor.other, floor.home])
        code, verdict = await floor.command("audit", "verify")
        assert (code, verdict["problems"]) == (0, [])


async def _refused_while_stale(floor: SlowRedisFloor) -> Json:
    """The replica does not follow: nothing is moved, people are called with the figure. Then all is put right."""
    await floor.replica_is("stale")
    await floor.slow()
    incident = await floor.latency("the failover is refused", lambda one: bool(one["results"]))
    assert _results(incident) == [(FAILOVER, "not_sent")], incident["results"]
    _figure(incident["results"][0]["why"], f"replica {floor.other} is stale: its link to the primary is down")
    ((service, summary),) = await floor.paged(incident["id"])
    assert service == "trading-oncall"
    _figure(summary, "its link to the primary is down")
    assert (await floor.effects(), await floor.epoch()) == ([], 0)
    await floor.quick()
    await floor.replica_is("up")
    return await floor.latency("that is over", lambda one: one["status"] == "closed")


def _results(incident: Json) -> list[tuple[str, str]]:
    """What became of each step, in order."""
    return [(result["step"], result["outcome"]) for result in incident["results"]]


def _figure(said: str, why: str) -> None:
    """The reason, and by how many bytes the replica is behind: some, for everybody writes all the time."""
    assert why in said
    behind = said.partition("it is ")[2].partition(" bytes behind")[0]
    assert int(behind) > 0, said


async def _failed_over(floor: SlowRedisFloor, before: str) -> Json:
    """Diagnosed, failed over once, then one service after the other on the new address; verified and resolved."""
    await floor.slow()
    incident = await floor.latency(
        "it is resolved", lambda one: one["status"] in ("resolved", "closed"), not_=(before,)
    )
    assert _results(incident) == [
        (FAILOVER, "succeeded"),
        (HARMONISER, "succeeded"),
        (HARMONISER, "verified"),
        (STRATEGIST, "succeeded"),
        (STRATEGIST, "verified"),
    ], incident["results"]
    finding = incident["findings"]["redis.latency"]
    assert "slow commands in the log: DEBUG" in finding
    assert "likely cause: commands that do much at once" in finding
    assert "epoch 0 → 1" in incident["results"][0]["why"]
    assert await floor.epoch() == 1
    primary, harmoniser, strategist = await floor.effects()
    assert (primary["what"], primary["before"], primary["after"]) == ("redis_primary", floor.home, floor.other)
    assert [one["what"] for one in (harmoniser, strategist)] == [f"service:{name}" for name in SERVICES]
    healthy_at = incident["results"][2]["at"]
    assert harmoniser["at"] < healthy_at <= strategist["at"] - PAUSE_MS, "healthy, then the pause, then the next one"
    assert await floor.health() == dict.fromkeys(SERVICES, ("healthy", floor.other))
    assert not incident["paged"]
    return await floor.latency("it is closed", lambda one: one["status"] == "closed", not_=(before,))


async def _stays_away_from_home(floor: SlowRedisFloor, *before: str) -> None:
    """The new primary becomes slow, and home is quick again: that is told to people, and nothing is moved."""
    await floor.quick()
    effects = await floor.effects()
    await floor.slow()
    incident = await floor.latency("going home is refused", lambda one: bool(one["results"]), not_=before)
    assert _results(incident) == [(FAILOVER, "not_sent")], incident["results"]
    ((service, summary),) = await floor.paged(incident["id"])
    assert service == "trading-oncall"
    assert f"{floor.home}, where this Redis is at home: that is redis.failback, for people" in summary
    assert (await floor.effects(), await floor.epoch()) == (effects, 1)


async def _goes_home_by_order(floor: SlowRedisFloor) -> None:
    """What Andon named instead is what a person orders, and it is done."""
    order = ("redis.failback", "reason=home is quick again", f"slow_us={LIMIT_US}", "--system", SYSTEM, "--yes")
    code, answer = await floor.command("run", *order)
    assert code == 0, answer
    await floor.moved(floor.home, epoch=2)


async def _nothing_lost(floor: SlowRedisFloor, hammer: Hammer, servers: list[str]) -> None:
    """Every write that was acknowledged is on the primary of now; and they were taken by these servers."""
    await hammer.writes_on(servers[-1])
    assert (await floor.lost(), await hammer.lost()) == (0, 0)
    assert (hammer.servers, hammer.errors > 0) == (servers, True)
