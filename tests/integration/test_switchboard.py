"""A running house and its kill switch: what it freezes, when, what a release does not do; and the command itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bot import cli
from bot.adapters.codec import event_text
from bot.adapters.kill_switch import FILE, KillSwitch
from bot.adapters.metrics import Metrics
from bot.app import make_folder
from bot.core.orders import TargetUnfrozen
from bot.core.target import Freeze, Target
from bot.core.words import SYSTEM_TARGET
from bot.engine.engine import Engine
from bot.engine.ports import Commit, Committed, Conflict
from bot.errors import ConfigError, StoreNewer, StoreUnavailable
from bot.switchboard import Switchboard
from bot.testing import FakeClock, MemoryStore
from policies.book import PolicyBook

SHARDS = ("trading-core", "unrouted")


class Flaky(MemoryStore):
    """A store that can be away."""

    away = False
    left_to_newer = ""  # a shard in which a newer Andon has written

    async def commit(self, shard: str, commit: Commit) -> Committed | Conflict:
        if shard == self.left_to_newer:
            raise StoreNewer("left to a newer Andon")
        if self.away:
            raise StoreUnavailable("no store")
        return await super().commit(shard, commit)


class Board:
    """A switchboard over an engine on the store's twin."""

    def __init__(self, folder: Path) -> None:
        self.store, self.clock = Flaky(), FakeClock()
        self.switch = KillSwitch(folder / "journal" / FILE)
        self.engine = Engine(
            store=self.store, book=PolicyBook({}), text=event_text, clock=self.clock, telemetry=Metrics(), shards=SHARDS
        )
        self.board = self.start()

    def start(self) -> Switchboard:
        return Switchboard(self.switch, self.engine)

    def throw(self, at: int = 1) -> None:
        self.switch.engage(at=at, by="demo-oncall", uid=1000, reason="it trades in circles")

    async def freezes(self) -> list[Freeze | None]:
        found = []
        for shard in SHARDS:
            stored = (await self.store.load(shard, [SYSTEM_TARGET])).get(SYSTEM_TARGET)
            assert stored is None or isinstance(stored.record, Target)
            found.append(stored.record.freeze if stored is not None else None)
        return found


async def test_every_shard_is_frozen_as_soon_as_the_store_takes_it(tmp_path: Path) -> None:
    """By the switch, with the person and the reason; while the store is away the switch alone holds."""
    board = Board(tmp_path)
    await board.board.look()
    assert await board.freezes() == [None, None]
    board.throw()
    board.store.away = True
    await board.board.look()
    assert "not frozen in the store yet: trading-core, unrouted" in board.board.check().detail
    assert board.board.check().ok
    board.store.away = False
    await board.board.look()
    for freeze in await board.freezes():
        assert freeze is not None
        assert (freeze.by, "demo-oncall (uid 1000): it trades in circles" in freeze.reason) == ("kill-switch", True)


async def test_a_shard_that_was_left_to_a_newer_andon_keeps_no_other_from_being_frozen(tmp_path: Path) -> None:
    """During an upgrade the switch stops what this process still acts on."""
    board = Board(tmp_path)
    board.store.left_to_newer = SHARDS[0]
    board.throw()
    await board.board.look()
    newer, ours = await board.freezes()
    assert newer is None
    assert ours is not None


async def test_a_release_starts_nothing(tmp_path: Path) -> None:
    """A person who looked at it lifts the freeze; a restart with the switch still thrown does not put it back."""
    board = Board(tmp_path)
    board.throw()
    await board.board.look()
    board.switch.release(at=2, by="demo-oncall", uid=1000, reason="over")
    await board.board.look()
    assert None not in await board.freezes()
    for shard in SHARDS:
        unfrozen = TargetUnfrozen(id="op-1", at=board.clock.now(), by="demo-oncall")
        await board.engine.tell(shard, SYSTEM_TARGET, unfrozen)
    board.throw(at=3)
    await board.board.look()
    assert None not in await board.freezes()
    for shard in SHARDS:
        unfrozen = TargetUnfrozen(id="op-2", at=board.clock.now(), by="demo-oncall")
        await board.engine.tell(shard, SYSTEM_TARGET, unfrozen)
    await board.start().look()
    assert await board.freezes() == [None, None]
    assert "ENGAGED" in board.board.check().detail


