"""`risk.reduce_kelly`: cut the global Kelly fraction, and only ever cut it (trading-core runbook, row T2).

Run by the engine's step activity. Kelly is a fraction of the bankroll per new trade, 0 to 1, without a unit. What is
asked for is a ceiling: wanted = max(floor, min(current, requested)), where the floor is the component's `floors:` entry
in targets.yaml. The runbook's API takes absolute values and would raise Kelly just as gladly, so the value in force is
read right before every request; between that read and the request somebody else may still lower it further, which the
read-back shows. Without a `read:` entry for `kelly_fraction` nothing is sent and a person is asked.
"""

from __future__ import annotations

import math
from typing import Annotated

from remediations.kit import (
    ActionContext,
    ActionSpec,
    AlreadySo,
    CannotTell,
    Entry,
    Field,
    Inspection,
    JsonText,
    NotSent,
    Params,
    Proceed,
    ReadBack,
    Text,
    canonical,
    parse,
)

FIELD = "kelly_fraction"
PATH = "/api/risk/emergency-reduce"  # trading-core runbook, "VaR Breach > 90% Target", immediate action 1
SAME = 1e-9  # two Kelly fractions closer than this are one: the API stores doubles

SPEC = ActionSpec(
    name="risk.reduce_kelly",
    summary="Cut the global Kelly fraction to a ceiling; never raises it, never goes below its floor.",
    delivery="absolute",
    risk="safe",
    direction="lowers",
    role="risk",
    pins=(FIELD,),
    floors=(FIELD,),
    undo="risk.restore_kelly",
    source="T2",
)


class ReduceKellyParams(Params):
    """The ceiling for the Kelly fraction (0 to 1), and why, in words the trading system keeps."""

    kelly_fraction: Annotated[float, Field(ge=0, le=1, description="Ceiling for the Kelly fraction, 0 to 1.")]
    reason: Annotated[Text, Field(description="Kept by the trading system beside the change.")]


class ReduceKelly:
    """The action; it keeps nothing between calls."""

    async def inspect(self, context: ActionContext, arguments: JsonText) -> Inspection:
        """Read the value in force and say what would become of it."""
        asked = parse(ReduceKellyParams, arguments)
        current = await _current(context)
        if isinstance(current, CannotTell):
            return current
        floor = context.targets.component(context.system, context.component).floors.get(FIELD, 0.0)
        if not 0.0 <= floor <= 1.0:  # also false for NaN
            return CannotTell(f"the floor of {FIELD} in targets.yaml is {floor:g}, which is no Kelly fraction")
        wanted = max(floor, min(current, asked.kelly_fraction))
        before = canonical({FIELD: current})
        body = canonical({FIELD: wanted, "reason": asked.reason})
        if current <= wanted + SAME:
            why = f"Kelly is {current:g} already, and {asked.kelly_fraction:g} was asked for"
            return AlreadySo(before, why if current > floor else f"{why} (its floor is {floor:g})")
        return Proceed(
            before=before,
            wanted=canonical({FIELD: wanted}),
            arguments=body,
            restore=before,
            by_hand=context.targets.http(context.system, context.component).by_hand("POST", PATH, body),
        )

    async def send(self, context: ActionContext, proceed: Proceed) -> None:
        """One request, if it still lowers. Raises NotSent when Kelly has fallen to the wanted value meanwhile."""
        wanted = parse(ReduceKellyParams, proceed.arguments).kelly_fraction
        current = await _current(context)
        if isinstance(current, CannotTell):
            raise NotSent(current.why)
        if current <= wanted + SAME:
            raise NotSent(f"Kelly fell to {current:g} meanwhile; asking for {wanted:g} could only raise it")
        target = context.targets.http(context.system, context.component)
        await target.send("POST", PATH, proceed.arguments, idempotency_key=context.intent, fence=context.fence)

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        """Read the value in force again; lower than wanted is as wanted, for somebody cut it further."""
        wanted = parse(ReduceKellyParams, proceed.arguments).kelly_fraction
        current = await _current(context)
        if isinstance(current, CannotTell):
            return ReadBack("{}", None, current.why)
        after = canonical({FIELD: current})
        if current > wanted + SAME:
            return ReadBack(after, False, f"Kelly is {current:g}, not {wanted:g}")
        return ReadBack(after, True, f"Kelly is {current:g}" + (", cut further" if current < wanted - SAME else ""))


async def _current(context: ActionContext) -> float | CannotTell:
    """The Kelly fraction in force, or why it cannot be told."""
    reading = await context.targets.read_field(context.system, context.component, FIELD, context.now)
    value = reading.value
    if reading.error or value is None:
        return CannotTell(f"the Kelly fraction in force cannot be read: {reading.error or 'no value'}")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return CannotTell(f"the Kelly fraction in force reads {str(value)[:40]!r}, which is no number")
    if not 0.0 <= value <= 1.0:
        return CannotTell(f"the Kelly fraction in force reads {value:g}, outside 0 to 1")
    return float(value)


ENTRY = Entry(
    spec=SPEC,
    params=ReduceKellyParams,
    action=ReduceKelly,
    example={FIELD: 0.1, "reason": "VaR breach on BTC-USD"},
    refuses={
        "nothing says where Kelly is read": "the Kelly fraction in force cannot be read: …",
        "Kelly reads as no fraction": "the Kelly fraction in force reads 7, outside 0 to 1",
    },
    needs=lambda _: (f"POST {PATH}",),
)
