"""The diagnoses over the real connector on a real Valkey: replies are as they are read, and each trouble is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from bot.adapters.connectors import Connectors
from bot.core.plan import EvidenceDecl
from bot.engine.action_ports import ActionContext, Finding
from bot.sandbox import slowness
from bot.sandbox.topology import Node, topology
from policies.targets import TargetsDocument
from remediations.diagnosis_kit import told
from remediations.model_switching import SwitchPattern
from remediations.redis_latency import COMMANDS_SLOW, CROWD, MEMORY, NETWORK, SLOW_US, RedisLatency

SYSTEM = "trading-core"
WITHIN = 15.0
LOOKS = 10
Trouble = Callable[[Node, int], Coroutine[Any, Any, None]]


@asynccontextmanager
async def shop(folder: Path) -> AsyncIterator[tuple[Node, ActionContext]]:
    """A Valkey, and a diagnosis's context with a connector to it."""
    async with topology(folder, sentinels=0) as floor:
        component = {"name": "redis", "role": "store", "connector": "redis", "url": floor.primary.url}
        document = TargetsDocument.model_validate({"systems": {SYSTEM: {"components": [component]}}})
        connectors = Connectors(document, {})
        rate = EvidenceDecl(name="rate", kind="redis_stream", component="redis", query="model.switch.log")
        try:
            yield (
                floor.primary,
                ActionContext(system=SYSTEM, component="", targets=connectors, now=0, declared={"rate": rate}),
            )
        finally:
            await connectors.close()


async def told_within(context: ActionContext, cause: str) -> Finding:
    """The finding, once it has this cause: a trouble takes a moment to show."""
    async with asyncio.timeout(WITHIN):
        while True:
            found = await RedisLatency().look(context)
            if found.cause == cause:
                return found


def p99(found: Finding) -> float:
    """Microseconds."""
    figure = told(found.detail)["p99_us"]
    assert isinstance(figure, (int, float))
    return figure


async def slow_within(context: ActionContext) -> None:
    """A crowd finds in its first rounds how much it must ask for."""
    async with asyncio.timeout(WITHIN):
        while p99(await RedisLatency().look(context)) <= SLOW_US:
            pass


async def shown_within(context: ActionContext, sign: str) -> Finding:
    """The finding, once it names this sign, whichever comes first in it."""
    async with asyncio.timeout(WITHIN):
        while sign not in (found := await RedisLatency().look(context)).summary:
            pass
        return found


@pytest.mark.parametrize(
    ("trouble", "cause", "figure"),
    [
        (slowness.slow_commands, COMMANDS_SLOW.cause, "DEBUG"),
        (slowness.clients, CROWD.cause, "clients are connected"),
        (slowness.memory, MEMORY.cause, "% of maxmemory"),
    ],
)
async def test_each_trouble_is_told_by_the_server_s_own_figures(
    tmp_path: Path, trouble: Trouble, cause: str, figure: str
) -> None:
    """Real slow commands, a real crowd, a server that is nearly full."""
    async with shop(tmp_path) as (node, context):
        async with asyncio.TaskGroup() as troubles:
            task = troubles.create_task(trouble(node, slowness.STALL_MS))
            try:
                found = await told_within(context, cause)
            finally:
                task.cancel()
        assert figure in found.summary


async def test_a_crowd_is_slow_all_the_time_and_leads_where_slow_commands_come_along(tmp_path: Path) -> None:
    """No measure of a crowd is quick, and the runbook's row stays first when the slow log fills as well."""
    async with shop(tmp_path) as (node, context):
        async with asyncio.TaskGroup() as troubles:
            crowd = troubles.create_task(slowness.clients(node, slowness.STALL_MS))
            commands = None
            try:
                await told_within(context, CROWD.cause)
                await slow_within(context)
                found = [await RedisLatency().look(context) for _ in range(LOOKS)]
                commands = troubles.create_task(slowness.slow_commands(node, slowness.STALL_MS))
                both = await shown_within(context, COMMANDS_SLOW.sign)
            finally:
                crowd.cancel()
                if commands is not None:
                    commands.cancel()
        assert min(p99(each) for each in found) > SLOW_US
        assert {each.cause for each in (*found, both)} == {CROWD.cause}


async def test_a_quick_server_points_at_the_network(tmp_path: Path) -> None:
    """Every read is answered and understood, and nothing of the server's own speaks."""
    async with shop(tmp_path) as (_, context):
        found = await told_within(context, NETWORK.cause)
        detail = told(found.detail)
        assert detail["not_read"] == []
        assert isinstance(detail["clients"], (int, float))
        assert isinstance(detail["machine_share"], (int, float))


async def test_the_switch_log_is_read_as_it_is_written(tmp_path: Path) -> None:
    """Entries come back with their fields; a key of another kind is said to be unreadable."""
    async with shop(tmp_path) as (node, context):
        client: Any = Redis.from_url(node.url)
        for number in range(80):
            old, new = ("lstm", "gru") if number % 2 else ("gru", "lstm")
            fields = {"symbol": "BTC-USD", "from": old, "to": new, "confidence": "0.52", "latency_ms": "20"}
            await client.xadd("model.switch.log", fields)
        found = await SwitchPattern().look(context)
        assert (found.cause, told(found.detail)["count"]) == ("confidence threshold too low", 60)
        await client.delete("model.switch.log")
        await client.set("model.switch.log", "x")
        assert "WRONGTYPE" in (await SwitchPattern().look(context)).summary
        await client.aclose()
