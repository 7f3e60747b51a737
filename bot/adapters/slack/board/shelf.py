"""What the board remembers of Slack: where each message stands, what it showed last, and what is still to be said.

Used by `board` and `chat`, and by `listeners` (which incident is this message about?). Kept by `redis_shelf`, or in
memory (`shelf_twin`); one contract suite runs on both. Nothing here decides what is true: that is the
store's. A shelf that forgot everything costs doubled cards, never an action.

Names (`card_name` and the others): `card:<shard>|<incident>`, `question:<shard>|<incident>|<approval>`,
`digest:<channel id>`, `thread:<shard>|<incident>`, `words:<line id>`, `pointer:<shard>|<incident>`;
`stray:<channel id>|<ts>` is a double that is to go, `stray:<nonce>|<name>` one that may come yet. Every call raises
StoreUnavailable when the shelf cannot be reached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from bot.core.effects import Topic
from bot.core.words import AggregateId, JsonText, Millis

MAX_LINES: Final = 20_000  # waiting to be said, about 10 MB; past it the oldest go: the audit has them all
MAX_LINE: Final = 2_900  # characters of one line as it is kept; a section of Block Kit takes 3,000
REMEMBERED_MS: Final[Millis] = 86_400_000  # how long a message's id is known, so that a copy is not said twice


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Something the engine wants said. `id` is the effect's; the words are data, not escaped yet.

    `channel`: as the policy or the rung names it, "" for the card's own. `delivery`: the shelf's own mark of it.
    """

    id: str
    shard: str
    incident: AggregateId
    channel: str
    topic: Topic
    text: str
    at: Millis
    delivery: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """Written before a message is posted: whoever finds it without a `ts` looks for the message before posting again.

    `nonce` is in the message's metadata. `lines` (deliveries) and `facts` are what the message tells.
    """

    nonce: str
    at: Millis
    lines: tuple[str, ...] = ()
    facts: JsonText = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One message in Slack. `ts` is "" until it is known to stand there; `posting` is set while that is not known.

    `look` is the hash of what it showed last, `facts` what was told about then (canonical JSON; whoever renders reads
    it), `thread` the message it stands below. `over`: nothing about it will change any more. `again`: an edit of which
    nobody knows what became may still come to it until then; 0: none may. `revision` grows with every `put`.
    """

    name: str
    channel: str = ""
    ts: str = ""
    thread: str = ""
    look: str = ""
    facts: JsonText = "{}"
    shown_at: Millis = 0
    over: bool = False
    again: Millis = 0
    posting: Posting | None = None
    revision: int = 0


class Shelf(Protocol):
    """The board's memory, shared by all replicas."""

    async def lead(self, replica: str, ttl_ms: Millis) -> bool:
        """Take or keep the lease of the board for `ttl_ms`. It saves work and decides nothing."""
        ...

    async def resign(self, replica: str) -> None:
        """Give the lease back, if it is this replica's."""
        ...

    async def nudge(self, names: Sequence[str]) -> None:
        """These records (`subject`) may look different now. A set: twice is once."""
        ...

    async def nudged(self, limit: int, block_ms: Millis) -> list[str]:
        """Take what was nudged, longest waiting first; waits up to `block_ms` (real time) for the first."""
        ...

    async def say(self, line: Line) -> bool:
        """Keep a line until it is `said`. False when one of this id was kept before (said since or not)."""
        ...

    async def lines(self, limit: int, after: str = "") -> list[Line]:
        """What waits to be said, oldest first, each with its `delivery`; `after` one of them, or from the oldest."""
        ...

    async def said(self, deliveries: Sequence[str]) -> None:
        """These lines were said; again is nothing."""
        ...

    async def place(self, name: str) -> Placed | None:
        """Where a message stands. What does not carry our seal comes back as one that must be looked for."""
        ...

    async def places(self) -> Mapping[str, Placed]:
        """All of them, by name."""
        ...

    async def put(self, placed: Placed) -> Placed | None:
        """Keep it, with the next revision, provided that the one kept has `placed.revision` (0: none is kept).

        Returns what is kept now; None when somebody else was faster.
        """
        ...

    async def drop(self, names: Sequence[str]) -> None:
        """Forget where these stand."""
        ...


def clipped(line: Line) -> Line:
    """The line as it is kept: what nobody reads costs no room."""
    return line if len(line.text) <= MAX_LINE else replace(line, text=line.text[: MAX_LINE - 1] + "…")


def subject(shard: str, aggregate: AggregateId) -> str:
    """A record, as it is nudged."""
    return f"{shard}|{aggregate}"


def read_subject(name: str) -> tuple[str, AggregateId]:
    """(shard, record) of a `subject`."""
    shard, _, aggregate = name.partition("|")
    return shard, aggregate


def card_name(shard: str, incident: AggregateId) -> str:
    """The incident's card."""
    return f"card:{shard}|{incident}"


def question_name(shard: str, incident: AggregateId, approval: str) -> str:
    """The decision card of one question."""
    return f"question:{shard}|{incident}|{approval}"


def thread_name(shard: str, incident: AggregateId) -> str:
    """The lines that are being put into a card's thread."""
    return f"thread:{shard}|{incident}"


def digest_name(channel: str) -> str:
    """The digest of a channel (its id)."""
    return f"digest:{channel}"


def words_name(line: str) -> str:
    """A line that is a message of its own."""
    return f"words:{line}"


def pointer_name(shard: str, incident: AggregateId) -> str:
    """In the channel where the incident's card would stand, the message that says where it does."""
    return f"pointer:{shard}|{incident}"


def stray_name(channel: str, ts: str) -> str:
    """A message that stands twice: this one goes."""
    return f"stray:{channel}|{ts}"


def lost_name(name: str, nonce: str) -> str:
    """A message that was not there when it was looked for, and may come yet: then it stands twice."""
    return f"stray:{nonce}|{name}"


def read_lost(name: str) -> tuple[str, str]:
    """(name, nonce) of a `lost_name`."""
    nonce, _, lost = name.removeprefix("stray:").partition("|")
    return lost, nonce


def incident_of(name: str) -> tuple[str, AggregateId] | None:
    """(shard, incident) that a message's name is about; None for a digest, words, or what no board wrote."""
    kind, _, rest = name.partition(":")
    shard, bar, about = rest.partition("|")
    if kind not in ("card", "question", "thread", "pointer") or not bar:
        return None
    return shard, about.partition("|")[0]
