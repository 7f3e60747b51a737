"""What runs beside the engine and fails: told, waited for and begun again. Time here is the loop's own."""

from __future__ import annotations

import asyncio

import pytest

from bot.core.events import AlertsReceived
from bot.engine.alarms import Alarms
from bot.engine.beside import BACKOFF_SECONDS, WELL_SECONDS, Keeper
from bot.testing import FakeClock, MemoryStore


class Part:
    """Fails as often as it has `failures` left; a failure of None returns."""

    def __init__(self, *failures: Exception | None) -> None:
        self.failures = list(failures)
        self.begun: list[float] = []

    async def run(self) -> None:
        self.begun.append(asyncio.get_running_loop().time())
        if self.failures:
            failure = self.failures.pop(0)
            if failure is not None:
                raise failure
            return
        await asyncio.Event().wait()


async def told(store: MemoryStore) -> list[tuple[str, str, str]]:
    """(alarm, its part, status) since the last look."""
    entries = [delivery.entry for delivery in await store.read_inbox("unrouted", 100, 0)]
    alerts = [alert for entry in entries if isinstance(entry, AlertsReceived) for alert in entry.alerts]
    return [(alert.name, alert.labels["part"], alert.status) for alert in alerts]


@pytest.mark.looptime
async def test_a_part_that_fails_is_told_of_and_begun_again() -> None:
    """However it ends, a little later each time; the alarm is one, and over when the part has gone well for a while."""
    store = MemoryStore()
    part = Part(ValueError("embedded null byte"), ExceptionGroup("several", [OSError()]), None)
    keeper = Keeper(Alarms(store, FakeClock()), shard="unrouted", replica="r1")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(keeper.keep("retention", part.run))
        await asyncio.sleep(sum(BACKOFF_SECONDS[:3]) + WELL_SECONDS / 2)
        pauses = [later - sooner for sooner, later in zip(part.begun, part.begun[1:], strict=False)]
        assert pauses == pytest.approx(BACKOFF_SECONDS[:3])
        assert await told(store) == [("AndonPartFailed", "retention", "firing")]
        await asyncio.sleep(WELL_SECONDS)
        assert await told(store) == [("AndonPartFailed", "retention", "resolved")]
        running.cancel()


@pytest.mark.looptime
async def test_a_part_is_ended_with_the_rest() -> None:
    """Stopping Andon is no failure of a part: nothing is told, nothing is begun again."""
    store, part = MemoryStore(), Part()
    keeper = Keeper(Alarms(store, FakeClock()), shard="unrouted", replica="r1")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(keeper.keep("reload", part.run))
        await asyncio.sleep(1)
        running.cancel()
    assert (len(part.begun), await told(store)) == (1, [])
