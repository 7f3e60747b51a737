"""How a policy's last incidents went, for whoever is to decide about the next: shown on its decision card.

Asked by `scenery` while a question waits, and by `commands`. Only ids are listed anew each minute; a record is read
once to learn whose it is, and again each minute while it is one of those shown and not closed. What is older than
`retention.after` is among the oldest of the store: `bot.engine.retention` leaves the last few of each policy there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import structlog

from bot.adapters.slack.cards.outcome_words import summary
from bot.core.incident import Incident
from bot.core.words import AggregateId, Millis
from bot.engine.ports import Clock, Store
from bot.errors import RecordForged

LAST: Final = 5  # outcomes shown: more is not read while a decision waits
NEWEST: Final = 8_000  # incidents of a system in which they are looked for: a storm must not hide them
OLDEST: Final = 2_000  # and so many from the other end: what stays of rare policies
PER_LOOK: Final = 500  # records read at one look, one round trip to the store; the next look goes on from there
PER_PAGE: Final = 100  # records read before it is seen whether these are enough
KEPT_MS: Final[Millis] = 60_000  # what was read of a system, before it is read anew

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of one incident: whose it is, how it went ("": nothing to tell), and until when that holds."""

    policy: str
    words: str
    over: bool
    read_at: Millis


@dataclass(slots=True)
class _Past:
    """One system's incidents. `told`: policies of which all that is shown was found since `at`."""

    at: Millis
    newest: Sequence[AggregateId] = ()
    known: dict[AggregateId, _Known] = field(default_factory=dict)
    told: dict[str, list[AggregateId]] = field(default_factory=dict)


class Outcomes:
    """The last incidents of each policy, read once a minute."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._pasts: dict[str, _Past] = {}  # by shard

    async def of(self, shard: str, policy: str, besides: AggregateId) -> tuple[str, ...]:
        """How the policy's last incidents but this one went, newest first, in plain words. StoreUnavailable."""
        past = await self._past(shard)
        found = past.told.get(policy)
        if found is None:
            found = await self._found(shard, past, policy)
        return tuple(past.known[one].words for one in found if one != besides)[:LAST]

    async def _past(self, shard: str) -> _Past:
        now = self._clock.now()
        past = self._pasts.get(shard)
        if past is None or abs(now - past.at) >= KEPT_MS:
            newest = await self._ids(shard, now)
            known = past.known if past is not None else {}
            past = _Past(now, newest, {one: known[one] for one in newest if one in known})
            self._pasts[shard] = past
        return past

    async def _ids(self, shard: str, now: Millis) -> list[AggregateId]:
        """Those that are looked through, newest first."""
        newest = await self._store.newest_incidents(shard, NEWEST)
        if len(newest) < NEWEST:
            return newest
        oldest = await self._store.oldest_incidents(shard, now, skip=0, limit=OLDEST)
        return [*dict.fromkeys([*newest, *reversed(oldest)])]

    async def _found(self, shard: str, past: _Past, policy: str) -> list[AggregateId]:
        """The newest of this policy that have something to tell: one more than is shown, for one of them may ask."""
        found: list[AggregateId] = []
        left = PER_LOOK
        whole = True
        for start in range(0, len(past.newest), PER_PAGE):
            page = past.newest[start : start + PER_PAGE]
            unread = [one for one in page if _is_to_read(past, one, policy)]
            whole = whole and len(unread) <= left
            await self._read(shard, past, unread[:left])
            left -= len(unread[:left])
            found += [one for one in page if _tells(past.known.get(one), policy)]
            if len(found) > LAST:
                break
        if whole:
            past.told[policy] = found
        return found

    async def _read(self, shard: str, past: _Past, names: Sequence[AggregateId]) -> None:
        if not names:
            return
        try:
            loaded = await self._store.load(shard, names)
        except RecordForged as error:
            if len(names) > 1:
                for one in names:
                    await self._read(shard, past, [one])
                return
            log.error("slack_outcome_forged", shard=shard, incident_id=names[0], problem=str(error))
            loaded = {}
        for one in names:
            record = loaded[one].record if one in loaded else None
            past.known[one] = _known(record if isinstance(record, Incident) else None, past.at)


def _known(incident: Incident | None, at: Millis) -> _Known:
    if incident is None or incident.plan is None:
        return _Known("", "", over=True, read_at=at)
    words = f"{_day(incident.opened_at)} {summary(incident)}" if incident.results else ""
    return _Known(incident.plan.policy, words, over=incident.status == "closed", read_at=at)


def _day(at: Millis) -> str:
    """``2026-03-01``, in UTC: the last one may be of yesterday, or of last year."""
    return datetime.fromtimestamp(at / 1_000, UTC).date().isoformat()


def _is_to_read(past: _Past, one: AggregateId, policy: str) -> bool:
    known = past.known.get(one)
    return known is None or (known.policy == policy and not known.over and known.read_at != past.at)


def _tells(known: _Known | None, policy: str) -> bool:
    return known is not None and known.policy == policy and bool(known.words)
