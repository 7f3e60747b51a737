"""An event loop in virtual time, in which each process of the simulation can be held still or dropped for ever.

Made by `runner`, one per seed. Nothing waits: when no callback is ready, time jumps to the next timer. Every callback
runs in the context it was scheduled in, and the context says whose it is (`OWNER`): a paused owner's callbacks are held
back until it goes on, a dead owner's never run. That is what SIGSTOP and SIGKILL do, and no code can tell.

The order of callbacks depends on nothing but the order they were scheduled in; tasks have hashes of their own, so that
sets of them are the same in every process.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from contextvars import Context, ContextVar, copy_context
from functools import partial
from heapq import heappop, heappush
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
        self.held: list[_Handle] = []  # what became due while it was paused


class _Task(asyncio.Task[Any]):
    """A task whose place in a set does not depend on its address."""

    def __init__(self, number: int, work: Coroutine[Any, Any, Any], **options: Any) -> None:
        self._number = number
        super().__init__(work, **options)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class _Handle(list[Any]):
    """A callback that is to run; what `asyncio.Handle` is, and no more: [when due, number, callback, args, context].

    A list, since a run makes thousands of them, and compares those of timers: no two have the same number.
    """

    __slots__ = ()

    def cancel(self) -> None:
        """It does not run."""
        self[2] = self[3] = None

    def cancelled(self) -> bool:
        """Whether it does not."""
        return self[2] is None

    def when(self) -> float:
        """When it is due."""
        return self[0]  # type: ignore[no-any-return]


class VirtualLoop(asyncio.BaseEventLoop):
    """Time is what the timers say."""

    def __init__(self) -> None:
        super().__init__()
        self._virtual = 0.0
        self._number = 0  # of tasks and timers, so that nothing is ordered by chance
        self._next: deque[_Handle] = deque()
        self._timers: list[_Handle] = []
        self._tasks: list[_Task] = []  # nobody else holds what a dead process left, and it must not be ended
        self.callbacks = 0  # run so far
        # What is asked most often is answered without a Python function.
        self.create_future = partial(asyncio.Future, loop=self)  # type: ignore[method-assign]
        self.get_debug = bool  # type: ignore[method-assign]  # no

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual

    def create_task(self, coro: Any, *, name: object = None, context: Context | None = None) -> asyncio.Task[Any]:
        """A task, numbered."""
        self._number += 1
        task = _Task(self._number, coro, loop=self, name=str(name or self._number), context=context)
        self._tasks.append(task)
        return task

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        """After what is to run already."""
        handle = _Handle((0.0, 0, callback, args, copy_context() if context is None else context))
        self._next.append(handle)
        return handle

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        """At a virtual time; of two that are due at once, the one that was asked for first comes first."""
        self._number = number = self._number + 1
        handle = _Handle((when, number, callback, args, copy_context() if context is None else context))
        heappush(self._timers, handle)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        """After so many virtual seconds."""
        self._number = number = self._number + 1
        context = copy_context() if context is None else context
        handle = _Handle((self._virtual + delay, number, callback, args, context))
        heappush(self._timers, handle)
        return handle

    def resume(self, owner: Owner) -> None:
        """Let a paused owner go on with what became due meanwhile, in that order."""
        owner.is_paused = False
        self._next.extend(owner.held)
        owner.held.clear()

    def dispose(self) -> None:
        """End every task where it stands, and the loop: what is left would be ended later, by the garbage collector."""
        for task in self._tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's own gather does the same
            for _ in range(0 if task.done() else MAX_REFUSALS):
                if _closes(task.get_coro()):
                    break
        self._tasks.clear()
        self._next.clear()
        self._timers.clear()
        self.close()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Told of tasks that were dropped with their process, and of answers nobody waits for: as it should be."""

    def _run_once(self) -> None:
        """Until somebody stops the loop, in place of BaseEventLoop's rounds: no selector, no waiting."""
        waiting, timers, owner_of = self._next, self._timers, OWNER
        while not self._stopping:
            if waiting:
                _, _, callback, args, context = handle = waiting.popleft()
                if callback is None:
                    continue
            elif timers:  # nothing is ready: to the next timer
                when, _, callback, args, context = handle = heappop(timers)
                if callback is None:
                    continue
                if when > self._virtual:
                    self._virtual = when
            else:
                raise EndlessRun("nothing is left that could ever happen")
            owner = context.get(owner_of)
            if owner is not None and (owner.is_dead or owner.is_paused):
                if not owner.is_dead:
                    owner.held.append(handle)
                continue
            self.callbacks = callbacks = self.callbacks + 1
            context.run(callback, *args)
            if callbacks > MAX_CALLBACKS:
                raise EndlessRun(f"{callbacks} callbacks at {self._virtual:.3f} s")

    def _process_events(self, event_list: object) -> None:
        raise AssertionError("a simulated loop has no files to wait for")

    def _write_to_self(self) -> None:
        raise AssertionError("no other thread may talk to a simulated loop")


def _closes(work: Any) -> bool:
    """Whether it ends when told to; else it wants to wait for something first, and is told again."""
    try:
        work.close()
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  # whatever a task says as it is ended where it stands, nobody listens
        return False
    return True
