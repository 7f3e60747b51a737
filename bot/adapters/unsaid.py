"""Andon's own alarms that the store has not taken yet, in a file: what a stop or a crash must not lose.

Implements `bot.engine.alarms.Unsaid`, in the data directory's journal folder. One JSON object a line, ``{"shard": name,
"entry": "<codec text>"}``, each on disk when `keep` returns; the file goes when the store has them all. How many lines
there are is bounded by `Alarms`. A line that cannot be read (torn by a crash) is told in the log and left out.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

import structlog

from bot.adapters.codec import decode_entry, encode_entry
from bot.core.events import AlertsReceived
from bot.errors import AndonError, StoreUnavailable

FILE: Final = "unsaid.jsonl"
MAX_BYTES: Final = 8 * 1024 * 1024  # read back at most; a thousand alarms have about 1 MB

log = structlog.get_logger(__name__)


class UnsaidFile:
    """The file. Its calls block for as long as the disk takes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self, shard: str, entry: AlertsReceived) -> None:
        """Append one and fsync. Raises StoreUnavailable."""
        line = json.dumps({"shard": shard, "entry": encode_entry(entry).decode()}, separators=(",", ":")) + "\n"
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(self._path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                file.write(b"\n" + line.encode() if file.tell() else line.encode())  # closes a line that was torn
                file.flush()
                os.fsync(file.fileno())
            self._sync_folder()
        except OSError as error:
            raise StoreUnavailable(f"{self._path}: an alarm cannot be kept: {error.strerror}") from error

    def kept(self) -> list[tuple[str, AlertsReceived]]:
        """What is there, in order. Raises StoreUnavailable."""
        try:
            with open(self._path, "rb") as file:
                lines = file.read(MAX_BYTES).splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreUnavailable(f"{self._path}: kept alarms cannot be read: {error.strerror}") from error
        found: list[tuple[str, AlertsReceived]] = []
        for line in filter(None, lines):
            try:
                told = json.loads(line)
                entry = decode_entry(told["entry"].encode())
                if isinstance(entry, AlertsReceived):
                    found.append((str(told["shard"]), entry))
            except (AndonError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                log.error("kept_alarm_unreadable", path=str(self._path), problem=str(error))
        return found

    def forget(self) -> None:
        """The store has them all. Raises StoreUnavailable."""
        try:
            self._path.unlink(missing_ok=True)
            self._sync_folder()
        except OSError as error:
            raise StoreUnavailable(f"{self._path}: cannot be removed: {error.strerror}") from error

    def _sync_folder(self) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
