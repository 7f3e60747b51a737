"""The promise to act: was it given before, give it, and may it still be kept? (law 2)

Asked by `bot.engine.activity` around every send. An intent is durable in two places before the first byte leaves: in
the store, through the same compare-and-set as everything else, and in the local journal. Nothing is declared, or sent
after it was declared, while the kill switch is engaged or the store has forgotten what it had acknowledged; and nothing
is declared for an incident that somebody has in hand, or that has moved on since the step was handed out (law 8).
"""

from __future__ import annotations

import asyncio

from bot.core.effects import RunStep
from bot.core.events import IntentDeclared
from bot.core.incident import Incident
from bot.core.record import Applied
from bot.core.target import Target
from bot.core.words import SYSTEM_TARGET, Millis, target_id
from bot.engine.action_ports import Proceed
from bot.engine.judge import Hands
from bot.errors import AndonError, StoreUnavailable

DECLARE_SECONDS = 5.0  # from declaring an intent to its first byte; past this it is never sent
INTENT_DEADLINE_MS: Millis = 20_000  # an intent older than this is not recorded either


class TakenElsewhere(AndonError):
    """Another worker has declared this attempt: its outcome counts, and this delivery is left to it."""


class Promise:
    """The intent of one run of one step."""

    def __init__(self, hands: Hands, shard: str, effect: RunStep) -> None:
        self._hands = hands
        self._shard = shard
        self._effect = effect
        self._step = effect.step

    async def declare(self, proceed: Proceed, attempt: int) -> str:
        """Give it. Returns why nothing may be sent, or "". Raises as `_make`, and StoreUnavailable, TakenElsewhere."""
        return self._stopped() or await self._given_up() or await self._make(proceed, attempt) or self._stopped()

    async def earlier(self) -> IntentDeclared | None:
        """The intent an earlier delivery of this effect declared, if it died in between.

        Of an intent that the store had forgotten, the incident's second life cannot know which of its runs declared it:
        any of the same incident, episode and step is this one's.
        """
        aggregate = target_id(self._step.component) if self._step.component else SYSTEM_TARGET
        stored = (await self._hands.engine.store.load(self._shard, [aggregate])).get(aggregate)
        if stored is None or not isinstance(stored.record, Target):
            return None
        slot = stored.record.slot
        recalled, turn = stored.record.recalled, (self._effect.incident, self._effect.episode, self._step.id)
        declared = (slot.intent if slot is not None else None, *stored.record.loose, *recalled)
        mine = [i for i in declared if i is not None and i.intent == self._effect.id]
        same = [i for i in recalled if (i.incident, i.episode, i.step) == turn]
        return next(iter(mine or same[-1:]), None)

    def _stopped(self) -> str:
        """Why nothing at all may be sent now, or "": the kill switch, or a store that has forgotten something."""
        return self._hands.journal.killed() or self._hands.engine.store.marks.lost(self._shard)

    async def _given_up(self) -> str:
        """Why the incident does not want this run any more, or ""."""
        stored = (await self._hands.engine.store.load(self._shard, [self._effect.incident])).get(self._effect.incident)
        if stored is None or not isinstance(stored.record, Incident):
            return "its incident is gone"
        incident = stored.record
        if incident.taken_by:
            return f"{incident.taken_by} has it"
        given_up = "" if incident.run == self._effect.id else "the incident has given this turn up"
        return incident.parent_over or given_up

    async def in_doubt(self) -> bool:
        """Whether the store has forgotten something: then nobody knows whether this step was sent in its first life."""
        if self._hands.engine.store.marks.lost(self._shard):
            return True
        stored = (await self._hands.engine.store.load(self._shard, [SYSTEM_TARGET])).get(SYSTEM_TARGET)
        return stored is not None and isinstance(stored.record, Target) and bool(stored.record.doubts)

    async def _make(self, proceed: Proceed, attempt: int) -> str:
        """Make the intent durable in the store and in the journal. Returns why it must not be sent, or "".

        Raises StoreUnconfirmed and TimeoutError: it is declared perhaps, and not safely enough to be sent.
        """
        engine, effect, step = self._hands.engine, self._effect, self._step
        now = engine.clock.now()
        intent = IntentDeclared(
            id=f"{effect.id}/{attempt}", at=now, intent=effect.id, incident=effect.incident, episode=effect.episode,
            step=step.id, action=step.action, target=target_id(step.component) if step.component else SYSTEM_TARGET,
            policy=effect.plan.policy, policy_hash=effect.plan.policy_hash, arguments=proceed.arguments,
            before=proceed.before, direction=step.direction, delivery=step.delivery, fence=effect.fence,
            attempt=attempt, deadline=self._deadline(now), budget=self._hands.budget,
            approval=effect.approval.id if effect.approval is not None else "", ordered=bool(effect.ordered_by),
        )  # fmt: skip
        async with asyncio.timeout(DECLARE_SECONDS):
            decision, journalled = await asyncio.gather(
                engine.tell(self._shard, SYSTEM_TARGET, intent), self._journal(intent)
            )
        if isinstance(decision, Applied):
            return journalled
        other = await self.earlier()
        if other is not None and other.attempt >= attempt:
            raise TakenElsewhere(f"attempt {other.attempt} of {effect.id} is another worker's")
        return decision.reason

    def _deadline(self, now: Millis) -> Millis:
        until = self._effect.until
        return min(now + INTENT_DEADLINE_MS, until) if until else now + INTENT_DEADLINE_MS

    async def _journal(self, intent: IntentDeclared) -> str:
        """The second place where the intent is durable. Returns why it is not, or ""."""
        try:
            await self._hands.journal.intend(intent, self._shard)
        except StoreUnavailable as error:
            return f"the local journal cannot be written: {error}"
        return ""
