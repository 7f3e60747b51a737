"""How a question is taken: by GET, from whoever may look, and answered without changing anything.

Shared by `http_api`, `http_audit` and `http_reports`. Over the socket anybody who may open it may look; over TCP every
request needs a person's token. Also finds an incident wherever it is by now: in the store, or in the archive.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from aiohttp import web

from bot.adapters.http_auth import identify
from bot.adapters.http_lookup import MAX_NAMED, find_incident
from bot.adapters.http_services import Services
from bot.core.audit import AuditEntry
from bot.core.incident import Incident
from bot.core.words import AggregateId
from bot.errors import InputError

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]

MAX_REREADS: Final = 3  # of a chain that grows while it is read; one incident commits a few times a second at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All there is of one incident. `version` and `head` are its chain's, as its sealed record has them."""

    shard: str
    incident: Incident
    version: int
    head: str
    chain: tuple[AuditEntry, ...]
    archived: bool = False


def mount(app: web.Application, services: Services, routes: Mapping[str, Handler]) -> None:
    """Add the questions to an application, each behind the question who asks."""
    for path, handler in routes.items():
        app.router.add_get(path, _identified(services, handler))


def _identified(services: Services, handler: Handler) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        identify(request, services)
        return await handler(request)

    return answer


async def find_story(services: Services, text: str) -> Story:
    """The one incident whose id starts with `text`; what is in the store wins over what is archived. InputError."""
    try:
        found = await find_incident(services, text)
    except InputError as error:
        if error.status != 404:
            raise
        kept = await _archived(services, text)
        if kept is None:
            raise
        return kept
    story = await _stored(services, found.shard, found.incident.id) or await _archived(services, found.incident.id)
    if story is None:
        raise InputError("incident", f"there is no incident {found.incident.id}", status=404)
    return story


async def _stored(services: Services, shard: str, incident: AggregateId) -> Story | None:
    """Record and chain that belong together: a chain that grew meanwhile is read again."""
    story = None
    for _ in range(MAX_REREADS):
        stored = (await services.store.load(shard, [incident])).get(incident)
        if stored is None or not isinstance(stored.record, Incident):
            return None  # archived this very moment
        chain = tuple(await services.store.audit(shard, incident))
        story = Story(
            shard=shard, incident=stored.record, version=stored.version, head=stored.head, chain=chain
        )  # fmt: skip
        if chain and chain[-1].hash == stored.head:
            break
    return story


async def _archived(services: Services, text: str) -> Story | None:
    text = text.strip().lower()
    prefix = text if text.startswith("inc-") else f"inc-{text}"
    names = [name for _, name in await services.archive.listed(prefix)]
    if len(names) > 1:
        named = ", ".join(sorted(names)[:MAX_NAMED])
        raise InputError("incident", f"{len(names)} archived incidents start with {prefix}: {named}", status=409)
    kept = await services.archive.find(names[0]) if names else None
    if kept is None:
        return None
    return Story(
        shard=kept.incident.system, incident=kept.incident, version=kept.version, head=kept.head, chain=kept.audit,
        archived=True,
    )  # fmt: skip
