"""`POST /webhooks/alertmanager`: authenticate, parse, split by shard, make durable, then — and only then — answer 2xx.

Mounted by `http_app`. 401 for strangers, 4xx naming the field for what can never succeed (counted and logged: a sender
we know does not send rubbish without cause), 503 with Retry-After while the store cannot write or too much waits.
Alertmanager retries 5xx at once and 4xx never, which is why nothing that might succeed later is answered with 4xx.
The engine takes the stored entries from the inbox.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from bot.adapters.http_auth import ANONYMOUS, SourceGate
from bot.adapters.http_errors import Unwelcome, describe, unavailable
from bot.adapters.http_intake import Intake
from bot.adapters.http_services import Services
from bot.errors import InputError, StoreUnavailable
from handlers import alertmanager
from handlers.bounds import MAX_BODY
from handlers.routing import split

log = structlog.get_logger(__name__)

BODY_SECONDS: Final = 10.0  # a sender that takes longer for 1 MiB is stuck, and holds memory


class IngressMetrics:
    """What the ingress counts. Labels are configured source names and the four outcomes below."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.webhooks = Counter("andon_webhooks", "Webhooks answered", ["source", "outcome"], registry=registry)
        self.alerts = Counter("andon_alerts_stored", "Alerts made durable", ["source"], registry=registry)


class Ingress:
    """The webhook door."""

    def __init__(self, services: Services, intake: Intake) -> None:
        self._services = services
        self._intake = intake
        self._gate = SourceGate(services.sources)
        metrics = IngressMetrics(services.registry)
        names = [source.name for source in services.sources] or [ANONYMOUS]
        self._stored = {name: metrics.webhooks.labels(name, "stored") for name in names}
        self._alerts = {name: metrics.alerts.labels(name) for name in names}
        self._rejected = {name: metrics.webhooks.labels(name, "rejected") for name in names}
        self._unavailable = {name: metrics.webhooks.labels(name, "unavailable") for name in names}
        self._strangers = metrics.webhooks.labels("", "unauthenticated")

    async def alertmanager(self, request: web.Request) -> web.Response:
        """One webhook, version 4."""
        try:
            source = self._gate.admit(request.headers.get("Authorization"))
        except Unwelcome as error:
            self._strangers.inc()
            return describe(error)
        try:
            webhook = alertmanager.parse(await _body(request))
            await self._intake.store(split(webhook, self._services.routes, self._services.clock.now()))
        except InputError as error:
            self._rejected[source].inc()
            log.error("webhook_rejected", source=source, field=error.field, problem=error.message, status=error.status)
            return describe(error)
        except (StoreUnavailable, TimeoutError) as error:
            self._unavailable[source].inc()
            return unavailable(str(error) or f"the body did not arrive within {BODY_SECONDS:g} s")
        self._stored[source].inc()
        self._alerts[source].inc(len(webhook.alerts))
        return web.Response(body=b'{"status":"stored"}', content_type="application/json")


async def _body(request: web.Request) -> bytes:
    """The whole body. Raises InputError (413) when it is too large, TimeoutError when it does not arrive."""
    if (request.content_length or 0) > MAX_BODY:
        raise InputError("body", f"is larger than {MAX_BODY} bytes", status=413)
    try:
        if request.content.is_eof():  # small bodies come with their headers; a timer would cost more than the read
            return await request.read()
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise InputError("body", f"is larger than {MAX_BODY} bytes", status=413) from None
