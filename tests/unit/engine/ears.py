"""Engine, store and anti-entropy over Alertmanagers in memory, a minute at a time; for `test_antientropy`."""

from __future__ import annotations

from dataclasses import dataclass, field

from bot.adapters.codec import event_text
from bot.adapters.metrics import Metrics
from bot.core.alert import Alert
from bot.core.events import AlertsReceived
from bot.core.incident import Incident
from bot.engine.alarms import Alarms
from bot.engine.antientropy import Antientropy
from bot.engine.engine import Engine
from bot.testing import FakeClock, MemoryAlertmanager, MemoryStore
from bot.testing.clock import START
from handlers.routing import Route
from policies.book import PolicyBook, Watch

SYSTEM = "trading-core"
MINUTE = 60_000
PATIENCE = 3 * MINUTE


def alert(
    name: str = "VaRBreach", *, at: int = START, source: str = "alertmanager", severity: str = "critical"
) -> Alert:
    labels = {"alertname": name, "severity": severity, "system": SYSTEM}
    return Alert(fingerprint=f"fp-{name}", status="firing", labels=labels, starts_at=at, source=source)


WATCHDOG = alert("Watchdog", severity="none")


@dataclass
class House:
    """Engine, store and anti-entropy over Alertmanagers in memory; `minute` is one look and all that follows."""

    managers: tuple[MemoryAlertmanager, ...] = field(default_factory=lambda: (MemoryAlertmanager(),))
    store: MemoryStore = field(default_factory=MemoryStore)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        watch = Watch("watchdog", SYSTEM, lambda labels: labels["alertname"] == "Watchdog", 5 * MINUTE)
        self.engine = Engine(
            store=self.store,
            book=PolicyBook({}, watches=[watch]),
            text=event_text,
            clock=self.clock,
            telemetry=Metrics(),
            shards=(SYSTEM, "unrouted"),
        )
        self.antientropy = Antientropy(
            self.engine,
            self.clock,
            self.managers,
            Alarms(self.store, self.clock),
            routes=[Route(system=SYSTEM, matches=lambda labels: labels.get("system") == SYSTEM)],
            patience_ms=PATIENCE,
        )
        for manager in self.managers:
            manager.fire(WATCHDOG)

    @property
    def manager(self) -> MemoryAlertmanager:
        return self.managers[0]

    async def webhook(self, *alerts: Alert) -> None:
        """Alerts come in the ordinary way."""
        await self.store.append(SYSTEM, [self.received(*alerts)])
        await self.work()

    def received(self, *alerts: Alert) -> AlertsReceived:
        return AlertsReceived(id="w", at=self.clock.now(), source=alerts[0].source, receiver="r", alerts=alerts)

    async def known(self, told: Alert) -> None:
        """An alert comes in the ordinary way, a look sees it listed, and it ends in every Alertmanager."""
        await self.webhook(told)
        for manager in self.managers:
            manager.fire(told)
        await self.antientropy.look()
        for manager in self.managers:
            manager.end(told.fingerprint)

    async def minute(self, count: int = 1) -> None:
        for _ in range(count):
            self.clock.advance(MINUTE)
            await self.antientropy.look()
            await self.work()

    async def work(self) -> None:
        for shard in (SYSTEM, "unrouted"):
            await self.engine.absorb(shard, await self.store.read_inbox(shard, 1_000, 0))

    async def incidents(self, shard: str = SYSTEM) -> list[Incident]:
        return [line.incident for line in await self.store.incidents(shard, closed=True, limit=100)]

    async def firing(self, shard: str = SYSTEM) -> list[str]:
        """Names of what is thought to fire."""
        return sorted(told.name for incident in await self.incidents(shard) for told in incident.firing)

    async def alarms(self) -> list[str]:
        """Andon's own alarms that fire."""
        return await self.firing("unrouted")