async def test_a_reason_that_is_no_text_is_frozen_for_too(tmp_path: Path) -> None:
    """A line that somebody wrote by hand, with half a surrogate pair: the store takes the freeze all the same."""
    board = Board(tmp_path)
    board.switch.path.parent.mkdir()
    board.switch.path.write_text('{"engaged": true, "at": 1, "by": "\\ud800", "uid": 0, "reason": "\\udfff"}\n')
    await board.board.look()
    assert [freeze and freeze.reason for freeze in await board.freezes()] == ["engaged by ? (uid 0): ?"] * 2


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    code = cli.run([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration whose data directory is named in andon.yaml, and nothing that runs."""
    (tmp_path / "andon.yaml").write_text(f"store: {{data_dir: '{tmp_path}/data'}}\n")
    monkeypatch.setenv("ANDON_CONFIG", str(tmp_path / "andon.yaml"))
    monkeypatch.delenv("ANDON_DATA_DIR", raising=False)
    return tmp_path


def test_it_works_with_nothing_running(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line is on disk; that nobody could be asked to freeze is said, and is no failure."""
    code, told = command(capsys, "kill-switch", "--reason", "it trades in circles")
    assert (code, told["engaged"], told["uid"], told["frozen"]) == (0, True, os.getuid(), False)
    assert "no Andon answers" in str(told["freeze"])
    assert "ever run from" in str(told["warning"])
    assert KillSwitch(folder / "data" / "journal" / FILE).position().reason == "it trades in circles"
    code, told = command(capsys, "kill-switch", "--status")
    assert (code, told["engaged"]) == (0, True)
    code, told = command(capsys, "kill-switch", "--release")
    assert (code, told["engaged"]) == (0, False)


def test_it_works_with_a_configuration_that_is_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What somebody has just broken is no reason to throw the switch in another place, or not at all."""
    with (folder / "andon.yaml").open("a") as file:
        file.write("roots: nonsense\n")
    code, told = command(capsys, "kill-switch")
    assert (code, told["file"]) == (0, str(folder / "data" / "journal" / FILE))
    (folder / "andon.yaml").write_text("store: [\n")
    code, told = command(capsys, "kill-switch")
    assert code == 2
    assert "--data-dir" in str(told["error"])
    code, told = command(capsys, "kill-switch", "--data-dir", str(folder / "data"), "--release")
    assert (code, told["engaged"]) == (0, False)


def test_a_switch_that_cannot_be_thrown_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, and what to do instead."""
    (folder / "data").write_text("a file where the directory should be")
    code, told = command(capsys, "kill-switch")
    assert code == 1
    assert "stop the process itself" in str(told["problem"])


@pytest.mark.parametrize(
    ("typed", "kept"),
    [(b"B\xf6rse", "B?rse"), (b"  ", "by hand"), (b"x" * 900, "x" * 500)],
    ids=["latin-1", "blank", "long"],
)
def test_nothing_that_is_typed_keeps_it_open(
    folder: Path, capsys: pytest.CaptureFixture[str], typed: bytes, kept: str
) -> None:
    """A terminal's letters, no reason, a long one: it is engaged, with as much of the reason as can be kept."""
    code, told = command(capsys, "kill-switch", "--reason", os.fsdecode(typed))
    assert (code, told["engaged"], told["reason"]) == (0, True, kept)
    code = cli.run(["kill-switch", "--reason", os.fsdecode(typed)])
    assert (code, "ENGAGED" in capsys.readouterr().out) == (0, True)


@pytest.mark.parametrize("arguments", [("--release", "--status")])
def test_a_contradiction_is_refused(folder: Path, capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> None:
    """And throws nothing."""
    code, _ = command(capsys, "kill-switch", *arguments)
    assert code == 2
    assert not (folder / "data").exists()


def test_a_data_directory_that_cannot_be_is_named(tmp_path: Path) -> None:
    """One plain sentence with the fix, not an unforeseen error."""
    (tmp_path / "file").write_text("")
    for impossible in (Path("/proc/andon"), tmp_path / "file" / "data", tmp_path / "file"):
        with pytest.raises(ConfigError, match=r"cannot be the data directory: .*ANDON_DATA_DIR"):
            make_folder(impossible)


async def test_interrupted_while_starting_it_says_nothing() -> None:
    """Ctrl-C in the first tenths of a second shows no traceback of imports."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-X", "importtime", "-m", "bot", "--help",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    told = b""
    while b"bot.errors" not in told:  # the imports of bot.cli are under way
        line = await process.stderr.readline()
        assert line
        told += line
    process.send_signal(signal.SIGINT)
    rest = await process.stderr.read()
    assert await process.wait() == -signal.SIGINT
    assert b"Traceback" not in told + rest
