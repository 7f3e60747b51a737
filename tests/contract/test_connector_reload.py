"""Connectors over a reload of targets.yaml: what stays keeps its connections, what goes is finished with first."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest

from bot.adapters.connectors import Connectors
from bot.adapters.connectors_breaker import FAILURES
from bot.errors import ConfigError, TargetError
from policies.targets import TargetsDocument

DOWN = "http://127.0.0.1:1"


def document(*components: dict[str, object]) -> TargetsDocument:
    parts = [{"role": "risk", "connector": "http", "url": DOWN, "allow": ["GET /x"], **each} for each in components]
    return TargetsDocument.model_validate({"systems": {"trading-core": {"components": parts}}})


async def test_only_what_changed_is_made_anew() -> None:
    """An open breaker and a kept connection survive a reload that is about something else."""
    connectors = Connectors(document({"name": "risk"}, {"name": "router"}), {})
    risk, router = connectors.http("trading-core", "risk"), connectors.http("trading-core", "router")
    connectors.adopt(connectors.prepare(document({"name": "risk"}, {"name": "router", "allow": ["GET /y"]})))
    assert connectors.http("trading-core", "risk") is risk
    assert connectors.http("trading-core", "router") is not router
    await connectors.close()


async def test_a_changed_secret_is_a_change() -> None:
    """A rotated token is taken with the next reload, though no file of ours changed."""
    environment = {"TOKEN": "old"}
    listed = document({"name": "risk", "credentials": "env:TOKEN"})
    connectors = Connectors(listed, environment)
    before = connectors.http("trading-core", "risk")
    environment["TOKEN"] = "new"
    connectors.adopt(connectors.prepare(listed))
    assert connectors.http("trading-core", "risk") is not before
    await connectors.close()


async def test_what_cannot_be_prepared_changes_nothing() -> None:
    """A credential that is not there keeps the connectors in force."""
    connectors = Connectors(document({"name": "risk"}), {})
    with pytest.raises(ConfigError, match="NOWHERE"):
        connectors.prepare(document({"name": "risk", "credentials": "env:NOWHERE"}))
    assert [component.name for component in connectors.components] == ["risk"]
    connectors.adopt(connectors.prepare(document()))
    with pytest.raises(TargetError, match="no component"):
        connectors.http("trading-core", "risk")
    await connectors.close()


async def test_an_open_breaker_says_what_went_wrong_first() -> None:
    """ "Failed 5 times" sends a tired person looking; the first error's words say where."""
    connectors = Connectors(document({"name": "risk"}), {})
    risk = connectors.http("trading-core", "risk")
    told = ""
    for _ in range(FAILURES):
        with pytest.raises(TargetError) as failed:
            await risk.read("/x")
        told = str(failed.value)
    assert "times in a row (first: " in told
    assert "risk" in told.partition("(first: ")[2]
    await connectors.close()


async def test_a_connection_that_cannot_be_closed_keeps_no_other_open() -> None:
    """A server that hangs in its farewell is left; what was retired after it is closed, and the rest at the end."""

    class Hanging:
        component = "store"

        async def close(self) -> None:
            raise TimeoutError("Timed out closing connection")

    connectors = Connectors(document({"name": "risk"}), {})
    risk = connectors.http("trading-core", "risk")
    with pytest.raises(TargetError):
        await risk.read("/x")
    connectors.adopt(connectors.prepare(document()))
    connectors._retired = deque([(0.0, Hanging()), (0.0, risk)])
    async with asyncio.TaskGroup() as tasks:
        closing = tasks.create_task(connectors.close_retired())
        async with asyncio.timeout(5):
            while connectors._retired:
                await asyncio.sleep(0)
        closing.cancel()
    assert risk._reading is not None
    assert risk._reading.closed
    connectors._retired.append((0.0, Hanging()))
    await connectors.close()
