"""Alarms that the store did not take outlive the process: a Grafana alert's loss is told at the next start."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bot.adapters.unsaid import FILE, UnsaidFile
from bot.core.events import AlertsReceived
from bot.engine.alarms import Alarms
from bot.testing import FakeClock, MemoryStore

NAME = "AndonGrafanaAlertRefused"


async def test_an_alarm_the_store_did_not_take_is_said_after_a_restart(tmp_path: Path) -> None:
    """Killed while the store was away; the next process says it, past a torn line, and keeps it no longer."""
    store, path = MemoryStore(), tmp_path / "journal" / FILE
    store.down = "disk full"
    await Alarms(store, FakeClock(), UnsaidFile(path)).raise_("unrouted", NAME, "an alert may be lost", anew=True)
    with path.open("ab") as file:
        file.write(b"[" * 5_000 + b"\n" + b'{"shard": "unrou')
    store.down = ""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(Alarms(store, FakeClock(), UnsaidFile(path)).run())
        [delivery] = await store.read_inbox("unrouted", 10, 10_000)
        while path.exists():
            await asyncio.sleep(0)
        running.cancel()
    assert isinstance(delivery.entry, AlertsReceived)
    assert [alert.name for alert in delivery.entry.alerts] == [NAME]


async def test_a_disk_that_refuses_fails_nobody(tmp_path: Path) -> None:
    """Whoever raises an alarm goes on; it stays in memory."""
    store = MemoryStore()
    store.down = "disk full"
    (tmp_path / "journal").write_text("no folder")
    alarms = Alarms(store, FakeClock(), UnsaidFile(tmp_path / "journal" / FILE))
    await alarms.raise_("unrouted", NAME, "an alert may be lost", anew=True)
    store.down = ""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(alarms.run())
        [_] = await store.read_inbox("unrouted", 10, 10_000)
        running.cancel()
