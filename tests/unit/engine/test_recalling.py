"""What a start tells the store again: what the journal remembers, by whatever clock that was dated."""

from __future__ import annotations

import pytest

from bot.adapters.codec import event_text
from bot.adapters.metrics import Metrics
from bot.core.events import IntentDeclared
from bot.core.target import RECALLED_MS
from bot.core.words import Millis
from bot.engine.engine import Engine
from bot.engine.reconcile import Reconciler
from bot.testing import FakeClock, MemoryJournal, MemoryStore
from tests.contract.store_records import SHARD


@pytest.mark.parametrize(("age", "told"), [(10_000, True), (RECALLED_MS + 10_000, True), (2 * RECALLED_MS + 1, False)])
async def test_what_a_clock_a_day_behind_has_dated_is_told_again_too(age: Millis, told: bool) -> None:
    """Declared ten seconds ago, by a clock that was right, and by one that was a day behind; and one truly old."""
    store, clock, journal = MemoryStore(), FakeClock(), MemoryJournal()
    store.wall = clock.now
    engine = Engine(
        store=store, book=None, text=event_text, clock=clock, telemetry=Metrics(), shards=[SHARD]
    )  # type: ignore[arg-type]  # nothing is matched here  # fmt: skip
    await journal.intend(_intent(clock.now() - age), SHARD)
    await Reconciler(engine, journal, replica="r1").begin()
    found = (await store.load(SHARD, ["target:risk-engine"])).get("target:risk-engine")
    assert (found is not None and len(found.record.recalled) == 1) is told


def _intent(at: Millis) -> IntentDeclared:
    return IntentDeclared(
        id="int-1/1", at=at, intent="int-1", incident="inc-1", episode=1, step="s1", action="orders.hedge",
        target="target:risk-engine", policy="p", policy_hash="h", arguments="{}", before="{}", direction="neutral",
        delivery="once", fence=1, attempt=1, deadline=at + 20_000,
    )  # fmt: skip
