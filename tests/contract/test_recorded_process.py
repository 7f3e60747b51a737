"""A process found by its pid file, with real processes: who is signalled, and everybody who is not."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.adapters.connectors import Connectors
from bot.adapters.targets_process import RecordedProcess
from bot.engine.action_ports import ActionContext, Proceed, Unfit
from bot.engine.connector_ports import ProcessSeen
from bot.errors import NotSent, Rejected, TargetError, Unknown
from policies.targets import TargetsDocument
from remediations.router_pause_by_signal import RouterPauseBySignal

ARGUMENTS = '{"reason":"model switches 34 a minute"}'
ROUTER = """
import os, signal
signal.signal(signal.SIGHUP, lambda *_: os.write(1, b"paused\\n"))
print("ready", flush=True)
while True:
    signal.pause()
"""
DEAF = "print('ready', flush=True)\nimport signal\nwhile True: signal.pause()"
LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


def only_root(may: bool, what: str) -> None:
    """Skip where this user may not; in CI, whose tests run as root, that is a failure."""
    if may:
        return
    missing = f"only root may {what}; run this as root"
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(missing)
    pytest.skip(missing)


class Routers:
    """Real processes, under the name of a router or another one; all are ended with the test."""

    def __init__(self, folder: Path) -> None:
        self.pidfile = folder / "router.pid"
        self._started: list[subprocess.Popen[str]] = []

    def start(self, name: str = "model_router", code: str = ROUTER) -> subprocess.Popen[str]:
        """A process whose argv[0] is `name`, once it is ready to be signalled."""
        process = subprocess.Popen(
            [name, "-I", "-c", code], executable=sys.executable, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def record(self, process: subprocess.Popen[str]) -> None:
        self.pidfile.write_text(f"{process.pid}\n")
        self.pidfile.chmod(0o644)

    def target(self, program: str = "model_router", **more: object) -> RecordedProcess:
        return RecordedProcess("router", str(self.pidfile), program, **more)  # type: ignore[arg-type]  # a test's own

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


@pytest.fixture
def routers(tmp_path: Path) -> Iterator[Routers]:
    made = Routers(tmp_path)
    yield made
    made.close()


def heard(process: subprocess.Popen[str]) -> str:
    """The next word of a process that was signalled."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


async def action_on(routers: Routers, program: str = "model_router") -> tuple[RouterPauseBySignal, ActionContext]:
    component = {
        "name": "router", "role": "router-process", "connector": "process", "pidfile": str(routers.pidfile),
        "program": program,
    }  # fmt: skip
    document = TargetsDocument.model_validate({"systems": {"trading-core": {"components": [component]}}})
    context = ActionContext(system="trading-core", component="router", targets=Connectors(document, {}), now=0)
    return RouterPauseBySignal(), context


async def test_the_recorded_router_is_paused_and_nobody_else(routers: Routers) -> None:
    """Two routers of one name, one in the pid file: only that one gets the signal, and it lives on."""
    other, meant = routers.start(), routers.start()
    routers.record(meant)
    action, context = await action_on(routers)
    found = await action.inspect(context, ARGUMENTS)
    assert isinstance(found, Proceed)
    assert found.by_hand == f"kill -HUP {meant.pid}"
    await action.send(context, found)
    assert heard(meant) == "paused"
    again = await action.inspect(context, ARGUMENTS)  # in the next episode, by a new action on the same connectors
    assert isinstance(again, Proceed)
    assert f"Andon has sent SIGHUP to process {meant.pid} before" in again.ask
    seen = await action.read_back(context, found)
    assert (seen.as_wanted, other.poll(), meant.poll()) == (None, None, None)
    os.kill(other.pid, signal.SIGHUP)
    assert heard(other) == "paused"  # its first: it had got none


