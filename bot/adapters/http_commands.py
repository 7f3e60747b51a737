"""`POST /api/v1/…`: what an operator may do to automation, and the simplest orders about an incident.

Mounted by `http_app`. A command becomes one event, folded and committed by the engine before the answer; the answer is
the machine's decision with its reason (`http_orders`). What people decide on incidents is in `http_decisions`. `fire`
goes the way of any webhook instead (parse, route, inbox); with the same `starts_at` it is the same firing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Annotated, Final, Literal

from aiohttp import web
from pydantic import Field

from bot.adapters import http_orders
from bot.adapters.http_errors import as_json
from bot.adapters.http_intake import Intake
from bot.adapters.http_lookup import find_incident, the_policy, the_shard
from bot.adapters.http_orders import Body, Name, Words, answer, read
from bot.adapters.http_services import Services
from bot.core.events import Event
from bot.core.orders import (
    LeaseEnded,
    LeaseRenewed,
    OperatorAcked,
    OperatorResolved,
    PolicyArmed,
    PolicyDisarmed,
    TargetFrozen,
    TargetUnfrozen,
)
from bot.core.words import SYSTEM_TARGET, AggregateId, target_id
from bot.errors import InputError
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
    for_ms: Annotated[int, Field(ge=1_000, le=30 * 86_400_000)] | None = None


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
    for_ms: Annotated[int, Field(ge=1_000, le=30 * 86_400_000)] | None = None  # from now on; without it, the lease ends


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

    async def _ack(self, request: web.Request, person: str, event_id: str) -> web.Response:
        found = await find_incident(self._services, request.match_info["incident"])
        event = OperatorAcked(id=event_id, at=self._services.clock.now(), by=person)
        return await self._tell(found.shard, found.incident.id, event)

    async def _resolve(self, request: web.Request, person: str, event_id: str) -> web.Response:
        body = await read(request, ResolveBody)
        found = await find_incident(self._services, request.match_info["incident"])
        event = OperatorResolved(
            id=event_id, at=self._services.clock.now(), by=person, note=body.note, force=body.force
        )
        return await self._tell(found.shard, found.incident.id, event)

    async def _freeze(self, request: web.Request, person: str, event_id: str) -> web.Response:
        body = await read(request, FreezeBody)
        now = self._services.clock.now()
        until = now + body.for_ms if body.for_ms else None
        event = TargetFrozen(id=event_id, at=now, by=person, reason=body.reason, until=until)
        return await self._broadcast(body.system, body.component, event)

    async def _unfreeze(self, request: web.Request, person: str, event_id: str) -> web.Response:
        body = await read(request, UnfreezeBody)
        event = TargetUnfrozen(id=event_id, at=self._services.clock.now(), by=person)
        return await self._broadcast(body.system, body.component, event)

    async def _lease(self, request: web.Request, person: str, event_id: str) -> web.Response:
        body, now = await read(request, LeaseBody), self._services.clock.now()
        if body.for_ms is None:
            ended = LeaseEnded(id=event_id, at=now, by=person, action=body.action)
            return await self._broadcast(body.system, body.component, ended)
        renewed = LeaseRenewed(id=event_id, at=now, by=person, action=body.action, for_ms=body.for_ms)
        return await self._broadcast(body.system, body.component, renewed)

    async def _arm(self, request: web.Request, person: str, event_id: str) -> web.Response:
        body = await read(request, ArmBody)
        plan = the_policy(self._services, body.policy, body.system)
        event = PolicyArmed(id=event_id, at=self._services.clock.now(), by=person, policy=plan.policy)
        return await self._tell(plan.system, SYSTEM_TARGET, event)

    async def _disarm(self, request: web.Request, person: str, event_id: str) -> web.Response:
        body = await read(request, ArmBody)
        plan = the_policy(self._services, body.policy, body.system)
        event = PolicyDisarmed(id=event_id, at=self._services.clock.now(), by=person, policy=plan.policy)
        return await self._tell(plan.system, SYSTEM_TARGET, event)

    async def _fire(self, request: web.Request, person: str, event_id: str) -> web.Response:
        """An alert by hand, through the same parser, routes and inbox as any webhook, and marked as such."""
        body = await read(request, FireBody)
        now = self._services.clock.now()
        webhook = alertmanager.parse(_as_webhook(body, event_id))
        starts_at = webhook.alerts[0].starts_at if body.starts_at else now
        annotations = {**webhook.alerts[0].annotations, "fired_by": person}
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
                "fired_by": person,
            },
            status=202,
        )

    async def _broadcast(self, system: str, component: str, event: Event) -> web.Response:
        """To one component, to one system's automation, or to that of every system."""
        if component and not system:
            raise InputError("system", "name the system the component belongs to")
        if not component:
            shards = [the_shard(self._services, system)] if system else list(self._services.shards)
            tell = self._services.tell
            return answer([(shard, SYSTEM_TARGET, await tell(shard, SYSTEM_TARGET, event)) for shard in shards])
        shard = the_shard(self._services, system)
        known = [each.name for each in self._services.components() if each.system == shard]
        if component not in known:
            raise InputError(
                "component", f"{shard} has no component {component!r}; it has: {', '.join(known)}", status=404
            )
        return await self._tell(shard, target_id(component), event)

    async def _tell(self, shard: str, to: AggregateId, event: Event) -> web.Response:
        return answer([(shard, to, await self._services.tell(shard, to, event))])


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
