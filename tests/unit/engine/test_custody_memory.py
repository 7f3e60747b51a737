"""What custody keeps from one look to the next: an alarm lasts as long as its reason, and a failover is no intruder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest

from bot.core.words import AggregateId
from bot.engine.custody import ALARM, AT_ONCE, Custody
from bot.engine.ports import Versioned
from bot.errors import RecordForged
from bot.testing import FakeClock, MemoryStore
from tests.contract.store_records import SHARD, incident, put

MANY: Final = 3 * AT_ONCE  # more than one round looks at


class Server(MemoryStore):
    """What it holds may be forged or taken away, and another may take its place that lacks some."""

    def __init__(self) -> None:
        super().__init__()
        self.forged: set[AggregateId] = set()

    def fail_over(self, to: MemoryStore) -> None:
        """Whoever asks keeps the marks it has."""
        self._shards = to._shards

    def take_away(self, name: AggregateId) -> None:
        """By somebody's hand."""
        del self._shard(SHARD).records[name]

    async def load(self, shard: str, ids: Sequence[AggregateId]) -> dict[AggregateId, Versioned]:
        """RecordForged where one of them is."""
        for name in ids:
            if name in self.forged:
                raise RecordForged(f"{name}: not sealed by Andon")
        return await super().load(shard, ids)


class Said:
    """Takes alarms: every word in order, and the newest summary."""

    def __init__(self) -> None:
        self.ever: list[str] = []
        self.summary = ""

    async def raise_(self, shard: str, name: str, summary: str, **_: object) -> None:
        assert name == ALARM
        self.ever.append("raised")
        self.summary = summary

    async def clear(self, shard: str, name: str, labels: Sequence[tuple[str, str]] = ()) -> None:
        self.ever.append("cleared")


def custody(server: Server, said: Said) -> Custody:
    # What is asked of alarms here is all there is of them.
    return Custody(store=server, clock=FakeClock(1_000_000), alarms=said, shards=[SHARD], home="unrouted")  # type: ignore[arg-type]


async def test_an_alarm_lasts_until_what_was_wrong_is_looked_at_again_and_well() -> None:
    """Also while a round looks at other records: no all-clear in between, and no second firing of one fault."""
    server, said = Server(), Said()
    await put(server, *(incident(f"inc-{number:04}") for number in range(MANY)))
    looking = custody(server, said)
    server.forged = {f"inc-{AT_ONCE + 1:04}"}
    for _ in range(8):
        await looking.look(SHARD)
    assert said.ever == ["cleared", *["raised"] * 7]
    assert f"inc-{AT_ONCE + 1:04} does not open" in said.summary
    server.forged = set()
    for _ in range(4):
        await looking.look(SHARD)
    assert said.ever[-1] == "cleared"


@pytest.mark.parametrize("noticed", [True, False])
async def test_what_a_failover_lost_is_not_gone(noticed: bool) -> None:
    """Whether this replica's marks tell of it or only the store's own count does; what goes afterwards is missed."""
    server, said = Server(), Said()
    await put(server, incident("inc-1"))
    copy = server.snapshot()
    await put(server, incident("inc-2"))
    looking = custody(server, said)
    await looking.look(SHARD)
    server.fail_over(copy)
    if noticed:
        server.marks.saw(SHARD, server.marks.before(SHARD), await server.mark(SHARD), wrote=False)
        await put(server, incident("inc-3"), incident("inc-4"))  # the count is above where it stood
    for _ in range(3):
        await looking.look(SHARD)
    assert "raised" not in said.ever
    server.take_away("inc-1")
    await looking.look(SHARD)
    assert "inc-1 is gone" in said.summary
