"""What every archive promises (twin and files), and what the files show of whoever touches them."""

from __future__ import annotations

import asyncio
import fcntl
import gzip
import json
import os
import re
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.adapters.archive import FileArchive
from bot.adapters.seal import Sealer
from bot.engine.ports import Archive
from bot.errors import RecordForged, StoreContended, StoreUnavailable
from bot.testing import MemoryArchive
from tests.contract.archived_incidents import SYSTEM, closed

SEALER = Sealer(bytes(range(32)))
A, B, C, D = "inc-aaaaaaaaaa", "inc-bbbbbbbbbb", "inc-cccccccccc", "inc-dddddddddd"


@pytest.fixture(params=["memory", "files"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Archive:
    return MemoryArchive() if request.param == "memory" else FileArchive(tmp_path / "archive", SEALER)


async def test_what_was_kept_comes_back_as_it_was(archive: Archive) -> None:
    """Record, chain, head and version, character for character; what was never kept is None."""
    await archive.keep(closed(A), 5)
    await archive.keep(closed(B), 6)
    assert await archive.find(A) == closed(A)
    assert await archive.find(C) is None
    assert await archive.listed() == ((SYSTEM, A), (SYSTEM, B))
    assert await archive.listed("inc-b") == ((SYSTEM, B),)


async def test_keeping_again_changes_nothing(archive: Archive) -> None:
    """A crash after keeping, before the store let go: the next round does it all again."""
    for at in (5, 6):
        await archive.keep(closed(A), at)
    verdict = await archive.verify()
    assert (verdict.files, verdict.links, verdict.problems, verdict.unlisted) == (1, 3, (), ())


async def test_an_empty_archive_is_whole(archive: Archive) -> None:
    """Nothing was archived yet: no problem, no file."""
    assert await archive.find(A) is None
    verdict = await archive.verify()
    assert (verdict.files, verdict.problems) == (0, ())


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def at(root: Path) -> FileArchive:
    """A process that has just started."""
    return FileArchive(root, SEALER)


def place(root: Path, name: str) -> Path:
    return root / SYSTEM / "2023-11" / f"{name}.json.gz"


async def filled(root: Path) -> None:
    for name in (A, B, C):
        await at(root).keep(closed(name), 5)


async def test_a_file_is_readable_by_anybody_who_may(root: Path) -> None:
    """Plain gzip and JSON by system and month of closing, private to the owner, nothing left lying about."""
    await filled(root)
    document = json.loads(gzip.decompress(place(root, A).read_bytes()))["archive"]
    assert (document["incident"], document["record"]["status"], len(document["audit"])) == (A, "closed", 3)
    assert place(root, A).stat().st_mode & 0o077 == 0
    left = sorted(path.name for path in root.rglob("*") if path.is_file())
    assert left == sorted([f"{name}.json.gz" for name in (A, B, C)] + ["index.head", "index.jsonl", "index.lock"])


def lines(root: Path, change: Callable[[list[str]], list[str]]) -> None:
    index = root / "index.jsonl"
    index.write_text("".join(change(index.read_text().splitlines(keepends=True))))


def edit_a_byte(root: Path) -> None:
    data = bytearray(place(root, B).read_bytes())
    data[len(data) // 2] ^= 1
    place(root, B).write_bytes(data)


def edit_with_care(root: Path) -> None:
    text = gzip.decompress(place(root, B).read_bytes())
    place(root, B).write_bytes(gzip.compress(text.replace(b"healthy again", b"healthy agaim"), mtime=0))


def put_another_in_its_place(root: Path) -> None:
    place(root, B).write_bytes(place(root, A).read_bytes())


def drop_end_of_file(root: Path) -> None:
    place(root, B).write_bytes(place(root, B).read_bytes()[:-9])


TAMPERING: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "one byte edited": (edit_a_byte, B, "unpacked|seal|cut off"),
    "edited with care": (edit_with_care, B, "seal"),
    "replaced": (put_another_in_its_place, B, "seal"),
    "shortened": (drop_end_of_file, B, "cut off"),
    "deleted": (lambda root: place(root, B).unlink(), B, "missing"),
    "line deleted": (lambda root: lines(root, lambda all_: [all_[0], all_[2]]), "", "missing"),
    "lines reordered": (lambda root: lines(root, lambda all_: [all_[0], all_[2], all_[1]]), "", "reordered"),
    "line edited": (lambda root: lines(root, lambda all_: [all_[0].replace(A, C), *all_[1:]]), "", "edited"),
    "line mangled": (lambda root: lines(root, lambda all_: [all_[0], "{}\n", all_[2]]), "", "entry"),
    "index cut short": (lambda root: lines(root, lambda all_: all_[:2]), "", "cut off"),
    "index gone": (lambda root: (root / "index.jsonl").unlink(), "", "cut off"),
    "head gone": (lambda root: (root / "index.head").unlink(), "", "index.head"),
    "head forged": (lambda root: (root / "index.head").write_text('{"head":"{}","seal":"00"}'), "", "index.head"),
}


@pytest.mark.parametrize("name", TAMPERING)
async def test_whatever_is_done_to_an_archive_shows(root: Path, name: str) -> None:
    """Each kind of change is found by a process that starts afresh, and blamed on the right thing."""
    tamper, incident, words = TAMPERING[name]
    await filled(root)
    assert (await at(root).verify()).problems == ()
    tamper(root)
    problems = (await at(root).verify()).problems
    assert [each for each in problems if each.incident == incident], problems
    assert any(re.search(words, each.problem) for each in problems), problems


async def test_a_tampered_file_is_not_shown_as_the_truth(root: Path) -> None:
    """Reading back one incident checks it as much as verification does."""
    await filled(root)
    archive = at(root)
    edit_with_care(root)
    with pytest.raises(RecordForged, match=B):
        await archive.find(B)
    assert await archive.find(A) == closed(A)


@pytest.mark.parametrize("name", ["line deleted", "index cut short", "line edited", "head forged"])
async def test_nothing_more_is_entrusted_to_a_tampered_index(root: Path, name: str) -> None:
    """The store keeps its incidents until somebody has looked."""
    await filled(root)
    TAMPERING[name][0](root)
    with pytest.raises(RecordForged, match=r"index"):
        await at(root).keep(closed("inc-dddddddddd"), 9)


async def test_a_file_without_a_line_is_told(root: Path) -> None:
    """Both the index and its head put back to an earlier state: the younger files give it away."""
    await at(root).keep(closed(A), 5)
    early = [(root / name, (root / name).read_bytes()) for name in ("index.jsonl", "index.head")]
    await at(root).keep(closed(B), 6)
    for path, data in early:
        path.write_bytes(data)
    verdict = await at(root).verify()
    assert (verdict.problems, verdict.unlisted) == ((), (B,))


@pytest.mark.parametrize("died", ["before the line", "in the line", "before the head"])
async def test_a_crash_while_archiving_is_mended_by_the_next_round(root: Path, died: str) -> None:
    """File, line, head, in this order: whatever is missing is added, and nothing twice."""
    await at(root).keep(closed(A), 5)
    before = {name: (root / name).read_bytes() for name in ("index.jsonl", "index.head")}
    await at(root).keep(closed(B), 6)
    (root / "index.head").write_bytes(before["index.head"])
    if died == "before the line":
        (root / "index.jsonl").write_bytes(before["index.jsonl"])
    if died == "in the line":
        (root / "index.jsonl").write_bytes((root / "index.jsonl").read_bytes()[:-20])
    archive = at(root)
    await archive.keep(closed(B), 7)
    await archive.keep(closed(C), 8)
    verdict = await at(root).verify()
    assert (verdict.files, verdict.problems, verdict.unlisted) == (3, (), ())
    assert len((root / "index.jsonl").read_text().splitlines()) == 3


async def test_a_disk_that_fills_within_a_line_of_the_index(root: Path) -> None:
    """The part that was written is no line, the incident counts as not kept, and the next round mends it."""
    await filled(root)
    index = root / "index.jsonl"
    size = index.stat().st_size
    assert place(root, A).stat().st_size < size  # else the file, not the line, would meet the bound
    bound = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, bound[1]))
    try:
        with pytest.raises(StoreUnavailable, match="File too large"):
            await at(root).keep(closed(D), 6)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, bound)
    assert index.stat().st_size == size + 100
    assert await at(root).find(D) is None
    await at(root).keep(closed(D), 7)
    verdict = await at(root).verify()
    assert (verdict.files, verdict.problems, verdict.unlisted) == (4, (), ())


