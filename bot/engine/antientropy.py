"""Compares what Andon believes with what Alertmanager holds, every minute and before anything risky (law 13).

A webhook may never come: dropped on the way, `send_resolved: false`, sent while Andon was down. `run` (a task of
`bot.engine.runtime`'s group) looks at every Alertmanager and appends what it finds as the webhook would have told it,
with the same fingerprint and start, so whichever comes second is a copy:

    it shows an alert firing, and we do not know it or think it over   AlertsReceived, into the shard its route names
    we think an alert fires, it belongs there (`Listed`), none lists it AlertResolved, to the incident
    an Alertmanager does not answer, or lists nothing that can be      an alarm after `patience_ms`, and nothing is
    believed (`bot.engine.standing` says when)                         resolved meanwhile

Each is said only after two looks in a row: the first may have come between two webhooks on their way. What is silenced
or inhibited is not brought in, and not resolved either. Alerts that came from anywhere else are left alone, also those
of an Alertmanager that posts here and is not asked (`bot.engine.standing.Listed`). An incident that resolves on
evidence still waits for it: an end found here is the source's word, no proof of health.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, TypeAlias

import structlog

from bot.core.alert import Alert
from bot.core.events import Addressed, AlertResolved, AlertsReceived, InboxEntry
from bot.core.ids import digest
from bot.core.incident import Incident
from bot.core.words import AggregateId, Millis
from bot.engine.alarms import Alarms
from bot.engine.belief import read_beliefs
from bot.engine.engine import Engine
from bot.engine.ports import Clock
from bot.engine.reach import Reach
from bot.engine.standing import AlertSource, Listed, Looks, Standing, View, doubts, judge
from bot.errors import SourceError, StoreError
from handlers.alertmanager import SOURCE
from handlers.alertmanager_api import HeldAlert
from handlers.routing import Route, split
from handlers.webhook import NOTE as NOTE
from handlers.webhook import Webhook

SETTLE_MS: Final = (
    600_000  # Prometheus tells everything again every minute; ten of them allow for one that restarts too
)
FED_WITHIN_MS: Final = 300_000  # as above: whoever has told nothing for five minutes is away
PATIENCE_MS: Final = 180_000  # three looks: a restart of Alertmanager, refilled within a minute, wakes nobody
MIN_EVERY_MS: Final = 1_000
IDLE_MS: Final = 3_600_000  # without an Alertmanager to ask; `follow` ends the wait
FRESH_SECONDS: Final = 1.0  # risky steps that come together share one look at what fires; an absence is looked at anew
MAX_APPEND: Final = 500  # alerts or ends in one write
GONE: Final = "gone from Alertmanager, no resolve was delivered"
FOUND: Final = "found in Alertmanager, no webhook told of it"

Firing: TypeAlias = tuple[str | AggregateId, str, Millis]  # shard or incident, fingerprint, start

log = structlog.get_logger(__name__)


class Antientropy:
    """One per process; every replica runs one, for what they find has the same ids."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        sources: Sequence[AlertSource],
        alarms: Alarms,
        *,
        routes: Sequence[Route],
        settle_ms: Millis = SETTLE_MS,
        fed_within_ms: Millis = FED_WITHIN_MS,
        patience_ms: Millis = PATIENCE_MS,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._sources = tuple(sources)
        self._routes = tuple(routes)
        self._settle_ms = settle_ms
        self._fed_within_ms = fed_within_ms
        self._reach = Reach(alarms, clock, patience_ms)
        self._changed = asyncio.Event()
        self._unknown: set[Firing] = set()  # by shard: listed at the last look, and not known here
        self._absent: set[Firing] = set()  # by incident: thought to fire at the last look, and not listed
        self._asking = asyncio.Lock()
        self._last: tuple[float, Looks] | None = None
        self._listed = Listed()
        self._other = True  # other Alertmanagers than before, as far as we know: a predecessor may have left alarms

    def follow(self, sources: Sequence[AlertSource], routes: Sequence[Route]) -> None:
        """From now on ask these, and route by these; alarms about whoever is no longer asked are over."""
        if tuple(sources) != self._sources:
            self._other, self._listed = True, Listed()  # what somebody else listed is none of these ones'
        self._sources, self._routes, self._last = tuple(sources), tuple(routes), None
        self._changed.set()

    async def run(self) -> None:
        """Look again and again, as often as the most watched Alertmanager asks for; for ever."""
        while True:
            if self._sources or self._other:
                try:
                    await self.look()
                except StoreError as error:
                    log.warning("store_unavailable", loop="antientropy", error=str(error))
                except Exception:  # supervision point: a look that fails is followed by the next
                    log.exception("antientropy_failed")
            every = min((source.every_ms for source in self._sources), default=IDLE_MS)
            try:
                async with asyncio.timeout(self._clock.real_seconds(max(every, MIN_EVERY_MS))):
                    await self._changed.wait()
                self._changed.clear()
            except TimeoutError:
                continue

    async def standing(self, shard: str, alerts: Sequence[Alert]) -> Standing:
        """How these alerts stand, asked right before anything risky is done. Bounded in time; never raises."""
        ours = [alert for alert in alerts if alert.source == SOURCE]
        if not ours:
            origins = ", ".join(sorted({alert.source for alert in alerts})) or "nobody"
            return Standing("unknown", f"told by {origins}, who cannot be asked what still fires")
        if not self._sources:
            return Standing("unknown", "no Alertmanager is configured to be asked (alertmanagers: in andon.yaml)")
        asked = asyncio.get_running_loop().time()
        looks = await self._shared(asked - FRESH_SECONDS)
        found = judge(ours, looks, self._doubts(looks), self._listed)
        if found.kind == "gone":  # a look from before may be older than what fires
            looks = await self._shared(asked)
            found = judge(ours, looks, self._doubts(looks), self._listed)
        log.info("standing", shard=shard, standing=found.kind, why=found.why)
        return found

    async def look(self) -> None:
        """One look at all of them, and everything that follows from it. Raises StoreError."""
        looks = await self._ask()
        if self._other:
            await self._reach.forget_all_but({source.name for source in self._sources}, self._engine.store)
            self._other = False
        doubted = self._doubts(looks)
        routed = self._routed(looks)
        unknown: set[Firing] = set()
        absent: set[Firing] = set()
        at_stake: list[str] = []
        for shard in self._engine.shards if looks.views else ():
            listed = routed.get(shard, ())
            beliefs = await read_beliefs(self._engine, shard, listed)
            strange = [alert for alert in listed if beliefs.unknown(alert)]
            unknown |= {(shard, alert.fingerprint, alert.starts_at) for alert in strange}
            await self._bring_in(shard, strange)
            missing = [(incident, alert) for incident, alert in beliefs.firing() if not looks.lists(alert.fingerprint)]
            at_stake += [alert.name for _, alert in missing]
            if not doubted:
                over = [(incident, alert) for incident, alert in missing if alert in self._listed]
                absent |= {(incident.id, alert.fingerprint, alert.starts_at) for incident, alert in over}
                await self._end(shard, over)
        self._unknown, self._absent = unknown, absent
        await self._reach.tell(looks, doubted, at_stake)

    # --- looking ----------------------------------------------------------------------------------------------------

    async def _shared(self, since: float) -> Looks:
        """The last look, if it began at that time or later; else a new one, for all who ask meanwhile."""
        async with self._asking:
            if self._last is None or self._last[0] < since:
                self._last = (asyncio.get_running_loop().time(), await self._ask())
            return self._last[1]

    async def _ask(self) -> Looks:
        """Everybody at once; bounded by what each look may take."""
        sources = self._sources
        answers = await asyncio.gather(*(source.look() for source in sources), return_exceptions=True)
        views: dict[str, View] = {}
        away: dict[str, str] = {}
        for source, answer in zip(sources, answers, strict=True):
            match answer:
                case View():
                    views[source.name] = answer
                case SourceError():
                    away[source.name] = str(answer)
                case Exception():  # supervision point: of what was not foreseen nothing is concluded either
                    log.error("look_failed", alertmanager=source.name, exc_info=answer)
                    away[source.name] = "asking it failed in an unforeseen way; the log of this replica has the details"
                case BaseException():
                    raise answer
        looks = Looks(views=views, away=away)
        if sources == self._sources:  # else a reload came meanwhile, and these are asked no more
            self._listed.note(looks)
        return looks

    def _doubts(self, looks: Looks) -> dict[str, str]:
        return doubts(looks, settle_ms=self._settle_ms, fed_within_ms=self._fed_within_ms)

    def _routed(self, looks: Looks) -> dict[str, list[Alert]]:
        """What fires and is ours, by shard, once; what is muted or not yet routed is not brought in."""
        named = frozenset(route.receiver for route in self._routes if route.receiver)
        by_receiver: dict[str, dict[str, Alert]] = {}
        for source in self._sources:
            view = looks.views.get(source.name)
            for held in view.held.values() if view is not None else ():
                receiver = _receiver(held, source, named)
                if held.settled and not held.muted_by and receiver is not None:
                    by_receiver.setdefault(receiver, {})[held.alert.fingerprint] = held.alert
        shards: dict[str, list[Alert]] = {}
        for receiver, alerts in by_receiver.items():
            webhook = Webhook(id="", receiver=receiver, group_key="", alerts=tuple(alerts.values()))
            for shard, entry in split(webhook, self._routes, 0).items():
                shards.setdefault(shard, []).extend(entry.alerts)
        return shards

    # --- telling ----------------------------------------------------------------------------------------------------

    async def _bring_in(self, shard: str, strange: Sequence[Alert]) -> None:
        """What was unknown at the last look too is told as a webhook would have told it."""
        found = [alert for alert in strange if (shard, alert.fingerprint, alert.starts_at) in self._unknown]
        for start in range(0, len(found), MAX_APPEND):
            batch = tuple(_noted(alert, FOUND) for alert in found[start : start + MAX_APPEND])
            name = digest(shard, *(f"{alert.fingerprint}:{alert.starts_at}" for alert in batch))[:20]
            entry = AlertsReceived(id=f"found-{name}", at=self._clock.now(), source=SOURCE, receiver="", alerts=batch)
            await self._engine.store.append(shard, [entry])
            log.warning("alerts_found", shard=shard, alerts=len(batch), names=sorted({a.name for a in batch})[:5])

    async def _end(self, shard: str, missing: Sequence[tuple[Incident, Alert]]) -> None:
        """What was not listed at the last look either is over, as far as Alertmanager knows."""
        now = self._clock.now()
        ends: list[InboxEntry] = []
        for incident, alert in missing:
            if (incident.id, alert.fingerprint, alert.starts_at) not in self._absent:
                continue
            over = replace(_noted(alert, GONE), status="resolved", ends_at=now)
            event = AlertResolved(id=f"{alert.fingerprint}:{alert.starts_at}:resolved", at=now, alert=over)
            ends.append(Addressed(to=incident.id, event=event))
            log.warning("alert_gone", shard=shard, incident_id=incident.id, alert=alert.name)
        for start in range(0, len(ends), MAX_APPEND):
            await self._engine.store.append(shard, ends[start : start + MAX_APPEND])


def _receiver(held: HeldAlert, source: AlertSource, routed: frozenset[str]) -> str | None:
    """The receiver under which this alert comes here: ours where it is configured, else one that a route names."""
    if source.receiver:
        return source.receiver if source.receiver in held.receivers else None
    named = [receiver for receiver in held.receivers if receiver in routed]
    return next(iter(named or held.receivers), "")


def _noted(alert: Alert, note: str) -> Alert:
    return replace(alert, annotations=alert.annotations | {NOTE: note})
