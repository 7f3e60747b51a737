"""One round: alerts on every lane, a worker killed with their intents in flight, a recovery, what was held back lands.

Run by `tests.crash.__main__`, several side by side, each on a data directory and a store of its own. A round says which
intents each dead worker had in hand and at which point; what became of them, the ledger says.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from tests.crash import lanes, notes, points
from tests.crash.lives import POLL, Life, Nursery, Target, Workers, waiting

BATCH: Final = 64  # alerts in a webhook: Alertmanager sends a group whole
GATHER_SECONDS: Final = 2.5  # from the first intent at the point to the kill; below the 3 s that a look may take
QUIET_SECONDS: Final = 1.0  # when nothing more arrives at the point for so long, no more will
REACH_SECONDS: Final = 30.0  # until the first intent is at the point
SETTLE_SECONDS: Final = 300.0  # until all have an outcome: on a busy machine minutes, and an heir waits 45 s by itself
CALM_SECONDS: Final = 0.3  # a queue that stays empty for so long is done
AGAIN: Final = 0.5  # of rounds kill the second life too
NOTES_OF_ALL: Final = 8 * len(lanes.LANES)  # about what one life writes


@dataclass(frozen=True, slots=True)
class Plan:
    """What a round does; drawn from the run's seed."""

    name: str
    point: points.Point
    notes: int  # for a kill at a random moment: after so many of them
    again: int  # the second life is killed after so many notes of its own; 0: it lives
    order: tuple[str, ...] = lanes.LANES  # of the alerts, so that a random moment meets every kind at every stage


@dataclass(frozen=True, slots=True)
class Trial:
    """An intent in flight when its worker died. `row`: the point of the table; `stage`: where it was.

    `recovery`: seconds from the kill to the commit of its outcome, None where that was before.
    """

    round: str
    lane: str
    row: str
    stage: str
    recovery: float | None


@dataclass(slots=True)
class Played:
    """One round as it went. `accepted`: lanes whose alerts were answered with 2xx; `problem`: what did not end."""

    plan: Plan
    accepted: tuple[str, ...] = ()
    trials: list[Trial] = field(default_factory=list)
    deaths: int = 0
    seconds: float = 0.0
    starts: list[float] = field(default_factory=list)  # seconds from each start to open doors
    problem: str = ""


TURN: Final = (points.HEIR, *points.NAMED, points.RANDOM)  # an heir waits long, so its round begins first


def draw(seed: int, number: int, only: points.Point | None = None) -> Plan:
    """The plan of a round: the named points in turn, with random moments between them."""
    chance = random.Random(f"{seed}/{number}")
    turn = TURN if number < len(TURN) else TURN[1:]  # one heir is enough, for it holds up a run's end
    point = only or turn[number % len(turn)]
    order = tuple(chance.sample(lanes.LANES, len(lanes.LANES)))
    if point is points.AGAIN:
        return Plan(f"r{number}", points.SENT, 0, chance.randint(1, 120), order)
    again = chance.randint(1, 160) if chance.random() < AGAIN and point is not points.HEIR else 0
    return Plan(f"r{number}", point, chance.randint(20, NOTES_OF_ALL - 40), again, order)


async def play(plan: Plan, nursery: Nursery, target: Target, folder: Path) -> Played:
    """Play it to its end. Raises BrokenWorker when a worker does not start or ends by itself."""
    folder.mkdir()
    started = time.monotonic()
    config = lanes.write_configuration(folder, target.url(plan.name))
    workers = Workers(nursery, folder, config, f"{target.url(plan.name)}/pager")
    played = Played(plan)
    try:
        await _first_life(plan, target, workers, played)
        await _second_life(plan, workers)
        played.problem = await _settled(workers)
        await target.order(plan.name, "land")
        await asyncio.sleep(CALM_SECONDS)  # a worker that took this for an answer would now go on
        played.problem = played.problem or await _settled(workers)
    finally:
        await workers.close()
    played.trials = list(_trials(plan, workers.lives))
    played.starts = [(life.opened_at - life.begun_at) / 1e9 for life in workers.lives if life.opened_at]
    played.deaths = sum(1 for life in workers.lives if life.killed_at)
    played.seconds = time.monotonic() - started
    return played


async def _first_life(plan: Plan, target: Target, workers: Workers, played: Played) -> None:
    """From its start to its death at the plan's point."""
    aimed = plan.point not in (points.RANDOM, points.HEIR)
    life = await workers.begin(plan.point.name if aimed else "")
    await workers.opened()
    if plan.point is points.SENT:
        await target.order(plan.name, "mute")
    async with asyncio.TaskGroup() as tasks:
        posting = tasks.create_task(_post_all(plan, workers))
        if aimed:
            await _gathered(life, plan.point.name if plan.point in _COUNTED else "held")
        else:
            await _until_noted(life, plan.notes)
        await life.kill()
        await target.order(plan.name, "speak")
        if plan.point is points.HEIR:
            workers.bequeath()
        await workers.begin()
    played.accepted = posting.result()


