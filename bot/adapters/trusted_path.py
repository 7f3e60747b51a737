"""Who else could change what lies at a path: used before a program is run and before a pid file is believed.

Called by `targets_command` for a program, its script and its `#!` interpreter, and by `targets_process` for a pid file.
A file is as safe as the weakest folder on the way to it, and a symbolic link leads over a second way; so every part of
the path is looked at, as the kernel walks it, links and what they lead to included. Each must belong to root or to the
user that Andon runs as, and only its owner may write to it. A sticky folder (/tmp) may be written to by all, because
nobody can take away or rename what belongs to another there. A link's own mode means nothing; its owner counts.

Where only root and Andon's user can change a path, nobody can exchange it between this look and its use.
"""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import shutil
import stat
import sys
from collections.abc import Iterator

MAX_LINKS = 40  # followed in one path, as the kernel does (path_resolution(7))
MAX_INTERPRETERS = 5  # a script's interpreter may be a script; the kernel gives up at that depth too
MAX_FIRST_LINE = 256  # bytes of a #! line that the kernel reads (execve(2))
ROOT = 0
OWN_CODE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # the package that is running right now


def problem(path: str, owners: frozenset[int]) -> str:
    """Who but `owners` could change what lies at this absolute path, with the fix; "" when nobody. Raises OSError."""
    return next(_problems(path, owners), "")


def code_problem(path: str, search: str) -> str:
    """As `problem`, for code that Andon is to run, with the `#!` interpreters that it names. Raises OSError.

    `search`: the PATH in which `#!/usr/bin/env NAME` looks. Not looked at is what Andon itself is running from: whoever
    can change that needs no program to be run.
    """
    owners = frozenset({ROOT, os.geteuid()})
    waiting, seen = [path], set[str]()
    while waiting and len(seen) <= MAX_INTERPRETERS:
        path = waiting.pop()
        if path in seen or _is_our_own(path):
            continue
        seen.add(path)
        if found := problem(path, owners):
            return found
        waiting += _interpreters(path, search)
    return ""


def _problems(path: str, owners: frozenset[int]) -> Iterator[str]:
    parts = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    here, links = "/", 0
    yield from _of_one("/", os.lstat("/"), owners)
    while parts:
        part = parts.pop()
        if part == "..":  # `here` is free of links, so this is its parent, which has been looked at
            here = os.path.dirname(here)
            continue
        step = os.path.join(here, part)
        about = os.lstat(step)
        yield from _of_one(step, about, owners)
        if not stat.S_ISLNK(about.st_mode):
            here = step
            continue
        links += 1
        if links > MAX_LINKS:
            yield f"{path} leads over more than {MAX_LINKS} links"
            return
        to = os.readlink(step)
        here = "/" if to.startswith("/") else here
        parts += [part for part in reversed(to.split("/")) if part not in ("", ".")]


def _of_one(path: str, about: os.stat_result, owners: frozenset[int]) -> Iterator[str]:
    """What is wrong with this one part of a path."""
    quoted = shlex.quote(path)
    if about.st_uid not in owners:
        command = "chown -h" if stat.S_ISLNK(about.st_mode) else "chown"
        who = " or ".join(user(one) for one in sorted(owners))
        yield f"{path} belongs to {user(about.st_uid)}, who could exchange it, not to {who}; {command} root {quoted}"
    if stat.S_ISLNK(about.st_mode) or (stat.S_ISDIR(about.st_mode) and about.st_mode & stat.S_ISVTX):
        return
    if about.st_mode & stat.S_IWOTH:
        yield f"{path} may be changed by anybody on this host; chmod o-w {quoted}"
    if about.st_mode & stat.S_IWGRP:
        yield f"{path} may be changed by everybody in group {_group(about.st_gid)}; chmod g-w {quoted}"


def _is_our_own(path: str) -> bool:
    inside = path.startswith(f"{OWN_CODE}/") and ".." not in path.split("/")
    return inside or path == sys.executable


def _interpreters(path: str, search: str) -> list[str]:
    """The programs that the first line of a script names: its interpreter, and what env would find for it."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except PermissionError:  # a program may be executable and not readable; a script may not
        return []
    try:
        first = os.read(file, MAX_FIRST_LINE).partition(b"\n")[0]
    finally:
        os.close(file)
    words = os.fsdecode(first[2:]).split() if first.startswith(b"#!") else []
    if not words or not words[0].startswith("/"):
        return []
    named = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), "")
    found = shutil.which(named, path=search) if named and os.path.basename(words[0]) == "env" else None
    return [words[0], *([os.path.abspath(found)] if found else [])]


def user(number: int) -> str:
    """A user's name, or the number where it has none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
