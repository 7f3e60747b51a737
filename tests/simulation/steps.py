"""What happens on the floor by itself, as steps: alerts, hands, orders, freezes, reloads, and the end of all of it.

Drawn by `script`; the troubles (crashes, pauses, clocks, network, store) are in `troubles`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from bot.core.words import Millis
from tests.simulation import policies_floor
from tests.simulation.world import World

_WHERE: Final = {"system": policies_floor.SHARD}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mild:
    """A step that is no trouble and is over at once."""

    at: Millis

    @property
    def is_trouble(self) -> bool:
        return False

    @property
    def until(self) -> Millis:
        return self.at


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFires(_Mild):
    """An alert begins to fire. `by`: a person injects it by hand."""

    name: str
    batch: str = ""
    severity: str = "critical"
    by: str = ""

    @property
    def labels(self) -> dict[str, str]:
        more = {"symbol": self.batch} if self.name == "VaRBreach" else {"batch": self.batch}
        return {"alertname": self.name, "severity": self.severity, **_WHERE, **{k: v for k, v in more.items() if v}}

    async def apply(self, world: World) -> None:
        world.floor.sender.fires(self.labels, self.by)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertEnds(AlertFires):
    """It ends."""

    async def apply(self, world: World) -> None:
        world.floor.sender.ends(self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class OldWebhookArrives(_Mild):
    """A webhook that was held up on the way, or sent twice."""

    number: int

    async def apply(self, world: World) -> None:
        world.floor.sender.repeat(self.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchdogChanges(_Mild):
    """The alert that always fires stops, or comes again."""

    alive: bool

    async def apply(self, world: World) -> None:
        world.floor.sender.watchdog = self.alive


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorChanges(_Mild):
    """The world, or somebody's hand, changes a component."""

    component: str
    field: str
    value: float | str

    async def apply(self, world: World) -> None:
        world.floor.machines[self.component].by_hand(world.now, self.field, self.value)
        world.trace.note("by hand", f"{self.component}.{self.field}", str(self.value))


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonOrders(_Mild):
    """`andon run`, by a person."""

    person: str
    action: str
    component: str
    arguments: tuple[tuple[str, str], ...]

    async def apply(self, world: World) -> None:
        desk = world.floor.desk
        desk.later(0.0, partial(desk.order, self.person, self.action, self.component, dict(self.arguments)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonFreezes(_Mild):
    """A freeze of a component, or of everything (""); or its end."""

    person: str
    component: str
    lift: bool = False

    async def apply(self, world: World) -> None:
        desk = world.floor.desk
        desk.later(0.0, partial(desk.freeze, self.person, self.component, lift=self.lift))


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonDisarms(_Mild):
    """A policy shall act no more; or ("lift") again."""

    person: str
    policy: str
    lift: bool = False

    async def apply(self, world: World) -> None:
        desk = world.floor.desk
        desk.later(0.0, partial(desk.arm, self.person, self.policy, lift=self.lift))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded(_Mild):
    """Another variant of the configuration is put in force, everywhere or ("r1") in one replica first."""

    variant: str
    replica: str = ""

    async def apply(self, world: World) -> None:
        world.floor.adopt(self.variant, self.replica)


@dataclass(frozen=True, slots=True, kw_only=True)
class Poisoned(_Mild):
    """Something that carries no seal stands in the inbox."""

    async def apply(self, world: World) -> None:
        world.floor.poison()


@dataclass(frozen=True, slots=True, kw_only=True)
class Calm(_Mild):
    """The trouble is over: alerts end, figures are well again, people begin nothing new."""

    async def apply(self, world: World) -> None:
        world.floor.calm()
