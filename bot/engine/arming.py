"""What andon.yaml arms, told to each system's `*`: at start, and after a reload that listed others.

Called by `bot.house`. A policy that a person has disarmed since stays so (`*` sees to that). A system whose `*` does
not open is left as it is, with the others armed: `bot.engine.custody` tells people.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from bot.core.orders import PolicyArmed, PolicyDisarmed
from bot.core.requests import CONFIGURATION
from bot.core.target import Target
from bot.core.words import SYSTEM_TARGET
from bot.engine.engine import Engine
from bot.errors import RecordForged, StoreNewer

log = structlog.get_logger(__name__)


async def arm_as_listed(engine: Engine, shards: Sequence[str], armed: Sequence[tuple[str, str]]) -> None:
    """Arm every (system, policy) of `armed`; disarm what configuration armed and lists no more. StoreUnavailable."""
    for system in dict.fromkeys([*(system for system, _ in armed), *shards]):
        try:
            await _system(engine, system, [policy for where, policy in armed if where == system])
        except StoreNewer as error:
            log.warning("left_to_newer", shard=system, doing="arm what andon.yaml arms", why=str(error))
        except RecordForged as error:
            log.error("record_forged", shard=system, doing="arm what andon.yaml arms", error=str(error))


async def _system(engine: Engine, system: str, listed: Sequence[str]) -> None:
    for policy in listed:
        event = PolicyArmed(id=f"configuration/{policy}", at=engine.clock.now(), by=CONFIGURATION, policy=policy)
        await engine.tell(system, SYSTEM_TARGET, event)
    stored = (await engine.store.load(system, [SYSTEM_TARGET])).get(SYSTEM_TARGET)
    known = stored.record.armed if stored is not None and isinstance(stored.record, Target) else {}
    for policy in [name for name, by in known.items() if by.by == CONFIGURATION and name not in listed]:
        gone = PolicyDisarmed(id=f"configuration/-{policy}", at=engine.clock.now(), by=CONFIGURATION, policy=policy)
        await engine.tell(system, SYSTEM_TARGET, gone)
