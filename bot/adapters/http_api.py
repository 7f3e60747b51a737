"""`GET /api/v1/…`: what an operator may look at. Nothing here changes anything.

Mounted by `http_app` on the unix socket and, if configured, on TCP. Over the socket anybody who may open it may look;
over TCP every request needs a person's token. `bot.client` is the other end; `bot.console` puts it into words.
"""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import Any, Final

from aiohttp import web

import bot
from bot.adapters import http_questions
from bot.adapters.http_auth import identify
from bot.adapters.http_cards import card
from bot.adapters.http_errors import as_json
from bot.adapters.http_health import Health
from bot.adapters.http_lookup import (
    MAX_LISTED,
    asked_shards,
    components_of,
    list_incidents,
    targets_of,
)
from bot.adapters.http_questions import Handler, find_story
from bot.adapters.http_services import Services
from bot.core import system_machine
from bot.core.incident import Incident
from bot.core.target import Target
from bot.core.words import SYSTEM_TARGET
from bot.errors import InputError

MAX_PAGE: Final = 500  # incidents or dead letters in one answer
MAX_DIGITS: Final = 9  # of `?limit=`: a number is not read before it is known to be short
MAX_RAW: Final = 16_384  # bytes of a dead letter shown; the rest is in the store


class Reading:
    """The questions."""

    def __init__(self, services: Services, health: Health) -> None:
        self._services = services
        self._health = health

    def mount(self, app: web.Application) -> None:
        """Add the routes to an application."""
        routes: dict[str, Handler] = {
            "/api/v1/status": self._status,
            "/api/v1/incidents": self._incidents,
            "/api/v1/incidents/{incident}": self._incident,
            "/api/v1/decisions": self._decisions,
            "/api/v1/targets": self._targets,
            "/api/v1/policies": self._policies,
            "/api/v1/dead-letters": self._dead_letters,
        }
        http_questions.mount(app, self._services, routes)

    async def _status(self, request: web.Request) -> web.Response:
        services = self._services
        systems = []
        for shard in services.shards:
            targets = await targets_of(services, shard)
            inbox, outbox = await services.store.lag(shard)
            open_now = await services.store.incidents(shard, closed=False, limit=MAX_PAGE)
            systems.append(
                {
                    "system": shard,
                    "open_incidents": len(open_now),
                    "inbox": inbox,
                    "outbox": outbox,
                    "next_due": await services.store.next_due(shard),
                    "automation": _automation(targets.get(SYSTEM_TARGET)),
                    "frozen": {key: asdict(t.freeze) for key, t in sorted(targets.items()) if t.freeze is not None},
                }
            )
        caller = identify(request, services)
        body = {
            "version": bot.__version__,
            "replica": services.replica,
            "now": services.clock.now(),
            "you": caller.person or None,
            "checks": [asdict(check) for check in await self._health.checks()],
            "policies": await self._policy_lines(),
            "systems": systems,
        }
        return as_json(body)

    async def _policies(self, _: web.Request) -> web.Response:
        return as_json({"policies": await self._policy_lines()})

    async def _policy_lines(self) -> list[dict[str, Any]]:
        """Each policy, and who armed it."""
        armed: dict[str, dict[str, Any]] = {}
        for shard in self._services.shards:
            system = (await self._services.store.load(shard, [SYSTEM_TARGET])).get(SYSTEM_TARGET)
            record = system.record if system is not None else None
            armed[shard] = {k: asdict(a) for k, a in record.armed.items()} if isinstance(record, Target) else {}
        return [
            {
                "system": plan.system,
                "policy": plan.policy,
                "row": plan.row,
                "mode": plan.mode,
                "hash": plan.policy_hash,
                "steps": [step.action for step in plan.steps],
                "armed": armed.get(plan.system, {}).get(plan.policy),
            }
            for plan in self._services.policies()
        ]

    async def _incidents(self, request: web.Request) -> web.Response:
        closed = request.query.get("all", "") in ("1", "true")
        lines = await list_incidents(
            self._services, asked_shards(request, self._services), closed=closed, limit=_limit(request)
        )
        return as_json({"now": self._services.clock.now(), "incidents": [_summary(line.incident) for line in lines]})

    async def _incident(self, request: web.Request) -> web.Response:
        found = await find_story(self._services, request.match_info["incident"])
        body = {
            "now": self._services.clock.now(),
            "version": found.version,
            "archived": found.archived,
            "incident": asdict(found.incident),
            "summary": _summary(found.incident),
            "decision": card(self._services, found.shard, found.incident, identify(request, self._services).person),
            "audit": [asdict(entry) for entry in found.chain],
        }
        return as_json(body)

    async def _decisions(self, request: web.Request) -> web.Response:
        """Everything that waits for somebody's yes or no, what runs out first at the top."""
        caller = identify(request, self._services).person
        cards = []
        for shard in asked_shards(request, self._services):
            for line in await self._services.store.incidents(shard, closed=False, limit=MAX_LISTED):
                waiting = card(self._services, shard, line.incident, caller)
                cards += [waiting] if waiting is not None else []
        return as_json(
            {"now": self._services.clock.now(), "waiting": sorted(cards, key=lambda each: int(each["expires_at"]))}
        )

    async def _targets(self, request: web.Request) -> web.Response:
        found = []
        for shard in asked_shards(request, self._services):
            records = await targets_of(self._services, shard)
            components = {f"target:{c.name}": c for c in self._services.components() if c.system == shard}
            for key in components_of(self._services, shard):
                component = components.get(key)
                record = records.get(key)
                found.append(
                    {
                        "system": shard,
                        "target": key,
                        "role": component.role if component else "",
                        "floors": dict(component.floors) if component else {},
                        "record": asdict(record) if record else None,
                    }
                )
        return as_json({"now": self._services.clock.now(), "targets": found})

    async def _dead_letters(self, request: web.Request) -> web.Response:
        letters = []
        for shard in asked_shards(request, self._services):
            for key, reason, raw in await self._services.store.dead_letters(shard, _limit(request)):
                letters.append({"system": shard, "id": key, "reason": reason, "bytes": len(raw), **_shown(raw)})
        return as_json({"dead_letters": letters})


