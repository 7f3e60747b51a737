"""The kill switch: one small file in the data directory that stops every action of every Andon that runs from there.

Written by `andon kill-switch`, which needs nothing but the disk: no store, no network, no running Andon. Read by the
journal's `killed` (asked before every declaration and every send) and by `bot.switchboard`, which freezes automation
in the store as well.

One JSON object a line, ``{"at": ms, "by": login, "uid": uid, "reason": text, "engaged": true|false}``; the last line
decides. A last line that is torn or garbled, and a file that cannot be read, count as engaged: whoever wrote it wanted
something to stop. Law 6.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bot.core.words import Millis
from bot.errors import StoreUnavailable

FILE: Final = "kill-switch.jsonl"
MAX_REASON: Final = 500  # characters, as for a freeze
MAX_BY: Final = 100  # characters of a login; Linux allows 32
TAIL: Final = 64 * 1024  # bytes read from the end: many times the longest line


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How the switch stands. `problem`: why it counts as engaged although nobody's line says so."""

    engaged: bool
    at: Millis = 0
    by: str = ""
    uid: int = -1
    reason: str = ""
    problem: str = ""

    @property
    def why(self) -> str:
        """Who engaged it and why, as a part of a sentence; "" when it is not engaged."""
        if not self.engaged:
            return ""
        return self.problem or f"the kill switch was engaged by {self.by} (uid {self.uid}): {self.reason}"


RELEASED: Final = Position(engaged=False)


class KillSwitch:
    """The switch of one data directory. Reading it costs one `stat` while the file stays as it is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: tuple[int, int, int] | None = None
        self._position = RELEASED

    def position(self) -> Position:
        """How it stands now. Never raises: what cannot be told counts as engaged."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self._known = None
            return RELEASED
        except OSError as error:
            self._known = None
            return _unreadable(self.path, error)
        known = (found.st_ino, found.st_size, found.st_mtime_ns)
        if known != self._known:
            try:
                self._position = _read(self.path)
            except OSError as error:
                self._known = None
                return _unreadable(self.path, error)
            self._known = known
        return self._position

    def engage(self, *, at: Millis, by: str, uid: int, reason: str) -> None:
        """Stop everything. On disk when it returns; StoreUnavailable when the disk refuses."""
        self._append(Position(engaged=True, at=at, by=by, uid=uid, reason=reason[:MAX_REASON]))

    def release(self, *, at: Millis, by: str, uid: int, reason: str) -> None:
        """Take the switch back. What it froze stays frozen until a person unfreezes it."""
        self._append(Position(engaged=False, at=at, by=by, uid=uid, reason=reason[:MAX_REASON]))

    def _append(self, position: Position) -> None:
        fields = asdict(position)
        del fields["problem"]
        fields |= {"by": plain_text(position.by), "reason": plain_text(position.reason)}
        line = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                self._give_to_owner(descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX)  # two people at once write two whole lines
                size = os.fstat(descriptor).st_size
                if size and os.pread(descriptor, 1, size - 1) != b"\n":
                    line = b"\n" + line  # close the line that a crash tore
                view = memoryview(line)
                while view:
                    view = view[os.write(descriptor, view) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise StoreUnavailable(f"{self.path}: the kill switch cannot be written: {error.strerror}") from error

    def _give_to_owner(self, descriptor: int) -> None:
        """What root makes here belongs to whom the data directory belongs; else Andon could not read it."""
        if os.geteuid() != 0:
            return
        owner = self.path.parent.parent.stat()
        os.chown(self.path.parent, owner.st_uid, owner.st_gid)
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _read(path: Path) -> Position:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL))
        tail = file.read()
    if not tail.endswith(b"\n"):
        return _garbled(path, "ends in the middle of a line" if tail else "is empty")
    try:
        line = json.loads(tail.rstrip(b"\n").rpartition(b"\n")[2])
        engaged, at, by, uid, reason = (line[key] for key in ("engaged", "at", "by", "uid", "reason"))
    except (ValueError, KeyError, TypeError, RecursionError):  # also bytes that are no UTF-8
        return _garbled(path, "has a last line that is none of Andon's")
    if not isinstance(engaged, bool) or not isinstance(at, int) or not isinstance(uid, int):
        return _garbled(path, "has a last line that is none of Andon's")
    return Position(engaged=engaged, at=at, by=plain_text(by)[:MAX_BY], uid=uid, reason=plain_text(reason)[:MAX_REASON])


def plain_text(told: object) -> str:
    """`told` with `?` for what cannot be written as UTF-8 (a terminal's Latin-1): no letter keeps a switch open."""
    return str(told).encode("utf-8", "replace").decode()


def _garbled(path: Path, what: str) -> Position:
    problem = plain_text(
        f"the kill switch counts as engaged, for {path} {what}; `andon kill-switch --release` makes it whole"
    )
    return Position(engaged=True, problem=problem)


def _unreadable(path: Path, error: OSError) -> Position:
    problem = plain_text(f"the kill switch counts as engaged, for {path} cannot be read: {error.strerror}")
    return Position(engaged=True, problem=problem)