@pytest.mark.parametrize(
    "line",
    [b"[" * 100_000, b'{"keeps":{},"seq":1e999,"previous":"","hash":""}', b'{"keeps":{},"seq":%b}' % (b"1" * 5_000)],
    ids=["deep", "infinite", "endless"],
)
async def test_no_line_of_the_index_breaks_its_reader(root: Path, line: bytes) -> None:
    """Depths and numbers that no parser takes are a tampered index like any other."""
    await filled(root)
    with (root / "index.jsonl").open("ab") as index:
        index.write(line + b"\n")
    with pytest.raises(RecordForged, match="changed at line 4"):
        await at(root).keep(closed(D), 6)
    assert (await at(root).verify()).problems


async def test_a_running_process_sees_what_another_kept(root: Path) -> None:
    """Two replicas on one folder: each reads what the other wrote, and the index stays one chain."""
    one, other = at(root), at(root)
    await one.keep(closed(A), 5)
    await other.keep(closed(B), 6)
    await one.keep(closed(C), 7)
    assert await other.find(C) == closed(C)
    assert (await one.verify()).problems == ()


async def test_replicas_write_one_at_a_time(root: Path) -> None:
    """While another holds the lock, one is told so at once."""
    await at(root).keep(closed(A), 5)
    held = os.open(root / "index.lock", os.O_RDWR)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreContended, match="another replica"):
            await at(root).keep(closed(B), 6)
    finally:
        os.close(held)
    await at(root).keep(closed(B), 6)


