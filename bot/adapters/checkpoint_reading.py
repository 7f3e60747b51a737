"""Reads back every chain of checkpoints that this replica can see, and says what was said and what is wrong with it.

Its own chain, those of its earlier keys, and in the export directory the copies of these and the chains of other
replicas. Implements `bot.engine.audit_verification.Witnesses` for `andon audit verify`. Four memories must agree on a
chain: the file, this process, the store (sealed), and the copy off the box with the note of how much was sent there. A
key counts only if the store was told of it under its seal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain as joined
from pathlib import Path
from typing import Final, Protocol

from bot.adapters.checkpoint_export import DIRECTORY
from bot.adapters.checkpoint_files import SUFFIX, exported_from, lines_of, segments
from bot.adapters.signing import Signer, holds, key_id
from bot.core.checkpoint import ChainReader, Mark, Signed, Told, parse
from bot.engine.audit_verification import ChainSeen, Testimony
from bot.engine.checkpoints import KnownChain, Ledger
from bot.errors import StoreUnavailable

_STORE: Final = "the store"
_PROCESS: Final = "this process"
_MAX_COPIES: Final = 1_000  # chains in the export directory: one for each key there ever was


class Making(Protocol):
    """What makes this replica's checkpoints: `bot.engine.checkpoints.Checkpoints`."""

    @property
    def last(self) -> Signed | None:
        """The newest one that this process wrote, or found at its start."""
        ...

    async def sign_now(self) -> None: ...


