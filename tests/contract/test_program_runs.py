"""Programs of this host, with real processes: what reaches them, how they are ended, what their end proves.

Under the event loop that Andon serves with (uvloop) and, where the loop matters, under Python's own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop

from bot.adapters import spawned
from bot.adapters.connectors import Connectors
from bot.adapters.targets_command import MAX_RUNNING, CommandTarget
from bot.core.words import JsonText
from bot.engine.action_ports import ActionContext, Proceed
from bot.engine.connector_ports import ProgramReply
from bot.errors import NotSent, Rejected, Unknown
from policies.targets import TargetsDocument, mistakes
from remediations.command_run import CommandRun
from remediations.params import canonical

CANARY = "canary-of-andons-own-environment"
HOSTILE = {
    "-rf": "option",
    "--help": "option",
    "": "empty",
    "a\nb": "cannot be seen",
    "a\0b": "cannot be seen",
    "\x1b[2J": "cannot be seen",
    "a\u202eb": "cannot be seen",
    "a\u2028b": "cannot be seen",
    "\ud800": "cannot be seen",
    " -rf": "space",
    "x" * 1_000_000: "at most 1000",
}
PLAIN = (
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned",
    "a && b | c > d",
    "*",
    "~",
    "$HOME",
    "'\"\\",
    "größe",
    "日本",
)


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    """Writes a shell script and returns the allow entry that names it."""

    def write(text: str, name: str = "program") -> str:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    return write


@pytest.fixture(autouse=True)
async def _no_child_and_no_file_remains() -> Any:
    """Whatever a test does to a program: no zombie and no open pipe is left behind."""
    await asyncio.to_thread(uvloop.run, asyncio.sleep(0))  # which keeps two files for good
    files = set(os.listdir("/proc/self/fd"))
    yield
    with suppress(ChildProcessError):  # there is no child at all
        assert os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    assert len(os.listdir("/proc/self/fd")) <= len(files)


def target(*allow: str, killed: str = "") -> CommandTarget:
    return CommandTarget("tools", allow=allow, killed=lambda: killed)


def is_gone(pid: int) -> bool:
    """No such process, or only its exit code is left for whoever adopted it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return True


async def until(holds: Callable[[], bool]) -> None:
    """Wait for another process, 5 s at the most."""
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.005)


@contextmanager
def environment(**values: str) -> Iterator[None]:
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            del os.environ[name]


# --- what reaches it ----------------------------------------------------------------------------------------------


async def test_arguments_arrive_as_they_are(script: Callable[[str], str], tmp_path: Path) -> None:
    """What a shell would act upon is plain text here: no shell ever sees it."""
    program = script(f'cd {tmp_path}; for a in "$@"; do printf "%s\\n" "$a"; done')
    reply = await target(f"{program} fixed").run(f"{program} fixed", PLAIN, seconds=5)
    assert reply == ProgramReply(0, "\n".join(["fixed", *PLAIN]))
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("argument", HOSTILE, ids=lambda text: ascii(text[:6]))
async def test_hostile_arguments_never_start_anything(
    argument: str, script: Callable[[str], str], tmp_path: Path
) -> None:
    """An option, nothing, what cannot be seen, and a megabyte: refused before anything is started."""
    program = script(f"touch {tmp_path}/ran")
    with pytest.raises(NotSent, match=f"argument 2 .*{HOSTILE[argument]}"):
        await target(program).run(program, ["fine", argument], seconds=5)
    with pytest.raises(NotSent, match="33 arguments are too many"):
        await target(program).run(program, ["x"] * 33, seconds=5)
    assert not (tmp_path / "ran").exists()


async def test_it_gets_three_variables_and_none_of_ours(script: Callable[[str], str]) -> None:
    """A secret in Andon's environment never reaches a program, nor does any file that is open here."""
    left_open = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(left_open, True)  # as a careless starter of Andon leaves one
    program = script("for f in /proc/self/fd/*; do echo ${f##*/}; done; readlink /proc/self/fd/0")
    with environment(ANDON_SLACK_TOKEN=CANARY, LD_PRELOAD_CANARY=CANARY):
        variables = await target("/usr/bin/printenv").run("/usr/bin/printenv", [], seconds=5)
        files = await target(program).run(program, [], seconds=5)
    os.close(left_open)
    assert sorted(line.split("=")[0] for line in variables.output.splitlines()) == ["HOME", "LANG", "PATH"]
    assert CANARY not in variables.output
    *numbers, stdin = files.output.splitlines()
    assert str(left_open) not in numbers
    assert {int(number) for number in numbers} <= {0, 1, 2, 3, 10}  # 3, 10: the shell's own directory and script
    assert stdin == "/dev/null"


