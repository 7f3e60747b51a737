"""The local journal of intents: the second place an intent is durable, for when the store is gone.

Dispatch writes to it beside the store's commit (`intend`) and after the outcome (`conclude`); every line is on disk
when the call returns. `open_intents` reads it back with no store at all.

One JSON object a line: ``{"intent": "<codec text>"}`` or ``{"done": id, "outcome": …, "at": …}``. Files rotate by
size; intents that are still open are carried over into the new file, so an old file may go without taking one along.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bot.adapters import kill_switch
from bot.adapters.codec import decode_intent, encode_intent
from bot.core.events import IntentDeclared
from bot.core.words import Millis
from bot.errors import RecordForged, StoreUnavailable

MAX_BYTES = 8 * 1024 * 1024  # of one file: about 8,000 intents, more than a year of them at ten a day
KEPT_FILES = 5  # beside the current one
MAX_LINE = 1024 * 1024  # a longer line was never written by us


@dataclass(slots=True)
class _Line:
    """A line on its way to the disk, and what became of it."""

    data: bytes
    settled: bool = False
    failure: OSError | None = None


class FileJournal:
    """Appends intents and outcomes to a file, each fsynced. Calls that come at once share one fsync."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._switch = kill_switch.KillSwitch(path.with_name(kill_switch.FILE))
        self._waiting: list[_Line] = []
        self._turn = asyncio.Lock()
        self._disk = threading.Lock()  # a cancelled caller's thread may still be writing when the next one starts

    def killed(self) -> str:
        """Who engaged the kill switch beside this journal, and why; "" while nobody has."""
        return self._switch.position().why

    async def intend(self, intent: IntentDeclared) -> None:
        """Append and fsync. Raises StoreUnavailable when the disk refuses."""
        await self._append({"intent": encode_intent(intent).decode()})

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
        carried = open_intents(self._path)
        draft = self._path.with_name(self._path.name + ".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            for intent in carried:
                _write_whole(descriptor, json.dumps({"intent": encode_intent(intent).decode()}).encode() + b"\n")
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
    """The intents in the journal at `path` that have no outcome there, oldest first.

    A torn line (a crash while writing) and an unreadable intent are passed over: nothing was sent before its line was
    whole. A journal that does not exist holds nothing. StoreUnavailable when the file cannot be read.
    """
    found: dict[str, IntentDeclared] = {}
    try:
        for line in _lines(path):
            if "intent" in line:
                try:
                    intent = decode_intent(str(line["intent"]).encode())
                except RecordForged:
                    continue
                found[intent.intent] = intent
            else:
                found.pop(str(line.get("done")), None)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreUnavailable(f"{path}: the journal of intents cannot be read: {error}") from error
    return list(found.values())


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
