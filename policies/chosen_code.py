"""Whether an argument could choose the code that an allowed program runs: the names that take code, and what fixes it.

An allow entry of a `command` component fixes how a command line begins; an action's arguments follow it. That is only a
limit where the beginning settles what is run. `/usr/bin/python3` settles nothing: its argument is the program. So what
runs other code is refused unless its entry names that code: an interpreter its script, a wrapper its program.

Pure; used by `policies.local_targets` for the entries of targets.yaml, and by `bot.adapters.targets_command` right
before a start: for the files that must not be changeable by others, and for the name behind a link. A copy of a shell
under another name cannot be seen here; whoever may put such a thing where only root can write has other ways.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from typing import Final, TypeAlias

Problem: TypeAlias = tuple[str, str]  # what is wrong, what to do

# Their first argument is a file of code.
INTERPRETERS: Final = frozenset({
    "sh", "bash", "rbash", "dash", "ash", "zsh", "ksh", "rksh", "mksh", "yash", "fish", "csh", "tcsh", "elvish", "nu",
    "pwsh", "python", "pypy", "ipython", "perl", "raku", "ruby", "node", "nodejs", "php", "lua", "luajit", "tclsh",
    "wish", "expect", "Rscript", "julia", "guile", "racket", "groovy", "scala", "escript", "elixir"
})  # fmt: skip

# They run the command that follows; what may stand before it is in the pattern, each word with a space after it.
WRAPPERS: Final = {
    "env": r"(-i |[A-Za-z_]\w*=\S* )*",
    "sudo": r"(-n |-H |-u [\w-]+ )*",
    "doas": r"(-n |-u [\w-]+ )*",
    "timeout": r"(-k \d+[smhd]? )?\d+[smhd]? ",
    "nice": r"(-n -?\d+ )?",
    "ionice": r"(-c \d |-n \d )*",
    "chrt": r"(-[bfior] )?\d+ ",
    "setsid": r"(-w )?",
    "nohup": "",
    "stdbuf": r"(-[ioe]\w+ )*",
    "setarch": r"(\w+ )?",
}  # fmt: skip

# The same program under many names: the word after it is the name.
MULTICALL: Final = frozenset({"busybox", "toybox", "coreutils"})

# No fixed beginning limits them enough; an argument would choose:
NEVER: Final = {
    **dict.fromkeys((
        "xargs", "parallel", "watch", "script", "flock", "chroot", "unshare", "nsenter", "setpriv", "capsh",
        "taskset", "numactl", "time", "strace", "ltrace", "gdb", "valgrind", "perf", "su", "runuser", "pkexec", "sg",
        "start-stop-daemon", "systemd-run", "systemd-nspawn", "firejail", "bwrap", "dbus-run-session", "dbus-launch",
        "xvfb-run", "fakeroot", "cgexec", "unbuffer", "rlwrap", "screen", "tmux", "at", "batch", "crontab", "ld.so",
        "runcon", "tini", "dumb-init", "gosu", "su-exec", "setuidgid", "chpst", "softlimit", "daemonize", "linux32",
        "linux64"
    ), "the command to run"),
    **dict.fromkeys((
        "ssh", "rsh", "mosh", "pssh", "pdsh", "ansible", "salt", "socat", "nc", "ncat"
    ), "what runs, and where"),
    **dict.fromkeys((
        "awk", "gawk", "mawk", "nawk", "original-awk", "sed", "ed", "ex", "vi", "vim", "nvim", "view", "emacs",
        "find", "fd", "less", "more", "man", "m4", "bc", "dc", "irb", "ghci", "jshell", "sqlite", "psql", "mysql",
        "mariadb", "redis-cli", "valkey-cli",
        "R", "octave", "gnuplot", "deno", "bun", "npx", "npm", "uv", "uvx", "pipx", "go", "cargo", "java",
        "dotnet", "mono"
    ), "the code to run"),
    **dict.fromkeys((
        "make", "gmake", "ninja", "cmake", "rake", "just", "pip", "git", "rsync", "tar", "apt", "apt-get", "dpkg",
        "rpm", "dnf", "yum", "apk", "gem"
    ), "what runs on the way"),
}  # fmt: skip

# What they do is their first word: it must be fixed, and be none that runs other code.
VERBS: Final = {
    **dict.fromkeys(
        ("docker", "podman", "nerdctl", "kubectl", "crictl", "lxc", "nomad"),
        frozenset({"run", "exec", "create", "build", "debug", "cp", "apply", "edit", "attach"}),
    ),
    "systemctl": frozenset({"edit", "link", "enable", "set-environment", "import-environment"}),
    **dict.fromkeys(("service", "rc-service", "initctl", "supervisorctl"), frozenset[str]()),
}  # fmt: skip
_GROUPS: Final = frozenset({"compose", "container", "pod", "image", "machine", "system"})  # whose verb comes after them
_FLAGS: Final = re.compile(
    r"--[\w-]+=\S*\Z|--(no-ask-password|no-block|quiet|user|system)\Z"
)  # no word belongs to them

_PYTHON_OPTIONS: Final = re.compile(r"-[IEPsSBuO]+\Z")  # those that take no word and choose no code
_RUNS_OTHERS: Final = frozenset({  # modules of Python whose arguments are code
    "runpy", "timeit", "pdb", "bdb", "trace", "profile", "cProfile", "pip", "code", "doctest", "unittest", "pytest",
    "IPython", "ensurepip", "coverage"
})  # fmt: skip

_TABLES: Final = (INTERPRETERS, WRAPPERS, MULTICALL, NEVER, VERBS)
_VERSION: Final = re.compile(
    r"(?P<stem>.+?)[.-]?(\d[\w.+-]*|static|dbg|debug|distrib|real|basic|tiny|openbsd|traditional)\Z"
)
_LOADER: Final = re.compile(r"ld(-linux|-musl|64)?[\w.-]*\.so(\.\d+)?\Z")
_SCRIPT: Final = "put the commands into a script of their own, and allow that"


@dataclass(frozen=True, slots=True)
class Fixed:
    """The beginning of a command line that settles what is run: `files` are its programs and scripts, as paths."""

    files: tuple[str, ...]


def code_of(words: Sequence[str], behind: Callable[[str], str] = str) -> Fixed | Problem:
    """What this beginning of a command line settles; or why an argument would choose.

    `behind`: where a path leads to on the disk; a name that says nothing by itself may be a link to a shell.
    """
    files: list[str] = []
    rest = tuple(words)
    while rest:
        name = known_name(rest[0], behind)
        if rest[0].startswith("/"):
            files.append(rest[0])
        if name in MULTICALL:
            rest = rest[1:]
            if not rest or rest[0].startswith("-"):
                return f"{name} would take its first argument for the command to run", _SCRIPT
        elif name in WRAPPERS:
            inner = _wrapped(name, rest[1:])
            if not inner:
                return (
                    f"{name} would take arguments for commands to run",
                    f'name the program that it runs, like "{rest[0]} … /usr/local/bin/NAME", or {_SCRIPT}',
                )
            rest = inner
        elif name in INTERPRETERS:
            script = _script(name, rest)
            return script if isinstance(script, tuple) else Fixed((*files, *filter(None, [script])))
        else:
            return _unsettled(name, rest) or Fixed(tuple(files))
    return Fixed(tuple(files))


def known_name(path: str, behind: Callable[[str], str] = str) -> str:
    """The name under which the tables know a program: its own, or else that of what a link leads to."""
    name = _named(path)
    if any(name in table for table in _TABLES) or not path.startswith("/"):
        return name
    other = _named(behind(path))  # programs of many names (busybox, systemctl) go by the link's own
    return other if any(other in table for table in (INTERPRETERS, WRAPPERS, NEVER)) else name


def _named(path: str) -> str:
    """The end of a path, without a version where the tables know it so."""
    name = path.rsplit("/", 1)[-1]
    if _LOADER.match(name):
        return "ld.so"
    found = _VERSION.match(name)
    if found and not any(name in table for table in _TABLES) and any(found["stem"] in table for table in _TABLES):
        return found["stem"]
    return name


def _wrapped(name: str, rest: tuple[str, ...]) -> tuple[str, ...]:
    """The fixed command that a wrapper runs, from its absolute path on; nothing when an argument could be it."""
    before = re.match(WRAPPERS[name], "".join(f"{word} " for word in rest))
    inner = rest[before[0].count(" ") :] if before else ()
    return inner if inner and inner[0].startswith("/") else ()


def _script(name: str, words: tuple[str, ...]) -> str | Problem:
    """The script that an interpreter's entry fixes, "" for a module of Python; or why none is fixed."""
    rest = words[1:]
    if name in ("python", "pypy"):
        while rest and _PYTHON_OPTIONS.match(rest[0]):
            rest = rest[1:]
        if len(rest) > 1 and rest[0] == "-m":
            if rest[1].partition(".")[0] in _RUNS_OTHERS:
                return f"{name} -m {rest[1]} would take arguments for code to run", _SCRIPT
            return ""
    if rest and rest[0].startswith("/"):
        return rest[0]
    return (
        f"{name} would take arguments for code to run",
        f'name the script and no option before it, like "{words[0]} /opt/desk/restart", or {_SCRIPT}',
    )


def _unsettled(name: str, rest: tuple[str, ...]) -> Problem | None:
    """What is wrong with a program that is neither wrapper nor interpreter."""
    if name in NEVER:
        return f"an argument of {name} would choose {NEVER[name]}", _SCRIPT
    if name in VERBS:
        plain = list(dropwhile(_FLAGS.match, rest[1:]))
        if not plain or plain[0].startswith("-") or (plain[0] in _GROUPS and not plain[1:]):
            return f"an argument of {name} would choose what it does", f'name that first, like "{rest[0]} restart"'
        if chosen := VERBS[name] & set(plain):
            return f"{name} {min(chosen)} would take arguments for what it runs", _SCRIPT
    return None
