"""Rows T1, T2 and T3 lived through in Slack alone: card, decision, yes and no, the end.

Real Prometheus, Alertmanager, Valkeys and `andon serve` with the real slack-bolt and slack-sdk; nobody touches the CLI
or the API. The people read what stands on the screen and press what they find there.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
import yaml

from bot.sandbox.children import until
from bot.sandbox.slack import population
from bot.sandbox.slack.server import LocalSlack
from tests.acceptance.harness.floor import STEP_WITHIN, Floor, open_floor
from tests.acceptance.harness.screen import MEMBERS, OPS, Screen, buttons
from tests.acceptance.harness.slow_redis import SlowRedisFloor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(170)]

ONCALL, APPROVER = population.ONCALL, population.APPROVER


class _InSlack:
    """A floor whose people are in Slack."""

    screen: Screen

    async def start(self, stack: AsyncExitStack, **more: Any) -> None:
        slack = LocalSlack()
        await stack.enter_async_context(slack)
        self.screen = Screen(slack)
        section = {**self.screen.section(self.folder), "team": slack.world.team}
        self.place = replace(self.place, slack=section, members=MEMBERS)
        await super().start(stack, **more)  # type: ignore[misc]
        stack.callback(self._fits)

    def _fits(self) -> None:
        assert self.screen.misfits() == []

    def _policy(self, name: str, each_step: Mapping[str, Any] | None = None, **fields: Any) -> None:
        """One shipped policy, changed; and each step of its plan."""
        (path,) = (self.place.directory / "policies").glob("trading-core.yaml")
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        (policy,) = (each for each in document["policies"] if each["name"] == name)
        for step in policy["plan"]:
            step.update(each_step or {})
        policy |= fields
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")

    async def open_incident(self, policy: str) -> str:
        """The id of this policy's newest incident."""

        async def look() -> str | None:
            lines = (await self.api("GET", "/incidents?all=1"))["incidents"]
            return next((str(line["id"]) for line in lines if line["policy"] == policy), None)

        return await until(f"an incident of {policy}", look, within=STEP_WITHIN)


class SlackFloor(_InSlack, Floor):
    """T1."""


class AskingFloor(_InSlack, Floor):
    """T2 with people in front: the cut is asked for too."""

    def configure(self, ready: Mapping[str, Any]) -> None:
        super().configure(ready)
        self._policy("var-breach", mode="suggest")


class HastyFloor(_InSlack, Floor):
    """T2 with a cut that is asked for, and people who are given five seconds."""

    def configure(self, ready: Mapping[str, Any]) -> None:
        super().configure(ready)
        self._policy("var-breach", mode="suggest", each_step={"approve_within": "5s"})
        path = self.place.directory / "people.yaml"
        people = yaml.safe_load(path.read_text(encoding="utf-8"))
        (oncall,) = (each for each in people["contacts"] if each["service"] == "trading-oncall")
        oncall["url"] = "https://pager.example/oncall"
        path.write_text(yaml.safe_dump(people, sort_keys=False), encoding="utf-8")


class SlowRedisInSlack(_InSlack, SlowRedisFloor):
    """T3 with people in front of the failover."""

    def configure(self, ready: Mapping[str, Any]) -> None:
        super().configure(ready)
        self._policy("redis-latency", mode="suggest")


async def test_t2_a_safer_cut_is_ordered_in_slack_and_the_halt_denied() -> None:
    """Asked for the cut to 0.1, somebody cuts to 0.05; the rung asks for the halt, somebody else says no and why."""
    async with open_floor(AskingFloor, ladder={"2m": "6s", "5m": "12s"}) as floor:
        screen = floor.screen
        await floor.inject_var("BTC-USD", 12.0)  # what is left after the cut is still over
        incident = await floor.open_incident("var-breach")
        await screen.card(
            incident, "var-breach", "BTC-USD", "value 1", "threshold 1.8 %", "What comes next", "runbooks.example"
        )
        asked = await screen.question(incident, "0.25", "0.1", "evidence.var")
        await screen.click(ONCALL, asked, "edit")
        modal = await screen.modal(ONCALL, "safer")
        assert await screen.send(ONCALL, modal, **{"arg.kelly_fraction": "0.05", "reason": "twice as careful"}) == {}
        await screen.question(incident, "instead kelly_fraction 0.05")
        assert await floor.kelly() == 0.05
        halt = await _branch(floor, incident)
        asked = await screen.question(halt, "trading", "off")
        await screen.click(APPROVER, asked, "deny")
        modal = await screen.modal(APPROVER, "Why not")
        assert await screen.send(APPROVER, modal, reason="we hedge by hand") == {}
        over = await screen.question(halt, "demo-approver", "we hedge by hand")
        assert not buttons(over) & {"approve", "deny"}
        await floor.desk_restores()
        await screen.card(incident, "esolved")


