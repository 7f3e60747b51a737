"""How much the store has acknowledged to each replica of this data directory: one small file beside the journal.

Kept by `bot.adapters.journal` for `bot.engine.reconcile`, every few seconds while something is written; so it is put
anew each time (a draft, on disk, renamed) and never grows: ``{replica: {system: [total, own]}}``.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog

from bot.engine.high_water import Mark

FILE: Final = "marks.json"
MAX_REPLICAS: Final = 16  # names kept, newest last; a host that draws a name at every start must not grow the file

log = structlog.get_logger(__name__)


class MarksFile:
    """The marks of one replica, and those of others untouched. Blocking: called from threads only."""

    def __init__(self, path: Path, replica: str) -> None:
        self._path = path
        self._replica = replica
        self._disk = threading.Lock()

    def read(self) -> dict[str, Mark]:
        """This replica's newest marks. OSError when the file cannot be read."""
        return marks_of(self._all().get(self._replica))

    def write(self, marks: Mapping[str, Mark]) -> None:
        """Durable on return. OSError when the disk refuses; then the former ones stand."""
        with self._disk:
            others = {name: kept for name, kept in self._all().items() if name != self._replica}
            kept = dict(list(others.items())[1 - MAX_REPLICAS :])
            kept[self._replica] = {system: [mark.total, mark.own] for system, mark in marks.items()}
            replace_file(self._path, json.dumps(kept, ensure_ascii=False).encode())

    def _all(self) -> dict[str, object]:
        try:
            stored = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError):
            log.error("marks_unreadable", path=str(self._path))
            return {}
        return stored if isinstance(stored, dict) else {}


def marks_of(stored: object) -> dict[str, Mark]:
    """Marks as a file has them; what does not look like any is none of ours."""
    if not isinstance(stored, dict):
        return {}
    return {
        str(system): Mark(*counts)
        for system, counts in stored.items()
        if isinstance(counts, list) and len(counts) == 2 and all(isinstance(count, int) for count in counts)
    }


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` where `path` is, whole or not at all, and durable on return."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = write_draft(path, data)
    draft.replace(path)
    fsync_folder(path.parent)


def write_draft(path: Path, data: bytes) -> Path:
    """`draft_of` this path, holding `data`, on disk; a former one is overwritten. None is left on OSError."""
    draft = draft_of(path)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        write_whole(descriptor, data)
        os.fsync(descriptor)
    except OSError:
        draft.unlink()  # a full disk needs the room
        raise
    finally:
        os.close(descriptor)
    return draft


def draft_of(path: Path) -> Path:
    """Where what is to take the place of `path` is written first."""
    return path.with_name(path.name + ".new")


def write_whole(descriptor: int, data: bytes) -> None:
    """All of it, also where one write takes only a part."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def fsync_folder(folder: Path) -> None:
    """Make its names durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
