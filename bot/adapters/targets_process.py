"""One process of this host, found by its pid file: implements `connector_ports.ProcessTarget`.

Made by `bot.adapters.connectors` for a component with `connector: process`. A name finds whoever bears it, so names are
never searched for; and a pid alone is no identity either, for it is given to somebody else once its process has ended.
What is signalled is therefore a process whose pid the pid file records (where nobody but root, that process's user and
Andon's can change it), that was started before the file was written, that runs the program and belongs to the user that
targets.yaml names, and that handles the signal. It is held through
a pidfd (pidfd_open(2)), looked at once more, and signalled through that: whoever has its pid by then is never hit.
"""

from __future__ import annotations

import os
import pwd
import select
import signal
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from bot.adapters import trusted_path
from bot.adapters.targets_command import MAX_QUOTED
from bot.adapters.trusted_path import user
from bot.engine.connector_ports import ProcessSeen
from bot.errors import NotSent, Rejected, TargetError, Unknown
from policies.local_targets import argv

MAX_PIDFILE_BYTES = 64  # a pid and a line end; a longer file is something else
MAX_COMMAND_BYTES = 4_096  # of its argument vector that are read
WRITTEN_LATER_SECONDS = 2.0  # the boot time that the kernel tells is off by up to a second; so may the file's time be
SIGNALS: Final[dict[str, signal.Signals]] = {"HUP": signal.SIGHUP}


@dataclass(frozen=True, slots=True)
class _Found:
    """A process as /proc shows it."""

    seen: ProcessSeen
    arguments: tuple[str, ...]
    executable: str  # "" when it may not be read
    user: int


