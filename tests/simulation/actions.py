"""Three actions of the simulated floor's own, registered the way other distributions bring theirs.

They stand where the catalogue has nothing so plain: `orders.hedge` counts (`once`), `orders.flatten` is `keyed` and
critical, `feed.cycle` is an absolute step for sequences. `policies_floor` extends the real catalogue with them.
"""

from __future__ import annotations

import json
from typing import Annotated, Final

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

HEDGE: Final = "/api/orders/hedge"
HEDGES: Final = "/api/orders/hedges"  # the keys of all hedges, as the gateway keeps them
FLATTEN: Final = "/api/orders/flatten"
CYCLE: Final = "/api/feed/cycle"


class BatchParams(Params):
    """Which batch of orders it is about."""

    batch: Annotated[Text, Field(description="The batch's name.")]


class CycleParams(Params):
    """Why."""

    reason: Annotated[Text, Field(description="Kept in the record.")]


class Hedge:
    """One more hedge order each time it arrives; the gateway shows the keys of those it placed."""

    async def inspect(self, context: ActionContext, arguments: JsonText) -> Inspection:
        asked = parse(BatchParams, arguments)
        return Proceed("{}", canonical({"hedged": asked.batch}), canonical(asked.model_dump()))

    async def send(self, context: ActionContext, proceed: Proceed) -> None:
        target = context.targets.http(context.system, context.component)
        await target.send("POST", HEDGE, proceed.arguments, idempotency_key=context.intent, fence=context.fence)

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        reply = await context.targets.http(context.system, context.component).read(HEDGES)
        placed = context.intent in json.loads(reply.body)["keys"]
        why = "the gateway lists it" if placed else "the gateway does not list it, or not yet"
        return ReadBack(canonical({"placed": placed}), True if placed else None, why)


class Flatten:
    """Cancel all open orders: keyed and fenced at the book, critical."""

    async def inspect(self, context: ActionContext, arguments: JsonText) -> Inspection:
        asked = parse(BatchParams, arguments)
        orders = await context.targets.read_field(context.system, context.component, "open_orders", context.now)
        if orders.error or orders.value is None:
            return CannotTell(f"the open orders cannot be read: {orders.error}")
        before = canonical({"open_orders": orders.value})
        if not orders.value:
            return AlreadySo(before, "no order is open")
        return Proceed(before, canonical({"open_orders": 0}), canonical(asked.model_dump()))

    async def send(self, context: ActionContext, proceed: Proceed) -> None:
        target = context.targets.http(context.system, context.component)
        await target.send("POST", FLATTEN, proceed.arguments, idempotency_key=context.intent, fence=context.fence)

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        orders = await context.targets.read_field(context.system, context.component, "open_orders", context.now)
        if orders.error or orders.value is None:
            return ReadBack("{}", None, f"the open orders cannot be read: {orders.error}")
        return ReadBack(canonical({"open_orders": orders.value}), None, f"{orders.value} orders are open")


class Cycle:
    """Make a feed fresh; a fresh one is left alone."""

    async def inspect(self, context: ActionContext, arguments: JsonText) -> Inspection:
        asked = parse(CycleParams, arguments)
        state = await context.targets.read_field(context.system, context.component, "state", context.now)
        if state.error or state.value is None:
            return CannotTell(f"the feed cannot be read: {state.error}")
        before = canonical({"state": state.value})
        if state.value == "fresh":
            return AlreadySo(before, "the feed is fresh already")
        return Proceed(before, canonical({"state": "fresh"}), canonical(asked.model_dump()))

    async def send(self, context: ActionContext, proceed: Proceed) -> None:
        state = await context.targets.read_field(context.system, context.component, "state", context.now)
        if state.error or state.value == "fresh":
            raise NotSent(state.error or "the feed became fresh meanwhile")
        target = context.targets.http(context.system, context.component)
        await target.send("POST", CYCLE, proceed.arguments, idempotency_key=context.intent, fence=context.fence)

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        state = await context.targets.read_field(context.system, context.component, "state", context.now)
        if state.error:
            return ReadBack("{}", None, state.error)
        return ReadBack(canonical({"state": state.value}), state.value == "fresh", f"the feed is {state.value}")


def _spec(name: str, summary: str, **more: object) -> ActionSpec:
    return ActionSpec(name=name, summary=summary, **more)  # type: ignore[arg-type]  # the callers are below


ENTRIES: Final = {
    "orders.hedge": Entry(
        spec=_spec("orders.hedge", "Place one hedge.", delivery="once", risk="safe", direction="neutral", role="gate"),
        params=BatchParams,
        action=Hedge,
        example={"batch": "b1"},
        needs=lambda _: (f"POST {HEDGE}",),
    ),
    "orders.flatten": Entry(
        spec=_spec(
            "orders.flatten", "Cancel all open orders.", delivery="keyed", risk="critical", direction="lowers",
            role="book", pins=("open_orders",),
        ),
        params=BatchParams,
        action=Flatten,
        example={"batch": "b1"},
        needs=lambda _: (f"POST {FLATTEN}",),
    ),
    "feed.cycle": Entry(
        spec=_spec(
            "feed.cycle", "Make a feed fresh.", delivery="absolute", risk="safe", direction="neutral", role="feed"
        ),
        params=CycleParams,
        action=Cycle,
        example={"reason": "stale"},
        needs=lambda _: (f"POST {CYCLE}",),
    ),
}  # fmt: skip