async def test_the_target_as_one_program_and_its_fixed_words(routers: Routers) -> None:
    """An interpreter is told from other uses of it by the words that follow."""
    routers.record(routers.start("python3"))
    assert (await routers.target("python3 -I -c").look()).command.startswith("python3 -I -c")
    assert (await routers.target(os.path.realpath(sys.executable)).look()).catches == ("HUP",)
    with pytest.raises(Rejected, match=r"runs python3 -I -c .*, not python3 -m model_router"):
        await routers.target("python3 -m model_router").look()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "does not hold the pid"),
        ("router", "does not hold the pid"),
        ("-1", "does not hold the pid"),
        ("0", "does not hold the pid"),
        ("1", "does not hold the pid"),
        ("12 13", "does not hold the pid"),
        ("1" * 5_000, "does not hold the pid"),
        ("4194305", "which has ended"),
    ],
    ids=lambda text: text[:12],
)
async def test_a_pid_file_that_names_nobody(text: str, words: str, routers: Routers) -> None:
    """Nothing, nonsense, a whole group (-1, 0), init, two pids, a flood, nobody: refused with the reason."""
    routers.pidfile.write_text(text)
    routers.pidfile.chmod(0o644)
    with pytest.raises(Rejected, match=words):
        await routers.target().look()


async def test_a_pid_file_that_proves_nothing(routers: Routers, tmp_path: Path) -> None:
    """Missing, written by anybody, older than the process it names, or no file at all (it is not waited for)."""
    with pytest.raises(Rejected, match="there is no"):
        await routers.target().look()
    routers.record(routers.start())
    routers.pidfile.chmod(0o666)
    with pytest.raises(Rejected, match=r"proves nothing: .* may be changed by anybody"):
        await routers.target().look()
    routers.pidfile.chmod(0o644)
    assert (await routers.target().look()).pid
    tmp_path.chmod(0o777)
    with pytest.raises(Rejected, match=f"proves nothing: {tmp_path} may be changed by anybody"):
        await routers.target().look()
    tmp_path.chmod(0o755)
    hour_ago = time.clock_gettime(time.CLOCK_REALTIME) - 3_600
    os.utime(routers.pidfile, (hour_ago, hour_ago))
    with pytest.raises(Rejected, match=r"was started \d+ s after .* was written: its pid is somebody else's"):
        await routers.target().look()
    routers.pidfile.unlink()
    os.mkfifo(routers.pidfile)
    with pytest.raises(Rejected, match="is not a file"):
        await routers.target().look()


async def test_a_pid_file_of_somebody_else_proves_nothing(routers: Routers) -> None:
    """Whoever owns it names any process of that program; the process's own user may, for it is theirs anyway."""
    only_root(os.geteuid() == 0, "give files away")
    routers.record(routers.start())
    nobody = pwd.getpwnam("nobody").pw_uid
    os.chown(routers.pidfile, nobody, -1)
    with pytest.raises(Rejected, match=r"proves nothing: .* belongs to nobody, who could exchange it"):
        await routers.target().look()
    with pytest.raises(Rejected, match="belongs to user root, not nobody"):  # the file is nobody's now, the process not
        await routers.target(owner="nobody").look()


async def test_another_program_or_another_owner_is_refused(routers: Routers) -> None:
    """The pid is right and the process is not: it bears another name, or belongs to somebody else."""
    routers.record(routers.start("order_gateway"))
    with pytest.raises(Rejected, match=r"runs order_gateway .*, not model_router"):
        await routers.target().look()
    stranger = "nobody" if os.geteuid() == 0 else "root"
    with pytest.raises(Rejected, match=f"belongs to user .*, not {stranger}"):
        await routers.target("order_gateway", owner=stranger).look()
    with pytest.raises(Rejected, match="there is no user 'no-such-user'"):
        await routers.target("order_gateway", owner="no-such-user").look()


async def test_a_process_without_a_handler_is_not_signalled(routers: Routers) -> None:
    """SIGHUP ends whoever does not handle it: the router that should be paused would be gone."""
    deaf = routers.start(code=DEAF)
    routers.record(deaf)
    action, context = await action_on(routers)
    found = await action.inspect(context, ARGUMENTS)
    assert isinstance(found, Unfit)
    assert "has no handler for SIGHUP" in found.why
    seen = await routers.target().look()
    with pytest.raises(NotSent, match="has no handler"):
        await routers.target().signal("HUP", seen)
    assert deaf.poll() is None


