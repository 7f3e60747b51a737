"""What a running Andon does about its kill switch: it notices it, and freezes automation in the store as well.

Run by `bot.house` as an eternal task. The switch alone already stops every action of this data directory (the journal
is asked before each declaration and send); the freeze stops the replicas that run elsewhere, denies what waits for its
turn, and stands in the audit. Releasing the switch starts nothing: a freeze is lifted by a person (`andon unfreeze`).
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from bot.adapters.http_services import Check
from bot.adapters.kill_switch import RELEASED, KillSwitch, Position
from bot.core.orders import TargetFrozen
from bot.core.words import SYSTEM_TARGET
from bot.engine.engine import Engine
from bot.errors import StoreError, StoreNewer

LOOK_SECONDS: Final = 0.5  # a look is one `stat`, and also sees what no file event tells (a directory put in place)
BY: Final = "kill-switch"

log = structlog.get_logger(__name__)


class Switchboard:
    """Watches one switch, for every shard of the engine."""

    def __init__(self, switch: KillSwitch, engine: Engine) -> None:
        self._switch = switch
        self._engine = engine
        self._seen: Position = RELEASED
        self._unfrozen: list[str] = []  # shards the store has not taken the freeze of yet

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Notice a change, and freeze what is not frozen for it yet. A store that is away is tried at the next look."""
        position = self._switch.position()
        if position != self._seen:
            self._seen = position
            self._unfrozen = list(self._engine.shards) if position.engaged else []
            if position.engaged:
                log.critical("kill_switch_engaged", why=position.why)
            else:
                log.warning("kill_switch_released", by=position.by, next="automation stays frozen; `andon unfreeze`")
        if self._unfrozen:
            await self._freeze(position)

    async def _freeze(self, position: Position) -> None:
        now = self._engine.clock.now()
        # The same line is one request, however often Andon is started on it; a garbled file has no line.
        name = f"{position.at}-{position.uid}" if not position.problem else f"garbled-{now}"
        reason = position.problem or f"engaged by {position.by} (uid {position.uid}): {position.reason}"
        event = TargetFrozen(id=f"{BY}/{name}", at=now, by=BY, reason=reason)
        for shard in tuple(self._unfrozen):
            try:
                await self._engine.tell(shard, SYSTEM_TARGET, event)
            except StoreNewer:  # the newer Andon there has the switch to look at too; the other systems must not wait
                continue
            except StoreError as error:
                log.error("kill_switch_not_stored", shard=shard, error=str(error))
                return
            self._unfrozen.remove(shard)

    def check(self) -> Check:
        """The line on `/readyz`: alerts are taken all the same, so it is never the reason to take traffic away."""
        position = self._switch.position()
        if not position.engaged:
            return Check("kill_switch", True, "not engaged")
        waiting = f"; not frozen in the store yet: {', '.join(self._unfrozen)}" if self._unfrozen else ""
        return Check("kill_switch", True, f"ENGAGED: {position.why}{waiting}")