async def test_signals_are_as_after_a_login(script: Callable[[str], str]) -> None:
    """Python ignores SIGPIPE; a program that inherited that would write on for ever into a closed pipe."""
    program = script("grep -E 'Sig(Blk|Ign)' /proc/self/status")
    reply = await target(program).run(program, [], seconds=5)
    assert [int(line.split()[1], 16) & 0x7FFFFFFF for line in reply.output.splitlines()] == [0, 0]  # all but glibc's


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda path: path.unlink(), "cannot be run: No such file"),
        (lambda path: path.chmod(0o644), "is not executable .* chmod"),
        (lambda path: path.chmod(0o757), "may be changed by anybody on this host"),
        (lambda path: path.parent.chmod(0o777), "may be changed by anybody on this host"),
        (lambda path: (path.unlink(), path.mkdir()), "is not a file"),
        (lambda path: path.write_text("#!/no/such/interpreter\n"), "cannot be run: /no: No such file"),
        (lambda path: path.write_text("neither\n"), "could not be started: Exec format error"),
    ],
    ids=["gone", "not-executable", "writable", "folder", "directory", "interpreter", "format"],
)
async def test_what_could_not_be_started_is_not_sent(
    prepare: Callable[[Path], object], words: str, script: Callable[[str], str]
) -> None:
    """The file is looked at when it is used, and each fault is named; nothing ran, so nothing is unknown."""
    program = script("true")
    prepare(Path(program))
    with pytest.raises(NotSent, match=words):
        await target(program).run(program, [], seconds=5)


async def test_only_an_allow_entry_word_for_word_is_run(script: Callable[[str], str]) -> None:
    """Neither a part of an entry, nor more than it, nor another way to write it."""
    program = script("true")
    for asked in (program, f"{program} restart --now", f"{program}  restart", Path(program).name, ""):
        with pytest.raises(NotSent, match="not in the allow list"):
            await target(f"{program} restart").run(asked, [], seconds=5)


async def test_the_kill_switch_stops_it(script: Callable[[str], str], tmp_path: Path) -> None:
    """Once everything is stopped, nothing is started."""
    program = script(f"touch {tmp_path}/ran")
    with pytest.raises(NotSent, match="stopped by demo-oncall"):
        await target(program, killed="stopped by demo-oncall").run(program, [], seconds=5)
    assert not (tmp_path / "ran").exists()


async def test_only_a_few_run_at_once(script: Callable[..., str], tmp_path: Path) -> None:
    """One too many is refused, not queued; when one has ended, the next may start."""
    os.mkfifo(tmp_path / "gate")
    program = script(f"read line < {tmp_path}/gate")
    tools = target(program)
    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(tools.run(program, [], seconds=10)) for _ in range(MAX_RUNNING)]
        await asyncio.sleep(0)
        with pytest.raises(NotSent, match=f"{MAX_RUNNING} programs of tools are running"):
            await tools.run(program, [], seconds=5)
        gate = os.open(tmp_path / "gate", os.O_RDWR | os.O_NONBLOCK)
        os.write(gate, b"go\n" * MAX_RUNNING)
    os.close(gate)
    assert {run.result().code for run in runs} <= {0, 1}
    true = script("true", "other")
    assert (await target(true).run(true, [], seconds=5)).code == 0


# --- how it ends --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_code_and_output_on_either_loop(run: Callable[[Any], Any], script: Callable[[str], str]) -> None:
    """Whatever loop Andon runs on: exit code, both outputs, and the signal that ended it."""
    program = script('echo out; echo err >&2; [ "$1" = signal ] && kill -9 $$; exit 3')

    async def both() -> tuple[ProgramReply, ProgramReply]:
        tools = target(program)
        return await tools.run(program, [], seconds=5), await tools.run(program, ["signal"], seconds=5)

    assert run(both()) == (ProgramReply(3, "out\nerr"), ProgramReply(-9, "out\nerr"))


@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_one_that_ignores_sigterm_is_killed_with_its_children(
    loop: Callable[[Any], Any], script: Callable[[str], str], tmp_path: Path
) -> None:
    """A time-out is Unknown, and nothing of what it started goes on: by SIGKILL to its own group."""
    program = script(f"trap '' TERM; sleep 60 & echo $! > {tmp_path}/child; echo working; sleep 60; sleep 60")

    async def time_out() -> None:
        with pytest.raises(Unknown, match=r"did not end within 0\.3 s and was killed; it wrote last: working"):
            await target(program).run(program, [], seconds=0.3)
        child = int((tmp_path / "child").read_text())
        await until(lambda: is_gone(child))

    loop(time_out())


async def test_sigterm_comes_first(script: Callable[[str], str], tmp_path: Path) -> None:
    """A program may tidy up: it is asked before it is killed."""
    program = script(f"trap 'echo tidy > {tmp_path}/tidied; exit 0' TERM; while :; do sleep 0.05; done")
    with pytest.raises(Unknown, match="was killed"):
        await target(program).run(program, [], seconds=0.3)
    assert (tmp_path / "tidied").read_text() == "tidy\n"


async def test_a_child_that_outlives_its_ended_program_is_killed(script: Callable[[str], str], tmp_path: Path) -> None:
    """The program obeys SIGTERM at once, what it started does not: a time-out leaves neither."""
    program = script(f"(trap '' TERM; echo > {tmp_path}/armed; sleep 60; sleep 60) & echo $! > {tmp_path}/child; wait")
    with pytest.raises(Unknown, match="was killed"):
        await target(program).run(program, [], seconds=0.3)
    assert (tmp_path / "armed").exists()
    child = int((tmp_path / "child").read_text())
    await until(lambda: is_gone(child))


