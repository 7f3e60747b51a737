"""Outbox in, the world moved, outcomes back as events.

Run by `bot.engine.runtime`, one per shard. Activities (steps, diagnoses, observations) run side by side, bounded; words
for people (chat, pager) go out one after another, in order, and are confirmed in one commit per batch. An effect is
acknowledged in the same commit that folds its outcome, so a crash in between delivers it again; what that means for an
action is `bot.engine.activity`'s law, and for a page the dedup key's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from bot.core.effects import (
    ObserveEvidence,
    OutboxEffect,
    PageOncall,
    PostMessage,
    ResolvePage,
    RunDiagnosis,
    RunStep,
)
from bot.core.events import DiagnosisFound, EvidenceObserved, MessageDelivered, StepNotSent, StepSucceeded, StepUnknown
from bot.engine.action_ports import ActionContext
from bot.engine.activity import Activity, Hands, Outcome
from bot.engine.fold import Letter
from bot.engine.loop import BACKOFF_SECONDS, BLOCK_MS, Heartbeat
from bot.engine.ports import OutboxDelivery, Pager, Telemetry
from bot.errors import AndonError, DeliveryError, StoreError, StoreUnavailable
from policies import expressions, rendering

MAX_ACTIVITIES = 64  # at once per shard; each holds a connection or two to a trading system
MAX_WORDS = 1_024  # messages waiting for chat and pager in this process; the outbox holds the rest
WORDS_PER_COMMIT = 128
READ_BATCH = 64
DIAGNOSIS_SECONDS = 5.0
CHAT_TRIES = 3  # then the message is given up and the audit says so; the pager is never given up
FINDING_CHARACTERS = 2_000  # of a diagnosis kept in the record

log = structlog.get_logger(__name__)

Words = PageOncall | ResolvePage | PostMessage


class Dispatch:
    """Performs one shard's effects."""

    def __init__(self, hands: Hands, pager: Pager, telemetry: Telemetry, shard: str, heartbeat: Heartbeat) -> None:
        self._hands = hands
        self._pager_port = pager
        self._telemetry = telemetry
        self._shard = shard
        self._heartbeat = heartbeat
        self._room = asyncio.Semaphore(MAX_ACTIVITIES)
        self._chat: asyncio.Queue[OutboxDelivery] = asyncio.Queue(MAX_WORDS)
        self._pager: asyncio.Queue[OutboxDelivery] = asyncio.Queue(MAX_WORDS)  # apart: chat must never delay a page
        self._under_way: set[str] = set()  # deliveries in hand, so that a reclaim does not start them twice
        self._idle = asyncio.Event()
        self._idle.set()

    async def read_forever(self, tasks: asyncio.TaskGroup) -> None:
        """Read the outbox and start what it holds, until cancelled."""
        failures = 0
        while True:
            try:
                deliveries = await self._hands.engine.store.read_outbox(self._shard, READ_BATCH, BLOCK_MS)
                self._heartbeat.beat(f"outbox:{self._shard}")
                await self.take(deliveries, tasks)
                failures = 0
            except StoreError as error:
                log.warning("store_unavailable", shard=self._shard, loop="outbox", error=str(error))
                await asyncio.sleep(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])
                failures += 1

    async def chat_forever(self) -> None:
        """Post to chat, in order, until cancelled."""
        await self._speak_forever(self._chat)

    async def page_forever(self) -> None:
        """Page and take pages back, in order, until cancelled."""
        await self._speak_forever(self._pager)

    async def drained(self) -> None:
        """Returns when nothing is under way."""
        await self._idle.wait()

    async def take(self, deliveries: Sequence[OutboxDelivery], tasks: asyncio.TaskGroup) -> None:
        """Start what was delivered; waits when too much is under way already."""
        for delivery in deliveries:
            if delivery.delivery in self._under_way:
                continue
            effect = delivery.effect
            if effect is None:
                await self._hands.engine.set_aside(self._shard, delivery, delivery.problem or "unreadable")
                continue
            self._under_way.add(delivery.delivery)
            self._idle.clear()
            if isinstance(effect, PostMessage):
                await self._chat.put(delivery)
            elif isinstance(effect, PageOncall | ResolvePage):
                await self._pager.put(delivery)
            else:
                await self._room.acquire()
                tasks.create_task(self._perform(delivery, effect))

    def _done(self, *deliveries: OutboxDelivery) -> None:
        self._under_way.difference_update(delivery.delivery for delivery in deliveries)
        if not self._under_way:
            self._idle.set()

    # --- activities -----------------------------------------------------------------------------------------------

    async def _perform(self, delivery: OutboxDelivery, effect: RunStep | RunDiagnosis | ObserveEvidence) -> None:
        clock = asyncio.get_running_loop().time
        started = clock()
        outcome = "error"
        try:
            event = await self._outcome(effect)
            await self._hands.engine.tell(self._shard, effect.incident, event, outbox_acks=(delivery.delivery,))
            outcome = event.kind
        except StoreUnavailable as error:
            log.warning("store_unavailable", shard=self._shard, loop="activity", effect=effect.id, error=str(error))
        except Exception:  # supervision point: the effect stays in the outbox and is delivered again
            log.exception("activity_failed", shard=self._shard, effect=effect.id, incident_id=effect.incident)
        finally:
            self._done(delivery)
            self._room.release()
            self._telemetry.dispatched(self._shard, effect.kind, outcome, clock() - started)

    async def _outcome(
        self, effect: RunStep | RunDiagnosis | ObserveEvidence
    ) -> Outcome | DiagnosisFound | EvidenceObserved:
        match effect:
            case RunStep():
                outcome = await Activity(self._hands, self._shard, effect).run()
                await self._conclude(outcome)
                return outcome
            case ObserveEvidence():
                return await self._observe(effect)
            case RunDiagnosis():
                return await self._diagnose(effect)

    async def _conclude(self, outcome: Outcome) -> None:
        word = {StepSucceeded: "done", StepUnknown: "unknown", StepNotSent: "not_sent"}.get(type(outcome))
        if word is not None and outcome.intent:
            await self._hands.journal.conclude(outcome.intent, word, outcome.at)  # type: ignore[arg-type]  # the three words above

    async def _observe(self, effect: ObserveEvidence) -> EvidenceObserved:
        now = self._hands.engine.clock.now()
        readings = await self._hands.evidence.read(effect.system, effect.evidence, effect.alerts, now)
        verdict = expressions.weigh(effect.condition, readings, rendering.shared_labels(effect.alerts))
        return EvidenceObserved(
            id=f"{effect.id}/observed",
            at=self._hands.engine.clock.now(),
            episode=effect.episode,
            purpose=effect.purpose,
            token=effect.token,
            holds=verdict.holds,
            why=verdict.why,
            readings=readings,
        )

    async def _diagnose(self, effect: RunDiagnosis) -> DiagnosisFound:
        """Bounded in time and output; a diagnosis that fails says so and holds nothing up."""
        now = self._hands.engine.clock.now()
        finding, detail = f"no diagnosis named {effect.diagnosis} is installed", "{}"
        diagnosis = self._hands.toolbox.diagnosis(effect.diagnosis)
        if diagnosis is not None:
            context = ActionContext(
                system=self._shard,
                component="",
                targets=self._hands.targets,
                now=now,
                alerts=effect.alerts,
                declared=effect.plan.evidence,
                evidence=self._hands.evidence,
            )
            try:
                async with asyncio.timeout(DIAGNOSIS_SECONDS):
                    found = await diagnosis.look(context)
                finding, detail = found.summary[:FINDING_CHARACTERS], found.detail
            except (AndonError, TimeoutError) as error:
                finding = f"could not look: {error or f'no answer within {DIAGNOSIS_SECONDS:.0f} s'}"
        return DiagnosisFound(
            id=f"{effect.id}/found",
            at=now,
            episode=effect.episode,
            diagnosis=effect.diagnosis,
            finding=finding,
            detail=detail if len(detail) <= FINDING_CHARACTERS else "{}",
        )

    # --- words ----------------------------------------------------------------------------------------------------

    async def _speak_forever(self, words: asyncio.Queue[OutboxDelivery]) -> None:
        while True:
            batch = [await words.get()]
            while len(batch) < WORDS_PER_COMMIT and not words.empty():
                batch.append(words.get_nowait())
            letters: list[Letter] = []
            acks: list[str] = []
            for delivery in batch:
                effect = delivery.effect
                assert effect is not None  # poison never gets here
                event = await self._speak(effect)
                if event is not None:
                    acks.append(delivery.delivery)
                    if event.channel == "pager" or event.error:  # a post that went out stands in the chain already
                        letters.append(Letter(event, to=effect.incident))
                    self._telemetry.dispatched(self._shard, effect.kind, "error" if event.error else "delivered", 0.0)
            try:
                if acks:
                    await self._hands.engine.tell_all(self._shard, letters, outbox_acks=tuple(acks))
            except StoreUnavailable as error:
                log.warning("store_unavailable", shard=self._shard, loop="words", error=str(error))
            finally:
                self._done(*batch)

    async def _speak(self, effect: OutboxEffect) -> MessageDelivered | None:
        """Say it. None: the pager did not take it; it stays in the outbox and is tried again with the next reclaim."""
        now = self._hands.engine.clock.now()
        try:
            match effect:
                case PageOncall():
                    reference = await self._pager_port.page(effect)
                case ResolvePage():
                    reference = await self._pager_port.resolve(effect)
                case PostMessage():
                    return await self._post(effect)
                case _:
                    raise AssertionError(f"{effect.kind} is not words")
        except DeliveryError as error:
            log.error("pager_failed", shard=self._shard, incident_id=effect.incident, error=str(error))
            return None
        return MessageDelivered(id=f"{effect.id}/delivered", at=now, channel="pager", reference=reference)

    async def _post(self, message: PostMessage) -> MessageDelivered:
        now = self._hands.engine.clock.now()
        problem = ""
        for pause in BACKOFF_SECONDS[:CHAT_TRIES]:
            try:
                reference = await self._hands.chat.post(message)
                return MessageDelivered(id=f"{message.id}/delivered", at=now, channel="chat", reference=reference)
            except DeliveryError as error:
                problem = str(error)
                await asyncio.sleep(pause)
        log.error("chat_failed", shard=self._shard, incident_id=message.incident, error=problem)
        return MessageDelivered(id=f"{message.id}/delivered", at=now, channel="chat", reference="", error=problem)
