"""What Andon believes about alerts, read from the store: which it knows to fire, and in which incidents.

Called by `bot.engine.antientropy`, which compares it with what the Alertmanagers hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

import structlog

from bot.core.alert import Alert
from bot.core.incident import Incident
from bot.core.words import AggregateId
from bot.engine.engine import Engine
from bot.engine.ports import Store
from handlers.alertmanager import SOURCE
from policies.book import PolicyBook

MAX_INCIDENTS: Final = 500  # open ones of a shard that are compared, newest first; what is not compared stays open
MAX_KEYS: Final = 500  # incident keys in one question to the store
MAX_RECORDS: Final = 50  # records in one answer; the largest have some 300 kB
YIELD_EVERY: Final = 100  # alerts matched before others get their turn on the loop, about 2 ms

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Beliefs:
    """Of one shard. `places`: for each alert asked about, by fingerprint, the incidents its policies put it into
    (None: that incident does not exist). Alerts no policy takes, and signs of life, have no place."""

    open: Sequence[Incident]
    places: Mapping[str, tuple[Incident | None, ...]]

    def unknown(self, alert: Alert) -> bool:
        """Whether this firing should be told: some incident it belongs to does not know it, or thinks it over."""
        return any(_should_hear(incident, alert) for incident in self.places.get(alert.fingerprint, ()))

    def firing(self) -> Iterator[tuple[Incident, Alert]]:
        """What is thought to fire by Alertmanager's word."""
        for incident in self.open:
            for state in incident.alerts.values():
                if state.firing and state.alert.source == SOURCE:
                    yield incident, state.alert


async def read_beliefs(engine: Engine, shard: str, alerts: Sequence[Alert]) -> Beliefs:
    """What is believed in this shard, above all about these alerts. Raises StoreError."""
    lines = await engine.store.incidents(shard, closed=False, limit=MAX_INCIDENTS)
    if len(lines) == MAX_INCIDENTS:
        log.warning("not_all_compared", shard=shard, compared=MAX_INCIDENTS)
    opened = {line.incident.id: line.incident for line in lines}
    keys = await _keys(engine.book, shard, alerts)
    wanted = sorted({key for some in keys.values() for key in some})
    ids: dict[str, AggregateId] = {}
    for some in _pages(wanted, MAX_KEYS):
        ids |= await engine.store.resolve_keys(shard, some)
    known = opened | await _load(engine.store, shard, sorted(set(ids.values()) - opened.keys()))
    places = {fingerprint: tuple(known.get(ids.get(key, "")) for key in some) for fingerprint, some in keys.items()}
    return Beliefs(tuple(opened.values()), places)


async def _keys(book: PolicyBook, shard: str, alerts: Sequence[Alert]) -> dict[str, tuple[str, ...]]:
    """The incident keys of each alert, by fingerprint, as the engine would find them."""
    keys: dict[str, tuple[str, ...]] = {}
    for number, alert in enumerate(alerts, 1):
        if not book.watch(shard, alert):  # of a dead-man, only what was really delivered counts
            keys[alert.fingerprint] = tuple(match.key for match in book.match(shard, alert))
        if number % YIELD_EVERY == 0:
            await asyncio.sleep(0)
    return keys


async def _load(store: Store, shard: str, ids: Sequence[AggregateId]) -> dict[AggregateId, Incident]:
    """Incidents that are closed by now, or were too many to be among the open ones."""
    found: dict[AggregateId, Incident] = {}
    for some in _pages(ids, MAX_RECORDS):
        for aggregate, versioned in (await store.load(shard, some)).items():
            if isinstance(versioned.record, Incident):
                found[aggregate] = versioned.record
    return found


def _should_hear(incident: Incident | None, alert: Alert) -> bool:
    if incident is None:
        return True
    state = incident.alerts.get(alert.fingerprint)
    if state is None:
        return not incident.untracked or incident.status == "closed"  # one too many to be tracked is not unknown
    if state.alert.starts_at != alert.starts_at:
        return state.alert.starts_at < alert.starts_at
    return not state.firing and not state.dismissed


def _pages(items: Sequence[T], size: int) -> Iterator[list[T]]:
    remaining = iter(items)
    while page := list(islice(remaining, size)):
        yield page
