"""`andon demo` as a newcomer or a script meets it: it ends as promised, says so, and leaves nothing behind.

Run by `make tour` and in CI, not by `make test`: it is all of the demo, four times.
"""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox.children import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
WITHIN = 100.0  # seconds; some 50 where nothing else runs
MOVED_BY_HAND = 2  # requests of people at the desk: the pause that was taken over, and its end


async def _demo(tmp_path: Path, *options: str, **streams: Any) -> asyncio.subprocess.Process:
    """`andon demo` with its temporary folders below `tmp_path`'s short twin, so that what is left can be seen."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot.cli", "demo", *options, env={**os.environ, "TMPDIR": str(tmp_path)}, **streams
    )


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short folder for temporary files: unix sockets live in it."""
    return tmp_path_factory.mktemp("d", numbered=True)


def _left_behind(place: Path) -> list[str]:
    """Folders that remain, and processes whose command line names one."""
    processes = [
        entry.name
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and str(place).encode() in _command_line(entry)
    ]
    return [*(path.name for path in place.iterdir()), *processes]


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:  # it ended meanwhile
        return b""


async def test_the_tour_keeps_every_promise_and_leaves_nothing_behind(place: Path) -> None:
    """One JSON document on standard output, exit code 0, one effect for each intended action, no orphan, no folder."""
    demo = await _demo(place, "--tour", "--json", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    output, progress = await asyncio.wait_for(demo.communicate(), WITHIN)
    assert demo.returncode == 0, progress.decode()
    document = json.loads(output)
    assert document["ok"] is True
    assert [c["name"] for c in document["checks"] if not c["ok"]] == []
    changes = [(e["what"].split(":")[0], e["before"], e["after"]) for e in document["effects"]]
    assert changes.count(("kelly_fraction", 0.25, 0.1)) == 3
    assert {("trading", True, False), ("router", "running", "paused")} <= set(changes)
    restarts = [e["what"] for e in document["effects"] if e["what"].startswith("service:")]
    assert restarts == ["service:risk-harmoniser", "service:strategist"]
    assert len(changes) == len(document["requests"]) - MOVED_BY_HAND == 7
    assert [i["status"] for i in document["incidents"][:2]] == ["closed", "closed"]
    assert {i["policy"] for i in document["incidents"]} >= {"var-breach", "model-switching", "redis-latency"}
    decisions = {(d["action"], d["by"], d["outcome"]) for d in document["decisions"]}
    assert decisions == {
        ("trading.halt", "demo-oncall", "refused"),
        ("trading.halt", "demo-approver", "approved"),
        ("risk.reduce_kelly", "", "expired"),
        ("router.resume", "demo-approver", "not carried out"),
    }
    assert document["writes"]["lost"] == 0 < document["writes"]["acknowledged"]
    assert document["redis"]["primary"] == {e["after"] for e in document["effects"] if "service" in e["what"]}.pop()
    assert any(page["incident_id"] == document["incidents"][2]["id"] for page in document["pages"])
    assert all(0 < seconds < 180 for seconds in document["seconds_to_mitigate"]), "the runbook's MTTR is 3 minutes"
    assert _left_behind(place) == []


async def test_without_a_terminal_it_prints_plain_lines(place: Path) -> None:
    """Piped into a file, the demo plays one breach to its end in plain lines and says what to open next."""
    demo = await _demo(
        place, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, problems = await asyncio.wait_for(demo.communicate(), WITHIN)
    text = output.decode()
    assert demo.returncode == 0, text + problems.decode()
    assert "\x1b" not in text
    assert "Kelly 0.25 → 0.1" in text
    assert "configs/policies/trading-core.yaml" in text
    assert _left_behind(place) == []


async def test_one_fault_by_name_is_played_with_its_refusal(place: Path) -> None:
    """A replica that is down: the failover is refused in its own words, people are paged, nothing has changed."""
    demo = await _demo(
        place, "--fault", "replica-down",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, problems = await asyncio.wait_for(demo.communicate(), WITHIN)
    text = output.decode()
    assert demo.returncode == 0, text + problems.decode()
    assert re.search(r"replica 127\.0\.0\.1:\d+ is down", text)
    assert "paged trading-oncall" in text
    assert "0 effect(s)" in text
    assert _left_behind(place) == []


async def test_in_a_terminal_it_draws_takes_keys_and_ends_clean_on_ctrl_c(place: Path) -> None:
    """A pseudo-terminal sees the picture, `v` leads to a Kelly cut in it, and Ctrl-C leaves nothing behind."""
    controller, terminal = pty.openpty()
    demo = await _demo(place, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
    os.close(terminal)
    seen = bytearray()
    loop = asyncio.get_running_loop()
    loop.add_reader(controller, lambda: seen.extend(_read(controller)))
    try:

        async def shows(text: str) -> bool:
            assert demo.returncode is None, seen.decode(errors="replace")[-2000:]
            return text in _ESCAPES.sub("", seen.decode(errors="replace"))

        await until("the picture is drawn", lambda: shows("nothing is wrong"), within=WITHIN)
        os.write(controller, b"v")
        await until("Kelly is cut in the picture", lambda: shows("→ 0.1"), within=WITHIN)
        await until("the incident is in the picture", lambda: shows("var-breach"), within=WITHIN)
        os.kill(demo.pid, signal.SIGINT)
        assert await asyncio.wait_for(demo.wait(), WITHIN) == 0
        assert b"What to open and edit next" in seen
    finally:
        loop.remove_reader(controller)
        os.close(controller)
        if demo.returncode is None:
            demo.terminate()
            await demo.wait()
    assert _left_behind(place) == []


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # the terminal's other end is closed
        return b""
