"""A bell that one task waits for, at most for so long: what loops do that look by themselves once a second as well.

Used by `sweeper` and `high_water`. It does what an `asyncio.Event` under `asyncio.timeout` does, without cancelling
anybody: hearing nothing is the ordinary end of such a wait, and comes once a second and loop for as long as Andon runs.
"""

from __future__ import annotations

import asyncio


class Bell:
    """Rung by anybody in the same loop; one task listens at a time."""

    def __init__(self) -> None:
        self._rung = False
        self._listening: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Whoever listens goes on; whoever listens next does at once."""
        self._rung = True
        if self._listening is not None:
            _go_on(self._listening)

    def hush(self) -> None:
        """What has rung so far is heard."""
        self._rung = False

    async def heard(self, within_seconds: float) -> bool:
        """Wait until it rings, at most so long; whether it has, since it was last heard."""
        if not self._rung:
            loop = asyncio.get_running_loop()
            self._listening = listening = loop.create_future()
            end = loop.call_later(within_seconds, _go_on, listening)
            try:
                await listening
            finally:
                end.cancel()
                self._listening = None
        rung, self._rung = self._rung, False
        return rung


def _go_on(listening: asyncio.Future[None]) -> None:
    if not listening.done():
        listening.set_result(None)
