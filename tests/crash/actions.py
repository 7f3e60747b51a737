"""Actions of the two deliveries that the shipped catalogue has no HTTP action for, so that all kinds of target are met.

`crash.keyed` and `crash.fenced` rely on a target that takes a key, or a fence, once; `crash.order` is a `once` action
whose effect can be looked up afterwards, where `http.call`'s cannot. Given to the worker as a plug-in's actions are.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import ClassVar

from remediations.catalogue import CATALOGUE, ActionCatalogue
from remediations.kit import (
    ANY_ROLE,
    ActionContext,
    ActionSpec,
    CannotTell,
    Entry,
    Inspection,
    JsonText,
    Params,
    Proceed,
    ReadBack,
    TargetError,
    Text,
    canonical,
    parse,
)


class OrderParams(Params):
    """Which order: the lane's name, which the target keeps with it."""

    order: Text


class Order(ABC):
    """One order, found again by what the target keeps of it: its key, its fence, or its own words."""

    path: ClassVar[str]
    kept: ClassVar[str]  # the list of the target's state in which a request shows afterwards

    @abstractmethod
    def mark(self, context: ActionContext, order: str) -> object:
        """What stands in that list when this request, and no other, was carried out."""

    async def inspect(self, context: ActionContext, arguments: JsonText) -> Inspection:
        """How many orders there are now."""
        parse(OrderParams, arguments)
        try:
            state = await self._state(context)
        except TargetError as error:
            return CannotTell(str(error))
        return Proceed(
            before=canonical({"orders": state["orders"]}),
            wanted=canonical({"orders": int(str(state["orders"])) + 1}),
            arguments=arguments,
        )

    async def send(self, context: ActionContext, proceed: Proceed) -> None:
        """One request."""
        target = context.targets.http(context.system, context.component)
        await target.send("POST", self.path, proceed.arguments, idempotency_key=context.intent, fence=context.fence)

    async def read_back(self, context: ActionContext, proceed: Proceed) -> ReadBack:
        """Whether the target has kept this very request."""
        state = await self._state(context)
        after = canonical({"orders": state["orders"]})
        order = parse(OrderParams, proceed.arguments).order
        kept = state[self.kept]
        if isinstance(kept, list) and self.mark(context, order) in kept:
            return ReadBack(after, True, "the target has it")
        return ReadBack(after, None, "the target does not have it now, and may still get it")

    async def _state(self, context: ActionContext) -> dict[str, object]:
        reply = await context.targets.http(context.system, context.component).read("/state")
        state: dict[str, object] = json.loads(reply.body)
        return state


class Keyed(Order):
    """The target takes each key once."""

    path, kept = "/keyed", "keys"

    def mark(self, context: ActionContext, order: str) -> object:
        return context.intent


class Fenced(Order):
    """The target takes only a fence above all it has seen."""

    path, kept = "/fenced", "fences"

    def mark(self, context: ActionContext, order: str) -> object:
        return context.fence


class Once(Order):
    """The target does as often as it is told; what it did can be looked up."""

    path, kept = "/order", "names"

    def mark(self, context: ActionContext, order: str) -> object:
        return order


def _entry(name: str, action: type[Order], delivery: str, summary: str) -> Entry:
    spec = ActionSpec(
        name=name, summary=summary, delivery=delivery, risk="safe", direction="lowers", role=ANY_ROLE,  # type: ignore[arg-type]  # one of the three, see below
    )  # fmt: skip
    return Entry(spec=spec, params=OrderParams, action=action, example={"order": "lane"})


def catalogue() -> ActionCatalogue:
    """Andon's own actions and these."""
    entries = (
        _entry("crash.keyed", Keyed, "keyed", "Place an order that the target takes once for each key."),
        _entry("crash.fenced", Fenced, "keyed", "Place an order that the target takes once for each fence."),
        _entry("crash.order", Once, "once", "Place an order that the target takes as often as it comes."),
    )
    return CATALOGUE.extended({entry.spec.name: entry for entry in entries}, {})
