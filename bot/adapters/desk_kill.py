"""The kill switch, thrown from a distance: by somebody who is known and may act, but is not at the machine.

A part of the desk, used by the Slack listeners; on the machine itself it is `andon kill-switch`, which needs none of
this. First the line on disk, which stops every action of this data directory, then a freeze of all automation, for the
replicas elsewhere. It is released on the machine only: a stolen phone can stop Andon, and not start it.
"""

from __future__ import annotations

import asyncio
from typing import Final

from bot.adapters.desk import Desk, Order, must_act
from bot.adapters.http_services import Services
from bot.adapters.kill_switch import MAX_REASON, KillSwitch, Position
from bot.errors import AndonError

BY_HAND: Final = "from a distance, without a reason"
NOBODY: Final = -1  # the uid of somebody who has none here


class KillLever:
    """One data directory's switch, for whoever may act."""

    def __init__(self, services: Services, desk: Desk, switch: KillSwitch) -> None:
        self._services = services
        self._desk = desk
        self._switch = switch

    def position(self) -> Position:
        """How it stands now."""
        return self._switch.position()

    async def engage(self, order: Order, reason: str = "") -> str:
        """Stop everything; what came of it in words. Raises Unwelcome, and StoreUnavailable when the disk refuses.

        Thrown again by the same order, it is thrown once more, and changes nothing.
        """
        must_act(self._services, order.person)
        said = (reason.strip() or BY_HAND)[:MAX_REASON]
        known = self._services.roster().by_id(order.person)
        uid = NOBODY if known is None or known.os_uid is None else known.os_uid
        now = self._services.clock.now()
        await asyncio.to_thread(self._switch.engage, at=now, by=order.person, uid=uid, reason=said)
        stopped = (
            f"The kill switch is engaged on {self._services.replica}: nothing is sent from its data directory now."
        )
        goes_on = "Trading itself goes on. Release it on the machine: andon kill-switch --release."
        try:
            await self._desk.freeze(order, reason=f"kill switch: {said}"[:MAX_REASON])
        except AndonError as error:
            return f"{stopped} Automation elsewhere is NOT frozen yet ({error}); it is tried again at once. {goes_on}"
        return f"{stopped} All automation is frozen too, for replicas elsewhere. {goes_on}"