def _summary(incident: Incident) -> dict[str, Any]:
    """One line of a list."""
    timers = sorted((timer.due, name) for name, timer in incident.timers.items())
    return {
        "id": incident.id,
        "system": incident.system,
        "policy": incident.plan.policy if incident.plan else "",
        "group": incident.group,
        "status": incident.status,
        "why": incident.why,
        "severity": incident.severity,
        "episode": incident.episode,
        "firing": len(incident.firing),
        "opened_at": incident.opened_at,
        "acknowledged_by": incident.acknowledged_by,
        "taken_by": incident.taken_by,
        "decide_by": incident.approval.terms.expires_at if incident.approval else None,
        "parent": incident.parent,
        "ordered_by": incident.ordered_by,
        "next_timer": {"name": timers[0][1], "due": timers[0][0]} if timers else None,
    }


def _automation(system: Target | None) -> dict[str, Any]:
    """What the system's own target says about automation as a whole."""
    if system is None:
        return {"state": "active", "recent_actions": 0, "tripped_at": None, "in_doubt": ""}
    why = "; ".join(f"{by} found that {doubt.why}" for by, doubt in sorted(system.doubts.items()))
    return {
        "state": system_machine.state_of(system),
        "recent_actions": len(system.recent),
        "tripped_at": system.tripped_at,
        "in_doubt": why,
    }


def _shown(raw: bytes) -> dict[str, str]:
    """A dead letter's bytes, as text where they are text."""
    try:
        return {"text": raw[:MAX_RAW].decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw[:MAX_RAW]).decode()}


def _limit(request: web.Request) -> int:
    """`?limit=`, 1 to MAX_PAGE."""
    text = request.query.get("limit", "100")
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS) or not 1 <= int(text) <= MAX_PAGE:
        raise InputError("limit", f"is a number from 1 to {MAX_PAGE}")
    return int(text)
