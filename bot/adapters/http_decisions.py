"""`POST /api/v1/incidents/{id}/approve …` and `/api/v1/run`: what people decide, and what they order themselves.

Mounted by `http_app`. Here a request is read and the answer told; what it means is the desk's (`desk`, `desk_runs`),
which takes the same orders from Slack.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import Field

from bot.adapters import http_orders
from bot.adapters.desk import MAX_HOLD_MS, MIN_MS, Desk, Order, Outcome, Verdict
from bot.adapters.desk_runs import Runs, Wanted
from bot.adapters.http_errors import as_json
from bot.adapters.http_orders import Body, Name, Words, answer, read
from bot.adapters.http_services import Services

_LOOK_AGAIN: Final = "`andon show` says how it stands now, and who may decide"


class VoteBody(Body):
    approval: Annotated[str, Field(min_length=1, max_length=100)]  # the question's id, and
    digest: Annotated[str, Field(min_length=1, max_length=100)]  # what the person was shown
    reason: Words = ""
    break_glass: bool = False


class EscalateBody(Body):
    reason: Words = ""


class HoldBody(Body):
    for_ms: Annotated[int, Field(ge=MIN_MS, le=MAX_HOLD_MS)]
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
        self._desk, self._runs = Desk(services), Runs(services)

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

    async def _approve(self, request: web.Request, order: Order) -> web.Response:
        return await self._vote(request, order, "approve")

    async def _deny(self, request: web.Request, order: Order) -> web.Response:
        return await self._vote(request, order, "deny")

    async def _vote(self, request: web.Request, order: Order, verdict: Verdict) -> web.Response:
        body = await read(request, VoteBody)
        return _told(
            await self._desk.vote(
                order, _incident(request), verdict, approval=body.approval, digest=body.digest, reason=body.reason,
                break_glass=body.break_glass,
            )
        )  # fmt: skip

    async def _take(self, request: web.Request, order: Order) -> web.Response:
        return _told(await self._desk.take(order, _incident(request)))

    async def _escalate(self, request: web.Request, order: Order) -> web.Response:
        body = await read(request, EscalateBody)
        return _told(await self._desk.escalate(order, _incident(request), reason=body.reason))

    async def _hold(self, request: web.Request, order: Order) -> web.Response:
        body = await read(request, HoldBody)
        return _told(await self._desk.hold(order, _incident(request), body.for_ms, reason=body.reason))

    async def _run(self, request: web.Request, order: Order) -> web.Response:
        """Order one action by hand, or say what it would do."""
        body = await read(request, RunBody)
        wanted = Wanted(
            action=body.action, system=body.system, component=body.component, arguments=body.arguments,
            reason=body.reason,
        )  # fmt: skip
        if body.dry_run:
            return as_json(await self._runs.preview(order, wanted))
        incident, outcomes = await self._runs.run(order, wanted)
        return answer(outcomes, incident=incident)


def _incident(request: web.Request) -> str:
    return request.match_info["incident"]


def _told(outcomes: list[Outcome]) -> web.Response:
    return answer(outcomes, fix=_LOOK_AGAIN)
