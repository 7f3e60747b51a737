"""Following the policy book: who depends on it learns that a reload has put another one in its place.

`engine.book` is swapped whole by a reload, in this process (`poke` tells at once) or, on a test's whim, silently; so
everybody who follows looks again once a second. Used by the tailer of streams, the schedules and the watches.
"""

from __future__ import annotations

import asyncio

from bot.engine.engine import Engine
from policies.book import PolicyBook

LOOK_AGAIN_SECONDS = 1.0  # how late a swap is noticed that nobody told of


class BookFollower:
    """Waits for another book than the one that was seen. One per process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._swapped = asyncio.Event()

    @property
    def book(self) -> PolicyBook:
        """The book in force."""
        return self._engine.book

    def poke(self) -> None:
        """The book was swapped: whoever waits looks now."""
        self._swapped.set()
        self._swapped = asyncio.Event()

    async def another(self, seen: PolicyBook, within_seconds: float = float("inf")) -> bool:
        """Wait until the book is another than `seen`, at most `within_seconds`; whether it is."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_seconds
        while self.book is seen:
            left = deadline - loop.time()
            if left <= 0:
                return False
            try:
                async with asyncio.timeout(min(LOOK_AGAIN_SECONDS, left)):
                    await self._swapped.wait()
            except TimeoutError:
                continue
        return True
