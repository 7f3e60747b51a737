"""The local journal of intents: durable lines, torn ends, rotation, a disk that refuses."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bot.adapters import marks_file
from bot.adapters.journal import KEPT_FILES, FileJournal
from bot.adapters.journal_lines import open_intents
from bot.core.events import IntentDeclared
from bot.core.target import REMEMBERED_MS
from bot.engine.high_water import Mark
from bot.errors import StoreUnavailable


def intent(name: str, arguments: str = '{"kelly_fraction":0.1}', at: int = 1) -> IntentDeclared:
    return IntentDeclared(
        id=f"declare-{name}", at=at, intent=name, incident="inc-1", episode=1, step="s1", action="risk.reduce_kelly",
        target="target:risk-engine", policy="var-breach", policy_hash="h", arguments=arguments, before="{}",
        direction="lowers", delivery="absolute", fence=1, attempt=1, deadline=2,
    )  # fmt: skip


async def test_an_intent_is_open_until_its_outcome_is_written(tmp_path: Path) -> None:
    """What was promised and has no outcome is read back whole, in order, by a process that starts anew."""
    path = tmp_path / "data" / "intents.jsonl"
    journal = FileJournal(path)
    for name in ("a", "b", "c"):
        await journal.intend(intent(name))
    await journal.conclude("b", "done", 5)
    assert open_intents(path) == [intent("a"), intent("c")]
    again = FileJournal(path)
    await again.conclude("a", "unknown", 6)
    assert open_intents(path) == [intent("c")]
    assert path.stat().st_mode & 0o777 == 0o600


def test_no_journal_is_an_empty_one(tmp_path: Path) -> None:
    """Before the first intent there is no file, and that is no error."""
    assert open_intents(tmp_path / "none" / "intents.jsonl") == []


async def test_a_torn_last_line_harms_nothing_before_or_after_it(tmp_path: Path) -> None:
    """A crash while writing leaves half a line; it is passed over, and the next line stands on its own."""
    path = tmp_path / "intents.jsonl"
    await FileJournal(path).intend(intent("a"))
    await FileJournal(path).intend(intent("torn"))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 20)
    assert open_intents(path) == [intent("a")]
    await FileJournal(path).intend(intent("b"))
    assert open_intents(path) == [intent("a"), intent("b")]


async def test_lines_that_mean_nothing_are_passed_over(tmp_path: Path) -> None:
    """Whatever stands in the file, the kill switch reads the rest."""
    path = tmp_path / "intents.jsonl"
    deep = b"[" * 5_000
    path.write_bytes(b'\xff\xfe\n[]\n7\n{}\n{"intent": 1}\n{"intent": "1 {}"}\n{"done": {}}\n' + deep + b"\n\n")
    (tmp_path / marks_file.FILE).write_bytes(deep)
    await FileJournal(path).intend(intent("a"))
    assert open_intents(path) == [intent("a")]
    assert (await FileJournal(path).recollect()).marks == {}


async def test_many_intents_at_once_are_all_written(tmp_path: Path) -> None:
    """Calls that share an fsync are each on disk when they return."""
    path = tmp_path / "intents.jsonl"
    journal = FileJournal(path)

    async def promise(number: int) -> None:
        await journal.intend(intent(f"i{number}"))
        assert f"i{number}" in {found.intent for found in open_intents(path)}

    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(promise(number))
    assert len(open_intents(path)) == 50


async def test_rotation_bounds_the_disk_and_forgets_no_open_intent(tmp_path: Path) -> None:
    """Old files go, but what is still open is carried along through every one of them."""
    path = tmp_path / "intents.jsonl"
    journal = FileJournal(path, max_bytes=4_000)
    await journal.intend(intent("open"))
    for number in range(100):
        await journal.intend(intent(f"i{number}"))
        await journal.conclude(f"i{number}", "done", number)
    assert open_intents(path) == [intent("open")]
    files = list(tmp_path.iterdir())
    assert len(files) == 1 + KEPT_FILES
    assert all(file.stat().st_size < 6_000 and file.stat().st_mode & 0o777 == 0o600 for file in files)


async def test_what_was_done_lately_is_carried_over_with_its_outcome(tmp_path: Path) -> None:
    """An intent that the store may have forgotten is told again for a day, however often the file was rotated."""
    path = tmp_path / "intents.jsonl"
    journal = FileJournal(path, max_bytes=20_000)
    young = REMEMBERED_MS + 10
    for name, at in (("old", 5), ("young", young), *((f"i{n}", young + REMEMBERED_MS // 2) for n in range(3))):
        await journal.intend(intent(name, at=at), "s1")
        await journal.conclude(name, "done", at)
    for _ in range(2 * KEPT_FILES + 2):  # each of these fills a file by itself
        await journal.conclude("x" * 20_000, "done", young)
    found = {each.intent.intent: each for each in (await journal.recollect()).intents}
    assert "old" not in found
    assert (found["young"].outcome, found["young"].system) == ("done", "s1")
    assert found["i2"].outcome == "done"


async def test_intents_written_during_a_rotation_are_in_the_new_file(tmp_path: Path) -> None:
    """Nobody waits for a rotation, and nothing written meanwhile is left behind in the old file."""
    path = tmp_path / "intents.jsonl"
    journal = FileJournal(path, max_bytes=60_000)

    async def work(number: int) -> None:
        for turn in range(10):
            await journal.intend(intent(f"i{number}-{turn}", at=turn + 1))
            if turn < 9:
                await journal.conclude(f"i{number}-{turn}", "done", turn)

    async with asyncio.TaskGroup() as group:
        for number in range(30):
            group.create_task(work(number))
    assert path.with_name("intents.jsonl.1").exists()
    assert {each.intent for each in open_intents(path)} == {f"i{number}-9" for number in range(30)}


async def test_an_intent_does_not_wait_for_a_rotation(tmp_path: Path) -> None:
    """A file that is full is rotated with an outcome: what is about to be sent has only seconds to be declared in."""
    path = tmp_path / "intents.jsonl"
    journal = FileJournal(path, max_bytes=1_000)
    await journal.intend(intent("a", "x" * 600))
    await journal.conclude("a", "done", 1)
    for name in ("b", "c"):
        await journal.intend(intent(name))
    assert 1_000 < path.stat().st_size < 2_500
    assert {each.name for each in tmp_path.iterdir()} == {"intents.jsonl", "intents.jsonl.1"}
    assert [each.intent for each in open_intents(path)] == ["b", "c"]


async def test_marks_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    """Noted every few seconds, they would fill the journal of intents; each replica has its own."""
    path = tmp_path / "intents.jsonl"
    mine, other = FileJournal(path, replica="r1"), FileJournal(path, replica="r2")
    await mine.note({"s1": Mark(5, 3)})
    await other.note({"s1": Mark(9, 1)})
    await mine.note({"s1": Mark(6, 4), "s2": Mark(1, 1)})
    assert not path.exists()
    assert (await FileJournal(path, replica="r1").recollect()).marks == {"s1": Mark(6, 4), "s2": Mark(1, 1)}
    assert (await other.recollect()).marks == {"s1": Mark(9, 1)}
    assert (await FileJournal(path, replica="r3").recollect()).marks == {}
    assert [each.name for each in tmp_path.iterdir()] == [marks_file.FILE]
    for number in range(2 * marks_file.MAX_REPLICAS):  # a host that draws its name at every start
        await FileJournal(path, replica=f"pod-{number}").note({"s1": Mark(1, 1)})
    assert len(json.loads((tmp_path / marks_file.FILE).read_bytes())) == marks_file.MAX_REPLICAS


async def test_marks_of_an_earlier_version_are_read_until_there_are_newer_ones(tmp_path: Path) -> None:
    """They stood as lines among the intents; an upgrade must not forget what the store acknowledged."""
    path = tmp_path / "intents.jsonl"
    lines = [
        {"marks": {"s1": [4, 2]}, "replica": "r1"},
        {"marks": {"s1": [7, 3]}, "replica": "r1"},
        {"marks": {"s1": [99, 99]}, "replica": "r2"},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"marks":{"s1":[8,4]},"replica":"r1"')
    journal = FileJournal(path, replica="r1")
    assert (await journal.recollect()).marks == {"s1": Mark(7, 3)}
    await journal.intend(intent("a"))
    await journal.note({"s1": Mark(2, 1)})  # lower, since a loss was settled
    assert (await journal.recollect()).marks == {"s1": Mark(2, 1)}
    assert open_intents(path) == [intent("a")]


async def test_a_disk_that_refuses_is_told_to_everybody_who_waits(tmp_path: Path) -> None:
    """No caller is told "written" when it was not, also those whose line went in somebody else's batch."""
    path = tmp_path / "intents.jsonl"
    path.mkdir()  # opening it for writing fails
    journal = FileJournal(path)
    results = await asyncio.gather(*(journal.intend(intent(f"i{n}")) for n in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailable] * 5
    with pytest.raises(StoreUnavailable):
        open_intents(path)
    path.rmdir()
    await journal.intend(intent("later"))
    assert open_intents(path) == [intent("later")]


async def test_a_caller_that_is_cancelled_takes_nobody_elses_line_along(tmp_path: Path) -> None:
    """The one whose turn it was goes away before its batch is written; the others' lines are written all the same."""
    path = tmp_path / "intents.jsonl"
    journal = FileJournal(path)
    gates = threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))  # one thread: what is queued behind a gate has not begun
    async with asyncio.TaskGroup() as group:
        blocked = [loop.run_in_executor(None, gates[0].wait, 10)]
        before = group.create_task(journal.intend(intent("before")))
        await asyncio.sleep(0)
        blocked.append(loop.run_in_executor(None, gates[1].wait, 10))
        first = group.create_task(journal.intend(intent("first")))
        others = [group.create_task(journal.intend(intent(f"i{n}"))) for n in range(5)]
        await asyncio.sleep(0)  # all wait for their turn
        gates[0].set()
        await before
        await asyncio.sleep(0)  # `first` has it now, and everybody's line with it
        first.cancel()
        await asyncio.sleep(0)
        gates[1].set()
        await asyncio.gather(*blocked)
    assert all(other.exception() is None for other in others)
    assert {found.intent for found in open_intents(path)} >= {f"i{n}" for n in range(5)}
