"""A pytest plugin: keeps every chain that an engine test left in its Valkey. Loaded by `python -m tests.histories`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.histories.chains import taken_from
from tests.integration.engine.floor import KEY, SHARD

OUT = "ANDON_HISTORIES_OUT"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item):
    """After the test and before its server is stopped."""
    result = yield
    url = getattr(item, "funcargs", {}).get("valkey")
    if url:
        with Path(os.environ[OUT]).open("a", encoding="utf-8") as file:
            for chain in taken_from(url, KEY, item.name, SHARD):
                file.write(chain.line() + "\n")
    return result