async def test_t2_silence_is_no_yes_and_old_buttons_are_dead() -> None:
    """Nobody answers: nothing is cut, people are called, a click that comes late changes nothing; then somebody holds
    the halt back, calls the next people, takes it and mends it by hand."""
    async with open_floor(HastyFloor) as floor:
        screen = floor.screen
        await floor.inject_var("BTC-USD", 2.5)
        incident = await floor.open_incident("var-breach")
        over = await screen.question(incident, "in time")
        assert not buttons(over) & {"approve", "deny", "edit"}
        await screen.click(ONCALL, over, "approve", version=0)  # on a screen that has not heard of it
        await screen.only_for(ONCALL, "nothing waits for a decision here")
        await screen.card(incident, "NEEDS A PERSON", "Paged", "pm, <https://pager.example/oncall|trading-oncall>")
        assert (await floor.kelly(), await floor.effects()) == (0.25, [])
        await _hold_and_call(screen, incident)
        await screen.click(ONCALL, await screen.card(incident), "take")
        await screen.card(incident, "in a person's hands", "demo-oncall")
        await floor.desk_restores()
        await screen.card(incident, "esolved")


async def _hold_and_call(screen: Screen, incident: str) -> None:
    """The halt is held back for half an hour, and those are called now who would have been with it."""
    await screen.click(ONCALL, await screen.card(incident), "hold")
    modal = await screen.modal(ONCALL, "The ladder's own actions wait")
    assert await screen.send(ONCALL, modal, **{"for": "30m", "reason": "we hedge by hand"}) == {}
    modal = await screen.modal(ONCALL, "What these run would wait", "run trading.halt")
    assert await screen.send(ONCALL, modal) == {}
    await screen.told(incident, "demo-oncall holds trading.halt for 1800 s: we hedge by hand")
    await screen.click(ONCALL, await screen.card(incident, "actions are held until"), "escalate")
    modal = await screen.modal(ONCALL, "cro is paged now")
    assert await screen.send(ONCALL, modal, reason="the hedge is slow") == {}
    await screen.told(incident, "escalated by demo-oncall: the hedge is slow; paged cro")
    await screen.card(incident, "Paged", "cro")


async def _branch(floor: AskingFloor, incident: str) -> str:
    async def look() -> str | None:
        found = (await floor.api("GET", f"/incidents/{incident}"))["incident"]["branches"]
        return str(found[0]) if found else None

    return await until("the rung asks", look, within=STEP_WITHIN)


async def test_t1_the_router_is_paused_by_itself_and_goes_on_by_a_yes_in_slack() -> None:
    """Somebody sees the card and looks closer with /andon; the lease asks whether the router may go on; then they take
    the incident over and resolve it."""
    async with open_floor(SlackFloor, ladder={"within 1m": "2s", "lease 15m": "5s"}, streams=False) as floor:
        screen = floor.screen
        await floor.sandbox("POST", "/faults/switching", {"pattern": "pingpong", "per_minute": 3000})
        incident = await floor.open_incident("model-switching")
        card = await screen.card(incident, "router.pause", "bad routing rule threshold")
        await screen.click(ONCALL, card, "ack")
        await screen.card(incident, "demo-oncall")
        await screen.type(ONCALL, f"/andon show {incident}")
        await screen.only_for(ONCALL, incident, "router.pause")
        await floor.sandbox("POST", "/faults/switching", {"clear": True})
        order = await floor.open_incident("order")
        asked = await screen.question(order, "router.resume")
        await screen.click(APPROVER, asked, "approve")
        await screen.question(order, "demo-approver")

        async def runs() -> bool:
            return bool((await floor.sandbox("GET", "/api/router/status"))["state"] == "running")

        await until("the router runs", runs, within=STEP_WITHIN)
        await screen.click(ONCALL, await screen.card(incident), "take")
        await screen.told(incident, "demo-oncall has it")
        await screen.type(ONCALL, f"/andon resolve {incident} --force the rules are mended")
        await screen.card(incident, "esolved")


async def test_t3_a_slow_redis_is_failed_over_by_a_yes_in_slack() -> None:
    """Before and after stand on the card; after the yes the thread tells what was done; then somebody takes it over
    and resolves it on the card, though an alert may still fire."""
    async with open_floor(SlowRedisInSlack, cooldown="1s") as floor:
        screen = floor.screen
        await floor.slow()
        incident = await floor.open_incident("redis-latency")
        asked = await screen.question(incident, "redis.failover", "primary")
        await screen.click(ONCALL, asked, "approve")
        await screen.told(incident, "is primary")
        await screen.type(ONCALL, "/andon incidents", channel=OPS)
        await screen.only_for(ONCALL, "redis-latency")
        assert await floor.epoch() == 1
        await screen.click(ONCALL, await screen.card(incident), "take")
        card = await screen.card(incident, "in a person's hands", "demo-oncall")
        await screen.click(ONCALL, card, "resolve")
        modal = await screen.modal(ONCALL, "What it was, and what ended it")
        assert await screen.send(ONCALL, modal, note="a stuck script on the old primary", force=["yes"]) == {}
        over = await screen.card(incident, "resolved by demo-oncall: a stuck script on the old primary")
        assert not buttons(over) & {"take", "hold", "escalate", "resolve"}
        await screen.told(incident, "is primary", "demo-oncall has it", "resolved by demo-oncall")
