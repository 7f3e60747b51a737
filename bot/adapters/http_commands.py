"""`POST /api/v1/…`: what an operator may do to automation, and the simplest orders about an incident.

Mounted by `http_app`. A command goes to the desk (`desk`), which takes the same orders from Slack; the answer is the
machine's decision with its reason (`http_orders`). What people decide on incidents is in `http_decisions`. `fire` goes
the way of any webhook instead (parse, route, inbox); with the same `starts_at` it is the same firing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Annotated, Final, Literal

from aiohttp import web
from pydantic import Field

from bot.adapters import http_orders
from bot.adapters.desk import MAX_FREEZE_MS, MIN_MS, Desk, Order
from bot.adapters.http_errors import as_json
from bot.adapters.http_intake import Intake
from bot.adapters.http_orders import Body, Name, Words, answer, read
from bot.adapters.http_services import Services
from handlers import alertmanager
from handlers.routing import split

FIRED: Final = "andon fire"  # the source of alerts a person injected; shown wherever the alert is


class ResolveBody(Body):
    note: Words = ""
    force: bool = False


class FreezeBody(Body):
    system: Name = ""  # empty: every system
    component: Name = ""  # empty: all of the system's automation
    reason: Annotated[str, Field(min_length=1, max_length=500)]
    for_ms: Annotated[int, Field(ge=MIN_MS, le=MAX_FREEZE_MS)] | None = None


class UnfreezeBody(Body):
    system: Name = ""
    component: Name = ""


class ArmBody(Body):
    policy: Name
    system: Name = ""


class LeaseBody(Body):
    system: Name
    component: Name
    action: Name
    for_ms: Annotated[int, Field(ge=MIN_MS, le=MAX_FREEZE_MS)] | None = None  # from now on; without it, the lease ends


class FireBody(Body):
    labels: dict[str, str]
    annotations: dict[str, str] = Field(default_factory=dict)
    receiver: Annotated[str, Field(min_length=1, max_length=200)] = "andon-fire"
    status: Literal["firing", "resolved"] = "firing"
    starts_at: Annotated[str, Field(max_length=64)] = ""  # RFC 3339; empty: now


class Commands:
    """The orders."""

    def __init__(self, services: Services, intake: Intake) -> None:
        self._services = services
        self._intake = intake
        self._desk = Desk(services)

    def mount(self, app: web.Application) -> None:
        """Add the routes to an application."""
        routes: dict[str, http_orders.Command] = {
            "/api/v1/incidents/{incident}/ack": self._ack,
            "/api/v1/incidents/{incident}/resolve": self._resolve,
            "/api/v1/freeze": self._freeze,
            "/api/v1/unfreeze": self._unfreeze,
            "/api/v1/lease": self._lease,
            "/api/v1/arm": self._arm,
            "/api/v1/disarm": self._disarm,
            "/api/v1/fire": self._fire,
        }
        http_orders.mount(app, self._services, routes)

    async def _ack(self, request: web.Request, order: Order) -> web.Response:
        return answer(await self._desk.ack(order, request.match_info["incident"]))

    async def _resolve(self, request: web.Request, order: Order) -> web.Response:
        body = await read(request, ResolveBody)
        incident = request.match_info["incident"]
        return answer(await self._desk.resolve(order, incident, note=body.note, force=body.force))

    async def _freeze(self, request: web.Request, order: Order) -> web.Response:
        body = await read(request, FreezeBody)
        return answer(
            await self._desk.freeze(
                order, system=body.system, component=body.component, reason=body.reason, for_ms=body.for_ms
            )
        )

    async def _unfreeze(self, request: web.Request, order: Order) -> web.Response:
        body = await read(request, UnfreezeBody)
        return answer(await self._desk.unfreeze(order, system=body.system, component=body.component))

    async def _lease(self, request: web.Request, order: Order) -> web.Response:
        body = await read(request, LeaseBody)
        return answer(
            await self._desk.lease(
                order, system=body.system, component=body.component, action=body.action, for_ms=body.for_ms
            )
        )

    async def _arm(self, request: web.Request, order: Order) -> web.Response:
        body = await read(request, ArmBody)
        return answer(await self._desk.arm(order, body.policy, system=body.system))

    async def _disarm(self, request: web.Request, order: Order) -> web.Response:
        body = await read(request, ArmBody)
        return answer(await self._desk.disarm(order, body.policy, system=body.system))

    async def _fire(self, request: web.Request, order: Order) -> web.Response:
        """An alert by hand, through the same parser, routes and inbox as any webhook, and marked as such."""
        body = await read(request, FireBody)
        now = self._services.clock.now()
        webhook = alertmanager.parse(_as_webhook(body, order.id))
        starts_at = webhook.alerts[0].starts_at if body.starts_at else now
        annotations = {**webhook.alerts[0].annotations, "fired_by": order.person}
        alert = replace(webhook.alerts[0], source=FIRED, starts_at=starts_at, annotations=annotations)
        entries = split(replace(webhook, alerts=(alert,)), self._services.routes, now)
        entries = {shard: replace(entry, source=FIRED) for shard, entry in entries.items()}
        await self._intake.store(entries)
        return as_json(
            {
                "system": next(iter(entries)),
                "fingerprint": alert.fingerprint,
                "status": alert.status,
                "starts_at": starts_at,
                "fired_by": order.person,
            },
            status=202,
        )


def _as_webhook(body: FireBody, event_id: str) -> bytes:
    """The alert as Alertmanager would have sent it. Its fingerprint is ours, so it never speaks for a real alert."""
    labels = json.dumps(body.labels, sort_keys=True)
    alert = {
        "status": body.status,
        "labels": body.labels,
        "annotations": body.annotations,
        "startsAt": body.starts_at or "1970-01-01T00:00:00Z",  # replaced by the clock's time
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": hashlib.sha256(f"{FIRED}\n{labels}".encode()).hexdigest()[:16],
    }
    payload = {"version": "4", "groupKey": event_id, "receiver": body.receiver, "alerts": [alert]}
    return json.dumps(payload).encode()
