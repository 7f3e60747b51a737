"""One simulated process of Andon: the product's engine over simulated ports, started, stopped, killed and begun anew.

Made by `runner`, one for each replica of the setup; told what to do by `troubles`. A *seat* is one incarnation: its own
owner, line, store, engine and hands. What outlives it is the journal (its disk) and the store's servers, nothing else.
Whatever ends it but a kill or an orderly stop is like a process that exits: its supervisor starts it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from bot.adapters.codec import event_text
from bot.core.events import IntentDeclared
from bot.core.orders import PolicyArmed
from bot.core.requests import CONFIGURATION
from bot.core.words import SYSTEM_TARGET, Millis
from bot.engine.alarms import Alarms
from bot.engine.astray import Astray
from bot.engine.beside import Keeper
from bot.engine.clockwatch import ClockWatch
from bot.engine.engine import Engine
from bot.engine.following import BookFollower
from bot.engine.judge import Hands
from bot.engine.reconcile import Reconciler
from bot.engine.runtime import Runtime
from bot.engine.watches import Watches
from bot.errors import StoreError, StoreUnavailable
from bot.testing import MemoryJournal
from tests.simulation.loop import OWNER, Owner, VirtualLoop
from tests.simulation.servers import at_once
from tests.simulation.store import SimulatedStore
from tests.simulation.wire import Line, Port

if TYPE_CHECKING:
    from policies.book import PolicyBook
    from tests.simulation.world import World

T = TypeVar("T")

JOURNAL: Final = Port(
    name="journal", refused=StoreUnavailable, unanswered=StoreUnavailable, delay_ms=(0.05, 0.5), patience_s=60.0
)
ANSWER_S: Final = 5.0  # how long somebody outside waits for a replica's answer
AWAY_MS: Final = 1_000  # from a process's end to its next start, as a supervisor does it
EXPECTED: Final = (StoreError,)  # what may end a process: it starts again when the store is back


class Unreachable(Exception):
    """No answer from this replica: it may have done what it was asked, or not."""


class ReplicaClock:
    """This machine's wall clock: true time, and how far it is off."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.off: Millis = 0

    def now(self) -> Millis:
        """Milliseconds since the Unix epoch, as this machine has it."""
        return self._world.wall + self.off

    def real_seconds(self, duration_ms: Millis) -> float:
        """As many as on a real clock."""
        return duration_ms / 1_000


class LineJournal:
    """The journal of one incarnation: a call to the disk can be the last one as well."""

    def __init__(self, line: Line, disk: MemoryJournal) -> None:
        self._line = line
        self._disk = disk

    def killed(self) -> str:
        """Who engaged the kill switch and why."""
        return self._disk.killed()

    async def intend(self, intent: IntentDeclared, *more: Any) -> None:
        """Append and fsync."""
        what = f"journal an intent {intent.intent}"
        await self._line.call(JOURNAL, what, lambda: at_once(self._disk.intend(intent, *more)))

    async def conclude(self, intent: str, outcome: Literal["done", "not_sent", "unknown"], at: Millis) -> None:
        """Append the outcome."""
        await self._line.call(JOURNAL, f"journal {outcome}", lambda: at_once(self._disk.conclude(intent, outcome, at)))

    async def note(self, marks: Any) -> None:
        """Append how much the store has acknowledged."""
        await self._line.call(JOURNAL, "journal marks", lambda: at_once(self._disk.note(marks)))

    async def recollect(self) -> Any:
        """Everything it holds."""
        return await self._line.call(JOURNAL, "read the journal", lambda: at_once(self._disk.recollect()))


