"""The local journal of intents: the second place an intent is durable, for when the store is gone.

Dispatch writes to it beside the store's commit (`intend`) and after the outcome (`conclude`); `bot.engine.reconcile`
notes how much the store has acknowledged (`note`) and reads it all back (`recollect`). Every line is on disk when the
call returns. `open_intents` there reads it with no store at all.

`bot.adapters.journal_lines` says how the lines look and reads them. Files rotate by size, with an outcome and not while
an intent waits; what is still open, and what is young enough to be told again, is carried over into the new file, so an
old file may go without taking one along. The marks have a file of their own (`bot.adapters.marks_file`).
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import structlog

from bot.adapters import kill_switch, marks_file
from bot.adapters.codec import encode_intent
from bot.adapters.journal_lines import carried_over, numbered, recollection
from bot.adapters.marks_file import draft_of, fsync_folder, write_draft, write_whole
from bot.core.events import IntentDeclared
from bot.core.words import Millis
from bot.engine.high_water import Mark
from bot.engine.ports import Recollection
from bot.errors import StoreError, StoreUnavailable

MAX_BYTES = 8 * 1024 * 1024  # of one file: about 8,000 intents, more than two years of them at ten a day
KEPT_FILES = 5  # beside the current one
CARRIED_SHARE: Final = 2  # of a new file at most one half is carried over, or it would rotate for ever

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Line:
    """A line on its way to the disk, and what became of it."""

    data: bytes
    settled: bool = False
    failure: OSError | None = None


class FileJournal:
    """Appends intents and outcomes to a file, each fsynced. Calls that come at once share one fsync."""

    def __init__(self, path: Path, *, replica: str = "", max_bytes: int = MAX_BYTES) -> None:
        """`replica`: whose marks are kept; another's are of other counts."""
        self._path = path
        self._marks = marks_file.MarksFile(path.with_name(marks_file.FILE), replica)
        self._replica = replica
        self._max_bytes = max_bytes
        self._switch = kill_switch.KillSwitch(path.with_name(kill_switch.FILE))
        self._waiting: list[_Line] = []
        self._turn = asyncio.Lock()
        self._disk = threading.Lock()  # a cancelled caller's thread may still be writing when the next one starts
        self._rotating = threading.Lock()
        self._size = 0  # of the current file, as last written

    def killed(self) -> str:
        """Who engaged the kill switch beside this journal, and why; "" while nobody has."""
        return self._switch.position().why

    async def intend(self, intent: IntentDeclared, system: str = "") -> None:
        """Append and fsync, with the system it belongs to. Raises StoreUnavailable when the disk refuses."""
        await self._append({"intent": encode_intent(intent).decode(), "system": system})
        await self._make_room(2 * self._max_bytes)  # only where outcomes, which wait for it instead, have long failed

    async def note(self, marks: Mapping[str, Mark]) -> None:
        """Keep how much the store has acknowledged, durably. Raises StoreUnavailable when the disk refuses."""
        try:
            await asyncio.to_thread(self._marks.write, marks)
        except OSError as error:
            raise StoreUnavailable(f"{self._path.parent}: the marks cannot be written: {error}") from error

    async def recollect(self) -> Recollection:
        """The intents of the journal with what became of them, and this replica's newest marks; see `recollection`."""
        return await asyncio.to_thread(recollection, self._path, self._replica)

    async def conclude(self, intent: str, outcome: Literal["done", "not_sent", "unknown"], at: Millis) -> None:
        """Append the intent's outcome (fsynced). Raises StoreUnavailable when the disk refuses."""
        await self._append({"done": intent, "outcome": outcome, "at": at})
        await self._make_room(self._max_bytes)

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
                write_whole(descriptor, batch)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if size == 0:
                fsync_folder(self._path.parent)
            self._size = size + len(batch)

    async def _make_room(self, allowed: int) -> None:
        """Rotate a file that has grown past this, after a line that nobody waits for."""
        if self._size > allowed:
            await asyncio.to_thread(self._rotate)

    def _rotate(self) -> None:
        """Start a new file with what is carried over; the oldest file beyond the kept ones goes.

        Intents go on being written meanwhile: only for the last, short part does one wait. A disk that refuses leaves
        the current file as it is, to be rotated with the next outcome.
        """
        if not self._rotating.acquire(blocking=False):
            return
        try:
            with self._disk:
                size = self._path.stat().st_size
            if size <= self._max_bytes:
                return  # another has just done it
            draft = write_draft(self._path, carried_over(self._path, size, self._max_bytes // CARRIED_SHARE))
            with self._disk:
                self._swap(draft, size)
        except (OSError, StoreError) as error:
            log.warning("journal_unavailable", what="rotation", error=str(error))
            with suppress(OSError):
                draft_of(self._path).unlink(missing_ok=True)  # a full disk needs the room
        finally:
            self._rotating.release()

    def _swap(self, draft: Path, size: int) -> None:
        """Put the draft in the journal's place, with what was written after `size`."""
        descriptor = os.open(draft, os.O_WRONLY | os.O_APPEND)
        try:
            with self._path.open("rb") as file:
                file.seek(size)
                write_whole(descriptor, file.read())
            os.fsync(descriptor)
            self._size = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
        for number in range(KEPT_FILES - 1, 0, -1):
            older = numbered(self._path, number)
            if older.exists():
                older.replace(numbered(self._path, number + 1))
        # The current file keeps its name until the new one takes it: there is no moment without a journal.
        numbered(self._path, 1).unlink(missing_ok=True)
        os.link(self._path, numbered(self._path, 1))
        draft.replace(self._path)
        fsync_folder(self._path.parent)
