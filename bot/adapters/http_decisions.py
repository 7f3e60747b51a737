"""`POST /api/v1/incidents/{id}/approve …` and `/api/v1/run`: what people decide, and what they order themselves.

Mounted by `http_app`. Who may decide is looked up in people.yaml at the click; the answer of that look-up travels in
the event, so a refused click is folded, audited and told like any other (law 5). An order opens an incident of its own,
with an id made from the order's, so that a repeated order is the same incident.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from aiohttp import web
from pydantic import Field

from bot.adapters import http_orders
from bot.adapters.http_cards import strict
from bot.adapters.http_errors import as_json
from bot.adapters.http_lookup import Found, find_incident, targets_of, the_shard
from bot.adapters.http_orders import Body, Name, Words, answer, read
from bot.adapters.http_services import Services
from bot.core.events import Event
from bot.core.ids import incident_id
from bot.core.orders import ApprovalVoted, OperatorEscalated, OperatorHeld, OperatorTook, StepOrdered
from bot.core.plan import Plan
from bot.core.words import SYSTEM_TARGET, Severity, target_id
from bot.engine.action_ports import AlreadySo, CannotTell, Inspection, Proceed, Unfit
from policies import approvals
from policies.guardrails import Allow

ORDERED: Final[Severity] = "critical"  # a person who orders by hand does not queue behind warnings
MAX_HOLD_MS: Final = 24 * 3_600_000  # a ladder held longer than a day is a policy to be changed
_LOOK_AGAIN: Final = "`andon show` says how it stands now, and who may decide"


class VoteBody(Body):
    approval: Annotated[str, Field(min_length=1, max_length=100)]  # the question's id, and
    digest: Annotated[str, Field(min_length=1, max_length=100)]  # what the person was shown
    reason: Words = ""
    break_glass: bool = False


class EscalateBody(Body):
    reason: Words = ""


class HoldBody(Body):
    for_ms: Annotated[int, Field(ge=1_000, le=MAX_HOLD_MS)]
    reason: Words = ""


class RunBody(Body):
    action: Name
    system: Name
    component: Name = ""
    arguments: dict[str, Any] = Field(default_factory=dict)  # of any JSON type; the action's own model judges them
    reason: Words = ""
    dry_run: bool = False


class Decisions:
    """Yes, no, "I have it", "more people", "wait", and orders."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def mount(self, app: web.Application) -> None:
        """Add the routes to an application."""
        routes: dict[str, http_orders.Command] = {
            "/api/v1/incidents/{incident}/approve": self._approve,
            "/api/v1/incidents/{incident}/deny": self._deny,
            "/api/v1/incidents/{incident}/take": self._take,
            "/api/v1/incidents/{incident}/escalate": self._escalate,
            "/api/v1/incidents/{incident}/hold": self._hold,
            "/api/v1/run": self._run,
        }
        http_orders.mount(app, self._services, routes)

    async def _approve(self, request: web.Request, person: str, event_id: str) -> web.Response:
        return await self._vote(request, person, event_id, "approve")

    async def _deny(self, request: web.Request, person: str, event_id: str) -> web.Response:
        return await self._vote(request, person, event_id, "deny")

    async def _vote(
        self, request: web.Request, person: str, event_id: str, verdict: Literal["approve", "deny"]
    ) -> web.Response:
        body = await read(request, VoteBody)
        found = await self._found(request)
        event = ApprovalVoted(
            id=event_id, at=self._services.clock.now(), by=person, approval=body.approval, digest=body.digest,
            verdict=verdict, reason=body.reason, break_glass=body.break_glass,
            refusal=self._refusal(found, person, body, verdict),
        )  # fmt: skip
        return await self._tell(found, event)

    def _refusal(self, found: Found, person: str, body: VoteBody, verdict: Literal["approve", "deny"]) -> str:
        """Why this person may not say this, "" when they may, or when nothing is asked (the machine says that)."""
        asked, plan = found.incident.approval or found.incident.granted, found.incident.plan
        if asked is None or plan is None:
            return ""
        step = strict(plan.steps[found.incident.cursor], asked.terms)
        return approvals.refusal(
            self._services.roster(), found.shard, step, person, asked.terms.requesters,
            break_glass=body.break_glass, reason=body.reason, deny=verdict == "deny",
        )  # fmt: skip

    async def _take(self, request: web.Request, person: str, event_id: str) -> web.Response:
        found = await self._found(request)
        return await self._tell(found, OperatorTook(id=event_id, at=self._services.clock.now(), by=person))

    async def _escalate(self, request: web.Request, person: str, event_id: str) -> web.Response:
        body = await read(request, EscalateBody)
        found = await self._found(request)
        event = OperatorEscalated(id=event_id, at=self._services.clock.now(), by=person, reason=body.reason)
        return await self._tell(found, event)

    async def _hold(self, request: web.Request, person: str, event_id: str) -> web.Response:
        body = await read(request, HoldBody)
        found = await self._found(request)
        event = OperatorHeld(
            id=event_id, at=self._services.clock.now(), by=person, for_ms=body.for_ms, reason=body.reason
        )
        return await self._tell(found, event)

    async def _run(self, request: web.Request, person: str, event_id: str) -> web.Response:
        """Order one action by hand, or say what it would do."""
        body = await read(request, RunBody)
        shard = the_shard(self._services, body.system)
        plan = self._services.order_plan(shard, body.action, body.component, body.arguments, body.reason)
        if body.dry_run:
            seen = await self._services.inspect(shard, plan)
            return as_json({**self._preview(shard, plan, seen, person), "stopped": await self._stopped(shard, plan)})
        key = f"order:{event_id}"
        event = StepOrdered(
            id=event_id, at=self._services.clock.now(), key=key, plan=plan, severity=ORDERED, by=person,
            reason=body.reason,
        )  # fmt: skip
        incident = incident_id(shard, key, event_id)
        return answer([(shard, incident, await self._services.tell(shard, incident, event))], incident=incident)

    def _preview(self, shard: str, plan: Plan, seen: Inspection, person: str) -> dict[str, Any]:
        """What the order would do now, and whose yes it needs."""
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

    async def _found(self, request: web.Request) -> Found:
        return await find_incident(self._services, request.match_info["incident"])

    async def _tell(self, found: Found, event: Event) -> web.Response:
        incident = found.incident.id
        decision = await self._services.tell(found.shard, incident, event)
        return answer([(found.shard, incident, decision)], fix=_LOOK_AGAIN)


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
