"""2, 3 and 4 replicas on one store, killed, stopped for a while and restarted at random under alerts and timers."""

from __future__ import annotations

import asyncio
import os
import random

import pytest

from tests.faults.crew import ANSWER_MS, Crew, Replica, open_crew

SEED = int(os.environ.get("ANDON_FAULTS_SEED", "7"))
LOAD = ("Work0", "Work1", "Work2", "Late")
BLOWS = 2  # to each size of crew, whatever they are by chance
LOOKS = 300  # a second, at what the victim has in hand
ALERTS = 60  # around each blow, of all names together


async def at_work(crew: Crew, replica: Replica, chance: random.Random) -> None:
    """Return when it has an effect in hand (or had none for a second), and a moment of an order's time later."""
    for _ in range(LOOKS):
        if await crew.held("outbox", replica.name):
            break
        await asyncio.sleep(1 / LOOKS)
    await asyncio.sleep(chance.uniform(0, ANSWER_MS / 1_000))


async def strike(crew: Crew, chance: random.Random) -> None:
    """Something happens to one of them: kill -9, a stop of some seconds, or a restart in good order."""
    replica = chance.choice(list(crew.replicas.values()))
    match chance.choice(("kill", "kill", "kill", "pause", "restart")):
        case "kill":
            await at_work(crew, replica, chance)
            await replica.child.kill()
            await asyncio.sleep(chance.uniform(0, 0.5))
            await replica.start()
        case "pause":
            replica.stop()
            await asyncio.sleep(chance.uniform(0.5, 3))
            replica.go_on()
        case "restart":
            await replica.end()
            await replica.start()
    await crew.is_ready(replica)


@pytest.mark.timeout(300)  # generous: a busy machine starts a replica in half a minute
async def test_replicas_that_die_at_random_double_nothing_and_lose_nothing() -> None:
    """Each accepted case is one incident, ordered at most once, and done or with a person; each timer counts once."""
    async with open_crew("a", "b", seed=SEED) as crew:
        ration, chance = asyncio.Semaphore(0), random.Random(SEED)
        async with crew.alerting(*LOAD, every=0.1, ration=ration):
            for more in ("", "c", "d"):
                if more:
                    await crew.add(more)
                for _ in range(BLOWS):
                    for _ in range(ALERTS):
                        ration.release()
                    await asyncio.sleep(chance.uniform(0.3, 1.0))
                    await strike(crew, chance)
        await asyncio.sleep(1.5)  # the last rungs come due
        await crew.quiet()
        ends = await crew.accounts()
        assert ends["ran"] > len(crew.accepted) // 2 > 50
