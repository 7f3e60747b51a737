"""One child process: started by posix_spawn, watched through a pidfd, read through one bounded pipe.

Used by `bot.adapters.targets_command`. uvloop's own subprocess support starts some 400 processes a second, this some
thousands, and works on every event loop. No shell, nothing inherited but what is given; the child leads a session and
process group of its own, so that it can be ended with all that it started (except what has left the group).

Everything from the start to the reaping happens in callbacks of the event loop: whoever awaits the end may be cancelled
at any time, and no zombie and no open file remains. Whoever outlives the child and still holds its output is not waited
for: the pipe is closed once the child itself has ended.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from bot.errors import Unknown

TERM_SECONDS = 1.0  # from SIGTERM to SIGKILL: enough to remove a lock file, and a person is waiting
OUTPUT_BYTES = 4_096  # of the end of its output that are kept: what a person reads on a card
CHUNK = 65_536  # bytes taken from the pipe at once: all that it holds
LAST_CHUNKS = 16  # taken after its end: it may have left somebody behind who goes on writing

# Python ignores some signals (SIGPIPE), and a child would inherit that.
_DEFAULTS = frozenset(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}


def inherited() -> tuple[int, ...]:
    """Files that whoever started us left open for our children; Python's own never are (PEP 446)."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the listing's own, closed by now
            if int(name) > 2 and os.get_inheritable(int(name)):
                found.append(int(name))
    return tuple(found)


def start(
    argv: tuple[str, ...],
    environment: Mapping[str, str],
    gone: Callable[[Spawned], None],
    *,
    close: Iterable[int] = (),
) -> Spawned:
    """Start `argv` (its first word is a path) with this environment; `gone` is told of its end, `close` left behind.

    OSError: it was not started, not even in part. Unknown: it was, but could not be watched, so it was killed.
    """
    if not hasattr(os, "pidfd_open"):
        raise OSError("this system has no pidfd; programs are run on Linux only")
    read, write = os.pipe2(os.O_CLOEXEC)
    try:
        os.set_blocking(read, False)
        pid = os.posix_spawn(
            argv[0],
            argv,
            environment,
            file_actions=[  # in this order, for `write` may itself be 0, 1 or 2
                (os.POSIX_SPAWN_DUP2, write, 1),
                (os.POSIX_SPAWN_DUP2, write, 2),
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                *((os.POSIX_SPAWN_CLOSE, file) for file in close),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=_DEFAULTS,
        )
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
    try:
        pidfd = os.pidfd_open(pid)
    except OSError as error:
        os.close(read)
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise Unknown(f"{argv[0]} was started, could not be watched ({error.strerror}), and was killed") from error
    return Spawned(pid, pidfd, read, gone)


class Spawned:
    """A child that was started. `ended` resolves to its exit code, or minus the signal that ended it."""

    def __init__(self, pid: int, pidfd: int, output: int, gone: Callable[[Spawned], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self.pid = pid
        self._pidfd, self._output = pidfd, output
        self._gone = gone
        self._tail = bytearray()
        self._killing: asyncio.TimerHandle | None = None
        self.ended: asyncio.Future[int | None] = self._loop.create_future()
        self._loop.add_reader(output, self._read)
        self._loop.add_reader(pidfd, self._reap)

    @property
    def output(self) -> bytes:
        """The last OUTPUT_BYTES of what it wrote so far."""
        return bytes(self._tail)

    def stop(self) -> None:
        """End it and its group: SIGTERM now, SIGKILL after TERM_SECONDS. Returns at once; `ended` tells the rest."""
        if self._pidfd >= 0 and self._killing is None:
            self._killing = self._loop.call_later(TERM_SECONDS, self._signal, signal.SIGKILL)
            self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        """To the whole group. The group is still this child's: until it is reaped, nobody else gets its number."""
        if self._pidfd >= 0:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def _read(self) -> bool:
        """Take what there is; whether there may be more."""
        if self._output < 0:
            return False
        try:
            chunk = os.read(self._output, CHUNK)
        except BlockingIOError:
            return False
        if not chunk:  # nobody holds the other side any more
            self._close_output()
            return False
        self._tail += chunk
        del self._tail[:-OUTPUT_BYTES]
        return True

    def _reap(self) -> None:
        """It has ended: take what it wrote last, and its exit code."""
        if self._killing is not None:
            self._killing.cancel()
            self._signal(signal.SIGKILL)  # whom it started and left behind
        self._loop.remove_reader(self._pidfd)
        try:
            seen = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:  # somebody else took its exit code; it has ended all the same
            seen = None
        os.close(self._pidfd)
        self._pidfd = -1
        for _ in range(LAST_CHUNKS):
            if not self._read():
                break
        self._close_output()
        self._gone(self)
        if not self.ended.done():
            code = None if seen is None else seen.si_status if seen.si_code == os.CLD_EXITED else -seen.si_status
            self.ended.set_result(code)

    def _close_output(self) -> None:
        if self._output >= 0:
            self._loop.remove_reader(self._output)
            os.close(self._output)
            self._output = -1
