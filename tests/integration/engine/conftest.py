"""Fixtures around the harness in `tests_engine`: one real Valkey and one running engine per test."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.adapters.embedded import EmbeddedValkey
from bot.core.alert import Alert

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode gives tests no package; the harness is a module

from tests_engine import BREACH, OVER, Floor  # after the path it needs


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
