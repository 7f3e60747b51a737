"""The only way from a simulated replica to anything outside it: every call can be late, lost, or the last one ever.

How the simulation is put together (each module says more):

* `loop`: an event loop in virtual time; a task's *owner* (a context variable) is the process it belongs to, so that a
  paused owner's callbacks are held back and a dead one's never run again, not even its `finally` blocks in time.
* `wire` (here): ports, calls, network faults, crash points.
* `servers`, `store`: a primary, perhaps a follower behind it; and `SimulatedStore`, a replica's way to them.
* `replica`: `Replica`, a process that starts, crashes, is paused and begins anew from what is durable (store, journal).
* `world`: `World` holds all of one seed's run; `Script` and `Step` are what happens in it, as data.
* `troubles`: the kernel's own steps (crash, pause, clock jump, network, store, failover).
* `floor`, `people`, `script`, `oracle`, `timeline`: the trading floor, humans, what is drawn from a seed, the judge.
* `runner`, `shrink`, `__main__`: one seed, a smaller script with the same violation, many seeds.

What the floor builds on, in one example. A target is an object outside; a replica reaches it through its `Line`::

    TARGET = Port("target", refused=NotSent, unanswered=Unknown, patience_s=2.0)

    class KellyConnector:                          # made for one incarnation: floor.hands(line)
        async def send(self, context, proceed):
            await self._line.call(TARGET, "send risk-engine", lambda: self._risk.put(proceed, key=context.intent))

`work` runs at the other side, at the moment the request arrives, as one atomic step: it is synchronous, it may raise an
error of `bot.errors` (which travels back like any reply), and it runs even when nobody waits for it any more (the
caller timed out, was cancelled, or died meanwhile). It may return an `asyncio.Future` for an answer that takes its time
at the other side. What a caller gets: the reply; `port.refused` (provably nothing was sent); `port.unanswered` (lost
request, lost reply or a reply later than `patience_s`; the work may have been done or may yet be done).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Literal, Never, TypeVar

from bot.errors import AndonError
from tests.simulation.loop import VirtualLoop
from tests.simulation.trace import Trace

T = TypeVar("T")
Where = Literal["before", "sent", "answered"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A kind of neighbour. Delays are one way, in milliseconds (least, most), drawn for each call."""

    name: str  # store | journal | target | evidence | chat | pager | …
    refused: Callable[[str], Exception]
    unanswered: Callable[[str], Exception]
    delay_ms: tuple[float, float] = (0.2, 2.0)
    patience_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What is wrong with some calls: of one replica ("": all), at one port ("": all but the journal).

    Chances are from 0 to 1 and drawn per call. `late` multiplies the delay of those that are late by `late_by`.
    """

    replica: str = ""
    port: str = ""
    refused: float = 0.0
    lose_request: float = 0.0
    lose_reply: float = 0.0
    late: float = 0.0
    late_by: float = 200.0

    def touches(self, replica: str, port: str) -> bool:
        """Whether this call can be hit by it."""
        return self.replica in ("", replica) and (self.port == port if self.port else port != "journal")


@dataclass(slots=True, kw_only=True)
class CrashPoint:
    """Where a replica dies: around its `nth` next call at `port` ("": any).

    before: nothing leaves. sent: the request is under way and will land. answered: the reply is there, and nothing of
    what follows it runs.
    """

    replica: str
    port: str = ""
    nth: int = 1
    where: Where = "before"
    away_ms: int = 1_000  # until its supervisor starts it again


_UNTOUCHED: Final = (False, False, False, 1.0)  # refused, request lost, reply lost, how many times slower
_NEUTRAL: Final = Context()  # nobody's: what is under way arrives whatever became of its sender


class Wire:
    """The network of one run: its troubles, its armed crash points, and who dies of them."""

    def __init__(self, loop: VirtualLoop, trace: Trace, chance: Random, crash: Callable[[CrashPoint], None]) -> None:
        self.loop = loop
        self.trace = trace
        self.troubles: list[Trouble] = []
        self.crash_points: list[CrashPoint] = []
        self.gates: dict[str, float] = {}  # port -> until when requests wait before it, all of them
        self.chance = chance
        self.calls = 0  # of all lines
        self.crash = crash

    def line(self, replica: str, incarnation: int) -> Line:
        """A line for one incarnation of a replica."""
        return Line(self, replica, incarnation)

    def reached(self, replica: str, port: str) -> CrashPoint | None:
        """The crash point that this call is, if it is one; each is used once."""
        hit: CrashPoint | None = None
        for point in list(self.crash_points):
            if point.replica == replica and point.port in ("", port):
                point.nth -= 1
                if point.nth <= 0:
                    self.crash_points.remove(point)
                    hit = hit or point
        return hit

    def disarm(self, point: CrashPoint) -> None:
        """It was not reached in time."""
        if point in self.crash_points:
            self.crash_points.remove(point)

    def fate(self, replica: str, port: str) -> tuple[bool, bool, bool, float]:
        """What becomes of one call: refused, request lost, reply lost, and how many times slower it is."""
        refused = request = reply = False
        slower = 1.0
        draw = self.chance.random
        for trouble in self.troubles:
            if trouble.touches(replica, port):
                refused = refused or draw() < trouble.refused
                request = request or draw() < trouble.lose_request
                reply = reply or draw() < trouble.lose_reply
                slower *= trouble.late_by if draw() < trouble.late else 1.0
        return refused, request, reply, slower


class Line:
    """One incarnation's line to everything outside. `is_cut`: that incarnation is dead, and nothing passes any more."""

    def __init__(self, wire: Wire, replica: str, incarnation: int) -> None:
        self.replica = replica
        self.incarnation = incarnation
        self.is_cut = False
        self.calls = 0  # so far
        self._wire = wire
        self._loop = wire.loop
        self._pending: set[asyncio.Future[Any]] = set()  # answers that take their time at the other side

    def cut(self) -> None:
        """Its process is dead: the other side is told that its connections are gone, and nothing arrives any more."""
        self.is_cut = True
        for waiting in list(self._pending):
            waiting.cancel()
        self._pending.clear()

    async def call(
        self, port: Port, what: str, work: Callable[[], T | asyncio.Future[T]], *, only_looks: bool = False
    ) -> T:
        """Ask the other side (see the module's text). Raises what `work` raised, `refused` or `unanswered`.

        `only_looks`: it changes nothing there, so no trace is left while all is well.
        """
        wire, loop = self._wire, self._loop
        if self.is_cut:
            await loop.create_future()
        self.calls += 1
        wire.calls += 1
        point = wire.reached(self.replica, port.name) if wire.crash_points else None
        if point is not None and point.where == "before":
            await self._die(point, what)
        draw, (least, most) = wire.chance.random, port.delay_ms
        there, back = (least + (most - least) * draw()) / 1_000, (least + (most - least) * draw()) / 1_000
        if point is None and not wire.troubles and not wire.gates:
            if only_looks:  # what it sees is as old as its answer took: the request was quick, the answer slow
                try:
                    result = work()
                finally:
                    await _Moment(loop, there + back)
                return result  # type: ignore[return-value]  # who only looks is not kept waiting
            reply: asyncio.Future[T] = loop.create_future()
            loop.call_later(there, _Passing(self, port, what, work, reply, back).land, context=_NEUTRAL)
            return await reply
        return await self._troubled(port, what, work, there, back, point)

    async def _troubled(
        self, port: Port, what: str, work: Callable[[], Any], there: float, back: float, point: CrashPoint | None
    ) -> Any:
        """A call while something is wrong, or by which its process dies."""
        wire, loop = self._wire, self._loop
        refused, request_lost, reply_lost, slower = wire.fate(self.replica, port.name) if wire.troubles else _UNTOUCHED
        there, back = there * slower, back * slower
        held = wire.gates.get(port.name, 0.0) - loop.time()
        if refused:
            wire.trace.note(self.replica, "refused", what)
            await asyncio.sleep(there)
            raise port.refused(f"{port.name} could not be reached")
        reply: asyncio.Future[Any] = loop.create_future()
        if request_lost:
            wire.trace.note(self.replica, "request lost", what)
        else:
            passing = _Passing(self, port, what, work, reply, back, reply_lost, point)
            loop.call_later(there + max(0.0, held), passing.land, context=_NEUTRAL)
        if point is not None and point.where == "sent":
            await self._die(point, what)
        # A lost answer shows as a connection that breaks, or as nothing at all until patience ends.
        patience = loop.call_later(port.patience_s, _give_up, reply, port)
        try:
            return await reply
        finally:
            patience.cancel()

    async def _die(self, point: CrashPoint, what: str) -> None:
        self._wire.trace.note(self.replica, f"dies {point.where}", what)
        self._wire.crash(point)
        await self._loop.create_future()