class CheckpointReading:
    """`folder`: where the data directory keeps chains. `copies`: the export directory, if there is one."""

    def __init__(
        self, *, folder: Path, copies: Path | None, signer: Signer, replica: str, ledger: Ledger, making: Making
    ) -> None:
        self._folder = folder
        self._copies = copies
        self._signer = signer
        self._replica = replica
        self._ledger = ledger
        self._making = making

    @property
    def key(self) -> str:
        """The public key of this replica."""
        return self._signer.public

    def sign(self, message: bytes) -> str:
        """Sign something with this replica's key: a bundle says who made it."""
        return self._signer.sign(message)

    async def sign_now(self) -> None:
        """Sign what this replica has committed and not signed yet."""
        await self._making.sign_now()

    async def testimony(self) -> Testimony:
        """Everything that was signed. StoreUnavailable when the store or a disk cannot be read."""
        last = self._making.last  # before the files are read: they may only be ahead of it
        known, forged = await self._ledger.known_chains()
        return await asyncio.to_thread(self._guarded, last, known, forged)

    async def lines(self, wanted: Iterable[tuple[str, int]]) -> list[bytes]:
        """The checkpoints of these (key, number), as they were written."""
        return await asyncio.to_thread(self._lines, set(wanted))

    def _guarded(self, last: Signed | None, known: Sequence[KnownChain], forged: Sequence[str]) -> Testimony:
        try:
            return self._read(last, known, forged)
        except OSError as error:
            raise StoreUnavailable(
                f"checkpoints cannot be read: {error.strerror or error}: {error.filename}"
            ) from error

    def _read(self, last: Signed | None, known: Sequence[KnownChain], forged: Sequence[str]) -> Testimony:
        found = Testimony(problems=[f"checkpoints: {problem}" for problem in forged])
        by_id = {key_id(each.key): each for each in known}
        own = self._signer.id
        local = {path.name for path in self._folder.iterdir() if path.is_dir()} if self._folder.is_dir() else set()
        for name in sorted(local | ({own} if last is not None else set())):
            mark = by_id.pop(name, None)
            marks = [Mark(mark.seq, mark.hash, _STORE)] if mark is not None else []
            if name == own and last is not None:
                marks.append(Mark(last.checkpoint.seq, last.hash, _PROCESS))
            key = mark.key if mark is not None else self._signer.public if name == own else ""
            folder = self._folder / name
            if mark is None and any(self._chain(folder)):
                found.problems.append(_unknown(name))
            if key:
                reader = ChainReader(key, holds, marks)
                self._take(found, reader, self._chain(folder), mark.replica if mark else self._replica)
                found.problems += _told(name, self._compared(folder, name))
        for name, path in self._copied():
            if name not in local:
                self._others(found, name, path, by_id.pop(name, None))
        found.problems += [problem for mark in by_id.values() for problem in self._missing(mark)]
        return found

    def _take(self, found: Testimony, reader: ChainReader, lines: Iterable[bytes], replica: str) -> None:
        """Believe what a chain says, and keep what is wrong with it."""
        newest = 0
        for signed in reader.walk(lines):
            stated = signed.checkpoint
            newest = max(newest, stated.at)
            for each in stated.saw:
                told = Told(each.version, each.head, stated.seq, reader.key)
                found.told.setdefault((each.shard, each.aggregate), []).append(told)
        found.chains.append(ChainSeen(key=reader.key, replica=replica, checkpoints=reader.count, newest_at=newest))
        found.problems += _told(key_id(reader.key), reader.problems)

    def _others(self, found: Testimony, name: str, path: Path, mark: KnownChain | None) -> None:
        """The copy of a chain that is not on this machine: another replica's."""
        if mark is None:
            found.problems.append(_unknown(name))
            return
        marks = [Mark(mark.exported, "", _STORE)]
        copy = list(lines_of(path))
        if len(copy) >= mark.seq:
            marks.append(Mark(mark.seq, mark.hash, _STORE))
        self._take(found, ChainReader(mark.key, holds, marks), copy, mark.replica)

    def _missing(self, mark: KnownChain) -> Iterator[str]:
        """A chain that the store knows and nobody has here."""
        if mark.replica == self._replica:
            yield f"checkpoints of {key_id(mark.key)}: an earlier chain of this replica is gone from {self._folder}"
        elif self._copies is not None and mark.exported:
            yield f"checkpoints of {key_id(mark.key)}: the copy that {mark.replica} sent to {self._copies} is gone"

    def _compared(self, folder: Path, name: str) -> Iterator[str]:
        """What is different between a chain and its copy off the box. A copy may lag; it may never be shorter than
        what was sent."""
        if self._copies is None:
            return
        sent = exported_from(folder).get(DIRECTORY, 0)
        path = self._copies / f"{name}{SUFFIX}"
        if not path.exists():
            if sent:
                yield f"the copy in {self._copies} is gone"
            return
        ours, count = self._chain(folder), 0
        for count, line in enumerate(lines_of(path), start=1):
            mine = next(ours, None)
            if mine is None:
                yield f"the copy in {self._copies} has checkpoint {count}, this machine does not: its end was cut off"
                return
            if mine != line:
                yield f"checkpoint {count} differs between this machine and its copy in {self._copies}"
                return
        if count < sent:
            yield f"the copy in {self._copies} ends at checkpoint {count}, but {sent} were sent: its end was cut off"

    def _chain(self, folder: Path) -> Iterator[bytes]:
        return joined.from_iterable(lines_of(path) for path in segments(folder))

    def _copied(self) -> list[tuple[str, Path]]:
        if self._copies is None or not self._copies.is_dir():
            return []
        return [(path.stem, path) for path in sorted(self._copies.glob(f"*{SUFFIX}"))[:_MAX_COPIES]]

    def _lines(self, wanted: set[tuple[str, int]]) -> list[bytes]:
        found: dict[tuple[str, int], bytes] = {}
        for name in {key_id(key) for key, _ in wanted}:
            folder = self._folder / name
            copy = [self._copies / f"{name}{SUFFIX}"] if self._copies is not None else []
            for path in [*segments(folder), *(one for one in copy if one.exists())]:
                for line in lines_of(path):
                    signed = parse(line)
                    place = (signed.checkpoint.key, signed.checkpoint.seq) if signed is not None else ("", 0)
                    if place in wanted and place not in found:
                        found[place] = line
        return [found[place] for place in sorted(found)]


def _told(name: str, problems: Iterable[str]) -> list[str]:
    return [f"checkpoints of {name}: {problem}" for problem in problems]


def _unknown(name: str) -> str:
    return f"checkpoints of {name}: the store does not know this key, so nothing signed with it is believed"
