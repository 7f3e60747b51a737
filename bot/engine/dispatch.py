"""Outbox in, the world moved, outcomes back as events.

Run by `bot.engine.runtime`, one per shard. Activities (steps, diagnoses, observations) run here side by side, bounded;
words for people go to the shard's two speakers (`bot.engine.speech`). An effect is acknowledged in the same commit that
folds its outcome, so a crash in between delivers it again: what that means for an action is the law of
`bot.engine.activity`, and for a page its dedup key's.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal, TypeAlias, assert_never

import structlog

from bot.core.effects import (
    ObserveEvidence,
    PageOncall,
    PostMessage,
    ResolvePage,
    RunDiagnosis,
    RunStep,
)
from bot.core.events import (
    ApprovalNeeded,
    DiagnosisFound,
    EvidenceObserved,
    StepNotSent,
    StepReport,
    StepSucceeded,
    StepUnknown,
    StepUnneeded,
)
from bot.core.incident import Incident
from bot.engine.action_ports import ActionContext, Finding
from bot.engine.activity import Activity
from bot.engine.in_hand import InHand, work_name
from bot.engine.judge import Hands
from bot.engine.loop import BACKOFF_SECONDS, BLOCK_MS, Heartbeat
from bot.engine.outcomes import Outcome
from bot.engine.ports import OutboxDelivery, Pager, Telemetry
from bot.engine.promise import TakenElsewhere
from bot.engine.speech import ChatVoice, PagerVoice, Speaker
from bot.errors import AndonError, StoreError, StoreUnavailable
from policies import expressions, rendering

MAX_ACTIVITIES = 64  # at once per shard; each holds a connection or two to a trading system
MAX_WAITING = 1_024  # steps, looks, and pages, each, waiting in this process; the outbox holds the rest
MAX_POSTS = 1_024  # messages waiting for chat in this process
MAX_FAILURES = 5  # of one activity on a defect of ours, before it is set aside and paged
ACTIVITY_SECONDS = 40.0  # what takes longer is cut off and taken up again; below RECLAIM_IDLE_MS
READ_BATCH = 64
DIAGNOSIS_SECONDS = 5.0
FINDING_CHARACTERS = 2_000  # of a diagnosis kept in the record

Work: TypeAlias = RunStep | RunDiagnosis | ObserveEvidence
_CONCLUSIONS: Mapping[type, Literal["done", "not_sent", "unknown"]] = {
    StepSucceeded: "done",
    StepUnknown: "unknown",
    StepNotSent: "not_sent",
    StepUnneeded: "not_sent",
    ApprovalNeeded: "not_sent",
}

log = structlog.get_logger(__name__)


class Dispatch:
    """Performs one shard's effects. Nothing here waits for room: what there is no room for is handed out again."""

    def __init__(self, hands: Hands, pager: Pager, telemetry: Telemetry, shard: str, heartbeat: Heartbeat) -> None:
        self._hands = hands
        self._telemetry = telemetry
        self._shard = shard
        self._heartbeat = heartbeat
        # Waiting for one of MAX_ACTIVITIES; a step never waits behind looks at evidence.
        self._steps: deque[tuple[OutboxDelivery, Work]] = deque()
        self._looks: deque[tuple[OutboxDelivery, Work]] = deque()
        self._stopping = False
        self._running: set[asyncio.Task[None]] = set()
        self._in_hand = InHand(partial(hands.engine.store.marks.times, shard))
        ack, done = self._in_hand.acknowledge, self._done
        # Apart, so that chat never delays a page.
        self._chat = Speaker(hands.engine, ChatVoice(hands.chat, shard), telemetry, shard, MAX_POSTS, ack, done)
        self._pager = Speaker(hands.engine, PagerVoice(pager), telemetry, shard, MAX_WAITING, ack, done)
        self._failed: OrderedDict[str, int] = OrderedDict()  # how often an activity failed on a defect
        self._idle = asyncio.Event()
        self._idle.set()
        self.left = asyncio.Event()  # an activity was left to the store, for want of one: look for it again soon

    async def read_forever(self, tasks: asyncio.TaskGroup) -> None:
        """Read the outbox and start what it holds, until cancelled."""
        failures = 0
        while True:
            try:
                deliveries = await self._hands.engine.store.read_outbox(self._shard, READ_BATCH, BLOCK_MS)
                self._heartbeat.beat(f"outbox:{self._shard}")
                self.take(deliveries, tasks)
                failures = 0
            except StoreError as error:
                log.warning("store_unavailable", shard=self._shard, loop="outbox", error=str(error))
                await asyncio.sleep(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])
                failures += 1

    async def chat_forever(self) -> None:
        """Post to chat, in order, until cancelled."""
        await self._chat.speak_forever()

    async def page_forever(self) -> None:
        """Page and take pages back, in order, until cancelled."""
        await self._pager.speak_forever()

    async def drained(self) -> None:
        """Returns when nothing is under way."""
        await self._idle.wait()

    def wind_down(self) -> None:
        """Begin nothing more; what only waits is left to the next start."""
        self._stopping = True
        for line in (self._steps, self._looks):
            self._done(*(delivery for delivery, _ in line), finished=False)
            line.clear()

    def abandon(self) -> None:
        """Cut off what is still under way; the next start takes it up again."""
        for task in self._running:
            task.cancel()

    def take(self, deliveries: Sequence[OutboxDelivery], tasks: asyncio.TaskGroup) -> None:
        """Start what was delivered. What there is no room for stays with the store, which hands it out again."""
        done: list[str] = []
        for delivery in deliveries:
            came = self._in_hand.came(delivery)
            if came == "done":
                done.append(delivery.delivery)
            elif came == "new" and self._accept(delivery, tasks):
                self._in_hand.begin(delivery)
                self._idle.clear()
        if done:
            tasks.create_task(self._acknowledge(tuple(done)))

    async def _acknowledge(self, done: tuple[str, ...]) -> None:
        """What is done and was handed out again: its outcome was written while its name was no longer the newest."""
        try:
            await self._hands.engine.tell_all(self._shard, [], outbox_acks=done)
        except StoreError as error:  # it comes again
            log.warning("store_unavailable", shard=self._shard, loop="acknowledge", error=str(error))

    def _accept(self, delivery: OutboxDelivery, tasks: asyncio.TaskGroup) -> bool:
        effect = delivery.effect
        match effect:
            case None:
                tasks.create_task(self._set_aside(delivery, delivery.problem or "unreadable"))
            case PostMessage():
                return self._chat.offer(delivery)
            case PageOncall() | ResolvePage():
                return self._pager.offer(delivery)
            case RunStep():
                return self._line_up(self._steps, delivery, effect, tasks)
            case RunDiagnosis() | ObserveEvidence():
                return self._line_up(self._looks, delivery, effect, tasks)
            case _:
                assert_never(effect)
        return True

    def _line_up(
        self, line: deque[tuple[OutboxDelivery, Work]], delivery: OutboxDelivery, effect: Work, tasks: asyncio.TaskGroup
    ) -> bool:
        if len(line) >= MAX_WAITING:
            return False
        line.append((delivery, effect))
        self._start(tasks)
        return True

    def _start(self, tasks: asyncio.TaskGroup) -> None:
        while (self._steps or self._looks) and len(self._running) < MAX_ACTIVITIES and not self._stopping:
            delivery, effect = (self._steps or self._looks).popleft()
            task = tasks.create_task(self._perform(delivery, effect, tasks))
            self._running.add(task)
            task.add_done_callback(partial(self._next, tasks))

    def _next(self, tasks: asyncio.TaskGroup, ended: asyncio.Task[None]) -> None:
        self._running.discard(ended)
        if not ended.cancelled():
            self._start(tasks)

    def _done(self, *deliveries: OutboxDelivery, finished: bool) -> None:
        """No longer in hand; `finished` when it is acknowledged, else the store hands it out again."""
        for delivery in deliveries:
            self._in_hand.done(delivery, finished=finished)
        if not self._in_hand:
            self._idle.set()

    async def _set_aside(self, delivery: OutboxDelivery, reason: str) -> None:
        finished = False
        try:
            newest = replace(delivery, delivery=self._in_hand.acknowledge(delivery))
            await self._hands.engine.set_aside(self._shard, newest, reason)
            finished = True
        except StoreError as error:
            log.warning("store_unavailable", shard=self._shard, loop="dead letters", error=str(error))
        finally:
            self._done(delivery, finished=finished)

    # --- activities -----------------------------------------------------------------------------------------------

    async def _perform(self, delivery: OutboxDelivery, effect: Work, tasks: asyncio.TaskGroup) -> None:
        """One activity, bounded. Whatever ends it without an outcome leaves the effect in the outbox."""
        clock = asyncio.get_running_loop().time
        started, outcome, problem = clock(), "error", ""
        try:
            if isinstance(effect, ObserveEvidence) and not await self._is_awaited(effect):
                await self._hands.engine.tell_all(self._shard, [], outbox_acks=(self._in_hand.acknowledge(delivery),))
                outcome = "outdated"
                return
            async with asyncio.timeout(ACTIVITY_SECONDS):
                event = await self._outcome(effect)
            acks = (self._in_hand.acknowledge(delivery),)
            await self._hands.engine.tell(self._shard, effect.incident, event, outbox_acks=acks)
            outcome = event.kind
            await self._conclude(event)
        except (StoreUnavailable, TakenElsewhere, TimeoutError) as error:
            log.warning("activity_left", shard=self._shard, effect=effect.id, error=str(error) or "no end in time")
            if isinstance(error, StoreUnavailable):
                self.left.set()
        except Exception as error:  # supervision point: tried again, and after a few times set aside and paged
            log.exception("activity_failed", shard=self._shard, effect=effect.id, incident_id=effect.incident)
            problem = f"{type(error).__name__}: {error}"
        finally:
            self._telemetry.dispatched(self._shard, effect.kind, outcome, clock() - started)
            if problem and self._fails_for_good(delivery):
                tasks.create_task(self._set_aside(delivery, problem))
            else:
                self._done(delivery, finished=outcome != "error")

    async def _is_awaited(self, effect: ObserveEvidence) -> bool:
        """Whether the incident still waits for this look; behind a slow source, a newer one may have been asked for."""
        stored = (await self._hands.engine.store.load(self._shard, [effect.incident])).get(effect.incident)
        if stored is None or not isinstance(stored.record, Incident):
            return False
        timer = stored.record.timers.get(f"{effect.purpose}:again")
        return timer is not None and timer.token == effect.token

    def _fails_for_good(self, delivery: OutboxDelivery) -> bool:
        """Whether an activity has failed on a defect often enough to be taken for poison."""
        failed = self._failed.pop(work_name(delivery), 0) + 1
        if failed >= MAX_FAILURES:
            return True
        self._failed[work_name(delivery)] = failed
        while len(self._failed) > MAX_WAITING:
            self._failed.popitem(last=False)
        return False

    async def _outcome(
        self, effect: RunStep | RunDiagnosis | ObserveEvidence
    ) -> Outcome | DiagnosisFound | EvidenceObserved:
        match effect:
            case RunStep():
                return await Activity(self._hands, self._shard, effect).run()
            case ObserveEvidence():
                return await self._observe(effect)
            case RunDiagnosis():
                return await self._diagnose(effect)
            case _:
                assert_never(effect)

    async def _conclude(self, event: Outcome | DiagnosisFound | EvidenceObserved) -> None:
        """Close the intent in the local journal, once its outcome is stored; a full disk only loses the note."""
        word = _CONCLUSIONS.get(type(event))
        if word is None or not isinstance(event, StepReport) or not event.intent:
            return
        try:
            await self._hands.journal.conclude(event.intent, word, event.at)
        except StoreUnavailable as error:
            log.warning("journal_unavailable", intent=event.intent, error=str(error))

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
                finding, detail = _sentence(found), found.detail
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


def _sentence(found: Finding) -> str:
    """A finding as the record, the card and the report show it: what was seen, and what the runbook makes of that."""
    parts = (found.summary, found.cause and f"likely cause: {found.cause}", found.fix and f"suggested fix: {found.fix}")
    return "; ".join(part for part in parts if part)[:FINDING_CHARACTERS]
