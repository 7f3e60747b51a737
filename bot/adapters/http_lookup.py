"""Finding what an operator means: incidents by the first letters of their id, systems and policies by name.

Used by `http_api`, `desk` and `desk_runs`. Whatever cannot be found, or could be several things, raises InputError with
a sentence that says what there is instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from bot.adapters.http_services import Services
from bot.core.incident import Incident
from bot.core.plan import Plan
from bot.core.target import Target
from bot.core.words import SYSTEM_TARGET, AggregateId
from bot.engine.ports import IncidentLine
from bot.errors import InputError

MAX_LISTED: Final = 1_000  # incidents looked through per shard; older ones are found by their whole id
MAX_NAMED: Final = 8  # candidates named in an answer

_WHOLE_ID: Final = re.compile(r"inc-[a-z2-7]{10}")
_PREFIX: Final = re.compile(r"(inc-)?[a-z2-7]{0,10}")


@dataclass(frozen=True, slots=True)
class Found:
    """An incident and where it lives."""

    shard: str
    incident: Incident
    version: int


async def find_incident(services: Services, text: str) -> Found:
    """The one incident whose id starts with `text` (with or without ``inc-``). Open ones win over closed ones."""
    text = text.strip().lower()
    if not _PREFIX.fullmatch(text) or text in ("", "inc-"):
        raise InputError("incident", "is not an incident id: give its first letters, such as `inc-4kq`")
    prefix = text if text.startswith("inc-") else f"inc-{text}"
    if _WHOLE_ID.fullmatch(prefix):
        return await _by_id(services, prefix)
    for closed in (False, True):
        found: list[Found] = []
        for shard in services.shards:
            lines = await services.store.incidents(shard, closed=closed, limit=MAX_LISTED)
            found += [
                Found(shard, line.incident, line.version) for line in lines if line.incident.id.startswith(prefix)
            ]
        if len(found) == 1:
            return found[0]
        if found:
            named = ", ".join(sorted(each.incident.id for each in found)[:MAX_NAMED])
            raise InputError("incident", f"{len(found)} incidents start with {prefix}: {named}", status=409)
    raise InputError("incident", f"no incident starts with {prefix}", status=404)


async def _by_id(services: Services, incident: AggregateId) -> Found:
    for shard in services.shards:
        stored = (await services.store.load(shard, [incident])).get(incident)
        if stored is not None and isinstance(stored.record, Incident):
            return Found(shard, stored.record, stored.version)
    if await services.archive.listed(incident):
        words = f"{incident} is closed and archived; `andon show` and `andon report` still tell of it"
        raise InputError("incident", words, status=404)
    raise InputError("incident", f"there is no incident {incident}", status=404)


def the_shard(services: Services, system: str) -> str:
    """`system`, if it is one."""
    if system in services.shards:
        return system
    raise InputError("system", f"no system {system[:100]!r}; there are: {', '.join(services.shards)}", status=404)


def asked_shards(request: web.Request, services: Services) -> list[str]:
    """The system in `?system=`, or all of them."""
    system = request.query.get("system", "")
    return [the_shard(services, system)] if system else list(services.shards)


def the_component(services: Services, shard: str, name: str) -> str:
    """`name`, if the system has a component of that name."""
    known = [each.name for each in services.components() if each.system == shard]
    if name in known:
        return name
    raise InputError("component", f"{shard} has no component {name[:100]!r}; it has: {', '.join(known)}", status=404)


def the_policy(services: Services, name: str, system: str) -> Plan:
    """The policy with this name; `system` decides when several systems have one of that name."""
    found = [plan for plan in services.policies() if plan.policy == name and system in ("", plan.system)]
    if len(found) == 1:
        return found[0]
    if found:
        systems = ", ".join(sorted(plan.system for plan in found))
        raise InputError("system", f"several systems have a policy {name}: {systems}", status=409)
    known = ", ".join(sorted({plan.policy for plan in services.policies()})[: 4 * MAX_NAMED])
    raise InputError("policy", f"no policy {name[:100]!r}; there are: {known or 'none'}", status=404)


def components_of(services: Services, shard: str) -> list[AggregateId]:
    """The shard's target ids, the system's own first."""
    names = [component.name for component in services.components() if component.system == shard]
    return [SYSTEM_TARGET, *(f"target:{name}" for name in names)]


async def targets_of(services: Services, shard: str) -> dict[AggregateId, Target]:
    """The targets of a shard that have a record; one never touched has none."""
    stored = await services.store.load(shard, components_of(services, shard))
    return {key: found.record for key, found in stored.items() if isinstance(found.record, Target)}


async def list_incidents(services: Services, shards: list[str], *, closed: bool, limit: int) -> list[IncidentLine]:
    """Incidents of these shards, newest first."""
    lines: list[IncidentLine] = []
    for shard in shards:
        lines += await services.store.incidents(shard, closed=closed, limit=limit)
    return sorted(lines, key=lambda line: line.incident.opened_at, reverse=True)[:limit]
