"""The Redis side of the simulated floor over HTTP: its dependants, its faults, and what became of every write.

Routed by `server`. `GET /api/redis/status` is for the demo and for tests: who is primary, how slow, what is wrong.
Andon does not read it; it looks at the servers and Sentinels themselves.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import cast

from aiohttp import web
from redis.exceptions import RedisError

from bot.sandbox.children import Unmet
from bot.sandbox.faults import CAUSES, REPLICA_STATES, CannotBe, Cause, ReplicaState, Role
from bot.sandbox.floor import Floor
from bot.sandbox.requests import address, json_object, not_here, not_now, one_of
from bot.sandbox.services import Service


class RedisApi:
    """Handlers over one floor."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor

    def routes(self) -> list[web.RouteDef]:
        """What `server` adds to the application."""
        return [
            web.get("/redis", self.status),
            web.get("/ledger/writes", self.writes),
            web.get("/api/services/{name}/health", self.health),
            web.post("/api/services/{name}/restart", self.restart),
            web.post("/faults/latency", self.latency),
            web.post("/faults/replica", self.replica),
        ]

    async def status(self, _request: web.Request) -> web.Response:
        """Primary and replica of now, the floor's own p99, and the faults."""
        return web.json_response(self._status())

    async def health(self, request: web.Request) -> web.Response:
        """Whether a service works, on which Redis, since when."""
        return web.json_response(self._service(request).health())

    async def restart(self, request: web.Request) -> web.Response:
        """{"redis": "host:port"}: start again on that address."""
        service = self._service(request)
        service.restart(address(await json_object(request), "redis"))
        return web.json_response(service.health())

    async def writes(self, _request: web.Request) -> web.Response:
        """Every service's acknowledged writes against what the primary has; `lost` must be 0."""
        try:
            accounts = {name: await each.account(self._floor.store) for name, each in self._floor.services.items()}
        except (RedisError, OSError) as problem:
            raise web.HTTPServiceUnavailable(text=f"the primary cannot be asked: {problem}") from problem
        return web.json_response(
            {
                "primary": self._floor.store.primary.address,
                "services": {name: asdict(account) for name, account in accounts.items()},
                "acknowledged": sum(account.acknowledged for account in accounts.values()),
                "lost": sum(account.lost for account in accounts.values()),
            }
        )

    async def latency(self, request: web.Request) -> web.Response:
        """{"cause", "server"} makes one server slow, or the way to it; {"clear": true} ends that."""
        body = await json_object(request)
        if body.get("clear") is True:
            self._floor.faults.calm()
            return web.json_response(self._status())
        cause = cast(Cause, one_of(body, "cause", CAUSES))
        role = cast(Role, one_of(body, "server", ("primary", "replica"), default="primary"))
        try:
            self._floor.faults.slow(cause, role)
        except CannotBe as reason:
            raise not_now("server", str(reason)) from reason
        return web.json_response(self._status())

    async def replica(self, request: web.Request) -> web.Response:
        """{"state"}: down, stale (cut off from its primary), or up; the last waits until it follows."""
        state = cast(ReplicaState, one_of(await json_object(request), "state", REPLICA_STATES))
        try:
            await self._floor.faults.replica(state)
        except (CannotBe, Unmet) as reason:
            raise not_now("state", str(reason)) from reason
        return web.json_response(self._status())

    def _status(self) -> dict[str, object]:
        replica = self._floor.store.replica
        return {
            "primary": self._floor.store.primary.address,
            "replica": replica.address if replica is not None else "",
            "p99_us": self._floor.probe.p99_us,
            "fault": self._floor.faults.status(),
        }

    def _service(self, request: web.Request) -> Service:
        name = request.match_info["name"]
        if name not in self._floor.services:
            raise not_here("name", f"one of {', '.join(self._floor.services)}")
        return self._floor.services[name]
