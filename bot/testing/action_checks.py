"""What every action must do on a simulated target, one check a law; each docstring says what holds.

Run by `bot.testing.action_contract`. A check makes its calls through a `Run` and raises `Broken` with one sentence that
says what the action did, for its author to read.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Final

from bot.engine.action_ports import AlreadySo, CannotTell, Proceed, Unfit
from bot.errors import NotSent, Rejected, TargetError, Unknown
from bot.testing.action_trial import MAX_JSON, MAX_WHY, Run, need, need_json
from remediations import laws
from remediations.params import check as check_arguments

TOO_LONG: Final = 100_000  # characters of a text argument that nobody writes by hand
HOSTILE: Final = ("\x00", "\x1b[2J", "\r\nX-Fence: 1", "x" * TOO_LONG)
WRONG: Final[tuple[object, ...]] = ([], {}, [1], {"a": 1})
ABROAD: Final = "no-such-component"


# --- before anything is sent --------------------------------------------------------------------------------------


async def declaration_keeps_the_laws(run: Run) -> None:
    """Name, delivery, risk, direction, params and methods fit together, and the example fits the params."""
    found = list(laws.of_action(run.trial.entry))
    need(not found, "; ".join(found))
    need(bool(run.trial.entry.example) or not run.trial.entry.params.model_fields, "the entry has no example")


async def inspect_has_no_effect(run: Run) -> None:
    """Inspecting happens in shadow and before approval: twice the same answer, nothing changed, nothing sent."""
    state = run.world.snapshot()
    first, second = await run.proceed(), await run.proceed()
    need(run.world.snapshot() == state, "inspect changed the target")
    need(first == second, "two inspections of the same state differ")


async def proceed_is_canonical_and_bounded(run: Run) -> None:
    """What enters an intent and its digest is canonical JSON of bounded size; pins are fields of before."""
    found = await run.proceed()
    for name in ("before", "wanted", "arguments", "restore"):
        need_json(f"{name} of Proceed", getattr(found, name))
    for name in ("by_hand", "ask"):
        text = getattr(found, name)
        need(len(text) <= MAX_JSON, f"{name} of Proceed has {len(text)} characters, more than {MAX_JSON}")
    before, wanted = json.loads(found.before), json.loads(found.wanted)
    missing = [pin for pin in run.spec.pins if pin not in before]
    need(not missing, f"pins are fields of before, and {', '.join(missing)} is not in {found.before}")
    need(wanted not in ({}, before), f"wanted is {found.wanted}, so a card could not say what would change")
    if run.spec.role:
        context = run.context()
        floors = context.targets.component(context.system, context.component).floors
        for name in run.spec.floors:
            low = isinstance(wanted.get(name), (int, float)) and wanted[name] < floors.get(name, wanted[name])
            need(not low, f"wanted puts {name} below the component's floor")


async def hostile_arguments_are_refused(run: Run) -> None:
    """Unknown names, wrong types, control characters and endless text never get past the params."""
    params, example = run.trial.entry.params, dict(run.trial.entry.example)
    tries: list[Mapping[str, object]] = [*run.trial.hostile, {**example, "no_such_argument": 1}]
    for name, value in example.items():
        if isinstance(value, str):
            tries += [{**example, name: bad if len(bad) == TOO_LONG else f"{value}{bad}"} for bad in HOSTILE]
        if isinstance(value, (str, int, float, bool)):
            tries += [{**example, name: bad} for bad in WRONG]
        if isinstance(value, list) and value and isinstance(value[0], str):
            tries += [{**example, name: [*value, bad]} for bad in HOSTILE]
    for arguments in tries:
        text = json.dumps(arguments)
        need(bool(check_arguments(params, text, partial=False)), f"the params take {text[:200]}")
    for name, value in example.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            text = json.dumps({**example, name: float("nan")})
            need(bool(check_arguments(params, text, partial=False)), f"the params take NaN for {name}")


async def refusals_are_as_the_page_says(run: Run) -> None:
    """Every situation in `refuses` is refused (Unfit or CannotTell) in those words, with no effect."""
    refuses = run.trial.entry.refuses
    untried, untold = sorted(set(refuses) - set(run.trial.refusals)), sorted(set(run.trial.refusals) - set(refuses))
    need(not untried, f"the entry's refuses names {untried}, and the trial's refusals has no world for that")
    need(not untold, f"the trial's refusals has a world for {untold}, and the entry's refuses does not name that")
    for situation, words in refuses.items():
        async with run.trial.refusals[situation]() as world:
            other = Run(run.trial, world)
            state = world.snapshot()
            found = await other.inspect()
            need(isinstance(found, (Unfit, CannotTell)), f"{situation}: not refused, inspect said {found!r}")
            need(world.snapshot() == state and not other.requests, f"{situation}: it had an effect")
            why = getattr(found, "why", "")
            pattern = ".*".join(re.escape(part) for part in words.split("…"))
            need(re.fullmatch(pattern, why, re.DOTALL) is not None, f"{situation}: it says {why!r}, not {words!r}")
            need(len(why) <= MAX_WHY, f"{situation}: its why has {len(why)} characters, more than {MAX_WHY}")


async def nothing_is_tried_at_an_unknown_place(run: Run) -> None:
    """A component that targets.yaml does not list never ends in an attempt."""
    if run.spec.role:
        found = await run.inspect(ABROAD)
        need(isinstance(found, (CannotTell, Unfit)), f"on a component that does not exist, inspect said {found!r}")


# --- a send that ends well ----------------------------------------------------------------------------------------


async def one_send_is_one_request(run: Run) -> None:
    """One send is one request that `needs` names, with the intent's id as key and the fence; then it is as wanted."""
    state = run.world.snapshot()
    proceed = await run.proceed()
    ended = await run.send(proceed)
    need(ended is None, f"a target that is well was told to, and send raised {ended!r}")
    need(len(run.requests) == 1, f"send made {len(run.requests)} requests")
    request, context = run.requests[0], run.context()
    lines = run.trial.entry.needs(json.dumps(dict(run.trial.entry.example)))
    sent = request.line.replace("fail over", "FAILOVER", 1)  # as the twin tells it
    need(not lines or any(line in sent for line in lines), f"it sent {sent}, and needs names {lines}")
    need(request.key in (None, context.intent), f"the request's key is {request.key!r}, not the intent's id")
    need(request.fence in (None, context.fence), f"the request's fence is {request.fence!r}, not the context's")
    seen = await run.read_back(proceed)
    changed = run.world.snapshot() != state
    if run.spec.delivery == "absolute":
        need(
            changed,
            "the request changed nothing in the simulated target: let its route (a twin's on_send, on_run, "
            "on_signal) do what the real one does, and the snapshot show it",
        )
        need(seen.as_wanted is True, f"done and answered, and read_back says {seen!r}")
    need(seen.as_wanted is not False, f"done and answered, and read_back says {seen!r}")


