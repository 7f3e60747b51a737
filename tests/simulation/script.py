"""What happens in one run, drawn from its seed: what the floor does by itself, and which troubles befall it.

`draw(seed)` is called by `runner`. A script is data: frozen steps with a time, printable and droppable one by one. The
floor's own steps are in `steps`; the troubles (crashes, pauses, clocks, network, store) are in `troubles`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final

from bot.core.words import Millis
from tests.simulation import policies_floor, troubles
from tests.simulation.steps import (
    AlertEnds,
    AlertFires,
    Calm,
    FloorChanges,
    OldWebhookArrives,
    PersonDisarms,
    PersonFreezes,
    PersonOrders,
    Poisoned,
    Reloaded,
    WatchdogChanges,
)
from tests.simulation.wire import Trouble
from tests.simulation.world import Script, Setup, Step

TROUBLE_MS: Final[Millis] = 60_000  # how long things go on happening
AIMED: Final = 0.8  # of the runs have a trouble in the midst of an action
TIGHT: Final = 0.3  # of the runs have a budget that is soon spent
WILLING: Final = 0.4  # of the runs have people who say yes, and some who are sorry later
ASKED: Final = 0.5  # of those where what they said yes to changes, too
RELIEVED_MS: Final[Millis] = 15_000  # until a shift is on again
CALM_MS: Final[Millis] = 1_000  # then everything ends and is mended, a second before the script does

POLICIES: Final = ("var-breach", "unhedged", "stuck-gate", "runaway-orders", "model-switching", "stale-feeds")
ACTS_ON: Final = {  # which component an alert's policy acts on, and its name
    "VaRBreach": ("risk-engine", "var-breach"), "Unhedged": ("order-gate", "unhedged"),
    "StuckGate": ("order-gate", "stuck-gate"), "RunawayOrders": ("order-book", "runaway-orders"),
    "ModelSwitching": ("model-router", "model-switching"), "StaleFeeds": ("feed-a", "stale-feeds"),
}  # fmt: skip

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


def _several(chance: Random, name: str, batches: list[str]) -> list[Step]:
    """Alerts of one group: each at its own time, or all at the same moments, and so in one webhook."""
    if chance.random() < 0.4:
        return [step for batch in batches for step in _fires(chance, name, batch)]
    first = [step for step in _fires(chance, name, batches[0]) if isinstance(step, AlertFires)]
    return [replace(step, batch=batch) for step in first for batch in batches]


def _hedges(chance: Random, number: int) -> list[Step]:
    return _several(chance, "Unhedged", [f"h{number}{n}" for n in range(chance.choice((1, 2, 3)))])


def _kicks(chance: Random, number: int) -> list[Step]:
    return _several(chance, "StuckGate", [f"k{number}{n}" for n in range(chance.choice((1, 2, 3)))])


def _relief(chance: Random, number: int) -> list[Step]:
    """Two or three are asked about at once; while all but the first wait, with their yes, the shift is over."""
    at, steps = chance.randrange(500, TROUBLE_MS - 30_000), list[Step]()
    for n in range(chance.choice((2, 3))):
        steps.append(AlertFires(at=at, name="StuckGate", batch=f"s{number}{n}"))
        steps.append(AlertEnds(at=at + 25_000, name="StuckGate", batch=f"s{number}{n}"))
    over = at + chance.randrange(4_500, 7_500)
    return [
        *steps, Reloaded(at=over, variant="relieved"), Reloaded(at=over + RELIEVED_MS, variant="base")
    ]  # fmt: skip


def _runaway(chance: Random, number: int) -> list[Step]:
    steps = _fires(chance, "RunawayOrders", f"r{number}")
    at, soon = steps[0].at, chance.random() < 0.6
    times = [max(0, at - 100)]
    for _ in range(chance.choice((0, 1, 1, 2))):  # soon: while people are asked
        times.append(chance.randrange(at + 700, at + 2_200) if soon else chance.randrange(at, TROUBLE_MS - CALM_MS))
    return [*steps, *(_open(at, float(chance.randrange(1, 90))) for at in times)]


def _open(at: Millis, orders: float) -> FloorChanges:
    return FloorChanges(at=at, component="order-book", field="open_orders", value=orders)


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


def _disarmed(chance: Random, number: int) -> list[Step]:
    at, policy = chance.randrange(500, TROUBLE_MS - 15_000), chance.choice(POLICIES)
    return _disarms(chance, at, policy)


def _disarms(chance: Random, at: Millis, policy: str) -> list[Step]:
    who, again = chance.choice(policies_floor.EVERYBODY[:4]), at + chance.randrange(2_000, 14_000)
    return [
        PersonDisarms(at=at, person=who, policy=policy),
        PersonDisarms(at=min(again, TROUBLE_MS - CALM_MS), person=who, policy=policy, lift=True),
    ]


def _reload(chance: Random, number: int) -> list[Step]:
    variant, at = chance.choice(policies_floor.VARIANTS[1:6]), chance.randrange(2_000, TROUBLE_MS - 5_000)
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
    """A trouble in the midst of what an alert brings about: around its request, its intent, or what comes after."""
    fires = [s for s in steps if isinstance(s, AlertFires) and not isinstance(s, AlertEnds) and s.name in ACTS_ON]
    if not fires or chance.random() > AIMED:
        return []
    fired, followed = chance.choice(fires), setup.followed or setup.confirmed
    kinds = ("kill", "silence", "hands", "failover") if followed else ("kill", "silence", "hands")
    kind = chance.choice(kinds)
    own: list[Step] = []
    if kind == "hands" and chance.random() < 0.7:  # what is looked at for long
        slow = ("VaRBreach", "ModelSwitching", "StaleFeeds")
        fired = chance.choice([fire for fire in fires if fire.name in slow] or fires)
    elif kind in ("kill", "silence") and chance.random() < 0.7:  # what may happen only once
        fired = AlertFires(at=chance.randrange(500, TROUBLE_MS - 20_000), name="Unhedged", batch="h")
        own = [fired, AlertEnds(at=fired.at + chance.choice((3_000, 12_000)), name="Unhedged", batch="h")]
    at = max(0, fired.at - 50)
    if kind == "kill":
        return [*own, *_killed(chance, setup, at)]
    if kind == "silence":  # what is sent arrives, and is not answered
        silence = Trouble(port="target", lose_reply=chance.choice((0.5, 1.0, 1.0)))
        return [*own, troubles.Network(at=at, until=fired.at + 9_000, trouble=silence)]
    if kind == "failover":
        gone = fired.at + chance.randrange(20, 2_000)
        return [troubles.Failover(at=at, gone=gone, until=gone + chance.choice((300, 2_000)))]
    return _hands(chance, fired)


def _killed(chance: Random, setup: Setup, at: Millis) -> list[Step]:
    """SIGKILL, for whoever does it."""
    port, most = chance.choice(
        (("target", 2), ("target", 2), ("target", 4), ("journal", 3), ("store", 12), ("chat", 3))
    )
    return [
        troubles.KilledAround(
            at=at, until=TROUBLE_MS - CALM_MS, replica=f"r{number}", port=port, nth=chance.randrange(1, most),
            where=chance.choice(("before", "sent", "answered")), away_ms=chance.choice((200, 1_000, 10_000)),
        )
        for number in range(1, setup.replicas + 1)
    ]  # fmt: skip


def _hands(chance: Random, fired: AlertFires) -> list[Step]:
    """Figures and states are slow to come, and while they are waited for somebody freezes or disarms."""
    component, policy = ACTS_ON[fired.name]
    slow = [
        troubles.Network(at=fired.at - 50, until=fired.at + 3_000, trouble=Trouble(port=port, late=1.0, late_by=300.0))
        for port in ("target", "evidence")
    ]
    at, who = fired.at + chance.randrange(50, 700), chance.choice(policies_floor.EVERYBODY[:4])
    if chance.random() < 0.3:
        return [*slow, *_disarms(chance, at, policy)]
    where = chance.choice(("", component))
    return [
        *slow,
        PersonFreezes(at=at, person=who, component=where),
        PersonFreezes(at=at + chance.randrange(4_000, 14_000), person=who, component=where, lift=True),
    ]


STORIES: Final[tuple[tuple[Story, int], ...]] = (
    (_breach, 5), (_hedges, 5), (_kicks, 4), (_runaway, 6), (_switching, 3), (_feeds, 3), (_plain, 3), (_injected, 2),
    (_order, 4), (_freeze, 2), (_reload, 2), (_odd, 3), (_relief, 8), (_disarmed, 1),
)  # fmt: skip


def draw(seed: int) -> Script:
    """The script of a seed: the same each time, whatever else is drawn elsewhere."""
    chance = Random(f"{seed}/script")
    setup = troubles.setup(Random(f"{seed}/setup"))
    steps: list[Step] = [Calm(at=TROUBLE_MS - CALM_MS)]
    stories, weights = zip(*STORIES, strict=True)
    told = chance.choices(stories, weights, k=chance.choice((1, 2, 3, 4)))
    for number, story in enumerate(told):
        steps += story(chance, number)
    willing = WILLING + ASKED * (_relief in told or _runaway in told)
    options = (("budget", "tight", TIGHT), ("people", "willing", willing))
    setup = replace(setup, floor=tuple((name, what) for name, what, often in options if chance.random() < often))
    steps += _aimed(Random(f"{seed}/aim"), setup, steps)
    steps += troubles.draw(Random(f"{seed}/troubles"), setup, TROUBLE_MS)
    return Script(seed, setup, tuple(sorted(steps, key=lambda step: step.at)), TROUBLE_MS)


def calm(seed: int) -> Script:
    """The same with what happens on the floor, and no trouble."""
    script = draw(seed)
    return replace(script, steps=tuple(step for step in script.steps if not step.is_trouble))


def quiet(steps: tuple[Step, ...], setup: Setup | None = None) -> Script:
    """A script of these steps and no trouble, for tests."""
    return Script(0, setup or Setup(), tuple(sorted(steps, key=lambda step: step.at)), TROUBLE_MS)
