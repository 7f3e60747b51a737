"""The model router as a live part of trading-core: it switches, logs every switch to the stream, and can be paused.

Runs the pure `router` on the sandbox's clock. `api_router` and `api_faults` move it; Andon counts its stream
`model.switch.log`, whose ids carry the sandbox's time. The stream is the record of the switches; the ledger has every
pause, resume and fault.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from bot.core.words import Millis
from bot.sandbox.ledger import Author, Ledger
from bot.sandbox.router import ModelRouter, Pattern, Switch
from bot.sandbox.store import Command, Store

STREAM = "model.switch.log"
MAX_ENTRIES = 10_000  # of the stream, about; the runbook keeps 24 h of some 5 a minute
MAX_PENDING = 5_000  # switches that wait for a primary; the oldest give way
BATCH = 500  # switches in one transaction
REFRESH_SECONDS = 0.1  # real time between two looks; half of what Andon's reading of the stream blocks for


class Routing:
    """The router under the API. One event loop owns it; `run` keeps it alive until cancelled."""

    def __init__(self, router: ModelRouter, ledger: Ledger, store: Store, now: Callable[[], Millis]) -> None:
        self.updated_at = now()
        self.switched: dict[str, int] = dict.fromkeys(router.models, 0)  # by symbol, since the start
        self._router = router
        self._ledger = ledger
        self._store = store
        self._now = now
        self._pending: deque[Command] = deque(maxlen=MAX_PENDING)
        self._last: tuple[Millis, int] = (0, 0)  # id of the newest entry

    async def run(self) -> None:
        """Switch and publish for ever."""
        while True:
            await self.refresh()
            await asyncio.sleep(REFRESH_SECONDS)

    async def refresh(self) -> None:
        """Advance to now, and publish what waits; what no primary takes goes on waiting."""
        self._advance()
        while self._pending:
            batch = [self._pending[index] for index in range(min(BATCH, len(self._pending)))]
            if not await self._store.write(batch):
                return
            for command in batch:
                if self._pending and self._pending[0] is command:
                    self._pending.popleft()

    def status(self) -> dict[str, object]:
        """For `GET /api/router/status`."""
        held = self._router.held
        return {
            "state": "paused" if held.paused else "running",
            "model": self._router.serving,
            "owner": held.owner if held.paused else "",
            "reason": held.reason if held.paused else "",
            "since": held.since,
            "switches_per_min": self._router.per_minute(self._now()),
            "pattern": self._router.pattern or "",
            "updated_at": self.updated_at,
        }

    def pause(self, *, author: Author, owner: str, reason: str) -> bool:
        """Stand still, with every symbol on the model it has now. Returns whether that changed anything.

        A second owner takes the pause over: nothing stops one hand from undoing another's here.
        """
        self._advance()
        before = self._router.held
        if not self._router.hold(owner=owner, reason=reason, now=self._now()):
            return False
        self.updated_at = self._now()
        if before.paused:
            self._ledger.effect(
                "router_owner", author=author, before=before.owner, after=owner, reason=reason, owner=owner
            )
        else:
            self._ledger.effect("router", author=author, before="running", after="paused", reason=reason, owner=owner)
        return True

    def resume(self, *, author: Author, owner: str, reason: str) -> bool:
        """Switch again. Returns whether that changed anything."""
        if not self._router.release(owner=owner, reason=reason, now=self._now()):
            return False
        self.updated_at = self._now()
        self._ledger.effect("router", author=author, before="paused", after="running", reason=reason, owner=owner)
        return True

    def break_down(self, pattern: Pattern, per_minute: float) -> None:
        """Inject a fault: that many switches a minute more, on the sandbox's clock."""
        self._advance()
        before = self._router.pattern or ""
        self._router.break_down(pattern, per_minute, self._now())
        reason = f"injected, {per_minute:g} a minute"
        self._ledger.effect("switching", author="fault", before=before, after=pattern, reason=reason)

    def mend(self) -> None:
        """End the fault, if there is one."""
        before = self._router.pattern
        if before is not None:
            self._advance()
            self._router.mend()
            self._ledger.effect("switching", author="fault", before=before, after="", reason="cleared")

    def _advance(self) -> None:
        self.updated_at = self._now()
        for switch in self._router.advance(self.updated_at):
            self.switched[switch.symbol] += 1
            self._pending.append(self._entry(switch))

    def _entry(self, switch: Switch) -> Command:
        """XADD with an id of its own, so that writing it a second time adds nothing."""
        at, number = self._last
        self._last = (switch.at, 0) if switch.at > at else (at, number + 1)
        return (
            "XADD", STREAM, "MAXLEN", "~", MAX_ENTRIES, f"{self._last[0]}-{self._last[1]}",
            "symbol", switch.symbol, "from", switch.from_, "to", switch.to,
            "confidence", switch.confidence, "latency_ms", switch.latency_ms,
        )  # fmt: skip
