"""The engine: reads what came in, folds it, commits it; the only writer of records.

`absorb` takes inbox deliveries (called by `bot.engine.loop`), `tell` one event at once (called by dispatch, the API and
`bot.app`). Both go through `_commit`: fold in a pass, commit with compare-and-set, on a lost race fold again. The lock
per shard only saves lost races within this process; it decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, Literal

import structlog

from bot.core.alert import Alert
from bot.core.effects import PageOncall
from bot.core.events import Addressed, AlertFired, AlertResolved, AlertsReceived, Event
from bot.core.record import Decision, Ignored
from bot.core.source_events import SignOfLife
from bot.core.target_moves import ONCALL
from bot.core.words import SYSTEM_TARGET, AggregateId, Millis
from bot.engine.explain import EventText
from bot.engine.fold import Letter, Pass
from bot.engine.ports import Clock, Commit, Conflict, InboxDelivery, OutboxDelivery, Store, Telemetry
from bot.engine.shelf import ShardShelf
from bot.errors import StoreContended, StoreUnavailable
from policies.book import PolicyBook

MAX_RACES = 50  # lost races in a row before giving the batch back; more means something else is wrong
MAX_LETTERS = 512  # letters per commit: about 10 ms of fold, and one script stays well below Redis' slow-script limit
LETTERS_MS: Millis = 60_000  # dead letters of one queue closer together than this are one page
MAX_DELIVERIES = 20  # an entry that was in hand when the process died this often is taken for the cause
_NOTHING: Final = Commit()

log = structlog.get_logger(__name__)


class Engine:
    """Folds and commits. One per process; safe to use from many tasks."""

    def __init__(
        self,
        *,
        store: Store,
        book: PolicyBook,
        text: EventText,
        clock: Clock,
        telemetry: Telemetry,
        shards: Sequence[str],
        on_timer: Callable[[Millis], None] = lambda due: None,
        on_commit: Callable[[str, Sequence[AggregateId]], None] = lambda shard, changed: None,
    ) -> None:
        self.store = store
        self.book = book
        self.clock = clock
        self.shards = tuple(shards)
        self._text = text
        self._telemetry = telemetry
        self._on_timer = on_timer
        self._on_commit = on_commit
        self._shelves = {shard: ShardShelf(store, shard) for shard in shards}
        self._told: dict[tuple[str, str], Millis] = {}  # the minute of each queue's last page about dead letters
        self._turns = {shard: asyncio.Lock() for shard in shards}

    def on_timer(self, call: Callable[[Millis], None]) -> None:
        """Call this with the earliest due time of every commit that sets timers."""
        self._on_timer = call

    def on_commit(self, call: Callable[[str, Sequence[AggregateId]], None]) -> None:
        """Call this with the shard and the changed records of every commit of this replica; it returns at once."""
        self._on_commit = call

    async def tell(self, shard: str, to: AggregateId, event: Event, *, outbox_acks: tuple[str, ...] = ()) -> Decision:
        """Fold one event into one aggregate and commit. Returns the last word on the event. StoreUnavailable."""
        decisions = await self.tell_all(shard, [Letter(event, to=to)], outbox_acks=outbox_acks)
        return decisions.get(event.id, Ignored("nothing took it"))

    async def tell_all(
        self, shard: str, letters: Sequence[Letter], *, outbox_acks: tuple[str, ...] = ()
    ) -> dict[str, Decision]:
        """Fold several events in one commit. Returns the last word on each, by event id."""
        return await self._commit(shard, letters, (), outbox_acks)

    async def absorb(self, shard: str, deliveries: Sequence[InboxDelivery]) -> None:
        """Fold a batch of inbox entries; each is acknowledged with the commit of its last letter."""
        letters: list[Letter] = []
        acks: list[str] = []
        for delivery in deliveries:
            if delivery.entry is None:
                await self.set_aside(shard, delivery, delivery.problem or "unreadable")
                continue
            if delivery.deliveries > MAX_DELIVERIES:
                await self.set_aside(shard, delivery, f"failed {delivery.deliveries - 1} times")
                continue
            letters.extend(self._open(shard, delivery.entry))
            acks.append(delivery.delivery)
            # An entry larger than a commit is folded in several; its acknowledgement goes with the last.
            while len(letters) > MAX_LETTERS:
                await self._commit(shard, letters[:MAX_LETTERS], tuple(acks[:-1]), ())
                letters, acks = letters[MAX_LETTERS:], acks[-1:]
        if acks:
            await self._commit(shard, letters, tuple(acks), ())

    async def set_aside(self, shard: str, delivery: InboxDelivery | OutboxDelivery, reason: str) -> None:
        """Dead-letter a delivery and page: what was accepted is never lost in silence (law 1).

        The page comes first, and stands for all of its queue's letters of that minute: a flood is one thing to tell.
        """
        queue: Literal["inbox", "outbox"] = "inbox" if isinstance(delivery, InboxDelivery) else "outbox"
        minute = self.clock.now() // LETTERS_MS
        if self._told.get((shard, queue)) != minute:
            page = PageOncall(
                id=f"dead-letter/{queue}/{delivery.delivery}",
                incident=SYSTEM_TARGET,
                service=ONCALL,
                severity="error",
                dedup_key=f"{shard}:dead-letter:{queue}:{minute}",
                summary=f"{shard}: an entry of the {queue} could not be handled and was set aside ({reason}); "
                "`andon dead-letters` lists it, and any others of this minute",
            )
            await self.store.commit(shard, Commit(effects=(page,)))
            self._told[shard, queue] = minute
        await self.store.dead_letter(shard, queue, delivery.delivery, delivery.raw, reason)
        self._telemetry.dead_lettered(shard)
        log.error("set_aside", shard=shard, queue=queue, delivery=delivery.delivery, reason=reason)

    def _open(self, shard: str, entry: AlertsReceived | Addressed) -> Iterable[Letter]:
        """The letters in one inbox entry; alerts are matched to policies here, just before the fold."""
        if isinstance(entry, Addressed):
            yield Letter(entry.event, to=entry.to)
            return
        for alert in entry.alerts:
            yield from self._match(shard, alert, entry.at)

    def _match(self, shard: str, alert: Alert, at: Millis) -> Iterable[Letter]:
        """A letter for each incident the alert belongs to; to the watch that waits for it, if it is a sign of life."""
        watch = self.book.watch(shard, alert)
        if watch:
            if alert.status == "firing":
                yield Letter(SignOfLife(id=f"{watch}:{at}", at=at), to=watch)
            return
        matches = self.book.match(shard, alert)
        if not matches:
            self._telemetry.folded(shard, "unmatched", 1)
        for match in matches:
            event_id = f"{alert.fingerprint}:{alert.starts_at}:{alert.status}"
            event = (
                AlertFired(id=event_id, at=at, alert=alert, plan=match.plan)
                if alert.status == "firing"
                else AlertResolved(id=event_id, at=at, alert=alert)
            )
            yield Letter(event, key=match.key, group=match.group)

    async def _commit(
        self, shard: str, letters: Sequence[Letter], inbox_acks: tuple[str, ...], outbox_acks: tuple[str, ...]
    ) -> dict[str, Decision]:
        shelf = self._shelves[shard]
        clock = asyncio.get_running_loop().time
        async with self._turns[shard]:
            for _ in range(MAX_RACES):
                started = clock()
                await shelf.prefetch(
                    {letter.to for letter in letters if letter.to}, {letter.key for letter in letters if letter.key}
                )
                folding = Pass(shard, shelf, self._text, self.clock.now(), partial(self._match, shard))
                for letter in letters:
                    await folding.deliver(letter)
                await folding.settle()
                commit = folding.commit(inbox_acks, outbox_acks)
                try:
                    outcome = await self._write(shard, commit)
                except StoreUnavailable:
                    shelf.forget()  # the write may have happened; only the store knows
                    raise
                if isinstance(outcome, Conflict):
                    self._telemetry.conflicted(shard)
                    shelf.drop(outcome.stale)
                    continue
                shelf.committed(commit)
                self._report(shard, commit, folding.decisions, clock() - started)
                return folding.decisions
        shelf.forget()
        raise StoreContended(f"{shard}: lost {MAX_RACES} races for the same records in a row")

    async def _write(self, shard: str, commit: Commit) -> object:
        if commit == _NOTHING:
            return None  # only copies of what is known: nothing to write
        return await self.store.commit(shard, commit)

    def _report(self, shard: str, commit: Commit, decisions: dict[str, Decision], seconds: float) -> None:
        counts: dict[str, int] = {}
        for decision in decisions.values():
            word = type(decision).__name__.lower()
            counts[word] = counts.get(word, 0) + 1
        for word, count in counts.items():
            self._telemetry.folded(shard, word, count)
        self._telemetry.committed(shard, seconds, len(decisions))
        due = [timer.due for change in commit.changes for timer in change.record.timers.values()]
        if due:
            self._on_timer(min(due))
        if commit.changes:
            self._on_commit(shard, [change.record.id for change in commit.changes])
