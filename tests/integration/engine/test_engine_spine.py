"""The spine on a real store: one alert, one action, verified, resolved, closed, explained, and killed in between."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from bot.core.orders import TargetFrozen
from bot.core.reading import Reading
from bot.core.words import SYSTEM_TARGET
from tests.integration.engine.floor import PLAN, STEP, Floor, Hang, writer


async def test_one_alert_is_acted_on_once_verified_resolved_and_closed(floor, breach, over):
    """The main job: Kelly is cut once, the cut is verified, the incident closes, and the audit is whole."""
    await floor.fire(breach)
    await floor.status("mitigated")
    assert floor.risk.changes == [(0.25, 0.1)]
    assert floor.risk.requests == [0.1]
    await floor.fire(over)
    incident = await floor.status("closed")
    assert [result.outcome for result in incident.results] == ["succeeded", "verified"]
    assert incident.results[0].before == '{"kelly_fraction": 0.25}'
    await floor.quiet()
    assert await floor.audit_problems() == []
    assert (await floor.target()).slot is None


async def test_copies_and_reorderings_of_the_webhook_act_once(floor, breach, over):
    """Two Alertmanagers may send everything twice and out of order; the target hears from us once."""
    await asyncio.gather(*(floor.fire(breach) for _ in range(10)))
    await floor.status("mitigated")
    await floor.fire(over)
    await floor.fire(over)
    await floor.status("closed")
    await floor.quiet()
    assert floor.risk.requests == [0.1]


async def test_two_alerts_of_one_incident_act_once(floor, breach):
    """Kelly is global: a second symbol's breach joins the incident and causes no second request."""
    other = replace(breach, fingerprint="e" * 16, labels={**breach.labels, "symbol": "ETH-USD"})
    await floor.fire(breach, other)
    incident = await floor.status("mitigated")
    assert len(incident.firing) == 2
    assert floor.risk.requests == [0.1]


async def test_a_freeze_between_grant_and_sending_stops_the_send(floor, breach):
    """The last word before the first byte is the system's own target: a freeze that comes late still counts."""
    inspecting, go = asyncio.Event(), asyncio.Event()
    inspect = floor.risk.inspect

    async def slow_inspect(context, arguments):
        inspecting.set()
        await go.wait()
        return await inspect(context, arguments)

    floor.risk.inspect = slow_inspect
    await floor.fire(breach)
    await asyncio.wait_for(inspecting.wait(), 5)
    frozen = TargetFrozen(id="freeze", at=1, by="demo-oncall", reason="release under way")
    await floor.engine.tell("trading-core", SYSTEM_TARGET, frozen)
    go.set()
    incident = await floor.status("parked")
    assert "frozen by demo-oncall: release under way" in incident.why
    assert floor.risk.requests == []


async def test_not_armed_means_not_touched(valkey, breach):
    """As shipped nothing is armed: the would-have is recorded and paged, and nothing is sent."""
    floor = Floor(valkey)
    await floor.start()
    try:
        await floor.fire(breach)
        incident = await floor.status("parked")
        assert "would run risk.reduce_kelly" in incident.why
        assert floor.risk.requests == []
        await floor.quiet()
        assert len(floor.people.pages) == 1
    finally:
        await floor.kill()


async def test_a_kill_before_the_send_is_taken_up_and_sent_once(floor, breach):
    """The intent was durable, nothing had left: after the restart the action is done, once."""
    hang = Hang()
    floor.risk.before_send = hang
    await floor.fire(breach)
    await asyncio.wait_for(hang.reached.wait(), 5)
    await floor.kill()
    floor.risk.before_send = None
    await floor.start()
    incident = await floor.status("mitigated")
    assert floor.risk.changes == [(0.25, 0.1)]
    assert incident.results[0].outcome == "succeeded"
    await floor.quiet()
    assert await floor.audit_problems() == []


async def test_a_kill_after_the_send_changes_nothing_twice(floor, breach):
    """The request had landed, its answer was lost: after the restart the target is read first, and left alone."""
    hang = Hang()
    floor.risk.after_send = hang
    await floor.fire(breach)
    await asyncio.wait_for(hang.reached.wait(), 5)
    await floor.kill()
    floor.risk.after_send = None
    await floor.start()
    incident = await floor.status("mitigated")
    assert floor.risk.requests == [0.1]
    assert "before an interruption" in incident.results[0].why


async def test_a_once_action_is_never_sent_again(valkey, breach):
    """Delivery `once`: killed after the send and without proof, a human decides."""
    floor = Floor(valkey, replace(PLAN, steps=(replace(STEP, delivery="once"),)))
    await floor.start()
    await floor.arm()
    reached = asyncio.Event()

    async def hang() -> None:
        floor.risk.kelly = 0.25  # the effect is not visible to the probe
        reached.set()
        await asyncio.Event().wait()

    floor.risk.after_send = hang
    try:
        await floor.fire(breach)
        await asyncio.wait_for(reached.wait(), 5)
        await floor.kill()
        floor.risk.after_send = None
        await floor.start()
        incident = await floor.status("parked")
        assert "nobody can tell" in incident.why
        assert floor.risk.requests == [0.1]
    finally:
        await floor.kill()


async def test_a_restart_in_each_waiting_state_goes_on(floor, breach, over):
    """Killed while verifying, mitigated and resolved: timers and evidence take the incident to its end."""
    hold = floor.risk.read

    async def unhealthy(system, declared, alerts, now):
        return tuple(Reading(name=name, value=2.4, taken_at=now) for name in declared)

    floor.risk.read = unhealthy
    await floor.fire(breach)
    await floor.status("verifying")
    await floor.kill()
    floor.risk.read = hold
    await floor.start()
    await floor.status("mitigated")
    await floor.kill()
    await floor.start()
    await floor.fire(over)
    await floor.status("resolved")
    await floor.kill()
    await floor.start()
    await floor.status("closed")
    assert floor.risk.requests == [0.1]
    assert await floor.audit_problems() == []


async def test_an_alert_stored_while_nobody_ran_is_handled_at_the_next_start(floor, breach):
    """2xx means stored: what came in before a crash is acted on after it."""
    await floor.kill()
    await floor.start()
    await floor.kill()
    await writer(floor, breach)
    await floor.start()
    await floor.status("mitigated")
    assert floor.risk.requests == [0.1]


async def test_two_replicas_share_the_work_and_act_once(floor, valkey, breach, over):
    """Two bots on one store: one claim per episode, one request, one chain."""
    second = Floor(valkey)
    second.risk, second.people = floor.risk, floor.people
    await second.start("r2")
    try:
        for _ in range(20):
            await floor.fire(breach)
        await floor.status("mitigated")
        await floor.fire(over)
        await floor.status("closed")
        await floor.quiet()
        assert floor.risk.requests == [0.1]
        assert await floor.audit_problems() == []
    finally:
        await second.kill()


async def test_a_graceful_stop_finishes_what_is_under_way(floor, breach):
    """SIGTERM's path: the activity under way is finished and its outcome stored before `run` returns."""
    reached = asyncio.Event()

    async def slow() -> None:
        reached.set()
        await asyncio.sleep(0.2)

    floor.risk.after_send = slow
    await floor.fire(breach)
    await asyncio.wait_for(reached.wait(), 5)
    await floor.stop()
    await floor.start()
    incident = await floor.status("mitigated")
    assert floor.risk.requests == [0.1]
    assert "interruption" not in incident.results[0].why
