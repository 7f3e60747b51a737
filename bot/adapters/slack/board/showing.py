"""Doing one job: draw what the store says now, put it where it belongs, and keep that it stands there.

Called by `board`, one job a channel at a time. Whatever fails leaves the job to be found again at the next round.
Errors are DeliveryErrors (Slack) and StoreErrors (the shelf, the store); `board` decides what they mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, assert_never

import structlog

from bot.adapters.slack.board.jobs import Job, Subject, ended_look, pointed_at
from bot.adapters.slack.board.placing import Placer, Want
from bot.adapters.slack.board.scenery import Scenery
from bot.adapters.slack.board.shelf import Placed, Shelf, card_name, subject
from bot.adapters.slack.board.sights import Drawing, Sight, StormSight, look_of
from bot.adapters.slack.board.storm import Storm
from bot.adapters.slack.cards.shapes import Message
from bot.adapters.slack.cards.text import TIMELESS
from bot.adapters.slack.line.api import SlackRefusedError
from bot.core.words import Millis
from bot.engine.ports import Clock, Store

# What Slack says of blocks it does not take: a mistake of ours, and no reason to say nothing.
UNFIT: Final = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"})
PLAIN: Final = 3_000  # characters of a message that goes out without its blocks

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """What `Show` works with."""

    store: Store
    shelf: Shelf
    clock: Clock
    drawing: Drawing
    scenery: Scenery
    placer: Placer
    seconds: Callable[[], float]  # the loop's clock


class Show:
    """Does jobs."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        self._placer = hands.placer
        self._drawing = hands.drawing

    async def do(self, job: Job) -> None:
        """Do it, or as much of it as is still right."""
        match job.kind:
            case "card" | "edit":
                await self._card(job)
            case "question" | "question_edit":
                await self._question(job)
            case "question_end":
                await self._end(job)
            case "digest":
                await self._digest(job)
            case "thread":
                await self._thread(job)
            case "words":
                await self._words(job)
            case "pointer":
                await self._pointer(job)
            case _:
                assert_never(job.kind)

    # --- cards ------------------------------------------------------------------------------------------------------

    async def _card(self, job: Job) -> None:
        sight = await self._sight(job.subject)
        if sight is None:
            await self._placer.drop([job.name])
            return
        look = look_of(self._drawing.card(sight, TIMELESS))
        message = self._drawing.card(sight, self._now())
        placed = self._placer.places.get(job.name)
        if placed is None or not placed.ts:
            facts = self._drawing.facts(sight)
            await self._post(Want(name=job.name, channel=job.channel, message=message, look=look, facts=facts))
        elif placed.look != look:
            await self._edit(placed, message, look=look)

    async def _question(self, job: Job) -> None:
        sight = await self._sight(job.subject)
        card = self._placer.places.get(card_name(*job.subject))
        asked = sight.incident.approval if sight is not None else None
        if sight is None or asked is None or card is None or not card.ts or not job.name.endswith(f"|{asked.id}"):
            return  # answered meanwhile: the next round closes it, or has nothing to show
        message = self._drawing.question(sight, self._now())
        if message is None:
            return
        look, facts = look_of(self._drawing.question(sight, TIMELESS)), self._drawing.question_facts(sight)
        placed = self._placer.places.get(job.name)
        if placed is None or not placed.ts:
            want = Want(
                name=job.name, channel=card.channel, message=message, look=look, facts=facts, thread=card.ts, aloud=True
            )
            if await self._post(want) is not None:
                self._hands.scenery.nudge([subject(*job.subject)])  # its card links to it now
        elif placed.look != look:
            await self._edit(placed, message, look=look, facts=facts)

    async def _end(self, job: Job) -> None:
        """The buttons go, and who decided stands there. What was never seen in Slack is only forgotten."""
        placed = self._placer.places.get(job.name)
        if placed is None:
            return
        if not placed.ts:
            card = self._placer.places.get(card_name(*job.subject))
            thread = placed.thread or (card.ts if card is not None else "")
            placed = await self._placer.settled(replace(placed, channel=placed.channel or job.channel, thread=thread))
            if placed is None:
                return
        sight = await self._sight(job.subject)
        brief = self._hands.scenery.briefs.get(job.subject)
        chain = [entry.body for entry in await self._hands.store.audit(*job.subject)] if sight is not None else []
        incident = sight.incident if sight is not None else None
        message, last = self._drawing.ended(placed.facts, chain, incident, self._now())
        over = last or brief is None or brief.closed
        shown, look = look_of(message), ended_look(brief, look_of(message))
        if placed.look.partition("@")[0] == shown:
            await self._placer.note(placed, look=look, facts=placed.facts, over=over)
        else:
            await self._edit(placed, message, look=look, over=over)

    async def _digest(self, job: Job) -> None:
        assert job.storm is not None  # `jobs` gives every digest its storm
        storm = job.storm
        look, message = self.digest_look(storm), self._drawing.digest(self._storm_sight(storm), self._now())
        placed = self._placer.places.get(job.name)
        if placed is not None and placed.ts and storm.fresh:
            await self._placer.drop([job.name])
            placed = None
        if placed is None or not placed.ts:
            want = Want(name=job.name, channel=job.channel, message=message, look=look, facts=storm.facts)
            await self._post(want)
        else:
            await self._edit(placed, message, look=look, facts=storm.facts, over=storm.over)

    def digest_look(self, storm: Storm) -> str:
        """How the storm's digest looks now."""
        return look_of(self._drawing.digest(self._storm_sight(storm), TIMELESS))

    def _storm_sight(self, storm: Storm) -> StormSight:
        carded = [b.incident for b in storm.members if (b.shard, b.incident) not in storm.held]
        return StormSight(
            channel=storm.channel, began=storm.began, on=storm.on, members=storm.members, carded=tuple(carded)
        )

    # --- words ------------------------------------------------------------------------------------------------------

    async def _thread(self, job: Job) -> None:
        """Lines into a card's thread, with what the record says and no line tells."""
        card = self._placer.places.get(card_name(*job.subject))
        standing = self._placer.places.get(job.name)
        if standing is not None:
            if await self._placer.settled(standing) is not None:
                await self._note_said(job.name)
                return
            if self._placer.places.get(job.name) is not None:
                return
        sight = await self._sight(job.subject)
        if card is None or not card.ts or sight is None:
            return
        facts = self._drawing.facts(sight)
        told = self._drawing.told(card.facts, facts, self._now())
        words = [self._drawing.line(line) for line in job.lines]
        words += told  # what is noticed now is newer than what was said before
        if not words:
            await self._placer.note(card, look=card.look, facts=facts)
            return
        message, used = self._drawing.thread(words)
        want = Want(
            name=job.name, channel=card.channel, message=message, thread=card.ts,
            lines=tuple(line.delivery for line in job.lines[:used]),
            facts=facts if used == len(words) else card.facts,
        )  # fmt: skip
        if await self._post(want) is not None:
            await self._note_said(job.name)

    async def _words(self, job: Job) -> None:
        """Lines as a message of their own: in another channel, with a link to the card, or below a digest."""
        standing = self._placer.places.get(job.name)
        if standing is not None:
            if await self._placer.settled(standing) is not None:
                await self._note_said(job.name)
                return
            if self._placer.places.get(job.name) is not None:
                return
        if not job.lines:
            return
        link = "" if job.storm is not None else self._link(job.subject)
        message, used = self._drawing.thread([self._drawing.line(line) for line in job.lines], link)
        said = tuple(line.delivery for line in job.lines[:used])
        below = self._placer.places.get(f"digest:{job.channel}") if job.storm is not None else None
        thread = below.ts if below is not None else ""
        want = Want(name=job.name, channel=job.channel, message=message, thread=thread, lines=said)
        if await self._post(want) is not None:
            await self._note_said(job.name)

    async def _pointer(self, job: Job) -> None:
        """Where a card stands that its own channel did not take; gone once it stands there no more."""
        card, placed = self._placer.places.get(card_name(*job.subject)), self._placer.places.get(job.name)
        if card is None or not card.ts:
            return
        if placed is not None and (placed.ts or card.channel == job.channel):
            standing = await self._placer.settled(placed)
            if standing is not None and standing.facts != pointed_at(card):
                await self._placer.withdraw(standing)
            return
        sight = await self._sight(job.subject)
        if sight is None or sight.incident.status in ("resolved", "closed"):
            return  # the next round knows it too
        message, _ = self._drawing.thread([self._drawing.elsewhere(sight)], self._link(job.subject))
        await self._post(Want(name=job.name, channel=job.channel, message=message, facts=pointed_at(card)))

    async def _note_said(self, name: str) -> None:
        """What stands in Slack was said: the lines leave the shelf, and the card remembers what its thread told."""
        placed = self._placer.places.get(name)
        if placed is None:
            return
        said = placed.posting.lines if placed.posting is not None else ()
        if name.startswith("thread:"):
            card = self._placer.places.get(f"card:{name.removeprefix('thread:')}")
            if card is not None and card.facts != placed.facts:
                await self._placer.note(card, look=card.look, facts=placed.facts, over=card.over)
        await self._hands.shelf.said(said)
        gone = frozenset(said)
        self._hands.scenery.lines = [line for line in self._hands.scenery.lines if line.delivery not in gone]
        await self._placer.drop([name])

    # --- sending ----------------------------------------------------------------------------------------------------

    async def _post(self, want: Want) -> Placed | None:
        for message in _lesser(want.message):
            try:
                return await self._placer.post(replace(want, message=message))
            except SlackRefusedError as error:
                _unfit(want.name, error)
        return await self._placer.post(replace(want, message=_plain(want.message)))

    async def _edit(self, placed: Placed, message: Message, *, look: str, facts: str = "", over: bool = False) -> None:
        for lesser in _lesser(message):
            try:
                await self._placer.edit(placed, lesser, look=look, facts=facts, over=over)
                return
            except SlackRefusedError as error:
                _unfit(placed.name, error)
                placed = self._placer.places.get(placed.name, placed)
        await self._placer.edit(placed, _plain(message), look=look, facts=facts, over=over)

    def _link(self, subject: Subject) -> str:
        placed = self._placer.places.get(card_name(*subject))
        return self._placer.link(placed) if placed is not None and placed.ts else ""

    async def _sight(self, subject: Subject) -> Sight | None:
        return await self._hands.scenery.sight(subject, self._hands.seconds())

    def _now(self) -> Millis:
        return self._hands.clock.now()


def _unfit(name: str, error: SlackRefusedError) -> None:
    """Goes on when less of it may be taken."""
    if error.code not in UNFIT:
        raise error
    log.error("slack_message_unfit", name=name, code=error.code)


def _lesser(message: Message) -> list[Message]:
    """All of it, then without its pictures: their files may be gone from Slack, and the buttons must stay."""
    rest = tuple(block for block in message.blocks if block.get("type") != "image")
    return [message] if rest == message.blocks else [message, replace(message, blocks=rest)]


def _plain(message: Message) -> Message:
    """Only the words: less than the card, and more than nothing."""
    return Message(text=message.text[:PLAIN], blocks=())
