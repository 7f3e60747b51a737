"""What every test of the house stands on."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# `suite`: the same examples every time, so that what is red is red for everybody. `fuzz` (`make fuzz`): new ones, many.
settings.register_profile("suite", derandomize=True, deadline=None)
settings.register_profile(
    "fuzz", max_examples=5_000, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")


def pytest_configure() -> None:
    """A shell starts its background jobs deaf to Ctrl-C, and so would be every Andon that the tests start in one."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: the garbage collector need not look at it again."""
    gc.collect()
    gc.freeze()


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
