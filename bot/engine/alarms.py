"""What Andon has to say about itself, as alerts like any other: stored, deduplicated, paged by the catch-all, audited.

Called by whoever notices something wrong with Andon's own senses (doors, clocks, sources, Alertmanager). `raise_` and
`clear` append to a shard's inbox, where the engine takes them; both return at once and never fail: what the store does
not take is kept (in `Unsaid`, over a restart too) and tried again by `run`, which the composition root gives a task. An
alarm is known by its name and labels, so that saying it again makes no second one. Two manners:

* a state that lasts (Alertmanager cannot be reached): one firing until `clear`, however often it is said;
* an occurrence (`anew=True`: an alert was lost): each is a firing of its own, so a person who dismissed the last one
  hears of the next; nothing clears it but a person.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import structlog

from bot.core.alert import ANDON, Alert
from bot.core.events import AlertsReceived
from bot.core.ids import label_fingerprint
from bot.core.words import Millis, Severity
from bot.engine.ports import Clock, Store
from bot.errors import StoreError

SOURCE: Final = ANDON
SELF: Final = (ANDON, "self")  # the label that tells an alert of Andon's about itself

MAX_REMEMBERED: Final = 1_000  # alarms told apart; their labels are configured names, so dozens are many
MAX_UNSAID: Final = 1_000  # kept while the store is away, about 1 kB each
REPEAT_MS: Final = (
    300_000  # a lasting state is said again, as another replica may have cleared it; a copy changes nothing
)
ANEW_MS: Final = 60_000  # occurrences closer together than this are one: a flood of losses is one loss to tell
RETRY_SECONDS: Final = 1.0  # while the store is away; nothing tells when it is back

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Said:
    """The last word on one alarm. `starts_at` names its firing, `said_at` is when it was last said."""

    firing: bool
    starts_at: Millis
    said_at: Millis
    severity: Severity


class Unsaid(Protocol):
    """Where alarms wait for the store over a restart. All block, and raise StoreUnavailable."""

    def keep(self, shard: str, entry: AlertsReceived) -> None:
        """On disk when it returns."""
        ...

    def kept(self) -> Sequence[tuple[str, AlertsReceived]]:
        """What a predecessor left, in order."""
        ...

    def forget(self) -> None:
        """The store has them all."""
        ...


class Alarms:
    """Says what is wrong, once. One per process and store; safe to use from many tasks."""

    def __init__(
        self, store: Store, clock: Clock, unsaid: Unsaid | None = None, *, retry_seconds: float = RETRY_SECONDS
    ) -> None:
        self._store = store
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._known: dict[tuple[str, str], _Said] = {}  # by shard and fingerprint; oldest first
        self._unsaid: dict[str, tuple[str, AlertsReceived]] = {}  # by entry id, in order
        self._waiting = asyncio.Event()
        self._file = unsaid
        self._writing = asyncio.Lock()

    async def raise_(
        self,
        shard: str,
        name: str,
        summary: str,
        *,
        severity: Severity = "critical",
        labels: Sequence[tuple[str, str]] = (),
        anew: bool = False,
    ) -> None:
        """The alarm `name` fires in `shard`. `summary`: one plain sentence and the fix. `anew`: see above."""
        named = _named(name, labels)
        key, now = (shard, label_fingerprint(named)), self._clock.now()
        known = self._known.get(key)
        starts_at = now
        if known is not None and known.firing:
            if abs(now - known.said_at) < (ANEW_MS if anew else REPEAT_MS):  # abs: a clock set back mutes nothing
                return
            starts_at = now if anew else known.starts_at
        self._remember(key, _Said(True, starts_at, now, severity))
        alert = Alert(
            fingerprint=key[1],
            status="firing",
            labels=named | {"severity": severity},
            starts_at=starts_at,
            annotations={"summary": summary},
            source=SOURCE,
        )
        log.error("alarm_raised", shard=shard, alarm=name, summary=summary, labels=dict(labels))
        await self._say(shard, alert, now)

    async def clear(self, shard: str, name: str, labels: Sequence[tuple[str, str]] = ()) -> None:
        """The alarm is over. Said once, also when this process never raised it: its predecessor may have."""
        named = _named(name, labels)
        key, now = (shard, label_fingerprint(named)), self._clock.now()
        known = self._known.get(key)
        if known is not None and not known.firing:
            return
        severity = known.severity if known is not None else "critical"  # the gravest reaches whatever took it
        self._remember(key, _Said(False, now, now, severity))
        alert = Alert(
            fingerprint=key[1],
            status="resolved",
            labels=named | {"severity": severity},
            starts_at=max(now, known.starts_at) if known is not None else now,
            ends_at=now,
            source=SOURCE,
        )
        if known is not None:
            log.info("alarm_cleared", shard=shard, alarm=name, labels=dict(labels))
        await self._say(shard, alert, now)

    async def run(self) -> None:
        """Say what a predecessor could not, then try again what the store did not take, for ever."""
        await self._recall()
        while True:
            await self._waiting.wait()
            if not await self._retry():
                await asyncio.sleep(self._retry_seconds)

    async def _retry(self) -> bool:
        """One round over what is kept, in order; whether all of it is stored now."""
        for name, (shard, entry) in list(self._unsaid.items()):
            if not await self._append(shard, entry):
                return False
            self._unsaid.pop(name, None)
        if not self._unsaid:
            self._waiting.clear()
            async with self._writing:  # whoever has one to keep meanwhile writes it afterwards
                if self._file is not None and not self._unsaid:
                    await self._on_disk(self._file.forget)
        return True

    async def _recall(self) -> None:
        if self._file is None:
            return
        try:
            left = await asyncio.to_thread(self._file.kept)
        except StoreError as error:
            log.critical("kept_alarms_unreadable", problem=str(error))
            return
        self._unsaid = {entry.id: (shard, entry) for shard, entry in left[-MAX_UNSAID:]} | self._unsaid
        if self._unsaid:
            self._waiting.set()

    async def _keep(self, shard: str, entry: AlertsReceived) -> None:
        async with self._writing:
            if self._file is not None and entry.id in self._unsaid:
                await self._on_disk(partial(self._file.keep, shard, entry))

    async def _on_disk(self, write: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(write)
        except StoreError as error:
            log.critical("alarm_not_kept", problem=str(error))

    async def _say(self, shard: str, alert: Alert, now: Millis) -> None:
        entry = AlertsReceived(
            id=f"{SOURCE}:{shard}:{alert.fingerprint}:{alert.starts_at}:{alert.status}:{now}",
            at=now,
            source=SOURCE,
            receiver="",
            alerts=(alert,),
        )
        if not self._unsaid and await self._append(shard, entry):  # in order: what waits is said first
            return
        if len(self._unsaid) >= MAX_UNSAID:
            log.critical("alarm_lost", shard=shard, alarm=alert.name, kept=MAX_UNSAID)
            return
        self._unsaid[entry.id] = (shard, entry)
        self._waiting.set()
        await self._keep(shard, entry)

    async def _append(self, shard: str, entry: AlertsReceived) -> bool:
        try:
            await self._store.append(shard, [entry])
        except StoreError as error:
            log.error("alarm_not_stored", shard=shard, alarm=entry.alerts[0].name, problem=str(error))
            return False
        return True

    def _remember(self, key: tuple[str, str], said: _Said) -> None:
        self._known.pop(key, None)
        self._known[key] = said
        if len(self._known) > MAX_REMEMBERED:
            self._known.pop(next(iter(self._known)))


def _named(name: str, labels: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The labels that identify an alarm; its severity may change without making it another one."""
    return {"alertname": name, SELF[0]: SELF[1], **dict(labels)}
