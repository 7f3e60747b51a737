"""Words for people: said one after another, in order, and confirmed in one commit per batch.

Made by `bot.engine.dispatch`, two for each shard: one speaks through chat, one through the pager. A message that chat
does not take is given up after a few tries, and the incident's audit says so. A page is never given up: it stays in the
outbox and is said again with the next reclaim; its dedup key makes a repetition the same page.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from typing import Protocol

import structlog

from bot.core.effects import OutboxEffect, PageOncall, PostMessage, ResolvePage
from bot.core.events import MessageDelivered
from bot.core.words import SYSTEM_TARGET, AggregateId, Millis
from bot.engine.engine import Engine
from bot.engine.fold import Letter
from bot.engine.loop import BACKOFF_SECONDS
from bot.engine.ports import Chat, OutboxDelivery, Pager, Telemetry
from bot.errors import DeliveryError, RecordForged, StoreError

WORDS_PER_COMMIT = 128
MAX_UNCONFIRMED = 1_024  # said while the store took nothing, and remembered; past this the oldest are said once more
MAX_UNTAKEN = (
    1_024  # pages a refused page's taking back waits for; an older one's goes ahead, and the incident repeats it
)
CHAT_TRIES = 3  # about a third of a second in all; a chat that is down must not hold a page's incident up

SAY_SECONDS = 30.0  # one message, with all its tries; a voice that hangs must not silence the ones behind it

log = structlog.get_logger(__name__)


class Voice(Protocol):
    """One way to reach people. None: not taken, and worth saying again."""

    async def say(self, effect: OutboxEffect, now: Millis) -> MessageDelivered | None: ...


class Done(Protocol):
    """Told when deliveries are out of hand; `finished`: acknowledged."""

    def __call__(self, *deliveries: OutboxDelivery, finished: bool) -> None: ...


class Ack(Protocol):
    """The name a delivery is acknowledged with now."""

    def __call__(self, delivery: OutboxDelivery) -> str: ...


class Speaker:
    """One voice of one shard, with its bounded queue."""

    def __init__(
        self, engine: Engine, voice: Voice, telemetry: Telemetry, shard: str, room: int, ack: Ack, done: Done
    ) -> None:
        self._engine = engine
        self._voice = voice
        self._telemetry = telemetry
        self._shard = shard
        self._ack = ack
        self._done = done
        self._words: asyncio.Queue[OutboxDelivery] = asyncio.Queue(room)
        self._unconfirmed: OrderedDict[str, MessageDelivered] = OrderedDict()  # by effect, newest last

    def offer(self, delivery: OutboxDelivery) -> bool:
        """Take it, if there is room."""
        try:
            self._words.put_nowait(delivery)
        except asyncio.QueueFull:
            return False
        return True

    async def speak_forever(self) -> None:
        """Say what is offered, in order, until cancelled."""
        while True:
            batch = [await self._words.get()]
            while len(batch) < WORDS_PER_COMMIT and not self._words.empty():
                batch.append(self._words.get_nowait())
            letters: list[Letter] = []
            said: list[OutboxDelivery] = []
            events: dict[str, MessageDelivered] = {}
            for delivery in batch:
                effect = delivery.effect
                assert effect is not None  # poison never gets here
                event = self._unconfirmed.pop(effect.id, None) or await self._say(effect)
                if event is None:
                    self._done(delivery, finished=False)
                    continue
                said.append(delivery)
                events[effect.id] = event
                letters.extend(Letter(event, to=about) for about in _told(effect, event))
            if said:
                confirmed = await self._confirm(letters, said)
                if not confirmed:
                    self._remember(events)
                self._done(*said, finished=confirmed)

    def _remember(self, events: dict[str, MessageDelivered]) -> None:
        """Said, and the store did not take that: what is handed out again is confirmed, and not said again."""
        self._unconfirmed.update(events)
        while len(self._unconfirmed) > MAX_UNCONFIRMED:
            self._unconfirmed.popitem(last=False)

    async def _say(self, effect: OutboxEffect) -> MessageDelivered | None:
        outcome = "delivered"
        try:
            async with asyncio.timeout(SAY_SECONDS):
                event = await self._voice.say(effect, self._engine.clock.now())
        except Exception:  # supervision point: a defect of an adapter costs this message, not the bot
            log.exception("words_failed", shard=self._shard, effect=effect.id, incident_id=effect.incident)
            event = None
        if event is None or event.error:
            outcome = "error"
        self._telemetry.dispatched(self._shard, effect.kind, outcome, 0.0)
        return event

    async def _confirm(self, letters: list[Letter], said: list[OutboxDelivery]) -> bool:
        """Acknowledge what was said, and tell those it was about."""
        acks = tuple(self._ack(delivery) for delivery in said)
        try:
            await self._engine.tell_all(self._shard, letters, outbox_acks=acks)
        except RecordForged as error:
            # A record that cannot be trusted is told nothing; what was said is acknowledged all the same.
            log.error("record_forged", shard=self._shard, error=str(error))
            return await self._confirm([], said) if letters else False
        except StoreError as error:
            log.warning("store_unavailable", shard=self._shard, loop="words", error=str(error))
            return False
        return True


def _told(effect: OutboxEffect, event: MessageDelivered) -> Iterator[AggregateId]:
    """Who hears of it: the incident, unless a post went out (that stands in its chain already), and a page's owner."""
    if (event.channel == "pager" or event.error) and effect.incident != SYSTEM_TARGET:
        yield effect.incident
    owner = effect.owner if isinstance(effect, PageOncall) else ""
    if owner and (owner == SYSTEM_TARGET or owner != effect.incident):
        yield owner