async def test_calls_at_once_keep_each_once(root: Path) -> None:
    """From many tasks of one process."""
    archive = at(root)
    async with asyncio.TaskGroup() as tasks:
        for number in "234567":
            tasks.create_task(archive.keep(closed(f"inc-{number * 10}"), 5))
    verdict = await archive.verify()
    assert (verdict.files, verdict.problems) == (6, ())


async def test_another_life_under_the_same_id_gets_a_file_of_its_own(root: Path) -> None:
    """Nothing archived is ever overwritten; the newest is what is shown."""
    archive = at(root)
    await archive.keep(closed(A), 5)
    await archive.keep(closed(A, why="once more"), 6)
    assert await archive.find(A) == closed(A, why="once more")
    verdict = await archive.verify()
    assert (verdict.files, verdict.problems, verdict.unlisted) == (2, (), ())


async def test_a_folder_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    """A full or read-only disk is told with the folder's name."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailable, match="file"):
        await FileArchive(tmp_path / "file", SEALER).keep(closed(A), 5)


async def test_a_name_cannot_lead_out_of_the_folder(root: Path) -> None:
    """System and incident become path segments only when they are plain names."""
    with pytest.raises(StoreUnavailable, match="cannot be the name"):
        await at(root).keep(closed("../../inc-x"), 5)


async def test_a_file_that_unpacks_to_anything_is_bounded(root: Path) -> None:
    """A gzip bomb in an archive's place is refused, not unpacked."""
    await at(root).keep(closed(A), 5)
    place(root, A).write_bytes(gzip.compress(bytes(80 * 1024 * 1024)))
    with pytest.raises(RecordForged, match="cut off"):
        await at(root).find(A)
