"""`POST /webhooks/{alertmanager,grafana}`: authenticate, parse, split by shard, make durable; then, and only then, 2xx.

Mounted by `http_app`. 401 for strangers, 4xx naming the field for what can never succeed, 503 with Retry-After while
the store cannot write or too much waits. Alertmanager retries 5xx at once and 4xx never, which is why nothing that
might succeed later is answered with 4xx; Grafana retries nothing, so what it sent and we did not take is an alarm.
Whatever is refused, `http_refusals` tells a person. The engine takes the stored entries from the inbox.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from bot.adapters.http_auth import ANONYMOUS, SourceGate
from bot.adapters.http_body import BODY_SECONDS, whole
from bot.adapters.http_errors import Unwelcome, describe, unavailable
from bot.adapters.http_intake import Intake
from bot.adapters.http_refusals import Refusals, Strangers
from bot.adapters.http_services import Services
from bot.engine.alarms import Alarms
from bot.errors import InputError, StoreUnavailable
from handlers import alertmanager, grafana
from handlers.routing import split
from handlers.webhook import Webhook

log = structlog.get_logger(__name__)

# Not stored, and nobody's mistake: the store, a body that stalled, a connection that broke in the middle of one.
_NOT_STORED: Final = (StoreUnavailable, TimeoutError, ConnectionError)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of sender: how its bodies are read, and whether it sends again what was answered with 5xx."""

    read: Callable[[bytes], Webhook]
    retries: bool


_ALERTMANAGER: Final = Kind(alertmanager.salvage, retries=True)
_GRAFANA: Final = Kind(grafana.salvage, retries=False)


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

    def __init__(self, services: Services, intake: Intake, alarms: Alarms) -> None:
        self._services = services
        self._intake = intake
        self._gate = SourceGate(services.sources)
        self._tally = Tally(services.registry)
        self._refusals = Refusals(services.store, services.clock, alarms)
        self._strangers = Strangers(alarms)
        # One webhook of Alertmanager's (version 4), of Grafana's (version 1); a method in between would cost every one.
        self.alertmanager = partial(self._receive, _ALERTMANAGER)
        self.grafana = partial(self._receive, _GRAFANA)
        for name in [source.name for source in services.sources] or [ANONYMOUS]:
            for outcome in ("stored", "rejected", "unavailable"):
                self._tally.webhooks[name, outcome] = 0  # shown from the start, so that a rate has a beginning

    async def _receive(self, kind: Kind, request: web.Request) -> web.Response:
        try:
            source = self._gate.admit(request.headers.get("Authorization"), request.headers.get("Origin"))
        except Unwelcome as error:
            return await self._turn_away(request, error)
        try:
            body = await whole(request)
            webhook = kind.read(body)
            await self._intake.store(split(webhook, self._services.routes, self._services.clock.now()), len(body))
            if webhook.refused:
                await self._refusals.set_aside(source, webhook)
        except InputError as error:
            self._tally.webhooks[source, "rejected"] += 1
            log.error("webhook_rejected", source=source, field=error.field, problem=error.message, status=error.status)
            if kind.retries:
                await self._refusals.refused(source, error)
            else:
                await self._refusals.lost(source, f"it cannot be read ({error})")
            return describe(error)
        except _NOT_STORED as error:
            self._tally.webhooks[source, "unavailable"] += 1
            problem = str(error) or f"the body did not arrive within {BODY_SECONDS:g} s"
            if not kind.retries:
                await self._refusals.lost(source, f"it could not be stored ({problem})")
            return unavailable(problem)
        self._tally.webhooks[source, "stored"] += 1
        self._tally.alerts[source] += len(webhook.alerts)
        if webhook.truncated:
            self._tell_truncated(source, webhook)
        if self._strangers.may_be_over:
            await self._strangers.welcomed(request.path)
        return web.Response()

    async def _turn_away(self, request: web.Request, error: Unwelcome) -> web.Response:
        self._tally.webhooks["", "unauthenticated"] += 1
        if self._refusals.due("unauthenticated"):
            log.warning("webhook_unauthenticated", remote=request.remote, problem=str(error))
        if error.status == web.HTTPUnauthorized.status_code:
            await self._strangers.knocked(request.remote or "an unknown address", request.path)
        return describe(error)

    def _tell_truncated(self, source: str, webhook: Webhook) -> None:
        """What the sender left out cannot be stored; it must not be left out in silence too."""
        self._tally.truncated[source] += webhook.truncated
        log.warning(
            "alerts_truncated",
            source=source,
            receiver=webhook.receiver,
            left_out=webhook.truncated,
            fix="set max_alerts: 0 in this receiver's webhook_configs",
        )
