"""Retention with files, over every store: what leaves is on disk first, and a forgery stays where it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.adapters.archive import FileArchive
from bot.adapters.seal import Sealer
from bot.adapters.slack.board.outcomes import Outcomes
from bot.core.events import AlertsReceived
from bot.core.incident import Incident, StepResult
from bot.engine.alarms import Alarms
from bot.engine.ports import Change, Commit, KeyClaim
from bot.engine.retention import LAST_KEPT, Retention
from bot.testing import FakeClock
from policies.book import PolicyBook, built_in
from tests.contract.archived_incidents import closed
from tests.contract.conftest import KEY, Bench
from tests.contract.store_records import SHARD

HOUR = 3_600_000


async def stored(bench: Bench, name: str, *, later: int = 0, acted: bool = False) -> Incident:
    """A closed incident with its real chain, as the engine would have committed it."""
    kept = closed(name)
    if acted:
        done = StepResult(step="cut", episode=1, outcome="verified", at=kept.incident.opened_at, why="seen")
        opened = kept.incident.opened_at + later
        kept = replace(kept, incident=replace(kept.incident, opened_at=opened, results=(done,)))
    for entry in kept.audit:
        claims = (KeyClaim(kept.incident.key, None, name),) if entry.seq == 1 else ()
        changed = Change(kept.incident, entry.seq - 1, entry, {})
        await bench.store.commit(SHARD, Commit(changes=(changed,), claims=claims))
    return kept.incident


def keeping(bench: Bench, folder: Path) -> tuple[Retention, FileArchive]:
    clock = FakeClock()
    clock.advance(24 * HOUR)
    archive = FileArchive(folder, Sealer(KEY))
    alarms = Alarms(bench.store, clock)
    usual = built_in(SHARD)
    book = PolicyBook({SHARD: replace(usual, plans={"var-breach": usual.catch_all.plan})})
    retention = Retention(
        store=bench.store, archive=archive, clock=clock, alarms=alarms, shards=[SHARD], after_ms=HOUR,
        book=lambda: book,
    )  # fmt: skip
    return retention, archive


async def test_what_leaves_the_store_is_whole_in_the_archive(bench: Bench, tmp_path: Path) -> None:
    """Record and chain are read back as they were; the store has neither, and has counted it."""
    incident = await stored(bench, "inc-aaaaaaaaaa")
    chain = await bench.store.audit(SHARD, incident.id)
    retention, archive = keeping(bench, tmp_path / "archive")
    assert await retention.sweep() == 1
    kept = await archive.find(incident.id)
    assert kept is not None
    assert (kept.incident, kept.audit, kept.version) == (incident, tuple(chain), 3)
    assert await bench.store.load(SHARD, [incident.id]) == {}
    assert await bench.store.retired(SHARD) == 1
    verdict = await archive.verify()
    assert (verdict.problems, verdict.listed) == ((), {SHARD: 1})


async def test_how_a_policys_last_incidents_went_is_told_after_they_came_of_age(bench: Bench, tmp_path: Path) -> None:
    """However long ago: for the decision card they are read from any replica's store, no archive is asked."""
    names = [f"inc-{letter * 10}" for letter in "abcdefgh"]
    for number, name in enumerate(names):
        await stored(bench, name, later=number, acted=True)
    retention, archive = keeping(bench, tmp_path / "archive")
    assert await retention.sweep() == len(names) - LAST_KEPT
    assert await archive.listed() == ((SHARD, names[0]), (SHARD, names[1]))
    assert await retention.sweep() == 0
    told = await Outcomes(bench.store, FakeClock()).of(SHARD, "var-breach", "inc-that-asks")
    assert [line.rpartition("(")[2].rstrip(")") for line in told] == names[:2:-1]


@pytest.mark.parametrize("bench", ["valkey", "redis-7.0"], indirect=True)
async def test_a_forged_record_stays_and_is_told_while_others_go(bench: Bench, tmp_path: Path) -> None:
    """Retention neither launders nor removes what does not carry our seal."""
    await stored(bench, "inc-aaaaaaaaaa")
    await stored(bench, "inc-bbbbbbbbbb")
    place = f"{bench.prefix}:{{{SHARD}}}:record:inc-aaaaaaaaaa"
    await bench.raw.hset(place, "rec", (await bench.raw.hget(place, "rec")).replace(b"healthy", b"HEALTHY"))
    retention, archive = keeping(bench, tmp_path / "archive")
    assert await retention.sweep() == 1
    assert await archive.listed() == ((SHARD, "inc-bbbbbbbbbb"),)
    assert await bench.raw.exists(place)
    (delivery,) = await bench.store.read_inbox(SHARD, 10, 1_000)
    assert isinstance(delivery.entry, AlertsReceived)
    (alert,) = delivery.entry.alerts
    assert (alert.name, alert.status) == ("AndonArchiveFailed", "firing")
    assert "inc-aaaaaaaaaa" in alert.annotations["summary"]
