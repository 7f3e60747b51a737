"""Whose code a program is, on a real disk: nothing is run that anybody but root and Andon's user could exchange."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.adapters import spawned, trusted_path
from bot.adapters.targets_command import CommandTarget
from bot.errors import NotSent
from policies.local_targets import program_problem


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    """Writes a shell script and returns the allow entry that names it."""

    def write(text: str, name: str = "program") -> str:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    return write


@pytest.fixture
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a program makes that should not have been run."""
    return tmp_path_factory.mktemp("ran") / "ran"


def target(entry: str) -> CommandTarget:
    return CommandTarget("tools", allow=[entry])


@pytest.mark.parametrize("how", ["link", "grandparent", "middle-link", "script", "interpreter"])
async def test_code_that_others_could_exchange_is_not_run(how: str, tmp_path: Path, ran: Path) -> None:
    """One folder that anybody may write to, anywhere on the way to the code, hands them Andon's user."""
    tmp_path.chmod(0o755)
    public, program = tmp_path / "public", tmp_path / "program"
    (public / "below").mkdir(parents=True)
    (public / "below").chmod(0o755)
    theirs = public / "below" / "theirs"
    theirs.write_text(f"#!/bin/sh\ntouch {ran}\n")
    theirs.chmod(0o755)
    entry = str(program)
    match how:
        case "link":
            (public / "link").symlink_to("/bin/true")
            entry = str(public / "link")
        case "grandparent":
            entry = str(theirs)
        case "middle-link":
            program.symlink_to(tmp_path / "inner")
            (tmp_path / "inner").symlink_to("public/below/theirs")
        case "script":
            entry = f"/bin/sh {theirs}"
        case _:
            program.write_text(f"#!{theirs}\n")
            program.chmod(0o755)
    public.chmod(0o777)
    with pytest.raises(NotSent, match=rf"is not run: {public} may be changed by anybody .*; chmod o-w {public}$"):
        await target(entry).run(entry, [], seconds=5)
    public.chmod(0o775)
    with pytest.raises(NotSent, match=rf"is not run: {public} may be changed by everybody in group .*; chmod g-w"):
        await target(entry).run(entry, [], seconds=5)
    assert not ran.exists()
    public.chmod(0o755)
    assert (await target(entry).run(entry, [], seconds=5)).code == 0


async def test_a_sticky_folder_protects_what_is_root_s_or_ours(script: Callable[[str], str], tmp_path: Path) -> None:
    """In /tmp nobody can exchange what belongs to another; the program in it is as safe as its own owner."""
    program = script("true")
    tmp_path.chmod(0o1777)
    assert (await target(program).run(program, [], seconds=5)).code == 0


async def test_code_of_another_user_is_not_run(script: Callable[[str], str], tmp_path: Path, ran: Path) -> None:
    """Whoever owns a file, a folder on the way or a link can exchange the code at any time."""
    program = script(f"touch {ran}")
    if os.geteuid() != 0:  # only root may give files away; then one's own stand for another's
        assert "who could exchange it" in trusted_path.problem(program, frozenset({0, 65_534}))
        return
    link = tmp_path / "link"
    link.symlink_to("/bin/true")
    for entry, given in ((program, Path(program)), (program, tmp_path), (str(link), link)):
        os.chown(given, 65_534, 65_534, follow_symlinks=False)
        with pytest.raises(
            NotSent, match=f"is not run: {given} belongs to .*, who could exchange it, not to root; chown"
        ):
            await target(entry).run(entry, [], seconds=5)
        os.chown(given, 0, 0, follow_symlinks=False)
    assert not ran.exists()


async def test_links_that_lead_in_circles_or_nowhere_are_not_followed_for_ever(tmp_path: Path) -> None:
    """The kernel gives up after 40 links, and so does the look at them."""
    for name in ("one", "other"):
        (tmp_path / name).symlink_to("other" if name == "one" else "one")
    entry = str(tmp_path / "one")
    with pytest.raises(NotSent, match="cannot be run"):
        await target(entry).run(entry, [], seconds=5)
    assert "more than 40 links" in trusted_path.problem(entry, frozenset({0, os.geteuid()}))


async def test_a_shell_behind_another_name_is_seen_on_the_disk(tmp_path: Path) -> None:
    """targets.yaml names a link, whose name says nothing; where it leads to does."""
    link = tmp_path / "restart"
    link.symlink_to("/bin/sh")
    assert program_problem(str(link)) is None
    with pytest.raises(NotSent, match=r"would take arguments for code to run"):
        await target(str(link)).run(str(link), ["anything"], seconds=5)


async def test_what_andon_itself_runs_from_is_not_looked_at(tmp_path: Path) -> None:
    """A check-out of one's own may be writable by one's group; whoever can change Andon needs no program of its."""
    for path in (sys.executable, spawned.__file__):
        assert trusted_path.code_problem(path, "") == ""
    assert trusted_path.problem(str(tmp_path), frozenset({0, os.geteuid()})) == ""
    tmp_path.chmod(0o777)
    around = f"{trusted_path.OWN_CODE}/../{os.path.relpath(tmp_path, os.path.dirname(trusted_path.OWN_CODE))}"
    assert "may be changed by anybody" in trusted_path.code_problem(around, "")