async def _second_life(plan: Plan, workers: Workers) -> None:
    """What was in flight is taken up; killed once more in the midst of it, where the plan says so."""
    life = workers.now
    if plan.again:
        await _until_noted(life, plan.again)
        await life.kill()
        await workers.begin()
    if not workers.now.address:
        await workers.opened()


async def _post_all(plan: Plan, workers: Workers) -> tuple[str, ...]:
    """Post every alert, again until it is taken, as Alertmanager does. Returns the lanes whose alerts were taken."""
    taken: list[str] = []
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5.0)) as session:
        for first in range(0, len(plan.order), BATCH):
            batch = plan.order[first : first + BATCH]
            body = lanes.webhook(batch, plan.name)
            while not await _posted(session, workers, body):
                await asyncio.sleep(POLL)
            taken += batch
    return tuple(taken)


async def _posted(session: aiohttp.ClientSession, workers: Workers, body: bytes) -> bool:
    if workers.now.killed_at:
        return False
    if not workers.now.address:
        await workers.opened()
    with suppress(aiohttp.ClientError, OSError, TimeoutError):
        async with session.post(f"{workers.now.address}/webhooks/alertmanager", data=body) as answer:
            return 200 <= answer.status < 300
    return False


# Points that are reached by going on: what is counted there is the note itself, not who waits.
_COUNTED: Final = (points.STORED, points.JOURNALLED, points.SENT)


async def _gathered(life: Life, what: str) -> None:
    """Wait until as many intents as will come are at the point."""
    clock = asyncio.get_running_loop().time
    began, first, latest, seen = clock(), 0.0, 0.0, 0
    while seen < len(lanes.LANES):
        life.check()
        now, count = clock(), life.noted(what)
        if count > seen:
            seen, latest = count, now
            first = first or now
        if first and (now - first > GATHER_SECONDS or now - latest > QUIET_SECONDS):
            return
        if not first and now - began > REACH_SECONDS:
            return
        await asyncio.sleep(POLL)


async def _until_noted(life: Life, wanted: int) -> None:
    """Wait until a worker has written so many notes, or writes no more."""
    clock = asyncio.get_running_loop().time
    began = latest = clock()
    seen = 0
    while seen < wanted and clock() - began < REACH_SECONDS:
        life.check()
        count = life.noted()
        if count > seen:
            seen, latest = count, clock()
        if seen and clock() - latest > QUIET_SECONDS:
            return
        await asyncio.sleep(POLL)


async def _settled(workers: Workers) -> str:
    """Wait until inbox and outbox stay empty. What is wrong when they do not, or ""."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + SETTLE_SECONDS
    calm_since: float | None = None
    left: int | None = None
    while clock() < deadline:
        workers.now.check()
        left = await waiting(workers.data)
        calm_since = None if left != 0 else calm_since or clock()
        if calm_since is not None and clock() - calm_since > CALM_SECONDS:
            return ""
        await asyncio.sleep(POLL * 4)
    return f"{left} entries still wait after {SETTLE_SECONDS:g} s"


def _trials(plan: Plan, lives: list[Life]) -> list[Trial]:
    """What each dead worker had in hand, and where it was."""
    hands = [notes.read(life.notes) for life in lives]
    found: list[Trial] = []
    flying: set[str] = set()  # declared by an earlier life, without an outcome
    for number, life in enumerate(lives):
        if not life.killed_at:
            continue
        for intent, hand in hands[number].items():
            stage = points.stage(hand.notes)
            if stage == points.CONCLUDED or (stage == points.TAKEN and intent not in flying):
                continue
            flying.add(intent)
            recovered = [at for later in hands[number + 1 :] if intent in later if (at := _ended(later[intent]))]
            seconds = (recovered[0] - life.killed_at) / 1e9 if recovered and stage != points.COMMITTED.name else None
            found.append(Trial(plan.name, hand.lane, _row(plan, number, stage), stage, seconds))
    return found


def _row(plan: Plan, number: int, stage: str) -> str:
    """Where a trial is counted: at the point it had reached, unless the kill was not aimed at any."""
    if number:
        return points.AGAIN.name
    return stage if plan.point in points.NAMED else plan.point.name


def _ended(hand: notes.InHand) -> int | None:
    return hand.first(points.COMMITTED.name)
