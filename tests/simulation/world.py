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
* `oracle.judge(world) -> list[Violation]`: after the run has settled; reads `world.floor`'s ledgers, `world.trace`,
  `world.servers.truth` (a MemoryStore: `await` its reads, they never wait) and each `replica.journal`.
* `timeline.lines(world, violations) -> list[str]`: the short readable story.

Times: `world.now` is true virtual milliseconds since the run began; `world.wall` the true wall time (EPOCH + now). A
replica's own clock may be off (`replica.clock`). Whoever is outside (people, Alertmanager) lives by `world.wall`.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from bot.core.events import AlertsReceived, InboxEntry
from bot.core.words import Millis

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
    """What the floor, people and steps may use."""

    seed: int
    script: Script
    # loop: VirtualLoop, trace: Trace, wire: Wire, servers: Servers, floor: Floor, replicas: dict[str, Replica]

    @property
    def now(self) -> Millis: ...

    @property
    def wall(self) -> Millis: ...

    def chance(self, concern: str) -> Random:
        """The chance of one concern ("people", "kelly" …): drawing from one never shifts another."""
        ...

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run an outsider's task (a person, the Alertmanager) until the run ends. An exception in it ends the seed."""
        ...

    async def deliver(self, shard: str, entry: InboxEntry) -> bool:
        """As a webhook: through any replica that lives. True: answered 2xx (so it must not be lost); False: 503 or no
        answer (the sender tries again; it may be in all the same)."""
        ...

    # On a replica (world.replicas["r1"], or world.any_replica() -> Replica | None among the living):
    #   await replica.ask("approve", lambda seat: seat.engine.tell(shard, incident, event)) -> T
    #       runs inside the replica's process; raises Unreachable when it is dead, dies or does not answer in 5 s.
    #       `seat` has .engine, .store, .journal, .clock, .line, .floor (the FloorHands) of the living incarnation.
