"""Putting a message into Slack once, whatever crashes in between, and keeping where it stands.

Used by `showing` for everything that is posted. Before a post the shelf is told that it is about to happen; afterwards,
where it stands. Whoever finds a mark without a place waits until the call it belongs to is surely over, looks for the
message by its metadata, and posts only when it is not there. Whoever comes back after somebody else went on without
them takes their own message back. So there is one card, at worst for a moment two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

import structlog

from bot.adapters.slack.api import CALL_SECONDS, SlackRefusedError
from bot.adapters.slack.shapes import Message
from bot.adapters.slack.shelf import Placed, Posting, Shelf
from bot.core.words import JsonText, Millis
from bot.engine.ports import Clock
from bot.errors import DeliveryError, DeliveryUncertain

SETTLE_MS: Final[Millis] = int(CALL_SECONDS * 1_000) + 2_000  # after it, a call that was marked is over
CLOCKS_APART_MS: Final[Millis] = 600_000  # between this machine's clock and Slack's, for looking back
SHORT: Final = frozenset({"thread", "words"})  # messages that are only said: kept until what they told is noted
BY_NONCE: Final = frozenset({"thread", "digest"})  # whose name several messages bear

log = structlog.get_logger(__name__)


class Slack(Protocol):
    """What the board needs of Slack; `api.SlackApi`. Errors are DeliveryErrors."""

    async def post(
        self, channel: str, message: Message, *, name: str = "", nonce: str = "", thread: str = "", aloud: bool = False
    ) -> str: ...

    async def update(self, channel: str, ts: str, message: Message, *, name: str = "") -> None: ...

    async def delete(self, channel: str, ts: str) -> None: ...

    async def find(self, channel: str, *, name: str, nonce: str, oldest: float, thread: str = "") -> str: ...

    async def join(self, channel: str) -> None: ...

    async def channels(self) -> Mapping[str, str]: ...

    async def probe(self) -> Mapping[str, object]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """A message that should stand in Slack. `lines`: deliveries of the lines it tells."""

    name: str
    channel: str
    message: Message
    look: str = ""
    facts: JsonText = "{}"
    thread: str = ""
    aloud: bool = False
    lines: tuple[str, ...] = ()


class Placer:
    """Posts and edits. `places` is the leader's copy of the shelf, kept up to date here."""

    def __init__(
        self, shelf: Shelf, slack: Slack, clock: Clock, nonce: Callable[[], str], *, settle_ms: Millis = SETTLE_MS
    ) -> None:
        self._shelf = shelf
        self._slack = slack
        self._clock = clock
        self._nonce = nonce
        self._settle_ms = settle_ms
        self.places: dict[str, Placed] = {}
        self.workspace_url = ""

    async def recall(self) -> None:
        """Read the whole shelf: at the beginning of a lead."""
        self.places = dict(await self._shelf.places())

    def due(self, name: str) -> Millis:
        """Not before this time is anything done about this message: a call for it may be under way."""
        placed = self.places.get(name)
        if placed is None or placed.posting is None or placed.ts:
            return 0
        now, at = self._clock.now(), placed.posting.at
        return at + self._settle_ms if at <= now + self._settle_ms else 0  # a mark of a clock far ahead delays nothing

    async def post(self, want: Want) -> Placed | None:
        """Have it stand in Slack. None: somebody else is at it, look again. DeliveryError: Slack did not take it."""
        kept = self.places.get(want.name, Placed(name=want.name))
        if kept.ts:
            return kept
        if kept.posting is not None:
            standing = await self.settled(
                kept if kept.channel else replace(kept, channel=want.channel, thread=want.thread)
            )
            if standing is not None or want.name in self.places:
                return standing
            kept = Placed(name=want.name)
        mark = Posting(nonce=self._nonce(), at=self._clock.now(), lines=want.lines, facts=want.facts)
        marked = await self._keep(replace(kept, channel=want.channel, thread=want.thread, posting=mark))
        if marked is None:
            return None
        try:
            ts = await self._slack.post(
                want.channel, want.message, name=want.name, nonce=mark.nonce, thread=want.thread, aloud=want.aloud
            )
        except DeliveryUncertain:
            raise  # the mark stays: it may stand there
        except DeliveryError:
            await self._keep(replace(marked, posting=None))
            raise
        stood = await self._keep(replace(self._standing(marked, ts), look=want.look))
        if stood is None:
            await self._take_back(want, ts)
        return stood

    async def settled(self, placed: Placed) -> Placed | None:
        """A message of which only the mark is known: where it stands. None: not known yet, or (forgotten) nowhere."""
        if placed.ts:
            return placed
        if placed.posting is not None:
            if self.due(placed.name) > self._clock.now():
                return None
            found = await self._found(placed, placed.posting)
            if found:
                return await self._keep(self._standing(placed, found))
        await self.drop([placed.name])
        return None

    def link(self, placed: Placed) -> str:
        """The address of a message, as Slack makes them; "" while the workspace's own is not known."""
        if not self.workspace_url or not placed.ts:
            return ""
        address = f"{self.workspace_url.rstrip('/')}/archives/{placed.channel}/p{placed.ts.replace('.', '')}"
        return f"{address}?thread_ts={placed.thread}&cid={placed.channel}" if placed.thread else address

    async def edit(self, placed: Placed, message: Message, *, look: str, facts: str = "", over: bool = False) -> None:
        """Show this in its place. A message that somebody deleted is forgotten, so it is posted anew."""
        try:
            await self._slack.update(placed.channel, placed.ts, message, name=placed.name)
        except SlackRefusedError as error:
            if error.code not in ("message_not_found", "thread_not_found"):
                raise
            await self.drop([placed.name])
            return
        await self.note(placed, look=look, facts=facts or placed.facts, over=over)

    async def note(self, placed: Placed, *, look: str, facts: JsonText, over: bool = False) -> None:
        """Keep what a message shows now."""
        shown = replace(placed, look=look, facts=facts, over=over, shown_at=self._clock.now())
        await self._keep(shown)

    async def drop(self, names: list[str]) -> None:
        """Forget where these stand."""
        await self._shelf.drop(names)
        for name in names:
            self.places.pop(name, None)

    def _standing(self, placed: Placed, ts: str) -> Placed:
        """What is only said keeps its mark: it names the lines that are still to be noted as said."""
        posting = placed.posting
        facts = posting.facts if posting is not None and posting.facts else placed.facts
        kept = posting if placed.name.partition(":")[0] in SHORT else None
        return replace(placed, ts=ts, posting=kept, look="", facts=facts, shown_at=self._clock.now())

    async def _keep(self, placed: Placed) -> Placed | None:
        kept = await self._shelf.put(placed)
        if kept is None:
            there = await self._shelf.place(placed.name)
            self.places.pop(placed.name, None)
            if there is not None:
                self.places[placed.name] = there
            return None
        self.places[placed.name] = kept
        return kept

    async def _found(self, kept: Placed, posting: Posting) -> str:
        """Where the message stands that was marked; "" when it is not there."""
        nonce = posting.nonce if kept.name.partition(":")[0] in BY_NONCE else ""
        oldest = max(0.0, (posting.at - CLOCKS_APART_MS) / 1_000)
        where = kept.channel
        try:
            return await self._slack.find(where, name=kept.name, nonce=nonce, oldest=oldest, thread=kept.thread)
        except SlackRefusedError as error:
            if error.code == "not_in_channel":
                await self._slack.join(where)
                return await self._slack.find(where, name=kept.name, nonce=nonce, oldest=oldest, thread=kept.thread)
            log.warning("slack_look_refused", name=kept.name, code=error.code)
            return ""  # a second card is better than none

    async def _take_back(self, want: Want, ts: str) -> None:
        """Somebody else thought this replica gone, and posted: theirs stays."""
        there = self.places.get(want.name)
        if there is not None and there.ts == ts:
            return
        log.warning("slack_message_taken_back", name=want.name)
        await self._slack.delete(want.channel, ts)