async def test_a_zombie_has_ended(routers: Routers) -> None:
    """A process nobody has collected yet still has its pid and its name in /proc; it pauses nothing."""
    process = routers.start()
    routers.record(process)
    seen = await routers.target().look()
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(Rejected, match="which has ended"):
        await routers.target().look()
    with pytest.raises(NotSent, match="which has ended"):
        await routers.target().signal("HUP", seen)


async def test_the_kill_switch_stops_the_signal(routers: Routers) -> None:
    """Once everything is stopped, nobody is signalled."""
    process = routers.start()
    routers.record(process)
    target = routers.target(killed=lambda: "stopped by demo-oncall")
    with pytest.raises(NotSent, match="stopped by demo-oncall"):
        await target.signal("HUP", await target.look())
    os.kill(process.pid, signal.SIGHUP)
    assert heard(process) == "paused"


async def test_a_restart_between_look_and_signal_is_noticed(routers: Routers) -> None:
    """What was approved was another process: the new one is not signalled, though everything else fits."""
    first = routers.start()
    routers.record(first)
    action, context = await action_on(routers)
    found = await action.inspect(context, ARGUMENTS)
    assert isinstance(found, Proceed)
    end(first)
    second = routers.start()
    routers.record(second)
    with pytest.raises(NotSent, match=r"cannot be signalled|has ended since"):
        await action.send(context, found)
    seen = await action.read_back(context, found)
    assert (seen.as_wanted, second.poll()) == (False, None)


async def test_a_pid_that_was_used_again_is_never_hit(routers: Routers) -> None:
    """Pid, name, owner and pid file all fit, and yet it is another process: only its start differs."""
    process = routers.start()
    routers.record(process)
    target = routers.target()
    now = await target.look()
    before = ProcessSeen(now.pid, now.started - 100, now.command, now.catches)  # as its predecessor was seen
    with pytest.raises(NotSent, match="has ended since it was looked at"):
        await target.signal("HUP", before)
    os.kill(process.pid, signal.SIGHUP)
    assert heard(process) == "paused"  # its first


async def test_a_pid_the_kernel_gave_out_again(routers: Routers) -> None:
    """The same with the kernel's own reuse: a router dies, and its pid goes to another router at once."""
    only_root(os.access(LAST_PID, os.W_OK) and os.geteuid() == 0, "choose the next pid")
    first = routers.start()
    routers.record(first)
    target = routers.target()
    seen = await target.look()
    end(first)
    for _ in range(200):  # somebody else may take the pid first
        await asyncio.sleep(0.02)  # the kernel counts starts in hundredths of a second
        LAST_PID.write_text(str(seen.pid - 1))
        second = routers.start()
        if second.pid == seen.pid:
            break
    else:
        pytest.fail("this host starts too many processes for one pid to be had")
    with pytest.raises(NotSent, match="has ended since"):
        await target.signal("HUP", seen)
    routers.record(second)
    assert (await target.look()) != seen
    with pytest.raises(NotSent, match="has ended since"):
        await target.signal("HUP", seen)
    os.kill(second.pid, signal.SIGHUP)
    assert heard(second) == "paused"  # its first


async def test_what_cannot_be_told_is_not_taken_for_an_end(routers: Routers, tmp_path: Path) -> None:
    """A pid file that may not be read says nothing about the router: a person is asked, nothing is refused."""
    routers.pidfile = tmp_path / ("x" * 300)  # the system refuses the name
    with pytest.raises(Unknown, match="cannot be read"):
        await routers.target().look()
    assert issubclass(Unknown, TargetError)
    seen = ProcessSeen(os.getpid(), 1, "pytest", ("HUP",))
    with pytest.raises(NotSent):
        await routers.target().signal("HUP", replace(seen, pid=os.getpid()))
