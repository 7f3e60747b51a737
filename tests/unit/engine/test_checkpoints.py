"""The task that signs: what it says, how much it costs, and that its failures are told and are in nobody's way."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bot.core.checkpoint import MAX_STATEMENTS, Signed, Statement, parse
from bot.core.events import AlertsReceived
from bot.core.words import AggregateId
from bot.engine.alarms import Alarms
from bot.engine.checkpoints import SWEEP_MS, Checkpoints, Head, KnownChain
from bot.errors import DeliveryError, StoreUnavailable
from bot.testing import FakeClock, MemoryStore

SHARD = "trading-core"
MINUTE = 60_000


class Heads:
    """A store that has nothing but heads. Implements `Ledger`."""

    def __init__(self) -> None:
        self.now: dict[AggregateId, Head] = {}
        self.known: list[KnownChain] = []
        self.asked = 0

    async def aggregates(self, shard: str) -> list[AggregateId]:
        return sorted(self.now)

    async def heads(self, shard: str, ids: Sequence[AggregateId]) -> dict[AggregateId, Head]:
        self.asked += len(ids)
        return {name: self.now[name] for name in ids if name in self.now}

    async def known_chains(self) -> tuple[list[KnownChain], list[str]]:
        return self.known, []

    async def remember_chain(self, chain: KnownChain) -> None:
        self.known = [chain]


class Disk:
    """A chain that is kept in memory. Implements `ChainLog`."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.full = ""
        self.cursors: dict[str, int] = {}

    def last(self) -> Signed | None:
        return parse(self.lines[-1]) if self.lines else None

    def append(self, line: bytes) -> None:
        if self.full:
            raise StoreUnavailable(self.full)
        self.lines.append(line)

    def after(self, seq: int, limit: int) -> list[bytes]:
        return self.lines[seq : seq + limit]

    def exported(self) -> dict[str, int]:
        return dict(self.cursors)

    def note_exported(self, destination: str, seq: int) -> None:
        self.cursors[destination] = seq


class Elsewhere:
    """Takes lines, or refuses them. Implements `Destination`."""

    name = "directory"

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.away = ""

    async def put(self, key: str, first: int, lines: Sequence[bytes]) -> None:
        if self.away:
            raise DeliveryError(self.away)
        assert first == len(self.lines) + 1
        self.lines += lines


class Key:
    """Implements `Signing`; whether a signature holds is tested with the real one."""

    public = "ed25519:a"

    def sign(self, message: bytes) -> str:
        return f"signed {len(message)}"


class Desk:
    """One replica's checkpoints, and everything around them."""

    def __init__(self) -> None:
        self.clock, self.heads, self.disk, self.elsewhere = FakeClock(), Heads(), Disk(), Elsewhere()
        self.store = MemoryStore()
        self.alarms = Alarms(self.store, self.clock)
        self.made = self.start()

    def start(self) -> Checkpoints:
        return Checkpoints(
            ledger=self.heads, chain=self.disk, key=Key(), destinations=[self.elsewhere], clock=self.clock,
            alarms=self.alarms, shards=[SHARD], home="unrouted", replica="andon-a", every_ms=MINUTE,
        )  # fmt: skip

    def commit(self, name: str, version: int, head: str = "") -> None:
        """As the engine of this replica would."""
        self.heads.now[name] = (version, head or f"{name}-{version}")
        self.made.witness(SHARD, name, *self.heads.now[name])

    def said(self, number: int = -1) -> tuple[Statement, ...]:
        found = parse(self.disk.lines[number])
        assert found is not None
        return found.checkpoint.saw

    async def told(self, shard: str) -> list[tuple[str, str]]:
        """(alarm, status) said there since the last look; what no earlier round raised is not counted as over."""
        entries = [each.entry for each in await self.store.read_inbox(shard, 100, 0)]
        alerts = [alert for entry in entries if isinstance(entry, AlertsReceived) for alert in entry.alerts]
        return [(alert.name, alert.status) for alert in alerts]


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_what_changed_is_signed_once(desk: Desk) -> None:
    """The newest head of each aggregate, in one line; a round without a change adds none."""
    desk.commit("inc-1", 1)
    desk.commit("inc-1", 2)
    desk.commit("inc-2", 1)
    await desk.made.round()
    assert desk.said() == (Statement(SHARD, "inc-1", 2, "inc-1-2"), Statement(SHARD, "inc-2", 1, "inc-2-1"))
    await desk.made.round()
    assert len(desk.disk.lines) == 1
    desk.commit("inc-2", 2)
    await desk.made.round()
    assert desk.said() == (Statement(SHARD, "inc-2", 2, "inc-2-2"),)
    first, second = (parse(line) for line in desk.disk.lines)
    assert first is not None
    assert second is not None
    assert (second.checkpoint.seq, second.checkpoint.previous) == (2, first.hash)


async def test_what_is_signed_is_what_was_committed(desk: Desk) -> None:
    """Whoever changes the store between the commit and the checkpoint does not get it signed."""
    desk.commit("inc-1", 3)
    desk.heads.now["inc-1"] = (3, "forged")
    await desk.made.round()
    assert desk.said() == (Statement(SHARD, "inc-1", 3, "inc-1-3"),)


