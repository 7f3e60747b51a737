"""The outgoing sign of life: somebody outside notices when Andon is gone, or is there and cannot work.

Run by `bot.app` as an eternal task when `heartbeat.url` is set. Every `every` it asks whether Andon is well and only
then calls the URL; a monitor that misses the call pages by its own way (law 12). What is wrong stands in the log, once
for each change, and on `/readyz`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp
import structlog
from pydantic import SecretStr

from bot.adapters import outgoing
from policies.destinations import Destination

SECONDS: Final = 5.0  # one call, answer included
FIRST_AFTER_SECONDS: Final = 1.0  # the loops have gone round once by then

log = structlog.get_logger(__name__)

Unwell = Callable[[], Awaitable[str]]  # why Andon is not well, or ""


class OutgoingHeartbeat:
    """Calls `url` with POST every `every_seconds` (real time) while `unwell` finds nothing."""

    def __init__(
        self,
        url: str,
        every_seconds: float,
        unwell: Unwell,
        credentials: SecretStr | None = None,
        *,
        allow_private: bool = False,
    ) -> None:
        self._url = url
        self._to = Destination.of(url, allow_private=allow_private)
        self._every = every_seconds
        self._unwell = unwell
        self._headers = {"Authorization": f"Bearer {credentials.get_secret_value()}"} if credentials else {}
        self.standing = "not sent yet"  # in words, for `/readyz`
        self.fine = True

    async def run(self) -> None:
        """Until cancelled."""
        async with outgoing.session(
            self._to, total_seconds=SECONDS, connect_seconds=SECONDS, limit=1, headers=self._headers
        ) as session:
            pause = min(FIRST_AFTER_SECONDS, self._every)
            while True:
                await asyncio.sleep(pause)
                pause = self._every
                why = await self._unwell()
                if why:
                    self._told(False, f"held back: {why}")
                else:
                    problem = await self._call(session)
                    self._told(not problem, problem or "sent")

    async def _call(self, session: aiohttp.ClientSession) -> str:
        """Why it did not arrive, or ""."""
        try:
            async with session.post(self._url, allow_redirects=False) as response:
                return "" if response.status < 300 else f"not taken: HTTP {response.status}"
        except TimeoutError:
            return f"not taken: no answer within {SECONDS:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return f"not taken: {type(error).__name__}"

    def _told(self, fine: bool, standing: str) -> None:
        if standing != self.standing:
            (log.info if fine else log.error)("heartbeat", standing=standing)
        self.fine, self.standing = fine, standing