class RecordedProcess:
    """The process of one component."""

    def __init__(
        self, component: str, pidfile: str, program: str, *, owner: str = "", killed: Callable[[], str] = lambda: ""
    ) -> None:
        """`owner`: the user's name, ours when ""; `killed`: who stopped every action and why, or ""."""
        self.component = component
        self._pidfile = pidfile
        self._program = argv(program)
        self._owner = owner
        self._killed = killed
        self._signalled: tuple[int, int] | None = None  # pid and start of whom we signalled last

    async def close(self) -> None:
        """Nothing is kept open."""

    async def look(self) -> ProcessSeen:
        """The process. Rejected: there is none, or it is not the one meant. TargetError: it cannot be told."""
        pid, written = self._recorded()
        seen = self._identified(pid, written).seen
        return replace(seen, signalled=(seen.pid, seen.started) == self._signalled)

    async def signal(self, name: Literal["HUP"], seen: ProcessSeen) -> None:
        """Signal exactly this process, through a pidfd. NotSent: it has ended, is another one, or has no handler."""
        try:
            pidfd = os.pidfd_open(seen.pid)
        except OSError as error:
            raise NotSent(f"process {seen.pid} cannot be signalled: {error.strerror}") from error
        try:
            self._check_again(name, seen, pidfd)
            signal.pidfd_send_signal(pidfd, SIGNALS[name])
            self._signalled = seen.pid, seen.started
        except OSError as error:
            raise NotSent(f"process {seen.pid} was not signalled: {error.strerror}") from error
        finally:
            os.close(pidfd)

    def by_hand(self, name: Literal["HUP"], seen: ProcessSeen) -> str:
        """The command line for a person."""
        return f"kill -{name} {seen.pid}"

    def _check_again(self, name: str, seen: ProcessSeen, pidfd: int) -> None:
        """NotSent unless the process held by `pidfd` is the one that was seen, and nobody has stopped everything."""
        try:
            pid, written = self._recorded()
            now = self._identified(pid, written).seen
        except TargetError as error:
            raise NotSent(f"not signalled: {error}") from error
        if (now.pid, now.started) != (seen.pid, seen.started):
            raise NotSent(f"process {seen.pid} has ended since it was looked at; {self._pidfile} names another one now")
        if name not in now.catches:
            raise NotSent(f"process {seen.pid} has no handler for SIG{name}, which would end it or do nothing")
        if select.select([pidfd], [], [], 0)[0]:
            raise NotSent(f"process {seen.pid} has just ended")
        if why := self._killed():
            raise NotSent(why)

    def _recorded(self) -> tuple[int, float]:
        """The pid in the file, and when that was written. Raises as `look`."""
        try:
            exchanged = trusted_path.problem(self._pidfile, frozenset({trusted_path.ROOT, os.geteuid(), self._user()}))
            fd = os.open(self._pidfile, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError as error:
            raise Rejected(
                f"there is no {self._pidfile}, so {self.component} does not run, or not from here"
            ) from error
        except OSError as error:
            raise Unknown(f"{self._pidfile} cannot be read: {error.strerror}") from error
        try:
            about = os.fstat(fd)
            if not stat.S_ISREG(about.st_mode):
                raise Rejected(f"{self._pidfile} is not a file")
            if exchanged:
                raise Rejected(f"{self._pidfile} proves nothing: {exchanged}")
            text = os.read(fd, MAX_PIDFILE_BYTES + 1)
        finally:
            os.close(fd)
        words = text.split()
        if len(text) > MAX_PIDFILE_BYTES or len(words) != 1 or not words[0].isdigit() or int(words[0]) < 2:
            raise Rejected(f"{self._pidfile} does not hold the pid of a process")
        return int(words[0]), about.st_mtime

    def _identified(self, pid: int, written: float) -> _Found:
        """The process, once everything about it is as targets.yaml says. Raises as `look`."""
        try:
            found = _found(pid)
            age = found.seen.started / os.sysconf("SC_CLK_TCK") + _boot_time() - written
        except (FileNotFoundError, ProcessLookupError) as error:
            raise Rejected(f"{self._pidfile} names process {pid}, which has ended") from error
        except (OSError, ValueError) as error:
            raise Unknown(f"process {pid} cannot be looked at: {error}") from error
        if not self._runs_program(found):
            raise Rejected(
                f"{self._pidfile} names process {pid}, which runs {found.seen.command or 'nothing'}, "
                f"not {' '.join(self._program)}"
            )
        if found.user != self._user():
            raise Rejected(f"process {pid} belongs to user {user(found.user)}, not {user(self._user())}")
        if age > WRITTEN_LATER_SECONDS:
            raise Rejected(
                f"process {pid} was started {age:.0f} s after {self._pidfile} was written: its pid is somebody else's"
            )
        return found

    def _runs_program(self, found: _Found) -> bool:
        """Its command line begins as targets.yaml says; a name stands for the last part of a path."""
        first, *rest = self._program
        length = len(self._program)
        if tuple(rest) != found.arguments[1:length]:
            return False
        bears = (found.arguments[0] if found.arguments else "", found.executable.removesuffix(" (deleted)"))
        return first in bears or ("/" not in first and first in {path.rsplit("/", 1)[-1] for path in bears})

    def _user(self) -> int:
        if not self._owner:
            return os.geteuid()
        try:
            return pwd.getpwnam(self._owner).pw_uid
        except KeyError as error:
            raise Rejected(f"there is no user {self._owner!r} on this host; correct owner in targets.yaml") from error


def _found(pid: int) -> _Found:
    """What /proc tells of a process. Raises OSError; a zombie has ended (ProcessLookupError)."""
    folder = f"/proc/{pid}"
    with open(f"{folder}/stat", "rb") as file:
        words = file.read().rpartition(b")")[2].split()  # proc(5): the name before may hold anything
    if words[0] in (b"Z", b"X"):
        raise ProcessLookupError(f"process {pid} has ended")
    with open(f"{folder}/cmdline", "rb") as file:
        arguments = tuple(part.decode(errors="replace") for part in file.read(MAX_COMMAND_BYTES).split(b"\0"))
    with open(f"{folder}/status", "rb") as file:
        status = dict(line.split(b":", 1) for line in file.read().splitlines() if b":" in line)
    try:
        executable = os.readlink(f"{folder}/exe")
    except PermissionError:  # another user's process
        executable = ""
    caught = int(status[b"SigCgt"], 16)
    catches = tuple(name for name, number in SIGNALS.items() if caught >> (number - 1) & 1)
    command = "".join(c if c.isprintable() else " " for c in " ".join(arguments).strip()[:MAX_QUOTED])
    seen = ProcessSeen(pid, int(words[19]), command, catches)
    return _Found(seen, arguments, executable, int(status[b"Uid"].split()[1]))


def _boot_time() -> int:
    """Seconds since the epoch, by the clock as it is now."""
    with open("/proc/stat", "rb") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(b"btime "))