async def test_ten_thousand_incidents_cost_a_bounded_line_each_time(desk: Desk) -> None:
    """A start signs all of them in lines of bounded size; from then on only what changes, and a look now and then."""
    desk.heads.now = {f"inc-{number:05}": (1, "h") for number in range(10_000)}
    await desk.made.round()
    assert len(desk.disk.lines) == 10_000 / MAX_STATEMENTS
    assert max(map(len, desk.disk.lines)) < 64_000
    asked, lines = desk.heads.asked, len(desk.disk.lines)
    desk.commit("inc-00007", 2)
    await desk.made.round()
    assert (desk.heads.asked, len(desk.disk.lines), len(desk.said())) == (asked, lines + 1, 1)
    desk.clock.advance(SWEEP_MS)
    await desk.made.round()
    assert (desk.heads.asked, len(desk.disk.lines)) == (asked + 10_000, lines + 1)


async def test_what_another_replica_commits_is_found(desk: Desk) -> None:
    """By the look at every head, for nobody tells this replica of it."""
    await desk.made.round()
    desk.heads.now["inc-9"] = (4, "theirs")
    await desk.made.round()
    assert desk.disk.lines == []
    desk.clock.advance(SWEEP_MS)
    await desk.made.round()
    assert desk.said() == (Statement(SHARD, "inc-9", 4, "theirs"),)


@pytest.mark.parametrize("found", [(4, "inc-1-4"), (5, "another")], ids=["went back", "was replaced"])
async def test_a_head_that_went_back_is_an_alarm_and_is_not_signed(desk: Desk, found: Head) -> None:
    """What was said stays said."""
    desk.commit("inc-1", 5)
    await desk.made.round()
    await desk.told(SHARD)
    desk.heads.now["inc-1"] = found
    desk.clock.advance(SWEEP_MS)
    await desk.made.round()
    assert await desk.told(SHARD) == [("AndonAuditChanged", "firing")]
    assert len(desk.disk.lines) == 1


async def test_a_disk_that_refuses_is_an_alarm_and_loses_nothing(desk: Desk) -> None:
    """The round ends; the next one signs what waited, and the alarm is over."""
    await desk.made.round()
    await desk.told("unrouted")
    desk.disk.full = "no space left"
    desk.commit("inc-1", 1)
    await desk.made.round()
    assert await desk.told("unrouted") == [("AndonCheckpointFailed", "firing")]
    desk.disk.full = ""
    await desk.made.round()
    assert desk.said() == (Statement(SHARD, "inc-1", 1, "inc-1-1"),)
    assert await desk.told("unrouted") == [("AndonCheckpointFailed", "resolved")]


async def test_a_destination_that_is_away_gets_all_of_it_later(desk: Desk) -> None:
    """In order, each line once; meanwhile an alarm says so, and signing goes on."""
    await desk.made.round()
    await desk.told("unrouted")
    desk.elsewhere.away = "the mount is gone"
    for version in (1, 2, 3):
        desk.commit("inc-1", version)
        await desk.made.round()
    assert (len(desk.disk.lines), desk.elsewhere.lines) == (3, [])
    assert await desk.told("unrouted") == [("AndonCheckpointExportFailed", "firing")]
    desk.elsewhere.away = ""
    await desk.made.round()
    await desk.made.round()
    assert desk.elsewhere.lines == desk.disk.lines
    assert await desk.told("unrouted") == [("AndonCheckpointExportFailed", "resolved")]
    assert desk.heads.known[0].exported == 3


async def test_a_restart_goes_on_where_the_chain_ended(desk: Desk) -> None:
    """One chain over all of a replica's lives; what a crash left unsigned is signed then."""
    desk.commit("inc-1", 1)
    await desk.made.round()
    desk.commit("inc-1", 2)  # and it is killed
    desk.made = desk.start()
    await desk.made.round()
    assert desk.said() == (Statement(SHARD, "inc-1", 2, "inc-1-2"),)
    second = parse(desk.disk.lines[1])
    assert second is not None
    assert second.checkpoint.seq == 2


async def test_a_chain_that_was_cut_is_an_alarm_and_is_not_gone_on_with(desk: Desk) -> None:
    """Going on from an earlier end would be a second history under the same numbers."""
    for version in (1, 2):
        desk.commit("inc-1", version)
        await desk.made.round()
    del desk.disk.lines[1]
    desk.made = desk.start()
    await desk.told("unrouted")
    desk.commit("inc-1", 3)
    await desk.made.round()
    assert await desk.told("unrouted") == [("AndonCheckpointFailed", "firing")]
    assert len(desk.disk.lines) == 1


async def test_the_last_round_signs_what_the_engine_did_last(desk: Desk) -> None:
    """At stop, without looking at every head again."""
    await desk.made.round()
    asked = desk.heads.asked
    desk.commit("inc-1", 1)
    await desk.made.finish()
    assert len(desk.said()) == 1
    assert desk.heads.asked == asked


async def test_what_is_about_to_be_copied_is_signed_at_once(desk: Desk) -> None:
    """A bundle is covered to its end."""
    await desk.made.round()
    desk.commit("inc-1", 1)
    await desk.made.sign_now()
    assert len(desk.said()) == 1
