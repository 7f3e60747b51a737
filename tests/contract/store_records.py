"""Records, changes and commits for the store's contract suite."""

from __future__ import annotations

from bot.core.alert import Alert
from bot.core.audit import GENESIS, link
from bot.core.effects import OutboxEffect, PostMessage
from bot.core.events import AlertsReceived
from bot.core.incident import AlertState, Incident
from bot.core.record import Timer
from bot.engine.ports import Change, Commit, Committed, Record, Store, Versioned

SHARD = "trading-core"


def webhook(name: str = "w1") -> AlertsReceived:
    alert = Alert(fingerprint=name, status="firing", labels={"alertname": "VaRBreach"}, starts_at=1_700_000_000_000)
    return AlertsReceived(id=name, at=1_700_000_000_000, source="alertmanager", receiver="andon", alerts=(alert,))


def incident(name: str = "inc-1", opened_at: int = 1, **timers: int) -> Incident:
    alert = webhook().alerts[0]
    return Incident(
        id=name,
        key=f"key-of-{name}",
        system=SHARD,
        group={"symbol": "BTC"},
        opened_at=opened_at,
        alerts={alert.fingerprint: AlertState(alert=alert, firing=True, changed_at=opened_at)},
        timers={timer: Timer(due=due, token=f"{timer}-{due}") for timer, due in timers.items()},
    )


def message(name: str = "m1", about: str = "inc-1") -> PostMessage:
    return PostMessage(id=name, incident=about, channel="#ops", topic="opened", text="VaR breach on BTC")


def change(record: Record, before: Versioned | None = None) -> Change:
    """The change to `record` from what was loaded before."""
    version = before.version if before else 0
    entry = link(before.head if before else GENESIS, version + 1, '{"why":"test"}')
    timers = {name: (timer.due, timer.token) for name, timer in before.record.timers.items()} if before else {}
    return Change(record, version, entry, timers)


async def put(store: Store, *records: Record, effects: tuple[OutboxEffect, ...] = ()) -> Committed:
    """Commit records over whatever stands there."""
    before = await store.load(SHARD, [record.id for record in records])
    done = await store.commit(
        SHARD, Commit(changes=tuple(change(record, before.get(record.id)) for record in records), effects=effects)
    )
    assert isinstance(done, Committed)
    return done
