"""Programs of this host: implements `connector_ports.ProgramTarget`, and knows what became of every one.

Made by `bot.adapters.connectors` for a component with `connector: command`. Its `allow` entries are the fixed starts of
argument vectors; an action names one of them exactly, and its arguments follow as plain words. There is no shell at any
point, no argument can be an option, and the program gets an environment of three variables: none of Andon's secrets.

    not allowed, unfit arguments, no such file, too many at once, exec failed     NotSent: it never ran
    it ended                                                                      ProgramReply: its code and output
    it did not end in time, or nobody could see how it ended                      Unknown: killed, half-done perhaps
"""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import shlex
import stat
from collections.abc import Callable, Iterable, Sequence

from bot.adapters import spawned, trusted_path
from bot.adapters.spawned import Spawned
from bot.engine.connector_ports import ProgramReply
from bot.errors import NotSent, Unknown
from policies import chosen_code
from policies.local_targets import argument_problem, argv

MAX_SECONDS = 20.0  # one run: no activity waits longer for one send (`core.action.MAX_SEND_MS`)
MAX_RUNNING = 4  # at once, per component: they are for incidents, and each may load the host that has trouble
KILL_SECONDS = 1.0  # after SIGKILL: the kernel needs microseconds, a process stuck in the disk never goes
MAX_QUOTED = 200  # characters of its output told with a failure
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LANGUAGE = "C.UTF-8"

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)")  # colours, titles: ECMA-48


class CommandTarget:
    """The programs of one component."""

    def __init__(self, component: str, *, allow: Iterable[str], killed: Callable[[], str] = lambda: "") -> None:
        """`killed`: who stopped every action and why, or ""; asked right before each start."""
        self.component = component
        self._allow = {line: argv(line) for line in allow}
        self._killed = killed
        self._environment = {"PATH": PATH, "LANG": LANGUAGE, "HOME": _home()}
        self._running: set[Spawned] = set()
        self._not_theirs: tuple[int, ...] | None = None

    @property
    def programs(self) -> tuple[str, ...]:
        """The entries of the allow list."""
        return tuple(self._allow)

    async def close(self) -> None:
        """End what still runs: nobody waits for it any more."""
        for child in tuple(self._running):
            child.stop()
        if ends := [child.ended for child in self._running]:
            await asyncio.wait(ends, timeout=spawned.TERM_SECONDS + KILL_SECONDS)

    async def run(self, program: str, arguments: Sequence[str], *, seconds: float) -> ProgramReply:
        """Run an allowed program with these arguments, at most once; see above for what each end means."""
        words = self._words(program, arguments)
        if why := self._killed():
            raise NotSent(why)
        if len(self._running) >= MAX_RUNNING:
            raise NotSent(f"{MAX_RUNNING} programs of {self.component} are running already; try when one has ended")
        if self._not_theirs is None:
            self._not_theirs = spawned.inherited()
        try:
            child = spawned.start(words, self._environment, self._running.discard, close=self._not_theirs)
        except (OSError, ValueError) as error:
            raise NotSent(f"{words[0]} could not be started: {_reason(error)}") from error
        self._running.add(child)
        limit = min(seconds, MAX_SECONDS)
        try:
            await asyncio.wait([child.ended], timeout=limit)
            if child.ended.done():
                return _reply(words[0], child)
            child.stop()
            await asyncio.wait([child.ended], timeout=spawned.TERM_SECONDS + KILL_SECONDS)
        finally:
            child.stop()  # does nothing once it has ended; else whoever waited for it is gone
        what = "was killed" if child.ended.done() else "cannot even be killed"
        raise Unknown(f"{words[0]} did not end within {limit:g} s and {what}{_quoted(child.output)}")

    def by_hand(self, program: str, arguments: Sequence[str]) -> str:
        """The command line for a person, quoted for a shell."""
        return shlex.join([*argv(program), *arguments])

    def _words(self, program: str, arguments: Sequence[str]) -> tuple[str, ...]:
        """The whole argument vector. NotSent where anything about it is not as it should be."""
        fixed = self._allow.get(program)
        if fixed is None:
            raise NotSent(f"{program[:MAX_QUOTED]!r} is not in the allow list of {self.component}")
        if problem := argument_problem(arguments):
            raise NotSent(problem)
        if problem := _problem(fixed):
            raise NotSent(problem)
        return (*fixed, *arguments)


def _problem(words: Sequence[str]) -> str:
    """Why this beginning of a command line is not run; "" when nothing speaks against what is on the disk now."""
    path = words[0]
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return f"{path} is not a file"
        code = chosen_code.code_of(words, behind=os.path.realpath)
        if not isinstance(code, chosen_code.Fixed):
            return f"{path} is not run: {code[0]}; {code[1]}"
        for file in code.files:
            if found := trusted_path.code_problem(file, PATH):
                return f"{path} is not run: {found}"
    except OSError as error:
        of = f"{error.filename}: " if error.filename not in (None, path) else ""
        return f"{path} cannot be run: {of}{_reason(error)}"
    if not os.access(path, os.X_OK):
        return f"{path} is not executable for the user Andon runs as; chmod +x {shlex.quote(path)}"
    return ""


def _reply(path: str, child: Spawned) -> ProgramReply:
    code = child.ended.result()
    if code is None:
        raise Unknown(f"{path} has ended, and nobody saw how{_quoted(child.output)}")
    return ProgramReply(code, plain(child.output))


def plain(output: bytes) -> str:
    """What a program wrote, as text that does nothing to a terminal or a card: lines of visible characters."""
    text = _ESCAPES.sub("", output.decode("utf-8", errors="replace"))
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text).strip()


def _quoted(output: bytes) -> str:
    text = " ".join(plain(output).split())
    return f"; it wrote last: {text[-MAX_QUOTED:]}" if text else ""


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _home() -> str:
    """The home of the user Andon runs as, by the system's own list: not from our environment."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:  # a container's user without an entry
        return "/"
