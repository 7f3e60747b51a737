"""The circuit breaker and the bounded retries that stand before every component.

Each component has one breaker, shared by its reads and sends: after a few failures in a row nothing is asked of it for
a while, so a dead component costs microseconds instead of timeouts. Used by `http_target` and `targets_redis`; the
mechanisms are purgatory's and stamina's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina
from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState

from bot.errors import NotSent, Rejected, TargetError, Unknown

FAILURES = 5  # in a row until the breaker opens: one activity's three attempts and their inspections do not open it
OPEN_SECONDS = 5.0  # how long it stays open: short, because a protective action may be waiting behind it
MAX_CAUSE = 200  # characters of the first failure, told with the open breaker
READ_ATTEMPTS = 3  # per read; reads change nothing, so a lost answer may be asked for again
READ_SECONDS = 2.0  # one read with all its attempts; the activity allows 3 s for looking
FIRST_WAIT_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 0.25

T = TypeVar("T")


class _UnansweredError(Exception):
    """A read that may be tried again; carries the real error."""

    def __init__(self, error: TargetError) -> None:
        super().__init__(type(error).__name__)  # stamina logs this: no text from the target
        self.error = error


class Breaker:
    """One component's breaker."""

    def __init__(self, component: str) -> None:
        self._component = component
        self._cause = ""  # what the first of the failures in a row said
        self._factory = AsyncCircuitBreakerFactory(
            default_threshold=FAILURES,
            default_ttl=OPEN_SECONDS,
            exclude=[Rejected, asyncio.CancelledError],  # an answer is an answer; our own giving up says nothing
        )

    async def once(self, call: Callable[[], Awaitable[T]]) -> T:
        """One call, not repeated. Raises NotSent while the breaker is open, else what the call raises."""
        breaker = await self._factory.get_breaker(self._component)
        try:
            await breaker.__aenter__()
        except OpenedState as error:
            error.with_traceback(None)  # purgatory raises one shared instance, whose traceback would grow
            cause = f" (first: {self._cause})" if self._cause else ""
            raise NotSent(
                f"{self._component} failed {FAILURES} times in a row{cause}; not asked for {OPEN_SECONDS:g} s"
            ) from None
        try:
            result = await call()
        except BaseException as error:
            if isinstance(error, Rejected):
                self._cause = ""
            elif isinstance(error, TargetError):
                self._cause = self._cause or str(error)[:MAX_CAUSE]
            await breaker.__aexit__(type(error), error, None)
            raise
        self._cause = ""
        await breaker.__aexit__(None, None, None)
        return result

    async def read(self, call: Callable[[], Awaitable[T]]) -> T:
        """One read: a few attempts within READ_SECONDS. Raises TargetError's children only."""
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await self._attempts(call)
        except _UnansweredError as error:
            raise error.error from error.error.__cause__
        except TimeoutError as error:
            raise Unknown(f"{self._component} gave no answer within {READ_SECONDS:g} s") from error

    async def _attempts(self, call: Callable[[], Awaitable[T]]) -> T:
        """The first attempt goes plainly, for it is nearly always the only one and the retries' set-up costs 0.1 ms."""
        try:
            return await self.once(call)
        except Rejected:
            raise
        except TargetError:
            pass  # said again by the next attempt, at once: a kept-alive connection may just have been closed
        async for attempt in stamina.retry_context(
            on=_UnansweredError,
            attempts=READ_ATTEMPTS - 1,
            timeout=READ_SECONDS,
            wait_initial=FIRST_WAIT_SECONDS,
            wait_max=LONGEST_WAIT_SECONDS,
            wait_jitter=FIRST_WAIT_SECONDS,
        ):
            with attempt:
                try:
                    return await self.once(call)
                except Rejected:
                    raise
                except TargetError as error:
                    raise _UnansweredError(error) from error
        raise AssertionError("stamina returns or raises")
