"""What every action must do where somebody else acts too, and wherever it starts from; each docstring says what holds.

Run by `bot.testing.action_contract` beside `bot.testing.action_checks`. Somebody else is, without the author's doing,
the same action under another intent; `Trial.meanwhile` names further changes. Raises `Broken`, like every check.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

from bot.engine.action_ports import AlreadySo, CannotTell, Inspection, Proceed, ReadBack, Unfit
from bot.errors import NotSent, Unknown
from bot.testing.action_trial import OTHER_FENCE, OTHER_INTENT, Run, lines_of, need

Hand: TypeAlias = Callable[[], Awaitable[None]]

THE_SAME = "somebody else did the same"


async def what_changed_meanwhile_is_not_overrun(run: Run) -> None:
    """Changed by somebody else between look and send: nothing is sent on a yes that no longer holds."""
    async for situation, mine, hand in _situations(run):
        proceed = await mine.proceed()
        await hand()
        found, state, made = await mine.inspect(), mine.world.snapshot(), len(mine.requests)
        ended = await mine.send(proceed)
        why = _void(run, proceed, found)
        if why:
            fix = f"let send read again and raise NotSent where {why}"
            need(isinstance(ended, NotSent), f"{situation}: {why}, and send ended in {ended!r}; {fix}")
            sent = lines_of(mine.requests[made:])
            need(not sent and mine.world.snapshot() == state, f"{situation}: {why}, and yet it sent {sent}; {fix}")
        elif ended is None and run.spec.delivery == "absolute":
            seen = await mine.read_back(proceed)
            need(seen.as_wanted is True, f"{situation}: it was sent all the same, and read_back says {seen!r}")


async def what_somebody_else_did_is_not_claimed(run: Run) -> None:
    """Lost without a trace, and then somebody else does it: that proves nothing about this request."""
    if run.spec.delivery == "absolute":
        return  # a state that is as wanted is as wanted, whoever made it so
    claimed: dict[str, ReadBack] = {}
    async for situation, mine, hand in _situations(run):
        proceed = await mine.proceed()
        mine.world.mood = "lost"
        ended = await mine.send(proceed)
        need(isinstance(ended, Unknown), f"no answer came, and send ended in {ended!r}, not Unknown")
        mine.world.mood = "well"
        await hand()
        seen = await mine.read_back(proceed)
        if seen.as_wanted is True:
            claimed[situation] = seen
    if run.trial.anybodys:
        need(
            bool(claimed), "the trial says why anybody's effect counts, and read_back never claims one; drop anybodys="
        )
        return
    for situation, seen in claimed.items():
        need(False, f"the request was lost, then {situation}, and the probe claims it: {seen!r}; answer None unless "
             "the target names this intent, or say in the trial why anybody's counts (anybodys=)")  # fmt: skip


async def every_start_ends_alike(run: Run) -> None:
    """An absolute action ends in the same state from every start: it asks for a state, never for a change."""
    if run.spec.delivery != "absolute":
        return
    proceed = await run.proceed()
    figures = _figures(proceed)
    need(bool(run.trial.also) or not figures, f"it sets {', '.join(figures)}, and is tried from one start only; give "
         "the trial also=(…): worlds that start from other values, among them the odd ones (none, zero)")  # fmt: skip
    await run.send(proceed)
    first = run.world.snapshot()
    for number, world in enumerate(run.trial.also, 1):
        async with world() as started:
            mine = Run(run.trial, started)
            found = await mine.inspect()
            if isinstance(found, AlreadySo):
                continue
            need(isinstance(found, Proceed), f"from start {number} of also: refused, inspect said {found!r}")
            assert isinstance(found, Proceed)
            ended = await mine.send(found)
            need(ended is None, f"from start {number} of also: send ended in {ended!r}")
            seen = await mine.read_back(found)
            need(seen.as_wanted is True, f"from start {number} of also: done, and read_back says {seen!r}")
            state = started.snapshot()
            need(state == first, f"from start {number} of also it ends in {state!r}, from world in {first!r}: that is "
                 "a change, not a state")  # fmt: skip


async def _situations(run: Run) -> AsyncIterator[tuple[str, Run, Hand]]:
    """Each in a fresh world: what somebody else does there, in words, and how to let it happen."""
    async with run.trial.world() as world:
        other = Run(run.trial, world, OTHER_INTENT, OTHER_FENCE)

        async def the_same() -> None:
            await other.send(await other.proceed())

        yield THE_SAME, Run(run.trial, world), the_same
    for situation, change in run.trial.meanwhile.items():
        async with run.trial.world() as world:

            async def changed() -> None:
                change(world)  # noqa: B023  # called before the next turn of the loop

            yield situation, Run(run.trial, world), changed


def _void(run: Run, proceed: Proceed, found: Inspection) -> str:
    """Why what was found before is no ground to send any more; "" when it still is."""
    if isinstance(found, AlreadySo | CannotTell | Unfit):
        return f"inspect says {found.why!r} by now"
    if run.spec.delivery == "absolute":
        return ""  # sent or not, it must be as wanted afterwards
    before, now = json.loads(proceed.before), json.loads(found.before)
    moved = [pin for pin in run.spec.pins if before.get(pin) != now.get(pin)]
    return f"{moved[0]}, a pin, is {now.get(moved[0])!r} and was {before.get(moved[0])!r}" if moved else ""


def _figures(proceed: Proceed) -> list[str]:
    """The numbers that it sets: where arithmetic could creep in."""
    before, wanted = json.loads(proceed.before), json.loads(proceed.wanted)
    numbers = (int, float)
    return sorted(
        name for name, value in wanted.items()
        if isinstance(value, numbers) and not isinstance(value, bool) and value != before.get(name)
    )  # fmt: skip
