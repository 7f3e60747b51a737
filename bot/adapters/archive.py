"""Closed incidents as files: ``<archive>/<system>/<yyyy-mm>/<incident>.json.gz``. Implements `ports.Archive`.

`bot.engine.retention` hands an incident over (`keep`) before it leaves the store; the API reads it back (`find`) and
verifies all of it. A file is written beside its place, synced and renamed, and its folder is synced; then it is listed
in `index.jsonl`, then `index.head` names the index's end. A crash in between leaves less listed than there is, and the
next `keep` of the same incident goes on from there. One replica writes at a time (`index.lock`); readers need no lock,
because files and lines never change.

The folder alone cannot show that all of it was put back to an earlier state, or removed: the store counts what has left
it, and `http_audit` compares. Replicas share one folder, or each of them misses what the others keep.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

from bot.adapters.archive_format import (
    Listed,
    fingerprint,
    next_line,
    pack,
    read_head,
    read_line,
    unpack,
    write_head,
    write_line,
)
from bot.adapters.seal import Sealer
from bot.core import audit
from bot.core.audit import AuditEntry
from bot.core.words import AggregateId, Millis
from bot.engine.ports import Archived, ArchiveProblem, ArchiveVerdict
from bot.errors import RecordForged, StoreContended, StoreUnavailable

SUFFIX: Final = ".json.gz"
_INDEX, _HEAD, _LOCK = "index.jsonl", "index.head", "index.lock"
_SAFE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # a name that stays inside its folder
_FOLDERS: Final = "*/*/*" + SUFFIX
_DRAFT: Final = ".draft"
_LOOK: Final = "run `andon audit verify` and look who did that"

T = TypeVar("T")


class FileArchive:
    """The archive in one folder. `sealer` is the store's: a file made elsewhere, or edited, does not open."""

    def __init__(self, root: Path, sealer: Sealer) -> None:
        self._root = root
        self._sealer = sealer
        self._read = 0  # bytes of the index already taken in
        self._count = 0  # lines
        self._broken = 0  # the first line that does not follow the one before
        self._last: AuditEntry | None = None
        self._by_incident: dict[AggregateId, Listed] = {}  # the newest line of each; about 500 bytes
        self._turn = threading.Lock()  # calls run in threads

    async def keep(self, closed: Archived, at: Millis) -> None:
        """Make it durable, and list it. Again for the same incident and head: nothing more happens."""
        await asyncio.to_thread(self._guarded, lambda: self._keep_alone(closed, at))

    async def find(self, incident: AggregateId) -> Archived | None:
        """What was kept last under this id. RecordForged when it was changed since."""
        return await asyncio.to_thread(self._guarded, lambda: self._find(incident))

    async def listed(self, prefix: str = "") -> tuple[tuple[str, AggregateId], ...]:
        """(system, id) of the incidents whose id begins so, in the order they were first kept."""
        return await asyncio.to_thread(self._guarded, lambda: self._listed(prefix))

    async def verify(self, look: Callable[[Archived], None] = lambda found: None) -> ArchiveVerdict:
        """Read all of it and compare it with the index; `look` sees each incident, in a thread."""
        return await asyncio.to_thread(self._guarded, lambda: self._verify(look))

    def _guarded(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreUnavailable(f"the archive {self._root} cannot be read or written: {reason}") from error

    # --- writing (in a thread) --------------------------------------------------------------------------------------

    def _keep_alone(self, closed: Archived, at: Millis) -> None:
        with self._turn, self._alone():
            self._keep(closed, at)

    def _keep(self, closed: Archived, at: Millis) -> None:
        incident = closed.incident
        self._catch_up()
        self._must_be_whole()
        listed = self._by_incident.get(incident.id)
        if listed is not None and listed.head == closed.head:
            self._open(listed)  # what stands there must still be whole before the store's copy goes
            return
        data = pack(closed, self._sealer)
        place = self._place(closed, taken=listed is not None)
        self._write_whole(place, data)
        line = Listed(
            incident=incident.id,
            system=incident.system,
            file=str(place.relative_to(self._root)),
            sha256=fingerprint(data),
            head=closed.head,
            version=closed.version,
            closed_at=incident.closed_at or 0,
            archived_at=at,
        )
        self._list(next_line(line, self._last))
        self._catch_up()

    def _must_be_whole(self) -> None:
        """Nothing more is entrusted to an index that was tampered with."""
        with suppress(FileNotFoundError):
            seq, _ = read_head((self._root / _HEAD).read_bytes(), self._sealer)
            if seq > self._count:
                raise RecordForged(f"the archive's index has {self._count} lines, but once had {seq}; {_LOOK}")
        if self._broken:
            raise RecordForged(f"the archive's index was changed at line {self._broken}; {_LOOK}")

    def _place(self, closed: Archived, *, taken: bool) -> Path:
        """Where the file goes. `taken`: an earlier incident had the same id (a firing that came back after both its
        incident and its key were gone), so this one is told apart by its head."""
        incident = closed.incident
        for name in (incident.system, incident.id):
            if not _SAFE.fullmatch(name):
                raise StoreUnavailable(f"{name[:100]!r} cannot be the name of a folder or file in the archive")
        closed_on = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=incident.closed_at or 0)
        name = f"{incident.id}-{closed.head[:8]}" if taken else incident.id
        return self._root / incident.system / f"{closed_on:%Y-%m}" / f"{name}{SUFFIX}"

    def _list(self, entry: AuditEntry) -> None:
        """Append a line to the index, then name it as its end. A line that a crash cut short is cut off first."""
        path = self._root / _INDEX
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(descriptor, self._read)
            os.lseek(descriptor, self._read, os.SEEK_SET)
            rest = memoryview(line := write_line(entry))
            while rest:  # a disk that fills takes a part of it, and refuses the rest
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
            if os.pread(descriptor, len(line) + 1, self._read) != line:
                raise OSError(errno.EIO, "the index does not hold the line that was written to it")
        finally:
            os.close(descriptor)
        self._write_whole(self._root / _HEAD, write_head(entry, self._sealer))

    def _write_whole(self, place: Path, data: bytes) -> None:
        """All of it under its name, on disk, or nothing."""
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = place.with_name(place.name + _DRAFT)  # under the lock nobody else writes it; a crash's is overwritten
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(place)
        except OSError:
            with suppress(OSError):
                draft.unlink()
            raise
        for folder in (place.parent, *([] if place.parent == self._root else [place.parent.parent, self._root])):
            _sync_folder(folder)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other replica writes to this folder meanwhile. StoreContended at once when one does."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._root / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StoreContended("another replica is writing to the archive") from error
            yield
        finally:
            os.close(descriptor)

    # --- reading (in a thread) --------------------------------------------------------------------------------------

    def _find(self, incident: AggregateId) -> Archived | None:
        with self._turn:
            self._catch_up()
            listed = self._by_incident.get(incident)
        return self._open(listed) if listed is not None else None

    def _listed(self, prefix: str) -> tuple[tuple[str, AggregateId], ...]:
        with self._turn:
            self._catch_up()
            found = self._by_incident.items()
            return tuple((listed.system, name) for name, listed in found if name.startswith(prefix))

    def _open(self, listed: Listed) -> Archived:
        """A listed file, if it is what the index says. RecordForged."""
        try:
            data = (self._root / listed.file).read_bytes()
        except OSError as error:
            raise RecordForged(f"its file {listed.file} is missing from the archive") from error
        found = unpack(data, listed.system, listed.incident, self._sealer)
        if fingerprint(data) != listed.sha256 or found.head != listed.head:
            raise RecordForged(f"{listed.file} is not the file that the index lists: it was replaced")
        return found

    def _catch_up(self) -> None:
        """Take in the lines that were added since; from the start when the index was made shorter."""
        path = self._root / _INDEX
        size = path.stat().st_size if path.exists() else 0
        if size < self._read:
            self._read, self._count, self._broken, self._last, self._by_incident = 0, 0, 0, None, {}
        if size == self._read:
            return
        with path.open("rb") as file:
            file.seek(self._read)
            for raw in file:
                if not raw.endswith(b"\n"):
                    break  # being written, or cut short by a crash
                entry, listed = read_line(raw)
                if not self._broken and (listed is None or next_line(listed, self._last) != entry):
                    self._broken = self._count + 1
                self._last, self._read, self._count = entry, self._read + len(raw), self._count + 1
                if listed is not None:
                    self._by_incident[listed.incident] = listed

    def _verify(self, look: Callable[[Archived], None]) -> ArchiveVerdict:
        lines: list[tuple[AuditEntry, Listed | None]] = []
        head = self._head()  # before the index: lines may be added meanwhile, and only added
        with suppress(FileNotFoundError), (self._root / _INDEX).open("rb") as file:
            lines = [read_line(raw) for raw in file if raw.endswith(b"\n")]
        wrong = _chain_problems([entry for entry, _ in lines], head or self._head())
        problems = [ArchiveProblem(incident="", problem=f"index: {text}") for text in wrong]
        links = 0
        for _, listed in lines:
            if listed is None:
                continue  # the chain has told of it
            try:
                found = self._open(listed)
            except RecordForged as error:
                problems.append(ArchiveProblem(incident=listed.incident, problem=str(error)))
                continue
            look(found)
            links += len(found.audit)
            wrong = audit.verify(found.audit, found.head, found.version)
            problems += [ArchiveProblem(incident=listed.incident, problem=text) for text in wrong]
        files = {str(path.relative_to(self._root)) for path in self._root.glob(_FOLDERS)}
        unlisted = sorted(files - {listed.file for _, listed in lines if listed is not None})
        return ArchiveVerdict(
            files=len(files),
            links=links,
            listed=Counter(listed.system for _, listed in lines if listed is not None),
            problems=tuple(problems),
            unlisted=tuple(map(_incident_of, unlisted)),
        )

    def _head(self) -> tuple[int, str] | str | None:
        """Where the index ended when its last line was written; why not, in words; None when nothing ever was."""
        try:
            return read_head((self._root / _HEAD).read_bytes(), self._sealer)
        except FileNotFoundError:
            return None
        except RecordForged as error:
            return str(error)


def _chain_problems(entries: list[AuditEntry], head: tuple[int, str] | str | None) -> tuple[str, ...]:
    """What is wrong with the index as a chain. It may be ahead of its head: a crash, or a reader, came in between."""
    if isinstance(head, str):
        return (head,)
    if head is None:
        return ("index.head is gone, so nothing says where it ends",) if len(entries) > 1 else ()
    seq, last = head
    if len(entries) > seq and entries[seq - 1].hash == last:
        return audit.verify(entries, entries[-1].hash, len(entries))
    return audit.verify(entries, last, seq)


def _incident_of(file: str) -> AggregateId:
    """Whose file this is, by its name."""
    return "-".join(Path(file).name.removesuffix(SUFFIX).split("-")[:2])


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
