"""How much the store has acknowledged to this replica, so that it is noticed when the store forgets some of it.

Every script that writes to a shard counts twice: all writes to the shard, and those of the replica that asked. The
store's adapter tells both counts here with every reply (`before` it sends, `saw` what came back);
`bot.engine.reconcile` asks in between, keeps them in the journal, and puts right what is found. A count that is not
above what was acknowledged before the write was sent means that acknowledged writes are gone: the store failed over to
a server that lacked them, or was put back from a copy. The replica's own count makes this certain, for other replicas
may have raised the shard's above its old value meanwhile. An ordinary restart forgets nothing, so it lowers neither.

Only what somebody was told yes for can be forgotten. Where replicas confirm writes, a read may show some that nobody
has confirmed, and that a failover rightly drops: so it proves nothing there (`reads_prove`), and a write counts only
once it is confirmed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bot.engine.bell import Bell


@dataclass(frozen=True, slots=True)
class Mark:
    """How many writes a shard has counted: `total`, and `own`, those of the replica that asks."""

    total: int = 0
    own: int = 0


_NOTHING: Final = Mark()


@dataclass(frozen=True, slots=True)
class Loss:
    """The store stood at `expected` when it answered this replica, and stands at `found` now."""

    expected: Mark
    found: Mark
    seen: str = ""  # in words, where it shows in a record and not in the counts

    @property
    def why(self) -> str:
        """In words, to follow "found that"."""
        if self.seen:
            return self.seen
        forgot = "the store has forgotten writes it had confirmed"
        if self.found.own < self.expected.own:
            return f"{forgot} ({self.expected.own} of this replica's, {self.found.own} are left)"
        if self.found.total < self.expected.total:
            return f"{forgot} ({self.expected.total} in all, {self.found.total} are left)"
        return f"{forgot} (it counts {self.found.own} of this replica's, and one more was just made)"


@dataclass(frozen=True, slots=True)
class Sent:
    """What was acknowledged when a question left, and how often something had been found lost by then."""

    mark: Mark
    times: int


class HighWater:
    """The highest acknowledged counts by shard. One per process; called from many tasks of one loop.

    `reads_prove`: what is read was acknowledged, for no write waits for replicas.
    """

    def __init__(self, *, reads_prove: bool = True) -> None:
        self.reads_prove = reads_prove
        self._marks: dict[str, Mark] = {}
        self._losses: dict[str, Loss] = {}
        self._times: dict[str, int] = {}
        self._noticed = Bell()

    def before(self, shard: str) -> Sent:
        """What is acknowledged now; to be handed to `saw` with the reply to a question sent after this."""
        return Sent(self._marks.get(shard, _NOTHING), self.times(shard))

    def saw(self, shard: str, before: Sent, now: Mark, *, wrote: bool = True) -> None:
        """The store says it stands at `now`; `wrote`: after a confirmed write of this replica, which counted."""
        if before.times != self.times(shard):
            return  # sent before a loss was found: it tells of the same one
        if now.total < before.mark.total + wrote or now.own < before.mark.own + wrote:
            self._marks[shard] = now  # from here on it counts from there
            self._found(shard, Loss(before.mark, now))
        elif wrote or self.reads_prove:
            known = self._marks.get(shard)
            if known is None or now.total > known.total or now.own > known.own:
                known = known or _NOTHING
                self._marks[shard] = Mark(max(known.total, now.total), max(known.own, now.own))

    def forgot(self, shard: str, seen: str) -> None:
        """A record stands behind what was seen of it (`bot.engine.shelf`): lost, or put back from an older copy."""
        if shard in self._losses:
            return
        mark = self._marks.pop(shard, _NOTHING)  # what the counts show of the same loss is no second one
        self._found(shard, Loss(mark, mark, seen))

    def times(self, shard: str) -> int:
        """How often the shard was found to have forgotten something."""
        return self._times.get(shard, 0)

    def _found(self, shard: str, loss: Loss) -> None:
        self._losses[shard] = loss
        self._times[shard] = self.times(shard) + 1
        self._noticed.ring()

    def restore(self, marks: Mapping[str, Mark]) -> None:
        """What the journal remembers of a predecessor. Called once, before anything is written."""
        for shard, mark in marks.items():
            self._marks[shard] = mark

    def marks(self) -> dict[str, Mark]:
        """All of them, for the journal."""
        return dict(self._marks)

    def lost(self, shard: str) -> str:
        """Why nothing may be sent for this shard now; "" while the store remembers what it acknowledged."""
        loss = self._losses.get(shard)
        return loss.why if loss is not None else ""

    def losses(self) -> dict[str, Loss]:
        """What was found and is not settled, by shard."""
        return dict(self._losses)

    def settled(self, shard: str, loss: Loss) -> None:
        """That loss is put right."""
        if self._losses.get(shard) == loss:
            del self._losses[shard]

    async def noticed(self, within_seconds: float) -> None:
        """Returns when a loss was found since the last call, or after so long."""
        await self._noticed.heard(within_seconds)
