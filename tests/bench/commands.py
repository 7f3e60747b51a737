"""From the alert's first byte to a local command that runs, and what starting one costs by itself.

The command is a shell script whose first word goes into a pipe that is read here, so its own start (about a
millisecond) is in the figure. prometheus-am-executor, which keeps nothing durable, takes 3.4 to 4.3 ms. Called by
`tests.bench.__main__`.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import uvloop

from bot.adapters.targets_command import CommandTarget
from tests.bench.house import LANES, SYSTEM, andon
from tests.bench.lab import Figure, drive, say
from tests.bench.load import Order, percentile

RATE = 20.0  # alerts a second: each starts a process, on the processors that everything else here uses too
PEER_P99_MS = 4.3  # prometheus-am-executor's, alert to command started
SETTLE_SECONDS = 60.0


def figures(folder: Path, *, quick: bool) -> Iterator[Figure]:
    """Starting a program, beside uvloop's own way; and alert to command."""
    say("starting a program, and reaping it")
    for name, milliseconds in uvloop.run(_starts(60 if quick else 300)):
        yield Figure(f"command.{name}_p50", percentile(milliseconds, 0.5), "ms", "none: start to end of true", None)
    count = 60 if quick else 400
    say(f"alert -> command: {count} alerts, {RATE:g} a second")
    waits = _waits(folder / "commands", count)
    yield Figure("command.unanswered", count - len(waits), "alerts", "0: each starts one", len(waits) == count)
    yield Figure("command.latency_p50", percentile(waits, 0.5), "ms", "none: 20 alerts/s", None)
    p99, wanted = percentile(waits, 0.99), 1.5 * PEER_P99_MS
    yield Figure("command.latency_p99", p99, "ms", f"<= {wanted:g} ms, 1.5 x am-executor", p99 <= wanted, p99 / wanted)


async def _starts(count: int) -> list[tuple[str, list[float]]]:
    true = "/usr/bin/true"
    ours = CommandTarget("bench", allow=[true])

    async def theirs() -> None:
        await (await asyncio.create_subprocess_exec(true)).wait()

    ways: dict[str, Callable[[], Awaitable[object]]] = {
        "run": lambda: ours.run(true, [], seconds=5),
        "run_by_uvloop": theirs,
    }
    found = []
    for name, way in ways.items():
        taken = []
        for _ in range(count):
            began = time.perf_counter()
            await way()
            taken.append((time.perf_counter() - began) * 1e3)
        found.append((name, sorted(taken)))
    return found


def _waits(folder: Path, count: int) -> list[float]:
    """Milliseconds from each alert's first byte to its command's first word, sorted."""
    folder.mkdir(parents=True)
    folder.chmod(0o755)  # what a group may write to is not run
    pipe, program = folder / "pipe", folder / "program"
    os.mkfifo(pipe)
    program.write_text(f'#!/bin/sh\necho "$1" > {pipe}\n')
    program.chmod(0o755)
    arrivals: dict[str, int] = {}
    reader = threading.Thread(target=_listen, args=(pipe, arrivals), daemon=True)
    reader.start()
    policies = [_policy(lane, str(program)) for lane in range(LANES)]
    first = 70_000_000
    with andon(folder / "house", policies, instead=_instead(policies, str(program))) as house:
        shape = {"alertname": "BenchRuns", "lanes": LANES, "severity": "critical"}
        drive(Order(port=house.port, count=LANES, rate=RATE, shape=shape, first=60_000_000))  # warm
        house.settle(SETTLE_SECONDS)
        driven = drive(Order(port=house.port, count=count, rate=RATE, shape=shape, first=first))
        house.settle(SETTLE_SECONDS)
    pipe.write_text("end\n")
    reader.join(SETTLE_SECONDS)
    found = ((f"{first + number:08d}", sent) for number, sent in enumerate(driven.sent_ns))
    return sorted((arrivals[seq] - sent) / 1e6 for seq, sent in found if seq in arrivals)


def _listen(pipe: Path, arrivals: dict[str, int]) -> None:
    """When each command said its word, until the word is `end`."""
    with open(os.open(pipe, os.O_RDWR), encoding="utf-8", buffering=1) as words:  # read and write: it never ends
        for word in words:
            if word.strip() == "end":
                return
            arrivals[word.strip()] = time.monotonic_ns()


def _policy(lane: int, program: str) -> dict[str, Any]:
    """One lane's policy: an incident for each alert, and its number as the program's argument."""
    step = {
        "action": "command.run",
        "component": f"lane-{lane:02d}",
        "with": {"program": program, "arguments": ["${labels.seq}"]},
    }
    return {
        "name": f"run-{lane:02d}",
        "match": ['alertname="BenchRuns"', f'lane="{lane:05d}"'],
        "group_by": ["seq"],
        "mode": "auto",
        "channel": "#bench",
        "plan": [step],
    }


def _instead(policies: list[dict[str, Any]], program: str) -> dict[str, dict[str, Any]]:
    """A component a lane that allows the program, and a signature, for it runs without asking anybody."""
    components = [
        {"name": f"lane-{lane:02d}", "role": "tools", "connector": "command", "allow": [program]}
        for lane in range(LANES)
    ]
    signature = {"action": "command.run", "by": "bench", "reason": "measured", "until": "2100-01-01T00:00:00Z"}
    signed = [{**signature, "policy": policy["name"]} for policy in policies]
    return {
        "targets.yaml": {"systems": {SYSTEM: {"components": components}}},
        "people.yaml": {
            "people": [{"id": "bench"}, {"id": "other"}],
            "rosters": {"approvers": [{"system": SYSTEM, "risk": "risky", "people": ["bench", "other"]}]},
        },
        "policies.yaml": {"pre_authorised": signed},
    }
