"""The local journal of intents: the second place an intent is durable, for when the store is gone.

Dispatch writes to it beside the store's commit (`intend`) and after the outcome (`conclude`); `bot.engine.reconcile`
notes how much the store has acknowledged (`note`) and reads it all back (`recollect`). Every line is on disk when the
call returns. `open_intents` reads it with no store at all.

One JSON object a line: ``{"intent": "<codec text>", "system": …}``, ``{"done": id, "outcome": …, "at": …}`` or
``{"marks": {system: [total, own]}, "replica": …}``. Files rotate by size; intents that are still open, and the newest
marks, are carried over into the new file, so an old file may go without taking one along.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from bot.adapters import kill_switch
from bot.adapters.codec import decode_intent, encode_intent
from bot.core.events import IntentDeclared
from bot.core.words import Millis
from bot.engine.high_water import Mark
from bot.engine.ports import Recollection, Remembered
from bot.errors import RecordForged, StoreUnavailable

MAX_BYTES = 8 * 1024 * 1024  # of one file: about 8,000 intents, more than a year of them at ten a day
KEPT_FILES = 5  # beside the current one
MAX_LINE = 1024 * 1024  # a longer line was never written by us
_OUTCOMES: Final = ("done", "not_sent", "unknown")


@dataclass(slots=True)
class _Line:
    """A line on its way to the disk, and what became of it."""

    data: bytes
    settled: bool = False
    failure: OSError | None = None


class FileJournal:
    """Appends intents and outcomes to a file, each fsynced. Calls that come at once share one fsync."""

    def __init__(self, path: Path, *, replica: str = "", max_bytes: int = MAX_BYTES) -> None:
        """`replica`: whose marks these are; another's are of other counts."""
        self._path = path
        self._replica = replica
        self._max_bytes = max_bytes
        self._switch = kill_switch.KillSwitch(path.with_name(kill_switch.FILE))
        self._waiting: list[_Line] = []
        self._turn = asyncio.Lock()
        self._disk = threading.Lock()  # a cancelled caller's thread may still be writing when the next one starts

    def killed(self) -> str:
        """Who engaged the kill switch beside this journal, and why; "" while nobody has."""
        return self._switch.position().why

    async def intend(self, intent: IntentDeclared, system: str = "") -> None:
        """Append and fsync, with the system it belongs to. Raises StoreUnavailable when the disk refuses."""
        await self._append({"intent": encode_intent(intent).decode(), "system": system})

    async def note(self, marks: Mapping[str, Mark]) -> None:
        """Append and fsync how much the store has acknowledged. Raises StoreUnavailable when the disk refuses."""
        await self._append(_marks_line(self._replica, marks))

    async def recollect(self) -> Recollection:
        """The intents of this file and the one before it, with what became of them, and this replica's newest marks."""
        return await asyncio.to_thread(recollection, self._path, self._replica)

    async def conclude(self, intent: str, outcome: Literal["done", "not_sent", "unknown"], at: Millis) -> None:
        """Append the intent's outcome (fsynced). Raises StoreUnavailable when the disk refuses."""
        await self._append({"done": intent, "outcome": outcome, "at": at})

    async def _append(self, line: dict[str, Any]) -> None:
        mine = _Line(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        self._waiting.append(mine)
        async with self._turn:
            if not mine.settled:
                await self._settle(mine)
        if mine.failure is not None:
            raise StoreUnavailable(
                f"{self._path}: the journal of intents cannot be written: {mine.failure}"
            ) from mine.failure

    async def _settle(self, mine: _Line) -> None:
        """Write every waiting line, `mine` among them, with one fsync. Whoever waits for one of the others is told."""
        batch, self._waiting = self._waiting, []
        failure: OSError | None = None
        try:
            await asyncio.to_thread(self._write, b"".join(line.data for line in batch))
        except asyncio.CancelledError:
            # Nobody knows whether these lines were written; written twice they mean the same.
            self._waiting[:0] = [line for line in batch if line is not mine]
            raise
        except OSError as error:
            failure = error
        for line in batch:
            line.settled, line.failure = True, failure

    def _write(self, batch: bytes) -> None:
        with self._disk:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                size = os.fstat(descriptor).st_size
                if size and os.pread(descriptor, 1, size - 1) != b"\n":
                    batch = b"\n" + batch  # close the line that a crash tore
                _write_whole(descriptor, batch)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if size == 0:
                _fsync_folder(self._path.parent)
            if size + len(batch) > self._max_bytes:
                self._rotate()

    def _rotate(self) -> None:
        """Start a new file with the intents that are still open; the oldest file beyond the kept ones goes."""
        carried = recollection(self._path, self._replica)
        draft = self._path.with_name(self._path.name + ".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            for each in carried.intents:
                if each.outcome == "open":
                    line = {"intent": encode_intent(each.intent).decode(), "system": each.system}
                    _write_whole(descriptor, json.dumps(line).encode() + b"\n")
            _write_whole(descriptor, json.dumps(_marks_line(self._replica, carried.marks)).encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        for number in range(KEPT_FILES - 1, 0, -1):
            older = _numbered(self._path, number)
            if older.exists():
                older.replace(_numbered(self._path, number + 1))
        # The current file keeps its name until the new one takes it: there is no moment without a journal.
        _numbered(self._path, 1).unlink(missing_ok=True)
        os.link(self._path, _numbered(self._path, 1))
        draft.replace(self._path)
        _fsync_folder(self._path.parent)


def open_intents(path: Path) -> list[IntentDeclared]:
    """The intents in the journal at `path` that have no outcome there, oldest first; see `recollection`."""
    return [each.intent for each in recollection(path).intents if each.outcome == "open"]


def recollection(path: Path, replica: str = "") -> Recollection:
    """What the journal at `path`, and the file before it, hold of intents; and the newest marks of `replica`.

    A torn line (a crash while writing) and an unreadable intent are passed over: nothing was sent before its line was
    whole. A journal that does not exist holds nothing. StoreUnavailable when a file cannot be read.
    """
    found: dict[str, Remembered] = {}
    marks: dict[str, Mark] = {}
    for place in (_numbered(path, 1), path):
        try:
            for line in _lines(place):
                _recall(line, found)
                if line.get("replica") == replica and "marks" in line:
                    marks |= _marks(line["marks"])
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StoreUnavailable(f"{place}: the journal of intents cannot be read: {error}") from error
    return Recollection(tuple(found.values()), marks)


def _recall(line: dict[str, Any], found: dict[str, Remembered]) -> None:
    if "intent" in line:
        try:
            intent = decode_intent(str(line["intent"]).encode())
        except RecordForged:
            return
        found[intent.intent] = Remembered(intent, str(line.get("system", "")), "open")
    elif "done" in line and str(line["done"]) in found and line.get("outcome") in _OUTCOMES:
        known = found[str(line["done"])]
        found[known.intent.intent] = replace(known, outcome=line["outcome"])


def _marks_line(replica: str, marks: Mapping[str, Mark]) -> dict[str, Any]:
    return {"marks": {system: [mark.total, mark.own] for system, mark in marks.items()}, "replica": replica}


def _marks(stored: object) -> dict[str, Mark]:
    """Marks as a line has them; what does not look like any is none of ours."""
    if not isinstance(stored, dict):
        return {}
    return {
        str(system): Mark(*counts)
        for system, counts in stored.items()
        if isinstance(counts, list) and len(counts) == 2 and all(isinstance(count, int) for count in counts)
    }


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        while raw := file.readline(MAX_LINE):
            try:
                line = json.loads(raw)
            except ValueError:  # also bytes that are no UTF-8
                continue
            if isinstance(line, dict):
                yield line


def _write_whole(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
