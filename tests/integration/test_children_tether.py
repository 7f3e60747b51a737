"""A process that is killed takes its children with it: nothing of a demo or a test outlives it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from bot.sandbox.children import Child, until

PARENT = """
import asyncio, sys
from pathlib import Path
from bot.sandbox.children import Child

async def main():
    child = await Child.start("sleeper", ["sleep", "300"], Path(sys.argv[1]))
    print(child.pid, flush=True)
    await child.wait(300)

asyncio.run(main())
"""


def _command(pid: int) -> str:
    """The command line of a process; "" once it is gone (or only waits to be collected)."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().replace("\0", " ").strip()
    except OSError:
        return ""


async def test_kill_9_of_the_parent_ends_its_children(tmp_path: Path) -> None:
    """The kernel tells them, for nobody else is left who could."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PARENT,
        str(tmp_path / "log"),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert parent.stdout is not None
    child = int(await asyncio.wait_for(parent.stdout.readline(), 30))

    async def became() -> bool:
        return _command(child) == "sleep 300"

    async def gone() -> bool:
        return not _command(child)

    await until("the child runs the command under the same pid", became, within=10)
    parent.kill()
    await parent.wait()
    await until("the child is gone", gone, within=10)


async def test_a_child_is_its_command_and_tells_its_exit_code(tmp_path: Path) -> None:
    """The tether leaves no trace: same pid, same output, same exit code."""
    child = await Child.start("echo", ["sh", "-c", "echo $$; exit 7"], tmp_path / "log", ready_line=True)
    assert int(await child.first_line(10)) == child.pid
    assert await child.wait(10) == 7
    await child.end()
    assert os.getpid() != child.pid
