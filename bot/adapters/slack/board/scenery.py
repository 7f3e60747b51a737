"""What there is to show: a brief of every incident that is open or still on the board, and the lines that wait.

Kept by `board` on the replica that leads it: what was nudged is read again, and a sweep over all open incidents finds
what no nudge told. Holds no records: a picture is drawn of what the store says at that moment (`sight`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import structlog

from bot.adapters.slack.board.channels import Channels
from bot.adapters.slack.board.jobs import Subject
from bot.adapters.slack.board.outcomes import Outcomes
from bot.adapters.slack.board.shelf import Line, Placed, Shelf, card_name, incident_of, question_name, read_subject
from bot.adapters.slack.board.sights import Brief, Drawing, Sight, look_of
from bot.adapters.slack.cards.phrases import what_fires
from bot.adapters.slack.cards.text import TIMELESS
from bot.core.incident import Incident
from bot.core.words import AggregateId
from bot.engine.ports import Store
from bot.errors import AndonError, RecordForged

PER_LOOK: Final = 200  # records read again before a round, in one go; the rest at the next
MAX_OPEN: Final = 10_000  # open incidents of one system on the board
PER_READ: Final = 500  # lines of one read; all that wait are in hand, `shelf.MAX_LINES` at most

log = structlog.get_logger(__name__)


class Scenery:
    """The leader's picture of all systems. `places` is the placer's, shared."""

    def __init__(
        self, *, store: Store, shards: Sequence[str], shelf: Shelf, drawing: Drawing, channels: Channels,
        outcomes: Outcomes, links: Callable[[str], str], carded: Callable[[Subject], bool],
    ) -> None:  # fmt: skip
        self._store = store
        self._shards = shards
        self._shelf = shelf
        self._drawing = drawing
        self._channels = channels
        self._outcomes = outcomes
        self._links = links  # a message's address by its name; "" while it is not known
        self._carded = carded  # whether it has a card: of others nobody asks how they look
        self.briefs: dict[Subject, Brief] = {}
        self.lines: list[Line] = []
        self._read_to = ""  # the newest line in hand
        self._nudged: dict[Subject, None] = {}

    def is_pending(self, subject: Subject) -> bool:
        """Whether nothing is known of it yet: it waits to be read."""
        return subject in self._nudged and subject not in self.briefs

    @property
    def unseen(self) -> bool:
        """Whether records wait to be read again."""
        return bool(self._nudged)

    def forget(self) -> None:
        """Somebody else leads now."""
        self.briefs, self.lines, self._nudged, self._read_to = {}, [], {}, ""

    def nudge(self, names: Iterable[str]) -> None:
        """Read these again before the next round."""
        for name in names:
            subject = read_subject(name)
            if subject[0] in self._shards and subject[1].startswith("inc-"):
                self._nudged[subject] = None

    async def read_lines(self) -> None:
        """What waits to be said; and look at whom it is about. StoreUnavailable."""
        after = self._read_to
        while True:
            new = await self._shelf.lines(PER_READ, after)
            self.lines += new
            self._nudge_unknown((line.shard, line.incident) for line in new)
            if new:
                after = self._read_to = new[-1].delivery
            if len(new) < PER_READ:
                return

    async def sweep(self, places: Mapping[str, Placed], now: float) -> None:
        """Look at all that is open, and at all that is on the board and not over. StoreUnavailable.

        A channel that takes messages again, or has another id now, is a change too.
        """
        for shard in self._shards:
            try:
                found = await self._store.incidents(shard, closed=False, limit=MAX_OPEN)
            except RecordForged as error:
                log.error("slack_sweep_forged", shard=shard, problem=str(error))
                continue
            for line in found:
                brief = self.briefs.get((shard, line.incident.id))
                where = self._channel(line.incident, now)
                if brief is None or brief.version != line.version or brief.question or brief.channel != where:
                    self._nudged[(shard, line.incident.id)] = None
            there = {line.incident.id for line in found}
            self._nudged |= {  # closed meanwhile; what is known to be closed never changes
                s: None for s, brief in self.briefs.items() if s[0] == shard and s[1] not in there and not brief.closed
            }
        self._nudge_unknown(
            subject for name, one in places.items() if not one.over and (subject := incident_of(name)) is not None
        )

    def _nudge_unknown(self, subjects: Iterable[Subject]) -> None:
        for subject in subjects:
            if subject not in self.briefs and subject[0] in self._shards and subject[1].startswith("inc-"):
                self._nudged[subject] = None

    async def look(self, now: float) -> int:
        """Read again what was nudged, a bounded number at a time; how many were drawn. StoreUnavailable."""
        drawn = 0
        subjects = list(self._nudged)[:PER_LOOK]
        for subject in subjects:
            del self._nudged[subject]
        by_shard: dict[str, list[AggregateId]] = defaultdict(list)
        for shard, incident in subjects:
            by_shard[shard].append(incident)
        for shard, incidents in by_shard.items():
            for name, version, record in await self._load(shard, incidents):
                if record is None:
                    self.briefs.pop((shard, name), None)
                else:
                    await self._seen(shard, record, version, now)
                if (brief := self.briefs.get((shard, name))) is not None and brief.look:
                    drawn += 1
                    await asyncio.sleep(0)  # drawing takes a while, and others want the loop
        return drawn

    async def _seen(self, shard: str, incident: Incident, version: int, now: float) -> None:
        try:
            self._note(await self._sight(shard, incident), version, now)
        except AndonError:
            raise
        except Exception:  # supervision point: a record that cannot be drawn must not hide all the others
            log.exception("slack_drawing_failed", shard=shard, incident_id=incident.id)

    async def sight(self, subject: Subject, now: float) -> Sight | None:
        """The incident as the store has it now; its brief is brought up to date. None: it is not there (any more)."""
        shard, name = subject
        ((_, version, incident),) = await self._load(shard, [name])
        if incident is None:
            self.briefs.pop(subject, None)
            return None
        sight = await self._sight(shard, incident)
        self._note(sight, version, now)
        return sight

    async def _load(self, shard: str, names: list[AggregateId]) -> list[tuple[AggregateId, int, Incident | None]]:
        try:
            loaded = await self._store.load(shard, names)
        except RecordForged as error:
            if len(names) == 1:
                log.error("slack_record_forged", shard=shard, incident_id=names[0], problem=str(error))
                return [(names[0], 0, None)]
            return [one for name in names for one in await self._load(shard, [name])]
        found: list[tuple[AggregateId, int, Incident | None]] = []
        for name in names:
            versioned = loaded.get(name)
            record = versioned.record if versioned is not None else None
            version = versioned.version if versioned is not None else 0
            found.append((name, version, record if isinstance(record, Incident) else None))
        return found

    async def _sight(self, shard: str, incident: Incident) -> Sight:
        asked = incident.approval
        parent = self._links(card_name(shard, incident.parent)) if incident.parent else ""
        sight = Sight(shard=shard, incident=incident, parent=parent)
        if asked is None or incident.plan is None:
            return sight
        link = self._links(question_name(shard, incident.id, asked.id))
        past = await self._outcomes.of(shard, incident.plan.policy, incident.id)
        return replace(sight, link=link, outcomes=past, card=self._links(card_name(shard, incident.id)))

    def _channel(self, incident: Incident, now: float) -> str:
        return self._channels.of(incident.plan.channel if incident.plan is not None else "", now)

    def _note(self, sight: Sight, version: int, now: float) -> None:
        incident, shard = sight.incident, sight.shard
        plan, asked = incident.plan, incident.approval
        drawn = self._carded((shard, incident.id))
        self.briefs[(shard, incident.id)] = Brief(
            shard=shard, incident=incident.id, version=version,
            channel=self._channel(incident, now),
            policy=plan.policy if plan is not None else "", severity=incident.severity, status=incident.status,
            opened_at=incident.opened_at, ended=incident.status in ("resolved", "closed"),
            closed=incident.status == "closed",
            question=asked.id if asked is not None else "", what=what_fires(incident),
            look=look_of(self._drawing.card(sight, TIMELESS)) if drawn else "",
            question_look=look_of(self._drawing.question(sight, TIMELESS)) if drawn and asked is not None else "",
            facts=self._drawing.facts(sight) if drawn else "",
        )  # fmt: skip
