"""An event loop in virtual time, in which each process of the simulation can be held still or dropped for ever.

Made by `runner`, one per seed. Nothing waits: when no callback is ready, time jumps to the next timer. Every callback
runs in the context it was scheduled in, and the context says whose it is (`OWNER`): a paused owner's callbacks are held
back until it goes on, a dead owner's never run. That is what SIGSTOP and SIGKILL do, and no code can tell.

The order of callbacks depends on nothing but the order they were scheduled in; tasks have hashes of their own, so that
sets of them are the same in every process.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Coroutine
from contextvars import Context, ContextVar
from typing import Any, Final

OWNER: Final[ContextVar[Owner | None]] = ContextVar("owner", default=None)
MAX_CALLBACKS: Final = 2_000_000  # of one run; ordinary ones need some ten thousand, more is a loop without an end


MAX_REFUSALS: Final = 20  # of a task that is ended: once for each thing it waits for on its way out


class EndlessRun(Exception):
    """More callbacks than any run needs: somebody turns in a circle."""


class Owner:
    """A process: whose callbacks these are."""

    __slots__ = ("held", "is_dead", "is_paused", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_dead = False
        self.is_paused = False
        self.held: list[asyncio.Handle] = []  # what became due while it was paused


class _Task(asyncio.Task[Any]):
    """A task whose place in a set does not depend on its address."""

    def __init__(self, number: int, work: Coroutine[Any, Any, Any], **options: Any) -> None:
        self._number = number
        super().__init__(work, **options)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class VirtualLoop(asyncio.BaseEventLoop):
    """Time is what the timers say."""

    _ready: Any  # BaseEventLoop's own: what runs next, and the timers as a heap
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self) -> None:
        super().__init__()
        self._virtual = 0.0
        self._tasks = 0
        self.callbacks = 0  # run so far

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual

    def create_task(self, coro: Any, *, name: object = None, context: Context | None = None) -> asyncio.Task[Any]:
        """A task, numbered."""
        self._tasks += 1
        number = self._tasks
        return _Task(number, coro, loop=self, name=str(name or number), context=context)

    def resume(self, owner: Owner) -> None:
        """Let a paused owner go on with what became due meanwhile, in that order."""
        owner.is_paused = False
        self._ready.extend(owner.held)
        owner.held.clear()

    def dispose(self) -> None:
        """End every task where it stands, and the loop: what is left would be ended later, by the garbage collector."""
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's own gather does the same
            work: Any = task.get_coro()
            for _ in range(MAX_REFUSALS):
                try:
                    work.close()
                    break
                except Exception:  # it wanted to wait for something first, and is asked again
                    continue
        self.close()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Told of tasks that were dropped with their process, and of answers nobody waits for: as it should be."""

    def _run_once(self) -> None:
        """One round, in place of BaseEventLoop's: no selector, no waiting."""
        ready, scheduled = self._ready, self._scheduled
        if not ready:
            self._jump(scheduled)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            owner = handle._context.get(OWNER)
            if owner is not None:
                if owner.is_dead:
                    continue
                if owner.is_paused:
                    owner.held.append(handle)
                    continue
            self.callbacks += 1
            handle._context.run(handle._callback, *handle._args)
        if self.callbacks > MAX_CALLBACKS:
            raise EndlessRun(f"{self.callbacks} callbacks at {self._virtual:.3f} s")

    def _jump(self, scheduled: list[asyncio.TimerHandle]) -> None:
        """To the next timer, and everything that is due by then becomes ready."""
        while scheduled and scheduled[0]._cancelled:  # type: ignore[attr-defined]  # asyncio's own loops read it too
            heapq.heappop(scheduled)._scheduled = False
        if not scheduled:
            raise EndlessRun("nothing is left that could ever happen")
        self._virtual = max(self._virtual, scheduled[0].when())
        while scheduled and scheduled[0].when() <= self._virtual:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            self._ready.append(handle)

    def _process_events(self, event_list: object) -> None:
        raise AssertionError("a simulated loop has no files to wait for")

    def _write_to_self(self) -> None:
        raise AssertionError("no other thread may talk to a simulated loop")
