"""What happens in one run, drawn from its seed: what the floor does by itself, and which troubles befall it.

`draw(seed)` is called by `runner`. A script is data: frozen steps with a time, printable and droppable one by one. The
world's own steps are here; the troubles (crashes, pauses, clocks, network, store) are in `troubles`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from bot.core.words import Millis
from tests.simulation import policies_floor, troubles
from tests.simulation.world import Script, Setup, Step, World

TROUBLE_MS: Final[Millis] = 60_000  # how long things go on happening
AIMED: Final = 0.35  # of the runs have a kill in the midst of an action
TIGHT: Final = 0.1  # of the runs have a budget that is soon spent
CALM_MS: Final[Millis] = 1_000  # then everything ends and is mended, a second before the script does

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
        desk.later(0.0, desk.order(self.person, self.action, self.component, dict(self.arguments)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonFreezes(_Mild):
    """A freeze of a component, or of everything (""); or its end."""

    person: str
    component: str
    lift: bool = False

    async def apply(self, world: World) -> None:
        desk = world.floor.desk
        desk.later(0.0, desk.freeze(self.person, self.component, lift=self.lift))


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


# --- drawing -----------------------------------------------------------------------------------------------------

Story = Callable[[Random, int], list[Step]]


def _fires(chance: Random, name: str, batch: str = "", severity: str = "critical", flaps: bool = True) -> list[Step]:
    """An alert that fires once, or flaps."""
    at, steps = chance.randrange(500, TROUBLE_MS - 15_000), list[Step]()
    for _ in range(chance.choice((1, 1, 1, 2, 4)) if flaps else 1):
        lasts = chance.choice((700, 3_000, 9_000, 25_000))
        steps.append(AlertFires(at=at, name=name, batch=batch, severity=severity))
        steps.append(AlertEnds(at=min(at + lasts, TROUBLE_MS - CALM_MS), name=name, batch=batch, severity=severity))
        at = at + lasts + chance.choice((400, 2_000, 6_000, 12_000))
        if at > TROUBLE_MS - 8_000:
            break
    return steps


def _breach(chance: Random, number: int) -> list[Step]:
    steps = _fires(chance, "VaRBreach", chance.choice(("BTC-USD", "ETH-USD")))
    steps.append(
        FloorChanges(at=steps[0].at - 100, component="risk-engine", field="stress", value=chance.choice((2.4, 9.0)))
    )
    if chance.random() < 0.4:
        at = chance.randrange(steps[0].at, TROUBLE_MS - CALM_MS)
        steps.append(FloorChanges(at=at, component="risk-engine", field="kelly_fraction", value=0.25))
    if chance.random() < 0.3:
        at = chance.randrange(steps[0].at, TROUBLE_MS - CALM_MS)
        steps.append(FloorChanges(at=at, component="risk-engine", field="trading", value=chance.choice(("on", "off"))))
    return steps


def _hedges(chance: Random, number: int) -> list[Step]:
    return [step for n in range(chance.choice((1, 2, 3))) for step in _fires(chance, "Unhedged", f"h{number}{n}")]


def _kicks(chance: Random, number: int) -> list[Step]:
    return [step for n in range(chance.choice((1, 2))) for step in _fires(chance, "StuckGate", f"k{number}{n}")]


def _runaway(chance: Random, number: int) -> list[Step]:
    steps = _fires(chance, "RunawayOrders", f"r{number}")
    for _ in range(chance.choice((0, 0, 1, 2))):
        at = chance.randrange(steps[0].at, TROUBLE_MS - CALM_MS)
        steps.append(
            FloorChanges(at=at, component="order-book", field="open_orders", value=float(chance.randrange(1, 90)))
        )
    return steps


def _switching(chance: Random, number: int) -> list[Step]:
    steps = _fires(chance, "ModelSwitching")
    steps.append(FloorChanges(at=steps[0].at - 100, component="model-router", field="restless", value=60.0))
    if chance.random() < 0.3:
        at = chance.randrange(steps[0].at, TROUBLE_MS - CALM_MS)
        steps.append(FloorChanges(at=at, component="model-router", field="router", value="running"))
    return steps


def _feeds(chance: Random, number: int) -> list[Step]:
    steps = _fires(chance, "StaleFeeds", flaps=False)
    steps += [
        FloorChanges(at=steps[0].at - 100, component=name, field="state", value="stale")
        for name in ("feed-a", "feed-b")
    ]
    return steps


def _plain(chance: Random, number: int) -> list[Step]:
    name, severity = chance.choice(
        (("PeopleOnly", "critical"), ("OnlyWatched", "critical"), ("Unheard", "critical"), ("Unheard", "info"))
    )
    return _fires(chance, name, f"p{number}", severity)


def _injected(chance: Random, number: int) -> list[Step]:
    """An alert that a person fires by hand, who may then try to approve what comes of it."""
    name, by = chance.choice(("StuckGate", "RunawayOrders")), chance.choice(policies_floor.EVERYBODY[:4])
    at = chance.randrange(500, TROUBLE_MS - 10_000)
    return [AlertFires(at=at, name=name, batch=f"i{number}", by=by)]


def _order(chance: Random, number: int) -> list[Step]:
    action, component, arguments = chance.choice(
        (
            ("trading.halt", "risk-engine", (("reason", f"order {number}"),)),
            ("orders.flatten", "order-book", (("batch", f"o{number}"),)),
            ("orders.hedge", "order-gate", (("batch", f"o{number}"),)),
            ("router.resume", "model-router", (("reason", f"order {number}"),)),
            ("feed.cycle", "feed-a", (("reason", f"order {number}"),)),
        )
    )
    at, person = chance.randrange(500, TROUBLE_MS - 8_000), chance.choice(policies_floor.EVERYBODY)
    return [PersonOrders(at=at, person=person, action=action, component=component, arguments=arguments)]


def _freeze(chance: Random, number: int) -> list[Step]:
    at, component = chance.randrange(500, TROUBLE_MS - 15_000), chance.choice(("", "", "risk-engine", "order-gate"))
    who = chance.choice(policies_floor.EVERYBODY[:4])
    frozen = PersonFreezes(at=at, person=who, component=component)
    lifted = PersonFreezes(at=at + chance.randrange(2_000, 14_000), person=who, component=component, lift=True)
    return [frozen, lifted]


def _reload(chance: Random, number: int) -> list[Step]:
    variant, at = chance.choice(policies_floor.VARIANTS[1:]), chance.randrange(2_000, TROUBLE_MS - 5_000)
    steps: list[Step] = [Reloaded(at=at, variant=variant)]
    if chance.random() < 0.4:
        steps.insert(0, Reloaded(at=at - chance.randrange(200, 1_900), variant=variant, replica="r1"))
    if chance.random() < 0.3:
        steps.append(Reloaded(at=chance.randrange(at, TROUBLE_MS - CALM_MS), variant="base"))
    return steps


def _odd(chance: Random, number: int) -> list[Step]:
    at = chance.randrange(1_000, TROUBLE_MS - 20_000)
    kind = chance.choice(("old", "old", "poison", "watchdog"))
    if kind == "poison":
        return [Poisoned(at=at)]
    if kind == "watchdog":
        return [WatchdogChanges(at=at, alive=False), WatchdogChanges(at=at + 18_000, alive=True)]
    return [OldWebhookArrives(at=at + chance.randrange(0, 15_000), number=chance.randrange(50))]


def _aimed(chance: Random, setup: Setup, steps: list[Step]) -> list[Step]:
    """SIGKILL in the midst of what an alert brings about: around its request, its intent, or what comes after."""
    fires = [step for step in steps if isinstance(step, AlertFires) and not isinstance(step, AlertEnds)]
    if not fires or chance.random() > AIMED:
        return []
    port, most = chance.choice((("target", 4), ("target", 4), ("journal", 3), ("store", 12), ("chat", 3)))
    return [
        troubles.KilledAround(
            at=max(0, chance.choice(fires).at - 50), until=TROUBLE_MS - CALM_MS, replica=f"r{number}", port=port,
            nth=chance.randrange(1, most), where=chance.choice(("before", "sent", "answered")),
            away_ms=chance.choice((200, 1_000, 10_000)),
        )
        for number in range(1, setup.replicas + 1)
    ]  # fmt: skip


STORIES: Final[tuple[tuple[Story, int], ...]] = (
    (_breach, 5), (_hedges, 5), (_kicks, 4), (_runaway, 4), (_switching, 3), (_feeds, 3), (_plain, 3), (_injected, 2),
    (_order, 4), (_freeze, 2), (_reload, 2), (_odd, 3),
)  # fmt: skip


def draw(seed: int) -> Script:
    """The script of a seed: the same each time, whatever else is drawn elsewhere."""
    chance = Random(f"{seed}/script")
    setup = troubles.setup(Random(f"{seed}/setup"))
    if chance.random() < TIGHT:
        setup = replace(setup, floor=(("budget", "tight"),))
    steps: list[Step] = [Calm(at=TROUBLE_MS - CALM_MS)]
    stories, weights = zip(*STORIES, strict=True)
    for number, story in enumerate(chance.choices(stories, weights, k=chance.choice((2, 3, 4, 5)))):
        steps += story(chance, number)
    steps += _aimed(Random(f"{seed}/aim"), setup, steps)
    steps += troubles.draw(Random(f"{seed}/troubles"), setup, TROUBLE_MS)
    return Script(seed, setup, tuple(sorted(steps, key=lambda step: step.at)), TROUBLE_MS)


def quiet(steps: tuple[Step, ...], setup: Setup | None = None) -> Script:
    """A script of these steps and no trouble, for tests."""
    return Script(0, setup or Setup(), tuple(sorted(steps, key=lambda step: step.at)), TROUBLE_MS)