class ChatVoice:
    """Posts; what is not taken after `CHAT_TRIES` is given up, and said to be."""

    def __init__(self, chat: Chat, shard: str) -> None:
        self._chat = chat
        self._shard = shard

    async def say(self, effect: OutboxEffect, now: Millis) -> MessageDelivered:
        assert isinstance(effect, PostMessage)  # dispatch offers nothing else
        problem = ""
        for pause in BACKOFF_SECONDS[:CHAT_TRIES]:
            try:
                reference = await self._chat.post(effect, self._shard)
                return MessageDelivered(id=f"{effect.id}/delivered", at=now, channel="chat", reference=reference)
            except DeliveryError as error:
                problem = str(error)
                await asyncio.sleep(pause)
        log.error("chat_failed", incident_id=effect.incident, error=problem)
        return MessageDelivered(id=f"{effect.id}/delivered", at=now, channel="chat", reference="", error=problem)


class PagerVoice:
    """Pages and takes pages back; None when the pager did not take it.

    The taking back of a page that was refused here waits for it, once: both are handed out again in the outbox's order.
    A page that does not come again before it was said by another replica.
    """

    def __init__(self, pager: Pager) -> None:
        self._pager = pager
        self._untaken: OrderedDict[str, None] = OrderedDict()  # dedup keys of refused pages, newest last

    async def say(self, effect: OutboxEffect, now: Millis) -> MessageDelivered | None:
        assert isinstance(effect, PageOncall | ResolvePage)  # dispatch offers nothing else
        try:
            if isinstance(effect, PageOncall):
                self._expect(effect.dedup_key)
                reference = await self._pager.page(effect)
                self._untaken.pop(effect.dedup_key, None)
            elif effect.dedup_key in self._untaken:
                del self._untaken[effect.dedup_key]
                return None
            else:
                reference = await self._pager.resolve(effect)
        except DeliveryError as error:
            log.error("pager_failed", incident_id=effect.incident, error=str(error))
            return None
        opened = isinstance(effect, PageOncall)
        return MessageDelivered(
            id=f"{effect.id}/delivered", at=now, channel="pager", reference=reference,
            page=effect.dedup_key if opened else "", service=effect.service if opened else "",
        )  # fmt: skip

    def _expect(self, dedup_key: str) -> None:
        self._untaken[dedup_key] = None
        self._untaken.move_to_end(dedup_key)
        while len(self._untaken) > MAX_UNTAKEN:
            self._untaken.popitem(last=False)
