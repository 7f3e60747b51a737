"""Child processes of the demo and of the acceptance floor: started with a log, awaited on a condition, ended by pid.

Every child leads a process group of its own, so a Ctrl-C meant for the parent does not reach it, and whatever a child
left behind when it was killed (an embedded Valkey) is ended with its group and nothing else. Should the parent itself
be killed, the kernel asks its children to end (`tether`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import aiohttp

PATIENCE = 5.0  # seconds a child has to end after SIGTERM before it is killed
POLL_SECONDS = 0.05  # how often a condition outside this process is looked at
TAIL_LINES = 40  # of a log, when something went wrong

TETHER = (sys.executable, "-I", "-S", str(Path(__file__).with_name("tether.py")))  # neither site nor package: fast

T = TypeVar("T")


class Unmet(Exception):
    """A condition did not become true in time; the message says which, and what was seen last."""


async def until(what: str, look: Callable[[], Awaitable[T | None]], *, within: float) -> T:
    """Look again and again until `look` returns something true; Unmet after `within` seconds of real time.

    Errors of a service that is not up yet (refused, hung up on, too slow) count as not yet, and are told in Unmet.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    last = ""
    while True:
        try:
            found = await look()
            last = repr(found)
            if found:
                return found
        except (OSError, TimeoutError, aiohttp.ClientConnectionError) as problem:
            last = f"{type(problem).__name__}: {problem}"
        if loop.time() >= deadline:
            raise Unmet(f"{what}: not within {within:g} s (last seen: {last[:500]})")
        await asyncio.sleep(POLL_SECONDS)


class Child:
    """One child process. Its standard input stays open as long as this object does not end it."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        ready_line: bool = False,
    ) -> Child:
        """Start `command`; output goes to `log`, except standard output when a `ready_line` is to be read from it."""
        with log.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                *TETHER,
                str(os.getpid()),
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE if ready_line else file,
                stderr=file,
                env={**os.environ, **(environment or {})},
                cwd=directory,
                start_new_session=True,
            )
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        """Its process id, and that of its group."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.returncode is None

    async def first_line(self, within: float) -> str:
        """The line it prints when it is ready. Unmet when it ends, or says nothing in time."""
        if self._process.stdout is None:
            raise Unmet(f"{self.name} was started without a ready line")
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), within)
        except TimeoutError:
            line = b""
        if not line:
            raise Unmet(f"{self.name} did not become ready\n{self.tail()}")
        return line.decode()

    async def wait(self, within: float) -> int:
        """Its exit code. TimeoutError when it still runs after `within` seconds."""
        return await asyncio.wait_for(self._process.wait(), within)

    async def kill(self) -> None:
        """kill -9 of this one process: what it started goes on, as after a crash."""
        if self.running:
            self._process.kill()
            await self._process.wait()
        self._close()

    async def end(self) -> None:
        """SIGTERM, patience, then SIGKILL; at last whatever is left of its group."""
        if self.running:
            self._process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), PATIENCE)
        with contextlib.suppress(ProcessLookupError):  # empty group: nothing was left behind
            os.killpg(self.pid, signal.SIGKILL)
        await self._process.wait()
        self._close()

    def _close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()

    def tail(self) -> str:
        """The last lines of its log, for a person who must find out what went wrong."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
        except OSError as problem:
            lines = [str(problem)]
        return "\n".join([f"--- {self.name} ({self.log})", *lines])


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours with this very interpreter."""
    return [sys.executable, "-m", module, *arguments]
