"""The store compared with what it acknowledged: noticed, stopped, put right from the journal, and told (law 2).

Made by the composition root, which calls `begin` at start and `run` beside the engine. Two things are compared:

* the counts of `bot.engine.high_water`: when the store stands below what it acknowledged to this replica, its shard is
  stopped (`WritesLost` to its `*`, which every replica obeys, and which names all that were at work lately). It goes on
  when each of them has said `WritesReconciled`, which it does once
* every intent that this replica's journal holds is known to its target's record. One that the store has forgotten is
  told again (`IntentRecalled`): its step, should it be run again, then finds that it was declared, so a `once` action
  is looked at and never sent a second time. At start this is done for intents without an outcome, lost writes or not.

What else was forgotten comes back by itself: senders repeat their alerts, and `bot.engine.antientropy` asks for them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Literal

import structlog

from bot.core.intents import IntentRecalled, WritesLost, WritesReconciled
from bot.core.target import REMEMBERED_MS, Target
from bot.core.words import SYSTEM_TARGET, AggregateId, Millis
from bot.engine.engine import Engine
from bot.engine.high_water import Loss, Mark
from bot.engine.ports import Journal, Recollection, Remembered
from bot.errors import RecordForged, StoreError, StoreNewer

LOOK_SECONDS: Final = 1.0  # how often an idle replica asks whether the store remembers
NOTE_SECONDS: Final = 2.0  # how old the journal's marks may be: a write forgotten together with a crash in between
ATTEND_SECONDS: Final = 5.0  # how often a replica says that it is at work, and looks whether `*` waits for it
LATELY_SECONDS: Final = 120.0  # who was at work since may have intents in its journal that others would run again

log = structlog.get_logger(__name__)


class Reconciler:
    """Watches every shard of one replica."""

    def __init__(self, engine: Engine, journal: Journal, *, replica: str) -> None:
        self._engine = engine
        self._journal = journal
        self._marks = engine.store.marks
        self._replica = replica
        self._noted: dict[str, Mark] = {}
        self._told: dict[str, Loss] = {}  # losses that `*` knows of
        self._heard: dict[tuple[str, str], tuple[Millis, float]] = {}  # what each replica said last, and when we heard

    async def begin(self) -> None:
        """Before anything is written: what the journal remembers. Raises StoreUnavailable."""
        found = await self._journal.recollect()
        self._marks.restore(found.marks)
        self._noted = dict(found.marks)
        open_ones = Recollection(tuple(each for each in found.intents if each.outcome == "open"))
        for shard in self._engine.shards:
            try:
                await self._look(shard)
                await self._fences(shard, found)
                if not self._marks.lost(shard):
                    await self._recall(shard, open_ones)
            except StoreNewer as error:  # the others go on
                log.warning("left_to_newer", shard=shard, doing="compare the journal", why=str(error))
            except RecordForged as error:  # the others go on; `bot.engine.custody` tells people
                self._marks.forgot(shard, f"cannot read what {shard} has in the store ({error})")

    async def _fences(self, shard: str, journal: Recollection) -> None:
        """A component's fence only grows, and a turn that has sent something knows it: a record that stands before the
        newest action that the journal saw to its end was forgotten, or put back from a copy.
        """
        newest: dict[AggregateId, int] = {}
        for each in journal.intents:
            ours = each.system == shard and each.intent.target != SYSTEM_TARGET
            is_told = each.intent.at >= self._engine.clock.now() - REMEMBERED_MS  # older ones are not told again
            if ours and is_told and each.outcome != "open":
                newest[each.intent.target] = max(newest.get(each.intent.target, 0), each.intent.fence)
        known = await self._engine.store.load(shard, sorted(newest))
        for target, fence in newest.items():
            stored = known.get(target)
            record = stored.record if stored is not None and isinstance(stored.record, Target) else None
            slot = record.slot if record is not None else None
            before = record is None or record.fence < fence
            if before or (slot is not None and slot.fence == fence and slot.intent is None):
                stands = f"at fence {record.fence}" if record is not None else "nowhere"
                why = f"the store has {target} {stands}, before what the journal saw sent under fence {fence}"
                self._marks.forgot(shard, f"{why}: run `andon audit verify`")

    async def run(self) -> None:
        """Look, note and put right, until cancelled."""
        clock = asyncio.get_running_loop().time
        noted_at, attended_at = clock(), float("-inf")
        while True:
            attends = clock() - attended_at >= ATTEND_SECONDS
            for shard in self._engine.shards:
                with suppress(StoreError):  # it is away; the engine's loops say so
                    await self._look(shard)
                    if attends:
                        attended_at = clock()
                        await self._obey(shard)
                        await self._others(shard)
            for shard, loss in self._marks.losses().items():
                try:
                    await self._put_right(shard, loss)
                except StoreError as error:
                    log.warning("store_unavailable", shard=shard, loop="reconcile", error=str(error))
            if clock() - noted_at >= NOTE_SECONDS:
                await self._note()
                noted_at = clock()
            await self._marks.noticed(LOOK_SECONDS)

    async def _look(self, shard: str) -> None:
        before = self._marks.before(shard)
        self._marks.saw(shard, before, await self._engine.store.mark(shard), wrote=False)

    async def _obey(self, shard: str) -> None:
        """Compare as well when `*` waits for this replica: another found the loss, or a predecessor did not end."""
        if self._marks.lost(shard):
            return
        stored = (await self._engine.store.load(shard, [SYSTEM_TARGET])).get(SYSTEM_TARGET)
        doubt = stored.record.doubts.get(self._replica) if stored and isinstance(stored.record, Target) else None
        if doubt is not None:
            self._marks.forgot(shard, doubt.why)
            self._told[shard] = self._marks.losses()[shard]  # told anew, it would put everybody else in doubt again

    async def _others(self, shard: str) -> tuple[str, ...]:
        """Say that this replica is at work; returns who else was lately, also if the store has forgotten that.

        Clocks differ, so what counts is when a replica was heard to say something new.
        """
        now, heard = asyncio.get_running_loop().time(), self._heard
        wall = self._engine.clock.now()
        for who, at in (await self._engine.store.attend(shard, wall)).items():
            known = heard.get((shard, who))
            if known is None:
                heard[shard, who] = (at, now - max(0, wall - at) / 1_000)
            elif known[0] != at:
                heard[shard, who] = (at, now)
        recent = now - LATELY_SECONDS
        self._heard = {name: said for name, said in heard.items() if said[1] >= recent}
        return tuple(sorted(who for place, who in self._heard if place == shard and who != self._replica))

    async def _note(self) -> None:
        marks = self._marks.marks()
        if marks == self._noted:
            return
        try:
            await self._journal.note(marks)
            self._noted = marks
        except StoreError as error:
            log.warning("journal_unavailable", what="marks", error=str(error))

    async def _put_right(self, shard: str, loss: Loss) -> None:
        """Stop the shard, tell it what this replica's journal remembers, and let it go on."""
        now, name = self._engine.clock.now(), f"{self._replica}:{loss.expected.own}:{loss.found.own}"
        if self._told.get(shard) != loss:
            log.critical("writes_lost", shard=shard, why=loss.why)
            others = await self._others(shard)
            lost = WritesLost(id=f"lost:{name}:{now}", at=now, by=self._replica, why=loss.why, others=others)
            await self._engine.tell(shard, SYSTEM_TARGET, lost)
            self._told[shard] = loss
        told = await self._recall(shard, await self._journal.recollect())
        why = f"{told} intents were told again" if told else "it knows every intent of the journal"
        back = WritesReconciled(id=f"back:{name}:{now}", at=self._engine.clock.now(), by=self._replica, why=why)
        await self._engine.tell(shard, SYSTEM_TARGET, back)
        self._marks.settled(shard, loss)

    async def _recall(self, shard: str, journal: Recollection) -> int:
        """Tell the store every intent of this shard that it does not know; returns how many."""
        oldest = self._engine.clock.now() - REMEMBERED_MS
        mine = [each for each in journal.intents if each.system == shard and each.intent.at >= oldest]
        told = 0
        for target in sorted({each.intent.target for each in mine}):
            declared = [each for each in mine if each.intent.target == target]
            known = await self._known(shard, target, declared)
            for each in declared:
                if known.get(each.intent.intent, 0) >= each.intent.attempt:
                    continue
                log.error("intent_recalled", shard=shard, intent=each.intent.intent, outcome=each.outcome)
                await self._engine.tell(shard, SYSTEM_TARGET, self._recalled(each.intent.intent, each))
                told += 1
        return told

    def _recalled(self, name: str, remembered: Remembered) -> IntentRecalled:
        return IntentRecalled(
            id=f"recalled:{name}/{remembered.intent.attempt}", at=self._engine.clock.now(), by=self._replica,
            intent=remembered.intent, outcome=remembered.outcome,
        )  # fmt: skip

    async def _known(self, shard: str, target: AggregateId, asked: Sequence[Remembered]) -> dict[str, int]:
        """The highest attempt of each intent that the target's record or chain knows."""
        names = {each.intent.intent for each in asked}
        known: dict[str, int] = {}
        stored = (await self._engine.store.load(shard, [target])).get(target)
        if stored is not None and isinstance(stored.record, Target):
            slot = stored.record.slot
            for intent in (slot.intent if slot is not None else None, *stored.record.loose, *stored.record.recalled):
                if intent is not None:
                    known[intent.intent] = max(known.get(intent.intent, 0), intent.attempt)
        if names <= known.keys():
            return known
        for link in await self._engine.store.audit(shard, target):
            for name, attempt in _declared(link.body):
                known[name] = max(known.get(name, 0), attempt)
        return known


def _declared(body: str) -> list[tuple[str, int]]:
    """(intent, attempt) of every intent that this link of a target's chain took in."""
    kinds: tuple[Literal["intent_declared"], Literal["intent_recalled"]] = ("intent_declared", "intent_recalled")
    if not any(kind in body for kind in kinds):
        return []
    found: list[tuple[str, int]] = []
    for line in json.loads(body)["events"]:
        event = line["event"]
        if line["decision"] == "applied" and event["kind"] in kinds:
            intent = event if event["kind"] == "intent_declared" else event["intent"]
            found.append((intent["intent"], intent["attempt"]))
    return found
