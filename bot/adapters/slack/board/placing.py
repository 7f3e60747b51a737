"""Putting a message into Slack once, whatever crashes in between, and keeping where it stands.

Used by `showing` for everything that is posted. Before a post the shelf is told that it is about to happen; afterwards,
where it stands. Whoever finds a mark without a place waits until the call it belongs to is surely over, looks for the
message by its metadata (the very post: `nonce`), and posts only when it is not there. Whoever comes back after somebody
else went on without them takes their own message back. So there is one card, at worst for a moment two.

Before an edit the shelf is told too. One of which nobody knows what became may be done by Slack after those that follow
it: when it is surely over, the message is drawn once more (`revisit`, after every sweep).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

import structlog

from bot.adapters.slack.board.shelf import (
    Placed,
    Posting,
    Shelf,
    incident_of,
    lost_name,
    read_lost,
    stray_name,
    subject,
)
from bot.adapters.slack.cards.shapes import Message
from bot.adapters.slack.line.api import CALL_SECONDS, SlackRefusedError, SlackThrottledError
from bot.core.words import JsonText, Millis
from bot.engine.ports import Clock
from bot.errors import DeliveryError, DeliveryUncertain, StoreError

SETTLE_MS: Final[Millis] = int(CALL_SECONDS * 1_000) + 2_000  # after it, a call that was marked is over
CLOCKS_APART_MS: Final[Millis] = 600_000  # between this machine's clock and Slack's, for looking back
LATE_MS: Final[Millis] = 30_000  # after it, an edit that was marked is over, however late Slack did it
STUBBORN_MS: Final[Millis] = 600_000  # between two tries to take back a double that Slack does not let go
PER_VISIT: Final = 200  # places read or written at one `revisit`
PER_REMOVAL: Final = 20  # doubles taken back at one `revisit`
MAX_HEARD: Final = 10_000  # names that wait to be read again
TRIES: Final = 3  # at a place that others write too
GONE: Final = frozenset({"message_not_found", "channel_not_found"})  # Slack's words for what cannot stand there
KINDS: Final = ("card:", "question:", "digest:", "stray:")  # places that another replica may have to be told of
SHORT: Final = frozenset({"thread", "words"})  # messages that are only said: kept until what they told is noted

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

    async def channels(self, wanted: Collection[str]) -> Mapping[str, str]: ...

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
        self._heard: dict[str, None] = {}  # places that another replica wrote
        self._stubborn: dict[str, Millis] = {}  # doubles, and when they are tried again
        self.places: dict[str, Placed] = {}
        self.workspace_url = ""

    async def recall(self) -> None:
        """Read the whole shelf: at the beginning of a lead."""
        self.places = dict(await self._shelf.places())
        self._heard, self._stubborn = {}, {}

    def heard(self, names: Iterable[str]) -> None:
        """What was nudged: places among it were written by another replica, and are read again at `revisit`."""
        if len(self._heard) < MAX_HEARD:
            self._heard.update(dict.fromkeys(name for name in names if name.startswith(KINDS)))

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
        if self._clock.now() - mark.at >= self._settle_ms:  # another replica may have thought it lost
            await self.drop([lost_name(want.name, mark.nonce)])
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
            found = await self._found(placed, placed.posting.at, placed.posting.nonce)
            if found:
                return await self._noted(self._standing(placed, found))
            if placed.posting.nonce:  # Slack may do it yet: then that is the one too many
                lost = replace(placed, name=lost_name(placed.name, placed.posting.nonce), posting=None, revision=0)
                await self._keep(replace(lost, again=placed.posting.at + LATE_MS))
        await self.drop([placed.name])
        return None

    async def _noted(self, standing: Placed) -> Placed | None:
        kept = await self._keep(standing)
        if kept is None and standing.name not in self.places and standing.name.partition(":")[0] in SHORT:
            kept = self.places[standing.name] = standing  # who posted it came back, and noted that it was said
        return kept

    def link(self, placed: Placed) -> str:
        """The address of a message, as Slack makes them; "" while the workspace's own is not known."""
        if not self.workspace_url or not placed.ts:
            return ""
        address = f"{self.workspace_url.rstrip('/')}/archives/{placed.channel}/p{placed.ts.replace('.', '')}"
        return f"{address}?thread_ts={placed.thread}&cid={placed.channel}" if placed.thread else address

    async def edit(self, placed: Placed, message: Message, *, look: str, facts: str = "", over: bool = False) -> None:
        """Show this in its place. A message that somebody deleted is forgotten, so it is posted anew."""
        now = self._clock.now()
        marked = await self._keep(replace(placed, look="", again=now + LATE_MS))
        if marked is None:
            return  # somebody else is at it: it is looked at again as they left it
        before = placed.again if now < placed.again <= now + LATE_MS else 0  # of another edit, and still to come
        try:
            await self._slack.update(placed.channel, placed.ts, message, name=placed.name)
        except DeliveryUncertain:
            raise  # the mark stays: it may be done yet
        except DeliveryError as error:
            if isinstance(error, SlackRefusedError) and error.code in ("message_not_found", "thread_not_found"):
                await self.drop([placed.name])
                return
            await self._keep(replace(marked, look=placed.look, again=before))
            raise
        shown = replace(marked, again=before)
        if not await self.note(shown, look=look, facts=facts or placed.facts, over=over):
            await self._overtaken(placed.name)

    async def note(self, placed: Placed, *, look: str, facts: JsonText, over: bool = False) -> bool:
        """Keep what a message shows now. Whether nobody else wrote it meanwhile."""
        over = over and not (placed.again and placed.name.startswith("question:"))  # it is to be drawn once more
        shown = replace(placed, look=look, facts=facts, over=over, shown_at=self._clock.now())
        return await self._keep(shown) is not None

    async def _overtaken(self, name: str) -> None:
        """Somebody else drew it meanwhile, and this edit may have come after theirs: whoever leads draws it again."""
        log.warning("slack_edit_overtaken", name=name)
        for _ in range(TRIES):
            there = self.places.get(name)
            if there is None or not there.ts or await self._keep(replace(there, look="", over=False)) is not None:
                break
        await self._tell(name)

    async def _tell(self, name: str) -> None:
        """Whoever leads has a copy of the places, and reads this one again."""
        about = incident_of(name)
        await self._shelf.nudge([name, *([subject(*about)] if about is not None else [])])

    async def drop(self, names: list[str]) -> None:
        """Forget where these stand."""
        await self._shelf.drop(names)
        for name in names:
            self.places.pop(name, None)

    async def withdraw(self, placed: Placed) -> None:
        """Take a message back that is wrong by now. Where Slack does not let it go, it is tried again (`revisit`)."""
        stray = Placed(name=stray_name(placed.channel, placed.ts), channel=placed.channel, ts=placed.ts)
        await self._keep(stray)  # before it is forgotten: this replica may die meanwhile
        await self.drop([placed.name])
        await self._remove(stray)

    def _standing(self, placed: Placed, ts: str) -> Placed:
        """What is only said keeps its mark: it names the lines that are still to be noted as said."""
        posting = placed.posting
        facts = posting.facts if posting is not None and posting.facts else placed.facts
        kept = posting if placed.name.partition(":")[0] in SHORT else None
        return replace(placed, ts=ts, posting=kept, look="", facts=facts, shown_at=self._clock.now())

    async def _keep(self, placed: Placed) -> Placed | None:
        kept = await self._shelf.put(placed)
        if kept is None:
            await self._reread(placed.name)
            return None
        self.places[placed.name] = kept
        return kept

    async def _reread(self, name: str) -> None:
        there = await self._shelf.place(name)
        self.places.pop(name, None)
        if there is not None:
            self.places[name] = there

    async def _found(self, kept: Placed, at: Millis, nonce: str) -> str:
        """Where the message stands that was marked then; "" when it is not there."""
        try:
            return await self._looked_up(kept, max(0.0, (at - CLOCKS_APART_MS) / 1_000), nonce)
        except SlackRefusedError as error:  # also where it was for want of a scope: no reason for others to wait
            log.warning("slack_look_refused", name=kept.name, code=error.code)
            return ""  # a second card is better than none

    async def _looked_up(self, kept: Placed, oldest: float, nonce: str) -> str:
        where = {"name": kept.name, "nonce": nonce, "thread": kept.thread}
        try:
            return await self._slack.find(kept.channel, oldest=oldest, **where)
        except SlackRefusedError as error:
            if error.code != "not_in_channel":
                raise
        await self._slack.join(kept.channel)
        return await self._slack.find(kept.channel, oldest=oldest, **where)

    async def _take_back(self, want: Want, ts: str) -> None:
        """Somebody else thought this replica gone, and posted: theirs stays."""
        there = self.places.get(want.name)
        if there is not None and there.ts == ts:
            return
        log.warning("slack_message_taken_back", name=want.name)
        stray = Placed(name=stray_name(want.channel, ts), channel=want.channel, ts=ts)
        try:
            await self._keep(stray)  # before the call: it may fail, and this replica may die meanwhile
            await self._tell(stray.name)
        except StoreError as error:
            log.warning("slack_shelf_unavailable", name=stray.name, problem=str(error))
            self.places[stray.name] = stray
        await self._remove(stray)

    async def _remove(self, stray: Placed) -> bool:
        """Take a double back. Whether Slack can be asked for the next one at once."""
        try:
            ts = stray.ts or await self._lost(stray)
            if ts and not self._stays(stray.channel, ts):
                await self._slack.delete(stray.channel, ts)
        except SlackRefusedError as error:
            if error.code not in GONE:
                log.warning("slack_double_stays", name=stray.name, code=error.code)
                self._stubborn[stray.name] = self._clock.now() + STUBBORN_MS
                return True
        except DeliveryError as error:
            log.warning("slack_double_stays", name=stray.name, problem=str(error))
            seconds = error.seconds if isinstance(error, SlackThrottledError) else 0.0
            self._stubborn[stray.name] = self._clock.now() + min(STUBBORN_MS, int(seconds * 1_000))
            return False
        await self.drop([stray.name])
        return True

    async def _lost(self, stray: Placed) -> str:
        """Where a post stands that came after it was looked for; "" when it never came, or nobody of us wrote this."""
        name, nonce = read_lost(stray.name)
        if not nonce or not stray.again or await self._shelf.place(stray.name) is None:
            return ""
        return await self._found(replace(stray, name=name), stray.again - LATE_MS, nonce)

    def _stays(self, channel: str, ts: str) -> bool:
        """Whether this very message was taken for the one that is to stand."""
        own = (one for one in self.places.values() if not one.name.startswith("stray:"))
        return any((one.channel, one.ts) == (channel, ts) for one in own)

    # --- after a sweep ----------------------------------------------------------------------------------------------

    async def revisit(self) -> None:
        """Read what others wrote, have drawn again what a late edit may have come to, take doubles back.

        What a post may have come to that was not found in time is a double too.
        """
        for name in list(self._heard)[:PER_VISIT]:
            await self._reread(name)
            del self._heard[name]
        now = self._clock.now()
        over = [one for one in self.places.values() if not now < one.again <= now + LATE_MS]
        strays = [one for one in over if one.name.startswith("stray:")]
        for placed in [one for one in over if one.again and one not in strays][:PER_VISIT]:
            await self._keep(replace(placed, look="", again=0))
        for stray in [one for one in strays if self._stubborn.get(one.name, 0) <= now][:PER_REMOVAL]:
            if not await self._remove(stray):
                return
