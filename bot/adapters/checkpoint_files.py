"""Chains of checkpoints as files: ``<data directory>/checkpoints/<key>/<first seq>.jsonl``, each line on disk at once.

`LocalChain` implements `bot.engine.checkpoints.ChainLog` for this replica's own key; `bot.adapters.checkpoint_reading`
reads every chain, its own and others', back. A line that a crash cut short is cut off before the next is written. A
file that has grown to `SEGMENT_BYTES` is followed by another, so that a start reads a few megabytes at most, however
long the chain.
"""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from bot.core.checkpoint import MAX_LINE, Signed, parse
from bot.errors import RecordForged, StoreUnavailable

FOLDER: Final = "checkpoints"
SUFFIX: Final = ".jsonl"
SEGMENT_BYTES: Final = 8 * 1024 * 1024  # about a month of a busy floor
_CURSORS: Final = "exported.json"
_MAX_CURSORS: Final = 65_536  # bytes; a few names with numbers

T = TypeVar("T")


class LocalChain:
    """The chain in one folder. Its calls block for as long as the disk takes."""

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._next = 0  # 0: not looked yet
        self._turn = threading.Lock()  # a cancelled caller's thread may still be writing when the next one starts

    def last(self) -> Signed | None:
        """The newest checkpoint, after cutting off what a crash left of a line. RecordForged if it is none of ours."""
        return self._guarded(self._last)

    def append(self, line: bytes) -> None:
        """On disk when it returns. StoreUnavailable when the disk refuses."""
        self._guarded(lambda: self._append(line))

    def after(self, seq: int, limit: int) -> list[bytes]:
        """The lines that follow checkpoint `seq`, oldest first."""
        return self._guarded(lambda: self._after(seq, limit))

    def exported(self) -> dict[str, int]:
        """Up to which checkpoint each destination has taken the chain. Unreadable counts as nothing: sent again."""
        return self._guarded(lambda: exported_from(self._folder))

    def note_exported(self, destination: str, seq: int) -> None:
        """It has taken the chain up to here."""
        self._guarded(lambda: self._note(destination, seq))

    def _last(self) -> Signed | None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = segments(self._folder)
        if files:
            _cut_torn_end(files[-1])
            if not files[-1].stat().st_size:  # torn in its first line
                files.pop().unlink()
        if not files:
            self._next = 1
            return None
        found = parse(next(iter(deque(lines_of(files[-1]), maxlen=1)), b""))
        if found is None:
            raise RecordForged(f"{files[-1]} does not end in a checkpoint of ours: it was changed")
        self._next = found.checkpoint.seq + 1
        return found

    def _append(self, line: bytes) -> None:
        if not self._next:
            self._last()
        files = segments(self._folder)
        fresh = not files or files[-1].stat().st_size >= self._segment_bytes
        path = self._folder / f"{self._next:08}{SUFFIX}" if fresh else files[-1]
        if not fresh:
            _cut_torn_end(path)  # of a write that the disk refused half-way
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            rest = memoryview(line + b"\n")
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if fresh:
            _sync(self._folder)
            _sync(self._folder.parent)
        self._next += 1

    def _after(self, seq: int, limit: int) -> list[bytes]:
        files = segments(self._folder)
        starts = [int(path.stem) for path in files]
        found: list[bytes] = []
        for number, path in enumerate(files):
            if number + 1 < len(files) and starts[number + 1] <= seq + 1:
                continue  # all of it came before
            for place, line in enumerate(lines_of(path), start=starts[number]):
                if place > seq:
                    found.append(line)
                    if len(found) == limit:
                        return found
        return found

    def _note(self, destination: str, seq: int) -> None:
        draft = self._folder / (_CURSORS + ".draft")
        draft.write_text(json.dumps(exported_from(self._folder) | {destination: seq}))
        draft.replace(self._folder / _CURSORS)

    def _guarded(self, work: Callable[[], T]) -> T:
        try:
            with self._turn:
                return work()
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreUnavailable(f"{self._folder}: checkpoints cannot be kept: {reason}") from error


def segments(folder: Path) -> list[Path]:
    """The files of a chain, in order."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit())


def lines_of(path: Path) -> Iterator[bytes]:
    """Every whole line of a file, without its end. A line without one is being written, or was torn by a crash."""
    with path.open("rb") as file:
        while raw := file.readline(MAX_LINE + 1):
            if raw.endswith(b"\n"):
                yield raw[:-1]
            elif len(raw) > MAX_LINE:
                yield raw  # none of ours: verification says so


def exported_from(folder: Path) -> dict[str, int]:
    """What `note_exported` noted in a chain's folder."""
    try:
        with (folder / _CURSORS).open("rb") as file:
            told = json.loads(file.read(_MAX_CURSORS))
        return {str(name): seq for name, seq in told.items() if type(seq) is int}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}


def _cut_torn_end(path: Path) -> None:
    """What follows the last line end was never acknowledged to anybody."""
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - MAX_LINE)
        file.seek(start)
        tail = file.read()
        whole = start + tail.rfind(b"\n") + 1
        if tail and whole < size and (b"\n" in tail or start == 0):
            file.truncate(whole)
            os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
