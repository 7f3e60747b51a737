"""Actions that a person orders by hand: what one would do now, whose yes it needs, and the order itself.

The other half of the desk (`bot.adapters.desk`): used by the operators' API and the Slack listeners. An order opens an
incident of its own, with an id made from the order's, so that a repeated order is the same incident.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from bot.adapters.desk import Order, Outcome, must_act
from bot.adapters.http_lookup import targets_of, the_shard
from bot.adapters.http_services import Services
from bot.core.ids import incident_id
from bot.core.orders import StepOrdered
from bot.core.plan import Plan
from bot.core.record import Ignored
from bot.core.words import SYSTEM_TARGET, AggregateId, Risk, Severity, risk_rank, target_id
from bot.engine.action_ports import AlreadySo, CannotTell, Inspection, Proceed, Unfit
from policies import approvals
from policies.guardrails import Allow

ORDERED: Final[Severity] = "critical"  # a person who orders by hand does not queue behind warnings


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One action, as a person names it. `arguments` of any JSON type: the action's own model judges them.

    `least_risk`: where it stands for a step that a policy holds for riskier than the action is by itself.
    """

    action: str
    system: str
    component: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    least_risk: Risk = "read"


class Runs:
    """Takes orders of actions."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def preview(self, order: Order, wanted: Wanted) -> dict[str, Any]:
        """What the order would do now, whose yes it needs, and what keeps it from being sent. Changes nothing.

        Raises InputError with what is wrong with it.
        """
        shard, plan = self._planned(order, wanted)
        seen = await self._services.inspect(shard, plan)
        return {**self._told(shard, plan, seen, order.person), "stopped": await self._stopped(shard, plan)}

    async def run(self, order: Order, wanted: Wanted) -> tuple[AggregateId, list[Outcome]]:
        """Order it: the incident that was opened for it, and what it decided. Raises InputError.

        The same order again is the one that was placed, whatever has become of it.
        """
        shard, plan = self._planned(order, wanted)
        placed = await self.placed(order, shard)
        if placed:
            return placed, [(shard, placed, Ignored("it was ordered already"))]
        key = _key(order)
        event = StepOrdered(
            id=order.id, at=self._services.clock.now(), key=key, plan=plan, severity=ORDERED, by=order.person,
            via=order.via, reason=wanted.reason,
        )  # fmt: skip
        incident = incident_id(shard, key, order.id)
        return incident, [(shard, incident, await self._services.tell(shard, incident, event))]

    async def placed(self, order: Order, shard: str) -> AggregateId:
        """The incident that this order opened before; "" when there is none."""
        incident = incident_id(shard, _key(order), order.id)
        return incident if incident in await self._services.store.load(shard, [incident]) else ""

    def _planned(self, order: Order, wanted: Wanted) -> tuple[str, Plan]:
        must_act(self._services, order.person)
        shard = the_shard(self._services, wanted.system)
        plan = self._services.order_plan(shard, wanted.action, wanted.component, wanted.arguments, wanted.reason)
        (step,) = plan.steps
        risk = max(step.risk, wanted.least_risk, key=risk_rank)
        return shard, replace(plan, steps=(replace(step, risk=risk),))

    def _told(self, shard: str, plan: Plan, seen: Inspection, person: str) -> dict[str, Any]:
        step, people = plan.steps[0], self._services.roster()
        verdict = approvals.carried(people, shard, step, person)
        alone = isinstance(verdict, Allow)
        return {
            "now": self._services.clock.now(),
            "dry_run": True,
            "system": shard,
            "action": step.action,
            "component": step.component,
            "risk": step.risk,
            "direction": step.direction,
            "delivery": step.delivery,
            "arguments": step.arguments,
            **_would(seen),
            "your_word_is_enough": alone,
            "approval": verdict.why if isinstance(verdict, Allow) else verdict.reason,
            "quorum": 0 if alone else approvals.quorum(step.risk),
            "may_approve": [] if alone else [p for p in people.approvers(shard, step.risk) if p != person],
        }

    async def _stopped(self, shard: str, plan: Plan) -> str:
        """What keeps anything from being sent there now, or ""."""
        for check in self._services.checks():
            if check.name == "kill_switch" and check.detail.startswith("ENGAGED"):
                return f"the kill switch is {check.detail}"
        found = await targets_of(self._services, shard)
        for aggregate in (SYSTEM_TARGET, target_id(plan.steps[0].component)):
            frozen = found[aggregate].freeze if aggregate in found else None
            if frozen is not None:
                where = shard if aggregate == SYSTEM_TARGET else f"{shard}/{plan.steps[0].component}"
                return f"{where} is frozen by {frozen.by}: {frozen.reason}; `andon unfreeze {where}` lifts it"
        return ""


def _key(order: Order) -> str:
    return f"order:{order.id}"


def _would(seen: Inspection) -> dict[str, str]:
    """What an inspection says, in the words of the answer."""
    match seen:
        case Proceed(before=before, wanted=wanted, by_hand=by_hand):
            return {"outcome": "would act", "why": "", "before": before, "wanted": wanted, "by_hand": by_hand}
        case AlreadySo(before=before, why=why):
            return {"outcome": "nothing to do", "why": why, "before": before, "wanted": before, "by_hand": ""}
        case CannotTell(why=why):
            return {"outcome": "cannot tell", "why": why, "before": "{}", "wanted": "{}", "by_hand": ""}
        case Unfit(why=why, before=before):
            return {"outcome": "refused", "why": why, "before": before, "wanted": "{}", "by_hand": ""}
