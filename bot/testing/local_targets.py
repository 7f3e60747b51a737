"""Programs and a process of this host that answer as told: `ProgramTarget`, `ProcessTarget` of `connector_ports`."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bot.engine.connector_ports import ProcessSeen, ProgramReply
from bot.errors import NotSent, Rejected, TargetError
from policies.local_targets import argument_problem, argv


@dataclass(frozen=True, slots=True)
class Ran:
    """One program that was started."""

    program: str
    arguments: tuple[str, ...]
    seconds: float


class MemoryProgram:
    """Programs that end as `answers` says (entry of the allow list -> reply, or an error to raise), 0 otherwise.

    It keeps what was started; `on_run` runs for each, so that a test can let it have an effect.
    """

    __slots__ = ("answers", "on_run", "programs", "ran")

    def __init__(self, allow: Iterable[str], answers: Mapping[str, ProgramReply | TargetError] | None = None) -> None:
        self.programs = tuple(allow)
        self.answers: dict[str, ProgramReply | TargetError] = dict(answers or {})
        self.ran: list[Ran] = []
        self.on_run: Callable[[Ran], None] = lambda _: None

    async def run(self, program: str, arguments: Sequence[str], *, seconds: float) -> ProgramReply:
        """The answer of `program`; refuses what the real one refuses, except what only the disk can tell."""
        if program not in self.programs:
            raise NotSent(f"{program!r} is not in the allow list")
        if problem := argument_problem(arguments):
            raise NotSent(problem)
        answer = self.answers.get(program, ProgramReply(0, ""))
        if isinstance(answer, NotSent):
            raise answer
        started = Ran(program, tuple(arguments), seconds)
        self.ran.append(started)
        self.on_run(started)
        if isinstance(answer, TargetError):
            raise answer
        return answer

    def by_hand(self, program: str, arguments: Sequence[str]) -> str:
        """The command line."""
        return shlex.join([*argv(program), *arguments])


class MemoryProcess:
    """A process, or none; `running` may be set to another one, which is how a pid is used again.

    `problem` is raised by `look` instead. `signals` keeps what reached a process, with the process it reached.
    """

    __slots__ = ("on_signal", "problem", "running", "signals")

    def __init__(self, running: ProcessSeen | None = None) -> None:
        self.running = running
        self.problem: TargetError | None = None
        self.signals: list[tuple[str, ProcessSeen]] = []
        self.on_signal: Callable[[], None] = lambda: None

    async def look(self) -> ProcessSeen:
        """The process. Rejected when there is none."""
        if self.problem is not None:
            raise self.problem
        if self.running is None:
            raise Rejected("the pid file names process 4711, which has ended")
        hit = [(seen.pid, seen.started) for _, seen in self.signals]
        return replace(self.running, signalled=(self.running.pid, self.running.started) in hit[-1:])

    async def signal(self, name: Literal["HUP"], seen: ProcessSeen) -> None:
        """Signal it. NotSent when it is not the one that was seen, or has no handler."""
        if self.running is None or (self.running.pid, self.running.started) != (seen.pid, seen.started):
            raise NotSent(f"process {seen.pid} has ended since it was looked at")
        if name not in self.running.catches:
            raise NotSent(f"process {seen.pid} has no handler for SIG{name}")
        self.signals.append((name, self.running))
        self.on_signal()

    def by_hand(self, name: Literal["HUP"], seen: ProcessSeen) -> str:
        """The command line."""
        return f"kill -{name} {seen.pid}"
