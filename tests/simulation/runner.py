"""One seed from its first alert to the judge's word.

`run(script)` is a pure function of its argument: called by `__main__` for every seed, by `shrink` for smaller scripts.
After the script's end everything is mended; the world has `SETTLE_MS` to come to rest, and then `oracle` judges it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bot.core.words import Millis
from tests.simulation import oracle, timeline
from tests.simulation.loop import EndlessRun
from tests.simulation.world import Script, Violation, World

SETTLE_MS: Final[Millis] = 60_000  # from the end of all faults until everything must be at rest
LOOK_MS: Final[Millis] = 2_500  # between two looks whether it is


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one seed."""

    seed: int
    events: int  # links in the audit chains at the end: what the machines decided
    calls: int  # that replicas made over the wire
    digest: str  # "" where none was asked for
    violations: tuple[Violation, ...]
    calls_of: Mapping[str, int] = field(default_factory=dict)  # by replica, of its last incarnation
    story: tuple[str, ...] = ()  # the timeline, where one was asked for


def run(script: Script, *, story: bool = False, digest: bool = True) -> Verdict:
    """Carry it out. With `story`, tell it too."""
    world = World(script)
    asyncio.set_event_loop(world.loop)
    try:
        try:
            violations = world.loop.run_until_complete(play(world))
        except EndlessRun as error:
            violations = [Violation("an end", str(error))]
        lines = tuple(timeline.lines(world, violations)) if story else ()
        calls_of = {name: replica.calls for name, replica in world.replicas.items()}
        events, calls = world.servers.links(), world.wire.calls
        of_all = world.trace.digest(world.loop.callbacks) if digest else ""
    finally:
        asyncio.set_event_loop(None)
        world.loop.dispose()
    return Verdict(script.seed, events, calls, of_all, tuple(violations), calls_of, lines)


async def play(world: World) -> list[Violation]:
    """The script from its beginning until all is at rest, and the judge's word."""
    for replica in world.replicas.values():
        replica.start()
    world.floor.begin()
    for step in sorted(world.script.steps, key=lambda step: step.at):
        await _until(world, step.at)
        world.trace.note("script", repr(step))
        await step.apply(world)
    await _until(world, world.script.ends)
    world.mend()
    await _settle(world)
    violations = [Violation("no defects", words) for words in world.defects]
    return violations + await oracle.judge(world)


async def _until(world: World, at: Millis) -> None:
    left = at / 1_000 - world.loop.time()
    if left > 0:
        await asyncio.sleep(left)


async def _settle(world: World) -> None:
    """Wait until the floor is at rest, at most SETTLE_MS."""
    end = world.now + SETTLE_MS
    while world.now < end:
        await asyncio.sleep(LOOK_MS / 1_000)
        if await world.floor.is_at_rest():
            return