async def what_is_already_so_is_left_alone(run: Run) -> None:
    """An absolute action with nothing to do says AlreadySo; one that is sent all the same changes nothing."""
    if run.spec.delivery != "absolute":
        return
    proceed = await run.proceed()
    await run.send(proceed)
    state = run.world.snapshot()
    found = await run.inspect()
    need(isinstance(found, AlreadySo), f"it is as wanted already, and inspect said {found!r}")
    ended = await run.send(proceed)
    need(isinstance(ended, NotSent), f"it is as wanted already, and a second send ended in {ended!r}, not NotSent")
    need(len(run.requests) == 1, "it is as wanted already, and a second send made a request")
    need(run.world.snapshot() == state, "a second send changed the target again")


async def sends_at_once_change_it_once(run: Run) -> None:
    """Absolute means: however often it arrives, the target ends in the same state."""
    if run.spec.delivery != "absolute":
        return
    async with run.trial.world() as other:
        single = Run(run.trial, other)
        await single.send(await single.proceed())
        once = other.snapshot()
    proceed = await run.proceed()
    context, action = run.context(), run.trial.entry.action
    await asyncio.gather(*(action().send(context, proceed) for _ in range(4)), return_exceptions=True)
    need(run.world.snapshot() == once, "several sends at once left another state than one send does")


