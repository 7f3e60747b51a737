"""The HTTP doors, built and served: webhooks on TCP, the operators' API on a unix socket and, if wanted, on TCP.

`bot.app` calls `build` once and runs `serve` as one task. Health pages are on every door. Stopping goes in order:
no new connection is taken, requests under way are finished, what they stored is flushed, then `serve` returns.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web

from bot.adapters.http_api import Reading
from bot.adapters.http_audit import Auditing
from bot.adapters.http_auth import require_authentication
from bot.adapters.http_commands import Commands
from bot.adapters.http_decisions import Decisions
from bot.adapters.http_doorman import Doorman
from bot.adapters.http_errors import answer_errors
from bot.adapters.http_health import Health
from bot.adapters.http_house import Housekeeping
from bot.adapters.http_ingress import Ingress
from bot.adapters.http_intake import Intake
from bot.adapters.http_reports import Reports
from bot.adapters.http_services import Services
from bot.engine.alarms import Alarms
from bot.errors import ConfigError
from handlers.bounds import MAX_BODY

log = structlog.get_logger(__name__)

BACKLOG: Final = 1_024  # connections the kernel holds while a storm makes the loop late
SOCKET_MODE: Final = 0o660  # owner and group may talk to the operators' API; who they are, the kernel tells
MAX_SOCKET_PATH: Final = 103  # bytes; unix(7) allows 107, macOS 103


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Where the doors are. Port 0 takes a free one. No `api_host`: the API has only its socket."""

    host: str = "127.0.0.1"
    port: int = 9099
    api_socket: Path | None = None
    api_host: str = ""
    api_port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the doors turned out to be."""

    webhooks: str
    api: str
    api_socket: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """The two applications and what they share."""

    webhooks: web.Application
    api: web.Application
    intake: Intake
    health: Health
    services: Services
    alarms: Alarms


def build(services: Services, alarms: Alarms | None = None) -> Doors:
    """The applications, without opening anything. Once per registry. `alarms`: the house's, which `serve` then runs."""
    alarms = alarms or Alarms(services.store, services.clock)
    intake = Intake(services.store, services.registry)
    ingress = Ingress(services, intake, alarms)
    health = Health(services)
    webhooks = web.Application(client_max_size=MAX_BODY, middlewares=[answer_errors])
    webhooks.router.add_post("/webhooks/alertmanager", ingress.alertmanager)
    webhooks.router.add_post("/webhooks/grafana", ingress.grafana)
    health.mount(webhooks)
    api = web.Application(client_max_size=MAX_BODY, middlewares=[answer_errors])
    Reading(services, health).mount(api)
    Reports(services).mount(api)
    Auditing(services).mount(api)
    Commands(services, intake).mount(api)
    Decisions(services).mount(api)
    Housekeeping(services).mount(api)
    health.mount(api)
    return Doors(webhooks=webhooks, api=api, intake=intake, health=health, services=services, alarms=alarms)


async def serve(
    doors: Doors, listen: Listen, stop: asyncio.Event, opened: Callable[[Addresses], None] = lambda _: None
) -> None:
    """Open the doors, call `opened` with their addresses, and keep them open until `stop` is set (or cancelled).

    Raises ConfigError when webhooks would be open to a network, or an address cannot be had.
    """
    require_authentication(listen.host, doors.services.sources)
    if listen.api_host and not doors.services.tokens:
        raise ConfigError("the operators' API on TCP knows nobody; give people in people.yaml an api_token")
    runners = (Doorman(doors.webhooks), Doorman(doors.api))
    async with doors.intake:
        is_open = False
        try:
            addresses = await _open(*runners, listen)
            is_open = True
            opened(addresses)
            async with asyncio.TaskGroup() as tasks:
                eternal = [tasks.create_task(doors.health.watch.run()), tasks.create_task(doors.alarms.run())]
                await stop.wait()
                for task in eternal:
                    task.cancel()
        finally:
            doors.health.draining = True
            for runner in runners:  # stops listening, waits for requests under way, closes idle connections
                await runner.cleanup()
            if is_open and listen.api_socket is not None:
                listen.api_socket.unlink(missing_ok=True)


async def _open(webhooks: web.AppRunner, api: web.AppRunner, listen: Listen) -> Addresses:
    await webhooks.setup()
    await api.setup()
    sites: list[web.BaseSite] = []
    if listen.api_socket is not None:
        sites.append(web.UnixSite(api, _vacated(listen.api_socket)))
    if listen.api_host:
        sites.append(web.TCPSite(api, listen.api_host, listen.api_port, backlog=BACKLOG))
    sites.append(web.TCPSite(webhooks, listen.host, listen.port, backlog=BACKLOG))
    for site in sites:
        try:
            await site.start()
        except OSError as error:
            raise ConfigError(f"cannot listen on {site.name}: {error.strerror or error}") from error
    if listen.api_socket is not None:
        listen.api_socket.chmod(SOCKET_MODE)
    addresses = Addresses(
        webhooks=_url(webhooks),
        api=_url(api) if listen.api_host else "",
        api_socket=listen.api_socket,
    )
    log.info("doors_open", webhooks=addresses.webhooks, api=addresses.api, api_socket=str(listen.api_socket or ""))
    return addresses


def _url(runner: web.AppRunner) -> str:
    """Of the runner's TCP door, with the port it really has."""
    host, port = next(address[:2] for address in runner.addresses if not isinstance(address, str))
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _vacated(path: Path) -> Path:
    """A path the kernel takes for a socket, in a directory that exists, without what a killed process left there."""
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        raise ConfigError(f"the path of the socket is longer than {MAX_SOCKET_PATH} bytes: {path}; set api.socket")
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    if not path.exists():
        return path
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise ConfigError(f"{path} is there already and no socket; set api.socket to another path")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        if probe.connect_ex(os.fspath(path)) == 0:
            raise ConfigError(f"another Andon answers on {path}; stop it, or set api.socket to another path")
    path.unlink(missing_ok=True)
    return path
