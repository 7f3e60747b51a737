"""Fixtures around the harness in `floor`: one real Valkey and one running engine per test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.adapters.embedded import EmbeddedValkey
from bot.core.alert import Alert
from tests.integration.engine.floor import BREACH, OVER, Floor


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[str]:
    server = EmbeddedValkey(tmp_path)
    yield await server.start()
    await server.stop()


@pytest.fixture
async def floor(valkey: str) -> AsyncIterator[Floor]:
    floor = Floor(valkey)
    await floor.start()
    await floor.arm()
    yield floor
    if floor._task is not None:
        await floor.kill()


@pytest.fixture
def breach() -> Alert:
    return BREACH


@pytest.fixture
def over() -> Alert:
    return OVER
