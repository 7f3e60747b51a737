"""The floor of real programs, one for each scenario."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.acceptance.harness.floor import Floor, open_floor


@pytest.fixture
async def floor() -> AsyncIterator[Floor]:
    """One Alertmanager, one Prometheus, one sandbox, one Andon."""
    async with open_floor() as floor:
        yield floor


@pytest.fixture
async def floor_with_two_alertmanagers() -> AsyncIterator[Floor]:
    """Prometheus tells two Alertmanagers that know nothing of each other, so everything comes twice."""
    async with open_floor(alertmanagers=2) as floor:
        yield floor


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Attach the ends of all logs to a failed scenario's report."""
    report = yield
    if report.when == "call" and report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Floor):
                report.sections.append(("logs of the floor", value.logs()))
    return report
