"""The kill switch's file: the last line decides, and whatever cannot be told counts as engaged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bot.adapters.journal import FileJournal
from bot.adapters.kill_switch import FILE, KillSwitch
from bot.errors import StoreUnavailable


def switch(folder: Path) -> KillSwitch:
    return KillSwitch(folder / "journal" / FILE)


def test_the_last_line_decides(tmp_path: Path) -> None:
    """Engaged, released, engaged again: each is seen by a reader that has looked before."""
    ours, theirs = switch(tmp_path), switch(tmp_path)
    assert theirs.position().why == ""
    ours.engage(at=1, by="demo-oncall", uid=1000, reason="it trades in circles")
    assert theirs.position().why == "the kill switch was engaged by demo-oncall (uid 1000): it trades in circles"
    ours.release(at=2, by="demo-oncall", uid=1000, reason="over")
    assert (theirs.position().why, theirs.position().engaged) == ("", False)
    ours.engage(at=3, by="demo-lead", uid=1001, reason="again")
    assert theirs.position().by == "demo-lead"


@pytest.mark.parametrize(
    "torn",
    [b"", b'{"at":5,"by":"x","uid":1,"reason":"r","engaged":fal', b"\xff\xfe\n", b"{}\n", b'{"engaged":0}\n', b"[]\n"],
    ids=["empty", "cut", "bytes", "bare", "no-bool", "list"],
)
def test_what_cannot_be_read_counts_as_engaged(tmp_path: Path, torn: bytes) -> None:
    """A crash in the middle of engaging must not leave the switch open; a release makes the file whole again."""
    ours = switch(tmp_path)
    if torn:
        ours.engage(at=1, by="demo-oncall", uid=1, reason="r")
        ours.release(at=2, by="demo-oncall", uid=1, reason="r")
        assert ours.position().why == ""
    ours.path.parent.mkdir(exist_ok=True)
    with ours.path.open("ab") as file:
        file.write(torn)
    assert "counts as engaged" in ours.position().why
    ours.release(at=3, by="demo-oncall", uid=1, reason="looked at it")
    assert ours.position().why == ""


def test_a_switch_that_cannot_be_looked_at_counts_as_engaged(tmp_path: Path) -> None:
    """A directory that lost its rights, or is none: no action."""
    (tmp_path / "journal").write_text("a file where the directory should be")
    assert "counts as engaged" in switch(tmp_path).position().why
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        switch(tmp_path).engage(at=1, by="x", uid=1, reason="r")


def test_the_journal_asks_the_switch_beside_it(tmp_path: Path) -> None:
    """What the activity asks before every declaration and send is this file, also after it is replaced."""
    journal = FileJournal(tmp_path / "journal" / "intents.jsonl")
    assert journal.killed() == ""
    switch(tmp_path).engage(at=1, by="demo-oncall", uid=1000, reason="stop")
    assert "demo-oncall" in journal.killed()
    os.unlink(tmp_path / "journal" / FILE)
    assert journal.killed() == ""


def test_what_root_throws_andon_can_read(tmp_path: Path) -> None:
    """`sudo andon kill-switch` on a fresh data directory: the journal and the switch belong to Andon's own user."""
    owner = (12_345, 12_345) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(tmp_path, *owner)
    switch(tmp_path).engage(at=1, by="root", uid=0, reason="r")
    for made in (tmp_path / "journal", tmp_path / "journal" / FILE):
        assert (made.stat().st_uid, made.stat().st_gid) == owner
