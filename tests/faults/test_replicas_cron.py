"""A cron line that two real processes follow: each fire is claimed once, also while one of them is killed."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from bot.adapters.clock import wall_ms
from bot.sandbox.children import until
from tests.faults.crew import Crew, open_crew

SCALE = 40  # of the replicas' clock: five minutes, the shortest that a cron line may be, in seven and a half seconds
EVERY_MS = 300_000
FIRES = 4  # after the first, which both are there for, one of the two dies each time
SOURCE = "source:schedule:every-five-minutes"


async def fires(crew: Crew) -> list[int]:
    """When each fire that was taken was due, in the order they were taken."""
    return [
        int(line["event"]["due"])
        for line in await crew.events(SOURCE)
        if line["event"]["kind"] == "schedule_due" and line["decision"] == "applied"
    ]


@pytest.mark.timeout(300)  # generous: a busy machine starts a replica in half a minute
async def test_each_fire_is_claimed_once_by_two_processes() -> None:
    """No fire twice, none left out, each acted upon at most once; one of the two dies and comes back meanwhile."""
    async with open_crew("a", "b", clock=f"{SCALE}@{wall_ms()}") as crew:
        victims = iter((*crew.replicas.values(), crew.replicas["a"]))

        async def another(more_than: int) -> bool:
            return len(await fires(crew)) > more_than

        for number in range(FIRES):
            await until(f"fire {number + 1} is taken", lambda: another(number), within=60)  # noqa: B023  # awaited here
            if number == 0:
                continue
            victim = next(victims)
            await victim.child.kill()
            await asyncio.sleep(crew.chance.uniform(0, 1))
            await victim.start()
            await crew.is_ready(victim)
        taken = await fires(crew)
        assert all(later - earlier == EVERY_MS for earlier, later in pairwise(taken)), taken
        both = [sum(entry["due"] == due for r in crew.replicas.values() for entry in r.said("schedule_told"))
                for due in taken[:-1]]  # fmt: skip
        assert max(both) > 1, "both told the same fire, or nothing was shown"
        assert (await crew.orders())["clock"] <= len(taken)
        incidents = (await crew.incidents())["clock"]
        assert len(incidents) <= len(taken)
