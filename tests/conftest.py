"""What every test of the house stands on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def main_thread_loop() -> Iterator[None]:
    """A loop for the main thread, closed at the end.

    pytest-asyncio asks for "the current loop" around every async test; where there is none, Python 3.11 makes one that
    nobody closes, and with `filterwarnings = error` that fails whichever test runs when it is collected.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()
