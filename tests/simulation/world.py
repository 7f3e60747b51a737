"""One seed's run: everything in it, and what happens to it, as data.

`runner` makes a World from a `Script` and carries it out. `floor`, `people` and `oracle` get the World.

How S2's modules plug in (all names are looked up by `runner`):

* `script.draw(seed) -> Script`: what happens. Steps of your own are frozen dataclasses with `at` and `apply(world)`.
* `floor.Floor(world)`: made once per run, before any replica starts. It has
    - `shards: tuple[str, ...]`, `budget: Budget`, `armed: tuple[tuple[shard, policy], ...]`
    - `book() -> PolicyBook`: the policies in force (a fresh incarnation starts with it; a reload step calls
      `world.adopt(book)`, or `replica.adopt(book)` for one of them)
    - `hands(line) -> FloorHands(toolbox, targets, evidence, chat, pager, standing)`: for one incarnation
    - `begin()`: called after the first replicas started (people, Alertmanager begin their own tasks with world.spawn)
* `await oracle.judge(world) -> list[Violation]`: after the run has settled; reads `world.floor`'s ledgers,
  `world.trace`, `world.servers.truth` (a MemoryStore: `await` its reads, they never wait) and each `replica.journal`.
* `timeline.lines(world, violations) -> list[str]`: the short readable story.

On a replica (`world.replicas["r1"]`, or `world.any_replica()` among the living):
`await replica.ask("approve", lambda seat: seat.engine.tell(shard, incident, event))` runs inside its process; it raises
Unreachable when the replica is dead, dies or does not answer in 5 s. A seat has `engine, store, journal, clock, line`
and `floor` (the FloorHands) of the living incarnation.

Times: `world.now` is true virtual milliseconds since the run began; `world.wall` the true wall time (EPOCH + now). A
replica's own clock may be off (`replica.clock`). Whoever is outside (people, Alertmanager) lives by `world.wall`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from dataclasses import dataclass
from random import Random
from traceback import format_exception
from typing import Any, Protocol

from bot.core.events import InboxEntry
from bot.core.words import Millis
from bot.errors import StoreError
from policies.book import PolicyBook
from tests.simulation.loop import VirtualLoop
from tests.simulation.replica import Replica, Unreachable
from tests.simulation.servers import Servers
from tests.simulation.trace import Trace
from tests.simulation.wire import CrashPoint, Wire

EPOCH: Millis = 1_767_225_600_000  # when every run begins: 2026-01-01T00:00:00Z


class Step(Protocol):
    """One thing that happens at `at` (true milliseconds since the run began). Printable by repr; frozen."""

    @property
    def at(self) -> Millis: ...

    @property
    def is_trouble(self) -> bool:
        """Whether it is a fault (the shrinker drops those last; the end of the last one starts the settling time)."""
        ...

    @property
    def until(self) -> Millis:
        """When its effect is over (== at for what happens at once)."""
        ...

    async def apply(self, world: World) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What does not change during a run."""

    replicas: int = 1
    confirmed: bool = False  # a follower exists and every answered write waits for it (as with Sentinels, ADR 0011)
    followed: bool = False  # a follower exists; without `confirmed` a failover may lose what was answered
    floor: tuple[tuple[str, str], ...] = ()  # the floor's own options, by name


@dataclass(frozen=True, slots=True)
class Script:
    """All that happens in one run. The shrinker makes smaller ones with `dataclasses.replace`."""

    seed: int
    setup: Setup
    steps: tuple[Step, ...]
    ends: Millis  # no step after this; then everything is mended and the run settles


@dataclass(frozen=True, slots=True)
class Violation:
    """A law that did not hold. `law` is a short constant name (the shrinker keeps it), `words` say what happened."""

    law: str
    words: str


class World:
    """What the floor, people and steps may use. Made by `runner`."""

    def __init__(self, script: Script) -> None:
        from tests.simulation.floor import Floor  # the floor knows the world

        self.script = script
        self.seed = script.seed
        self.loop = VirtualLoop()
        self.trace = Trace(self.loop.time)
        setup = script.setup
        followed = setup.followed or setup.confirmed
        self.servers = Servers(self.loop, self.trace, Floor.shards, followed, setup.confirmed)
        self.wire = Wire(self.loop, self.trace, self.chance("wire"), self._crash)
        self.defects: list[str] = []  # what ended a task that nothing should end
        self._jumped: dict[str, Millis] = {}
        self.floor = Floor(self)
        names = [f"r{number}" for number in range(1, setup.replicas + 1)]
        self.replicas = {name: Replica(self, name) for name in names}
        self._doors = self.chance("doors")

    @property
    def now(self) -> Millis:
        """True virtual milliseconds since the run began."""
        return int(self.loop.time() * 1_000)

    @property
    def wall(self) -> Millis:
        """The true wall time."""
        return EPOCH + int(self.loop.time() * 1_000)

    def chance(self, concern: str) -> Random:
        """The chance of one concern ("people", "kelly" …): drawing from one never shifts another."""
        return Random(f"{self.seed}/{concern}")

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run an outsider's task (a person, the Alertmanager) until the run ends. An exception in it ends the seed."""
        task = self.loop.create_task(work, name=name, context=Context())
        task.add_done_callback(self._outsider_ended)

    def later(self, after_ms: Millis, then: Callable[[], object]) -> None:
        """Do this so many true milliseconds from now, whoever lives by then."""
        self.loop.call_later(after_ms / 1_000, then, context=Context())

    def defect(self, who: str, error: BaseException) -> None:
        """Something ended that nothing should end."""
        words = "".join(format_exception(error))
        self.trace.note(who, "defect", words)
        self.defects.append(f"{who}: {words}")

    # --- replicas -----------------------------------------------------------------------------------------------------

    def any_replica(self) -> Replica | None:
        """One of those that live (paused ones too: nobody outside can tell)."""
        living = [replica for replica in self.replicas.values() if replica.is_alive]
        return self._doors.choice(living) if living else None

    def adopt(self, book: PolicyBook) -> None:
        """A reload on every replica."""
        for replica in self.replicas.values():
            replica.adopt(book)

    async def deliver(self, shard: str, entry: InboxEntry) -> bool:
        """As a webhook: through any replica that lives. True: answered 2xx (so it must not be lost); False: 503 or no
        answer (the sender tries again; it may be in all the same)."""
        replica = self.any_replica()
        if replica is None:
            return False
        try:
            await replica.ask("webhook", lambda seat: seat.store.append(shard, [entry]))
        except (StoreError, Unreachable):
            return False
        return True

    def jump(self, replica: str, by: Millis) -> None:
        """Move one machine's wall clock."""
        clock = self.replicas[replica].clock
        clock.off += by
        self.trace.note(replica, "clock jumps", f"{by / 1_000:+g} s")

    def mend(self) -> None:
        """Faults stop: everything works, everybody runs, every clock is right."""
        self.trace.note("everything", "is mended")
        self.wire.troubles.clear()
        self.wire.crash_points.clear()
        self.wire.gates.clear()
        self.servers.restart()
        self.servers.rejoin()
        for replica in self.replicas.values():
            replica.clock.off = 0
            replica.journal.broken = ""
            replica.resume()
            replica.start()

    def _crash(self, point: CrashPoint) -> None:
        self.replicas[point.replica].crash(point.away_ms)

    def _outsider_ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.defect(task.get_name(), error)
