"""Timers of a clock that ran ahead are found at the start and when it is put back; all others are left alone."""

from __future__ import annotations

from bot.adapters.codec import event_text
from bot.adapters.metrics import Metrics
from bot.core.incident import Incident
from bot.core.record import Timer
from bot.core.target import Target
from bot.engine.astray import Astray
from bot.engine.engine import Engine
from bot.engine.ports import Commit
from bot.testing import FakeClock, MemoryStore
from tests.contract.store_records import SHARD, change

DAY = 86_400_000


async def test_only_what_was_set_in_the_future_is_set_again() -> None:
    """An incident and a component with a wrong timer each, and a lease that rightly lasts a day."""
    store, clock = MemoryStore(), FakeClock()
    now = clock.now()
    store.wall = clock.now
    engine = Engine(
        store=store, book=None, text=event_text, clock=clock, telemetry=Metrics(), shards=[SHARD]
    )  # type: ignore[arg-type]  # nothing is matched here  # fmt: skip
    wrong, right = Timer(due=now + DAY + 15_000, token="w", since=now + DAY), Timer(due=now + DAY, token="r", since=now)
    records = (
        Incident(id="inc-1", key="k", system=SHARD, timers={"retry": wrong, "patience": right}),
        Target(id="target:risk", system=SHARD, timers={"queue": wrong, "lease:x": right}),
    )
    await store.commit(SHARD, Commit(changes=tuple(change(record) for record in records)))
    store.wall = lambda: now + DAY  # this machine's clock may be the one that is wrong
    assert await Astray(engine).look() == 0
    store.wall = clock.now
    assert await Astray(engine).look() == 2
    found = await store.load(SHARD, ["inc-1", "target:risk"])
    assert found["inc-1"].record.timers["retry"].due == now + 15_000
    assert found["inc-1"].record.timers["patience"] == right
    assert found["target:risk"].record.timers["queue"].due == now + 15_000
    assert found["target:risk"].record.timers["lease:x"] == right
    assert await Astray(engine).look() == 0