class LoopWakeup:
    """The sweeper's alarm clock on the simulated loop. Implements `wakeup.Wakeup`."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._set: asyncio.TimerHandle | None = None
        self._runs = False

    def start(self) -> None:
        """Begin."""
        self._runs = True

    def stop(self) -> None:
        """Ring no more."""
        self._runs = False
        if self._set is not None:
            self._set.cancel()

    def set(self, seconds: float, ring: Callable[[], None]) -> None:
        """Ring in so many seconds, in place of what was set before."""
        if self._set is not None:
            self._set.cancel()
        if self._runs:
            self._set = self._loop.call_later(seconds, ring)


class NoTelemetry:
    """Nobody reads it here."""

    def _nothing(self, *_: object) -> None:
        """Not counted."""

    folded = committed = conflicted = dispatched = timer_lateness = dead_lettered = _nothing
    clock_jumped = stream_read = _nothing

    def __getattr__(self, name: str) -> Callable[..., None]:
        return self._nothing


@dataclass(slots=True)
class Seat:
    """One incarnation."""

    owner: Owner
    context: Context
    line: Line
    store: SimulatedStore
    journal: LineJournal
    clock: ReplicaClock
    engine: Engine
    floor: Any  # the FloorHands of this incarnation
    runtime: Runtime
    follower: BookFollower
    reconciler: Reconciler


class Replica:
    """A name, a disk and a clock; and, while it lives, a seat."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self.name = name
        self.journal = MemoryJournal()
        self.clock = ReplicaClock(world)
        self.seat: Seat | None = None
        self.incarnations = 0
        self.is_wanted = False  # whether its supervisor starts it again

    # --- as a process ---------------------------------------------------------------------------------------------

    @property
    def is_alive(self) -> bool:
        """Whether it runs (also while it is paused)."""
        return self.seat is not None

    @property
    def calls(self) -> int:
        """How many calls this incarnation has made."""
        return self.seat.line.calls if self.seat is not None else 0

    @property
    def is_paused(self) -> bool:
        """Whether it is stopped by SIGSTOP."""
        return self.seat is not None and self.seat.owner.is_paused

    def start(self) -> None:
        """Begin a new incarnation; nothing when one lives."""
        self.is_wanted = True
        if self.seat is not None:
            return
        self.incarnations += 1
        world = self._world
        owner = Owner(f"{self.name}#{self.incarnations}")
        context = copy_context()
        context.run(OWNER.set, owner)
        self.seat = seat = context.run(self._sit_down, owner, context)
        world.trace.note(self.name, "starts", str(self.incarnations))
        world.loop.create_task(self._live(seat), name=owner.name, context=context)

    def crash(self, away_ms: int = AWAY_MS) -> None:
        """SIGKILL: nothing of it runs any more. Its supervisor starts it again after `away_ms`."""
        if self._drop("is killed") is not None:
            self._again(away_ms)

    def pause(self) -> None:
        """SIGSTOP."""
        if self.seat is not None:
            self.seat.owner.is_paused = True
            self._world.trace.note(self.name, "is paused")

    def resume(self) -> None:
        """SIGCONT."""
        if self.seat is not None and self.seat.owner.is_paused:
            self._world.trace.note(self.name, "goes on")
            self._world.loop.resume(self.seat.owner)

    def stop(self) -> None:
        """SIGTERM: it ends in order, and is not started again by itself."""
        self.is_wanted = False
        if self.seat is not None:
            self._world.trace.note(self.name, "is asked to stop")
            self.seat.runtime.stop()

    def adopt(self, book: PolicyBook) -> None:
        """A reload: these policies are in force from now on."""
        if self.seat is not None:
            self.seat.engine.book = book
            self.seat.context.copy().run(self.seat.follower.poke)

    async def ask(self, what: str, work: Callable[[Seat], Coroutine[Any, Any, T]]) -> T:
        """Something somebody outside asks of it (a request to its API). Raises Unreachable, and what `work` raises."""
        seat = self.seat
        if seat is None or seat.line.is_cut:
            raise Unreachable(f"{self.name} does not run")
        loop = self._world.loop
        answer: asyncio.Future[T] = loop.create_future()
        task = loop.create_task(work(seat), name=what, context=seat.context.copy())
        task.add_done_callback(partial(_answer, answer))
        try:
            async with asyncio.timeout(ANSWER_S):
                return await answer
        except TimeoutError as error:
            raise Unreachable(f"{self.name} does not answer") from error

    # --- inside -------------------------------------------------------------------------------------------------------

    def _sit_down(self, owner: Owner, context: Context) -> Seat:
        world = self._world
        line = world.wire.line(self.name, self.incarnations)
        store = SimulatedStore(line, world.servers)
        journal = LineJournal(line, self.journal)
        floor = world.floor.hands(line)
        telemetry = NoTelemetry()
        engine = Engine(
            store=store, book=world.floor.book(), text=event_text, clock=self.clock, telemetry=telemetry,
            shards=world.floor.shards,
        )  # fmt: skip
        alarms = Alarms(store, self.clock)
        antientropy = world.floor.antientropy(engine, self.clock, alarms, line)
        hands = Hands(
            engine=engine, toolbox=floor.toolbox, targets=floor.targets, evidence=floor.evidence, journal=journal,
            chat=floor.chat, budget=world.floor.budget, standing=antientropy.standing,
        )  # fmt: skip
        follower = BookFollower(engine)
        home = world.floor.shards[0]
        reconciler = Reconciler(engine, journal, replica=self.name)
        astray = Astray(engine)
        beside = {
            "reconcile": reconciler.run,
            "alarms": alarms.run,
            "watches": Watches(engine, follower).run,
            "antientropy": antientropy.run,
            "clock": ClockWatch(self.clock, alarms, telemetry, shard=home, went_back=astray.poke).run,
            "astray": astray.run,
        }
        keeper = Keeper(alarms, shard=home, replica=self.name)
        runtime = Runtime(hands, floor.pager, telemetry, beside, keeper, LoopWakeup(world.loop))
        return Seat(owner, context, line, store, journal, self.clock, engine, floor, runtime, follower, reconciler)

    async def _live(self, seat: Seat) -> None:
        """From its first look at the store to its end."""
        try:
            await self._begin(seat)
            await seat.runtime.run()
        except Exception as error:  # noqa: BLE001  # whatever ends a process, its supervisor starts it again
            if not _is_expected(error):
                self._world.defect(self.name, error)
            if self.seat is seat:
                self._drop(f"ends: {_leaf(error)}")
                self._again(AWAY_MS)
            return
        if self.seat is seat:
            self._drop("has ended")
            if self.is_wanted:
                self._again(AWAY_MS)

    async def _begin(self, seat: Seat) -> None:
        """What a start says to the store, as `House.begin` does."""
        await seat.reconciler.begin()
        for shard, policy in self._world.floor.armed:
            armed = PolicyArmed(id=f"configuration/{policy}", at=seat.clock.now(), by=CONFIGURATION, policy=policy)
            await seat.engine.tell(shard, SYSTEM_TARGET, armed)

    def _drop(self, why: str) -> Seat | None:
        seat, self.seat = self.seat, None
        if seat is not None:
            seat.owner.is_dead = True
            seat.line.cut()
            self._world.trace.note(self.name, why)
        return seat

    def _again(self, away_ms: int) -> None:
        def begin() -> None:
            if self.is_wanted:
                self.start()

        self._world.loop.call_later(away_ms / 1_000, begin, context=Context())


def _answer(answer: asyncio.Future[T], task: asyncio.Task[T]) -> None:
    if answer.done() or task.cancelled():
        return
    error = task.exception()
    if error is None:
        answer.set_result(task.result())
    else:
        answer.set_exception(error)


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _is_expected(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_is_expected(each) for each in error.exceptions)
    return isinstance(error, EXPECTED)
