"""A system that was taken out of the configuration with incidents open: somebody is told until it is in order."""

from __future__ import annotations

from dataclasses import replace

from bot.core.audit import link
from bot.core.events import AlertsReceived
from bot.core.incident import Incident
from bot.engine.alarms import Alarms
from bot.engine.forgotten import tell_forgotten
from bot.engine.ports import Change, Commit
from bot.testing import FakeClock, MemoryStore

SYSTEM, UNROUTED = "trading-core", "unrouted"


async def started(store: MemoryStore, *systems: str) -> list[tuple[str, str, str]]:
    """Andon starts with these systems: (system, status, summary) of what it says."""
    await tell_forgotten(store, Alarms(store, FakeClock()), [*systems, UNROUTED], shard=UNROUTED)
    entries = [delivery.entry for delivery in await store.read_inbox(UNROUTED, 100, 0)]
    alerts = [alert for entry in entries if isinstance(entry, AlertsReceived) for alert in entry.alerts]
    assert {alert.name for alert in alerts} <= {"AndonSystemForgotten"}
    return [(alert.labels["system"], alert.status, alert.annotations.get("summary", "")) for alert in alerts]


async def test_a_system_that_is_gone_with_something_open_is_told_of() -> None:
    """By its incidents and what to do; not while it is configured, and no more once they are closed."""
    store = MemoryStore()
    opened = [Incident(id=f"inc-{number}", key=f"k{number}", system=SYSTEM) for number in range(7)]
    first = link("", 1, "{}")
    await store.commit(SYSTEM, Commit(changes=tuple(Change(incident, 0, first, {}) for incident in opened)))
    assert await started(store, SYSTEM) == [(SYSTEM, "resolved", "")]
    told = {system: (status, summary) for system, status, summary in await started(store, "renamed")}
    assert told["renamed"] == ("resolved", "")
    status, summary = told[SYSTEM]
    assert status == "firing"
    assert summary.startswith("andon.yaml lists trading-core no more")
    assert "inc-" in summary
    assert "2 more" in summary
    closing = tuple(Change(replace(each, status="closed"), 1, link(first.hash, 2, "{}"), {}) for each in opened)
    await store.commit(SYSTEM, Commit(changes=closing))
    assert {status for _, status, _ in await started(store, "renamed")} == {"resolved"}