async def test_a_hundred_megabytes_are_read_and_forgotten(script: Callable[[str], str]) -> None:
    """The end of the output is kept, the rest never stays in memory and never blocks the program."""
    program = script("head -c 100000000 /dev/zero | tr '\\0' 'x'; echo; echo the end")
    reply = await target(program).run(program, [], seconds=15)
    assert reply.code == 0
    assert reply.output.endswith("x\nthe end")
    assert len(reply.output) <= spawned.OUTPUT_BYTES


async def test_output_does_nothing_to_a_terminal_or_a_card(script: Callable[[str], str]) -> None:
    """Colours, titles, cursor moves, half characters and marks that turn the text round are taken out."""
    program = script(r"printf '\033[31mred\033[0m \033]0;title\007 a\rb \302 \342\200\256x\001\n'")
    reply = await target(program).run(program, [], seconds=5)
    assert reply.output.isprintable()
    assert "red" in reply.output
    assert [part for part in ("\x1b", "\u202e", "[31m", "title") if part in reply.output] == []


async def test_one_that_closes_its_output_is_waited_for(script: Callable[[str], str], tmp_path: Path) -> None:
    """The end of the output is not the end of the program."""
    program = script(f"echo said; exec >&- 2>&-; sleep 0.2; touch {tmp_path}/done; exit 7")
    assert await target(program).run(program, [], seconds=5) == ProgramReply(7, "said")
    assert (tmp_path / "done").exists()


async def test_whoever_it_leaves_behind_is_not_waited_for(script: Callable[[str], str], tmp_path: Path) -> None:
    """A restart leaves its service running, which may still hold the output: the program's own end counts."""
    program = script(f"sleep 60 & echo $! > {tmp_path}/service; echo started")
    async with asyncio.timeout(5):
        assert await target(program).run(program, [], seconds=4) == ProgramReply(0, "started")
    service = int((tmp_path / "service").read_text())
    assert not is_gone(service)
    os.kill(service, 9)


@pytest.mark.parametrize("how", ["cancelled", "closed"])
async def test_a_run_nobody_waits_for_any_more_is_ended(how: str, script: Callable[[str], str], tmp_path: Path) -> None:
    """A cancelled run, and one that is under way when Andon stops: ended and reaped, with nobody waiting."""
    program = script(f"echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; exec sleep 60")
    tools = target(program)
    async with asyncio.TaskGroup() as group:
        run = group.create_task(tools.run(program, [], seconds=10))
        await until((tmp_path / "pid").exists)
        if how == "cancelled":
            run.cancel()
        else:
            await tools.close()
    pid = int((tmp_path / "pid").read_text())
    await until(lambda: not Path(f"/proc/{pid}").exists())
    assert run.cancelled() or run.result() == ProgramReply(-15, "")


# --- from targets.yaml to the action ------------------------------------------------------------------------------


def configured(entry: str) -> TargetsDocument:
    tools = {"name": "tools", "role": "tools", "connector": "command", "allow": [entry]}
    document = TargetsDocument.model_validate({"systems": {"trading-core": {"components": [tools]}}})
    assert list(mistakes(document)) == []
    return document


async def run_action(entry: str, **more: object) -> tuple[CommandRun, ActionContext, Proceed]:
    connectors = Connectors(configured(entry), {})
    context = ActionContext(system="trading-core", component="tools", targets=connectors, now=0)
    arguments: JsonText = canonical({"program": entry, "arguments": ["one"], **more})
    action = CommandRun()
    found = await action.inspect(context, arguments)
    assert isinstance(found, Proceed)
    return action, context, found


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({}, Unknown, "ended with 75; it wrote last: busy with one; nothing tells"),
        ({"refused": [75]}, Rejected, "ended with 75; it wrote last: busy with one$"),
        ({"refused": [74, 76]}, Unknown, "nothing tells"),
    ],
)
async def test_an_exit_code_proves_what_the_policy_says_it_proves(
    more: Mapping[str, object], error: type[Exception], words: str, script: Callable[[str], str]
) -> None:
    """Any code but 0 leaves open what was done, except one that is listed as "nothing done"."""
    program = script('echo "busy with $1"; exit 75')
    action, context, found = await run_action(program, **more)
    with pytest.raises(error, match=words):
        await action.send(context, found)
    seen = await action.read_back(context, found)
    assert (seen.as_wanted, seen.after) == (None, '{"code":75,"output":"busy with one"}')


async def test_the_record_keeps_what_a_program_wrote(script: Callable[[str], str]) -> None:
    """Done is exit code 0; the end of the output is in the record, and the command for a person on the card."""
    program = script('echo "scaled $1"')
    action, context, found = await run_action(f"{program} scale", timeout="2s")
    assert found.by_hand == f"{program} scale one"
    await action.send(context, found)
    seen = await action.read_back(context, found)
    assert seen.why == "it ended with 0; it wrote last: scaled scale"
