"""Systems that the configuration has forgotten and the store has not: their open incidents would never be looked at.

Called by `bot.house` once at each start. A system is a shard of the store with its own loops; one that was removed from
andon.yaml, or renamed, has none, so its incidents stay open, its timers never fire and its pages are never taken back.
Whoever removed it is told (`AndonSystemForgotten`), and how to end it in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog

from bot.engine.alarms import Alarms
from bot.engine.ports import Store
from bot.errors import RecordForged

ALARM: Final = "AndonSystemForgotten"
MAX_COUNTED: Final = 1_000  # open incidents read of one system; more are "at least"
MAX_NAMED: Final = 5  # in the alarm's one sentence

log = structlog.get_logger(__name__)


async def tell_forgotten(store: Store, alarms: Alarms, configured: Sequence[str], *, shard: str) -> None:
    """Raise the alarm in `shard` for each system that is forgotten with something open; clear it for every other one.

    Raises StoreUnavailable.
    """
    try:
        names = await store.remember(configured)
    except RecordForged as error:  # somebody else's hand; nothing can be told of systems that are forgotten
        log.error("record_forged", doing="remember the systems", error=str(error))
        return
    for system in names:
        labels = (("system", system),)
        told = "" if system in configured else await _open(store, system)
        if told:
            summary = (
                f"andon.yaml lists {system} no more, so nothing looks at what is open there ({told}): put it "
                "back under `systems:` and restart, end these incidents (`andon resolve`), and only then take it out"
            )
            await alarms.raise_(shard, ALARM, summary, labels=labels)
        elif system != shard:
            await alarms.clear(shard, ALARM, labels)


async def _open(store: Store, system: str) -> str:
    """What is open there, in words; "" when nothing is."""
    try:
        lines = await store.incidents(system, closed=False, limit=MAX_COUNTED)
    except RecordForged as error:
        return f"what, cannot be told: {error}"
    names = ", ".join(line.incident.id for line in lines[:MAX_NAMED])
    more = f", {'at least ' if len(lines) == MAX_COUNTED else ''}{len(lines) - MAX_NAMED} more"
    return names + (more if len(lines) > MAX_NAMED else "")
