"""One pass of events through the machines: letters in, one commit out.

Called by `bot.engine.engine`, which supplies the records and commits the result. Within a pass the machines' `Tell`
effects are delivered at once, so an alert, its turn on the target and the grant are one commit (docs/adr/0001). The
pass is pure in its inputs: after a lost race the engine reads again and runs a new pass over the same letters.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from bot.core import early, incident_machine, source_machine, system_machine, target_machine
from bot.core.alert import Alert
from bot.core.audit import link
from bot.core.effects import OutboxEffect, RaiseAlert, Tell
from bot.core.events import AlertFired, Event, IntentDeclared
from bot.core.ids import incident_id
from bot.core.incident import Incident
from bot.core.orders import StepOrdered
from bot.core.record import Decision, Denied, Ignored, Transition
from bot.core.source import Source
from bot.core.target import Target
from bot.core.words import SYSTEM_TARGET, AggregateId, JsonText, Millis
from bot.engine.explain import EventText, body, effect_line, event_line
from bot.engine.ports import Change, Commit, KeyClaim, Record, Versioned

# Letters one letter may cause: a plan needs five, a freeze answers all of `MAX_QUEUE`; a loop shows as an error.
MAX_CASCADE = 256


@dataclass(frozen=True, slots=True)
class Letter:
    """An event for an aggregate: by id, or (alerts) by incident key, which the pass turns into an id."""

    event: Event
    to: AggregateId = ""
    key: str = ""
    group: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Working:
    """One aggregate during a pass."""

    base: Versioned | None
    record: Record
    events: list[JsonText] = field(default_factory=list)
    effects: list[JsonText] = field(default_factory=list)


class Shelf(Protocol):
    """Where a pass gets records and keys from: `bot.engine.shelf` over the store."""

    async def load(self, aggregate: AggregateId) -> Versioned | None: ...

    async def resolve(self, key: str) -> AggregateId | None: ...


Matching = Callable[[Alert, Millis], Iterable[Letter]]  # an alert, matched: a letter for each incident it belongs to


class Pass:
    """Folds letters one after another; `commit` then holds everything to be written.

    `matching` finds where an alert belongs that a source raises within the pass.
    """

    def __init__(self, shard: str, shelf: Shelf, text: EventText, now: Millis, matching: Matching) -> None:
        self._shard = shard
        self._shelf = shelf
        self._text = text
        self._now = now
        self._matching = matching
        self._working: dict[AggregateId, Working] = {}
        self._keys: dict[str, AggregateId | None] = {}
        self._claims: dict[str, KeyClaim] = {}
        self._unopened: dict[str, AggregateId | None] = {}  # keys without an open incident, if that decided
        self._post: deque[Letter] = deque()
        self._effects: list[OutboxEffect] = []
        self._delivered = 0
        self._intends = False
        self.decisions: dict[str, Decision] = {}  # event id -> the last word on it

    async def deliver(self, letter: Letter) -> None:
        """Fold one letter; what the machines tell each other because of it waits until `settle`."""
        self._post.extend(await self._take(letter))
        self._delivered += 1

    async def settle(self) -> None:
        """Fold what the machines tell each other, to the end.

        After all letters: an incident asks for its turn with every alert of the batch, not only with the first.
        """
        for _ in range(MAX_CASCADE * self._delivered):
            if not self._post:
                return
            self._post.extend(await self._take(self._post.popleft()))
        if self._post:
            raise AssertionError(f"{self._delivered} letters caused more than {MAX_CASCADE} each")

    def commit(self, inbox_acks: tuple[str, ...] = (), outbox_acks: tuple[str, ...] = ()) -> Commit:
        """Everything this pass changed, as one commit."""
        changed = {aggregate: working for aggregate, working in self._working.items() if working.events}
        seen = {aggregate: working for aggregate, working in self._working.items() if not working.events}
        untouched = {claim.incident for claim in self._claims.values()} - changed.keys()
        return Commit(
            changes=tuple(self._change(working) for working in changed.values()),
            claims=tuple(claim for claim in self._claims.values() if claim.incident in changed),
            seen=tuple(_seen(a, w.base) for a, w in seen.items() if a not in untouched),
            pointers=tuple((key, to) for key, to in self._unopened.items() if key not in self._claims),
            effects=tuple(self._effects),
            inbox_acks=inbox_acks,
            outbox_acks=outbox_acks,
            intends=self._intends,
        )

    async def _take(self, letter: Letter) -> list[Letter]:
        address = letter.to or await self._address(letter)
        if not address:
            self.decisions[letter.event.id] = Ignored("no incident is open for it")
            return []
        return await self._fold(address, letter.event)

    async def _address(self, letter: Letter) -> AggregateId:
        """The incident a key stands for; a firing alert opens a new one where none is open."""
        if letter.key not in self._keys:
            self._keys[letter.key] = await self._shelf.resolve(letter.key)
        current = self._keys[letter.key]
        if current is not None:
            record = (await self._open(current)).record
            if isinstance(record, Incident) and record.status != "closed" and record.key == letter.key:
                return current
        if not isinstance(letter.event, AlertFired):
            self._unopened[letter.key] = current
            return ""
        # The previous incident's id is part of the new one's: the same firing may come back after a close.
        fresh = incident_id(self._shard, letter.key, f"{letter.event.id}|{current or ''}")
        expected = self._claims[letter.key].expected if letter.key in self._claims else current
        self._claims[letter.key] = KeyClaim(letter.key, expected, fresh)
        self._keys[letter.key] = fresh
        opened = Incident(id=fresh, key=letter.key, system=self._shard, group=dict(letter.group))
        self._working[fresh] = Working(None, opened)
        return fresh

    async def _open(self, aggregate: AggregateId) -> Working:
        if aggregate not in self._working:
            base = await self._shelf.load(aggregate)
            if base is not None:
                self._working[aggregate] = Working(base, base.record)
            elif aggregate.startswith("target:"):
                self._working[aggregate] = Working(None, Target(id=aggregate, system=self._shard))
            elif aggregate.startswith("source:"):
                self._working[aggregate] = Working(None, Source(id=aggregate, system=self._shard))
            else:
                self._working[aggregate] = Working(None, Incident(id=aggregate, key="", system=self._shard))
        return self._working[aggregate]

    async def _fold(self, to: AggregateId, event: Event) -> list[Letter]:
        working = await self._open(to)
        if isinstance(working.record, Incident) and not working.record.key:
            if not isinstance(event, StepOrdered):
                self.decisions[event.id] = Denied(f"there is no incident {to}")
                return []
            working.record = replace(working.record, key=event.key)
        transition = fold_one(working.record, event, self._now)
        self.decisions[event.id] = transition.decision
        if isinstance(transition.decision, Ignored):
            return []
        self._intends = self._intends or isinstance(event, IntentDeclared)
        working.record = transition.record
        working.events.append(event_line(self._text(event), transition.decision))
        letters: list[Letter] = []
        for effect in transition.effects:
            if isinstance(effect, Tell):
                letters.append(Letter(effect.event, to=effect.to))
            elif isinstance(effect, RaiseAlert):
                found = list(self._matching(effect.alert, effect.at))
                letters.extend(found)
                self._delivered += len(found)  # each may cause as much as one that came by itself
            else:
                self._effects.append(effect)
                working.effects.append(effect_line(effect))
        return letters

    def _change(self, working: Working) -> Change:
        base = working.base
        version, head = (0, "") if base is None else (base.version, base.head)
        before = {} if base is None else {n: (t.due, t.token) for n, t in base.record.timers.items()}
        audit = link(head, version + 1, body(working.record, self._now, working.events, working.effects))
        return Change(record=working.record, expected=version, audit=audit, timers_before=before)


def _seen(aggregate: AggregateId, base: Versioned | None) -> tuple[AggregateId, int, str]:
    return (aggregate, 0, "") if base is None else (aggregate, base.version, base.head)


def fold_one(
    record: Record, event: Event, now: Millis
) -> Transition[Incident] | Transition[Target] | Transition[Source]:
    """One event through the machine its record belongs to. An event of the wrong kind is ignored with a reason."""
    if isinstance(record, Incident):
        return early.put_back(record, event, now) or incident_machine.step(record, event, now)  # type: ignore[arg-type]  # total
    if isinstance(record, Source):
        return early.put_back(record, event, now) or source_machine.step(record, event, now)  # type: ignore[arg-type]  # total
    if record.id == SYSTEM_TARGET:
        return early.put_back(record, event, now) or system_machine.step(record, event, now)  # type: ignore[arg-type]  # total
    return early.put_back(record, event, now) or target_machine.step(record, event, now)  # type: ignore[arg-type]  # total