async def what_cannot_be_read_is_not_claimed(run: Run) -> None:
    """After an accepted send, a target that cannot be read leaves as_wanted None."""
    proceed = await run.proceed()
    await run.send(proceed)
    run.world.mood = "unreadable"
    seen = await run.read_back(proceed)
    need(seen.as_wanted is None, f"nothing can be read, and read_back says {seen!r}")


# --- a send that ends badly ---------------------------------------------------------------------------------------


async def a_refused_send_is_told_as_one(run: Run) -> None:
    """A target that says no did nothing: Rejected or NotSent (a program that fails may be Unknown), never done."""
    proceed = await run.proceed()
    state = run.world.snapshot()
    run.world.mood = "refusing"
    ended = await run.send(proceed)
    fits: tuple[type[TargetError], ...] = (Rejected, NotSent, *((Unknown,) if run.world.vague else ()))
    need(isinstance(ended, fits), f"the target refused, and send ended in {ended!r}")
    run.world.mood = "well"
    need(run.world.snapshot() == state, "the target refused, and yet it was changed")
    seen = await run.read_back(proceed)
    need(seen.as_wanted is not True, f"the target refused, and read_back says {seen!r}")


async def a_target_that_is_away_got_nothing(run: Run) -> None:
    """Without a connection: NotSent; inspect never says AlreadySo, and read_back neither true nor false."""
    proceed = await run.proceed()
    run.world.mood = "away"
    ended = await run.send(proceed)
    need(isinstance(ended, NotSent), f"nothing left for the target, and send ended in {ended!r}, not NotSent")
    found = await run.inspect()
    need(not isinstance(found, AlreadySo), f"the target is away, and inspect said {found!r}")
    need(run.spec.delivery != "absolute" or not isinstance(found, Proceed), "absolute, and it goes on unread")
    seen = await run.read_back(proceed)
    need(seen.as_wanted is None, f"the target is away, and read_back says {seen!r}")


async def an_unanswered_send_that_was_done(run: Run) -> None:
    """Done without an answer: send raises Unknown, and the probe does not deny it; an absolute one sees it done."""
    proceed = await run.proceed()
    run.world.mood = "unanswered"
    ended = await run.send(proceed)
    need(isinstance(ended, Unknown), f"no answer came, and send ended in {ended!r}, not Unknown")
    run.world.mood = "well"
    seen = await run.read_back(proceed)
    need(seen.as_wanted is not False, f"it was done, and the probe says {seen!r}")
    if run.spec.delivery == "absolute":
        need(seen.as_wanted is True, f"it was done, and the probe says {seen!r}")
        found = await run.inspect()
        need(isinstance(found, AlreadySo), f"it was done, and inspect said {found!r}")


async def an_unanswered_send_that_was_not_done(run: Run) -> None:
    """Lost without an answer: send raises Unknown, and the probe never says that it was done."""
    proceed = await run.proceed()
    run.world.mood = "lost"
    ended = await run.send(proceed)
    need(isinstance(ended, Unknown), f"no answer came, and send ended in {ended!r}, not Unknown")
    run.world.mood = "well"
    seen = await run.read_back(proceed)
    need(seen.as_wanted is not True, f"it was never done, and the probe says {seen!r}")


async def a_late_effect_does_no_harm(run: Run) -> None:
    """Done long after the time-out: not seen before, seen after, and harmless to what was sent again meanwhile."""
    async with run.trial.world() as other:
        single = Run(run.trial, other)
        await single.send(await single.proceed())
        once = other.snapshot()
    proceed = await run.proceed()
    run.world.mood = "late"
    ended = await run.send(proceed)
    need(isinstance(ended, Unknown), f"no answer came, and send ended in {ended!r}, not Unknown")
    run.world.mood = "well"
    seen = await run.read_back(proceed)
    need(seen.as_wanted is not True, f"it was not done yet, and the probe says {seen!r}")
    if run.spec.delivery == "absolute":
        await run.send(await run.proceed())
    await run.world.settle()
    need(run.world.snapshot() == once, "a late effect left another state than one send does")
    seen = await run.read_back(proceed)
    need(seen.as_wanted is not False, f"it was done late, and the probe says {seen!r}")
