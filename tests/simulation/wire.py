"""The only way from a simulated replica to anything outside it: every call can be late, lost, or the last one ever.

How the simulation is put together (each module says more):

* `loop`: an event loop in virtual time; a task's *owner* (a context variable) is the process it belongs to, so that a
  paused owner's callbacks are held back and a dead one's never run again, not even its `finally` blocks in time.
* `wire` (here): ports, calls, network faults, crash points.
* `store`: `Servers` (primary, perhaps a follower behind it) and `SimulatedStore`, a replica's way to them.
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
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Literal, TypeVar

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


class Wire:
    """The network of one run: its troubles, its armed crash points, and who dies of them."""

    def __init__(self, loop: VirtualLoop, trace: Trace, chance: Random, crash: Callable[[str], None]) -> None:
        self.loop = loop
        self.trace = trace
        self.troubles: list[Trouble] = []
        self.crash_points: list[CrashPoint] = []
        self._chance = chance
        self._crash = crash

    def line(self, replica: str, incarnation: int, owner: object) -> Line:
        """A line for one incarnation of a replica."""
        raise NotImplementedError


class Line:
    """One incarnation's line to everything outside. `is_cut`: that incarnation is dead, and nothing passes any more."""

    replica: str
    incarnation: int
    is_cut: bool
    calls: int  # so far

    async def call(self, port: Port, what: str, work: Callable[[], T | asyncio.Future[T]]) -> T:
        """Ask the other side (see the module's text). Raises what `work` raised, `refused` or `unanswered`."""
        raise NotImplementedError
