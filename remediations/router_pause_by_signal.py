"""`router.pause_by_signal`: pause a model router that has no API, by SIGHUP (trading-core runbook, row T1, step 2).

Run by the engine's step activity on a component with `connector: process`. The runbook says `pkill -SIGHUP -f`, which
hits whatever bears the name, and ends what has no handler. Here it is the one process that the pid file names, that is
still the same at that moment, and that handles the signal. A signal has no answer, and nothing tells that the router is
paused: hence delivery `once`. The policy verifies it by the switch rate. A second SIGHUP may mean something else (go
on!), so where Andon knows of a first one to this very process, a person decides; see docs/programs.md for what it
cannot know.
"""

from __future__ import annotations

import json
from typing import Annotated

from remediations.kit import (
    ActionContext,
    ActionSpec,
    CannotTell,
    Entry,
    Field,
    Inspection,
    JsonText,
    Params,
    Proceed,
    ProcessSeen,
    ReadBack,
    Rejected,
    TargetError,
    Text,
    Unfit,
    canonical,
    parse,
)

SPEC = ActionSpec(
    name="router.pause_by_signal",
    summary="Pause a model router that has no API, by SIGHUP to the process that its pid file names.",
    delivery="once",
    risk="safe",
    direction="lowers",
    role="router-process",
    pins=("pid", "started"),
    source="T1",
)


class RouterPauseBySignalParams(Params):
    """Why; a signal carries no words, so they stay in Andon's record."""

    reason: Annotated[Text, Field(description="Kept in the record.")]


class RouterPauseBySignal:
    """The action; it keeps nothing between calls."""

    async def inspect(self, context: ActionContext, arguments: str) -> Inspection:
        """Find the process, and whether the signal would pause it."""
        asked = parse(RouterPauseBySignalParams, arguments)
        try:
            target = context.targets.process(context.system, context.component)
            seen = await target.look()
        except Rejected as error:
            return Unfit(str(error))
        except TargetError as error:
            return CannotTell(f"the router's process cannot be looked at: {error}")
        before = _as_json(seen)
        if "HUP" not in seen.catches:
            return Unfit(f"process {seen.pid} has no handler for SIGHUP, which would end it or do nothing", before)
        return Proceed(
            before=before,
            wanted=canonical({"signal": "HUP", "to": f"process {seen.pid}: {seen.command}"}),
            arguments=canonical(asked.model_dump(mode="json")),
            by_hand=target.by_hand("HUP", seen),
            ask=_again(seen, context.left),
        )

    async def send(self, context: ActionContext, proceed: Proceed) -> None:
        """The signal, to the process that was seen and to no other. Returning means that it was delivered."""
        before = json.loads(proceed.before)
        seen = ProcessSeen(before["pid"], before["started"], before["command"])
        await context.targets.process(context.system, context.component).signal("HUP", seen)

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        """Whether it still runs: a router that the signal ended is not paused, it is gone."""
        before = json.loads(proceed.before)
        try:
            seen = await context.targets.process(context.system, context.component).look()
        except Rejected as error:
            return ReadBack("{}", False, f"it has not survived: {error}")
        except TargetError as error:
            return ReadBack("{}", None, str(error))
        if (seen.pid, seen.started) != (before["pid"], before["started"]):
            return ReadBack(_as_json(seen), False, f"process {before['pid']} has ended; process {seen.pid} runs now")
        return ReadBack(_as_json(seen), None, f"process {seen.pid} runs on; whether it is paused shows in its switches")


def _again(seen: ProcessSeen, left: JsonText) -> str:
    """Why a person decides: Andon has signalled this process before. "" when it knows of no such signal."""
    was = json.loads(left)
    if seen.signalled or (was.get("pid"), was.get("started")) == (seen.pid, seen.started):
        return (
            f"Andon has sent SIGHUP to process {seen.pid} before, and it runs on since; "
            "a second one may let it go on instead of pausing it"
        )
    return ""


def _as_json(seen: ProcessSeen) -> str:
    return canonical({"pid": seen.pid, "started": seen.started, "command": seen.command})


ENTRY = Entry(
    spec=SPEC,
    params=RouterPauseBySignalParams,
    action=RouterPauseBySignal,
    example={"reason": "model switches 34 a minute"},
    refuses={
        "the recorded process has ended": "the pid file names process …, which has ended",
        "the process has no handler": "process … has no handler for SIGHUP, which would end it or do nothing",
    },
)