class _Moment:
    """So many seconds, awaited by one task: what `asyncio.sleep` does, in one callback in place of two.

    A future as tasks know one: they ask for `add_done_callback` once, and the timer is the callback.
    """

    __slots__ = ("_asyncio_future_blocking", "_loop", "_seconds", "_timer", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._asyncio_future_blocking = False
        self._loop = loop
        self._seconds = seconds

    def __await__(self) -> Generator[_Moment, None, None]:
        self._asyncio_future_blocking = True
        yield self

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Whose it is."""
        return self._loop

    def add_done_callback(self, waiter: Callable[[_Moment], None], *, context: Context) -> None:
        """Call this when it is over."""
        self._waiter = waiter, context
        self._timer = self._loop.call_later(self._seconds, waiter, self, context=context)

    def cancel(self, msg: object = None) -> bool:
        """The task that waits is cancelled: it learns that next. A second time it is not, as with any future."""
        if self._timer.cancelled():
            return False
        self._timer.cancel()
        waiter, context = self._waiter
        self._loop.call_soon(waiter, _Cut(), context=context)
        return True

    def result(self) -> None:
        """It is over."""


class _Cut:
    """What a task hears in place of a `_Moment` that was cut short."""

    def result(self) -> Never:
        """It was cancelled."""
        raise asyncio.CancelledError


@dataclass(slots=True)
class _Passing:
    """One request under way, and its answer."""

    line: Line
    port: Port
    what: str
    work: Callable[[], Any]
    reply: asyncio.Future[Any]
    back: float
    is_lost: bool = False  # the answer
    point: CrashPoint | None = None

    def land(self) -> None:
        """It arrives, and is done."""
        line = self.line
        try:
            result = self.work()
        except AndonError as error:
            line._wire.trace.note(line.replica, self.what, str(error))
            self._send_back(None, error)
            return
        line._wire.trace.note(line.replica, self.what)
        if not isinstance(result, asyncio.Future):
            if self.is_lost:
                self._send_back(result, None)
            else:
                line._loop.call_later(self.back, self._arrive, result, None, context=_NEUTRAL)
            return
        if line.is_cut or self.reply.done():
            result.cancel()  # nobody is there to wait
            return
        line._pending.add(result)
        result.add_done_callback(self._in_time, context=_NEUTRAL)
        self.reply.add_done_callback(lambda _: result.cancel(), context=_NEUTRAL)

    def _in_time(self, result: asyncio.Future[Any]) -> None:
        self.line._pending.discard(result)
        if not result.cancelled():
            error = result.exception()
            self._send_back(None if error else result.result(), error)

    def _send_back(self, result: Any, error: BaseException | None) -> None:
        if self.is_lost:
            self.line._wire.trace.note(self.line.replica, "reply lost", self.what)
            if self.line._wire.chance.random() < 0.5:
                return  # nothing at all comes
            result, error = None, self.port.unanswered(f"{self.port.name}: the connection broke")
        self.line._loop.call_later(self.back, self._arrive, result, error, context=_NEUTRAL)

    def _arrive(self, result: Any, error: BaseException | None) -> None:
        line = self.line
        if line.is_cut:
            return
        if self.point is not None:
            line._wire.trace.note(line.replica, f"dies {self.point.where}", self.what)
            line._wire.crash(self.point)
        elif self.reply.done():
            if not self.is_lost:  # else it has been told
                line._wire.trace.note(line.replica, "answered too late", self.what)
        elif error is not None:
            self.reply.set_exception(error)
        else:
            self.reply.set_result(result)


def _give_up(reply: asyncio.Future[Any], port: Port) -> None:
    if not reply.done():
        reply.set_exception(port.unanswered(f"{port.name}: no answer within {port.patience_s:g} s"))
