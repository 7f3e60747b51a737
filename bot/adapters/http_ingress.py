"""`POST /webhooks/alertmanager`: authenticate, parse, split by shard, make durable, then — and only then — answer 2xx.

Mounted by `http_app`. 401 for strangers, 4xx naming the field for what can never succeed (counted and logged: a sender
we know does not send rubbish without cause), 503 with Retry-After while the store cannot write or too much waits.
Alertmanager retries 5xx at once and 4xx never, which is why nothing that might succeed later is answered with 4xx.
The engine takes the stored entries from the inbox.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Final

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from bot.adapters.http_auth import ANONYMOUS, SourceGate
from bot.adapters.http_errors import Unwelcome, describe, unavailable
from bot.adapters.http_intake import Intake
from bot.adapters.http_services import Services
from bot.core.effects import PageOncall
from bot.core.target_moves import ONCALL
from bot.core.words import SYSTEM_TARGET
from bot.engine.ports import Commit
from bot.errors import InputError, StoreUnavailable
from handlers import alertmanager
from handlers.bounds import MAX_BODY
from handlers.routing import UNROUTED, split

log = structlog.get_logger(__name__)

TELL_EVERY_SECONDS: Final = 60.0  # between two log lines, or pages, about the same sender's mistake
BODY_SECONDS: Final = 10.0  # a sender that takes longer for 1 MiB is stuck, and holds memory


class Tally(Collector):
    """What the ingress counts, for `/metrics`. Plain integers: a counter's lock would cost more than the counting.

    Labels are configured source names and four outcomes: stored, rejected, unavailable, unauthenticated.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.webhooks: Counter[tuple[str, str]] = Counter()
        self.alerts: Counter[str] = Counter()
        self.truncated: Counter[str] = Counter()
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Called at every scrape."""
        webhooks = CounterMetricFamily("andon_webhooks", "Webhooks answered", labels=["source", "outcome"])
        for (source, outcome), count in self.webhooks.items():
            webhooks.add_metric([source, outcome], count)
        alerts = CounterMetricFamily("andon_alerts_stored", "Alerts made durable", labels=["source"])
        for source, count in self.alerts.items():
            alerts.add_metric([source], count)
        truncated = CounterMetricFamily("andon_alerts_truncated", "Alerts the sender left out", labels=["source"])
        for source, count in self.truncated.items():
            truncated.add_metric([source], count)
        yield webhooks
        yield alerts
        yield truncated


class Ingress:
    """The webhook door."""

    def __init__(self, services: Services, intake: Intake) -> None:
        self._services = services
        self._intake = intake
        self._gate = SourceGate(services.sources)
        self._tally = Tally(services.registry)
        self._told: dict[str, float] = {}  # by what; its keys are configured sources
        for name in [source.name for source in services.sources] or [ANONYMOUS]:
            for outcome in ("stored", "rejected", "unavailable"):
                self._tally.webhooks[name, outcome] = 0  # shown from the start, so that a rate has a beginning

    async def alertmanager(self, request: web.Request) -> web.Response:
        """One webhook, version 4."""
        try:
            source = self._gate.admit(request.headers.get("Authorization"), request.headers.get("Origin"))
        except Unwelcome as error:
            self._tally.webhooks["", "unauthenticated"] += 1
            if self._due("unauthenticated"):
                log.warning("webhook_unauthenticated", remote=request.remote, problem=str(error))
            return describe(error)
        try:
            webhook = alertmanager.parse(await _body(request))
            await self._intake.store(split(webhook, self._services.routes, self._services.clock.now()))
        except InputError as error:
            self._tally.webhooks[source, "rejected"] += 1
            log.error("webhook_rejected", source=source, field=error.field, problem=error.message, status=error.status)
            await self._alarm(source, error)
            return describe(error)
        except (StoreUnavailable, TimeoutError) as error:
            self._tally.webhooks[source, "unavailable"] += 1
            return unavailable(str(error) or f"the body did not arrive within {BODY_SECONDS:g} s")
        self._tally.webhooks[source, "stored"] += 1
        self._tally.alerts[source] += len(webhook.alerts)
        if webhook.truncated:
            # What the sender left out cannot be stored; it must not be left out in silence too.
            self._tally.truncated[source] += webhook.truncated
            log.warning(
                "alerts_truncated",
                source=source,
                receiver=webhook.receiver,
                left_out=webhook.truncated,
                fix="set max_alerts: 0 in this receiver's webhook_configs",
            )
        return web.Response()

    async def _alarm(self, source: str, error: InputError) -> None:
        """A known sender's webhook was refused, and Alertmanager never sends it again: tell a human, not too often."""
        if not self._due(f"rejected:{source}"):
            return
        page = PageOncall(
            id=f"rejected/{source}/{self._services.clock.now()}",
            incident=SYSTEM_TARGET,
            service=ONCALL,
            severity="error",
            dedup_key=f"webhook-rejected:{source}",
            summary=f"a webhook from {source} was refused, so its alerts are not known here ({error})",
        )
        try:
            await self._services.store.commit(UNROUTED, Commit(effects=(page,)))
        except StoreUnavailable as away:
            log.error("alarm_not_stored", source=source, problem=str(away))

    def _due(self, what: str) -> bool:
        """Whether `what` was not told within `TELL_EVERY_SECONDS`; a flood of mistakes is one mistake."""
        now = asyncio.get_running_loop().time()
        if now < self._told.get(what, 0.0):
            return False
        self._told[what] = now + TELL_EVERY_SECONDS
        return True


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
