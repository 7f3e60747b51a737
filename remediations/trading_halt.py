"""`trading.halt`: stop taking new orders (trading-core runbook, row T2: more than 5 minutes over the VaR limit).

Run by the engine's step activity. Halt means: no new risk-increasing orders; exits and hedges go on, and open positions
stay as they are. It lowers exposure but costs trades, hence risk `risky`. Whether trading is on is read right before
every request, from the component's `read:` entry for `trading` ("on" or "off"); without one nothing is sent and a
person is asked. Starting again raises exposure and is never Andon's to do: a person does it, by hand.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

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

FIELD = "trading"
PATH = "/api/stop-trading"  # trading-core runbook, "Restart Sequence", step 1, and row T2's last escalation

Trading: TypeAlias = Literal["on", "off"]

SPEC = ActionSpec(
    name="trading.halt",
    summary="Stop taking new orders; exits and hedges go on, positions stay.",
    delivery="absolute",
    risk="risky",
    direction="lowers",
    role="risk",
    pins=(FIELD,),
    source="T2",
)


class TradingHaltParams(Params):
    """Why, in words the trading system keeps."""

    reason: Annotated[Text, Field(description="Kept by the trading system beside the change.")]


class TradingHalt:
    """The action; it keeps nothing between calls."""

    async def inspect(self, context: ActionContext, arguments: JsonText) -> Inspection:
        """Read whether trading is on."""
        asked = parse(TradingHaltParams, arguments)
        current = await _current(context)
        if isinstance(current, CannotTell):
            return current
        before = canonical({FIELD: current})
        if current == "off":
            return AlreadySo(before, "trading is stopped already")
        body = canonical(asked.model_dump())
        return Proceed(
            before=before,
            wanted=canonical({FIELD: "off"}),
            arguments=body,
            restore=before,
            by_hand=context.targets.http(context.system, context.component).by_hand("POST", PATH, body),
        )

    async def send(self, context: ActionContext, proceed: Proceed) -> None:
        """One request, if trading is still on. Raises NotSent when somebody has stopped it meanwhile."""
        current = await _current(context)
        if isinstance(current, CannotTell):
            raise NotSent(current.why)
        if current == "off":
            raise NotSent("trading was stopped meanwhile")
        target = context.targets.http(context.system, context.component)
        await target.send("POST", PATH, proceed.arguments, idempotency_key=context.intent, fence=context.fence)

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        """Read again whether trading is on."""
        current = await _current(context)
        if isinstance(current, CannotTell):
            return ReadBack("{}", None, current.why)
        return ReadBack(canonical({FIELD: current}), current == "off", f"trading is {current}")


async def _current(context: ActionContext) -> Trading | CannotTell:
    """Whether trading is on, or why it cannot be told."""
    reading = await context.targets.read_field(context.system, context.component, FIELD, context.now)
    value = reading.value
    if reading.error or value is None:
        return CannotTell(f"whether trading is on cannot be read: {reading.error or 'no value'}")
    if value == "on":
        return "on"
    if value == "off":
        return "off"
    return CannotTell(f"whether trading is on reads {str(value)[:40]!r}, which is neither on nor off")


ENTRY = Entry(
    spec=SPEC,
    params=TradingHaltParams,
    action=TradingHalt,
    example={"reason": "VaR over its limit for 5 minutes"},
    refuses={"trading is neither on nor off": "whether trading is on reads 'maybe', which is neither on nor off"},
    needs=lambda _: (f"POST {PATH}",),
)
