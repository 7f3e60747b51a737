"""Where a figure is taken: servers as child processes, the load generator as another, Valkey as the code ships it.

`Lab` is used by the figures in `tests.bench.ingest`, `path` and `latency`. A server prints its port as its first line
and stops when its stdin ends, so nothing outlives the bench even if it is killed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from tests.bench.load import Driven, Order

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0  # a server that has not said its port by then is broken


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of output. `ratio` is against the comparison named in `target`; `met` None: no target is set."""

    figure: str
    value: float
    unit: str
    target: str
    met: bool | None
    ratio: float | None = None

    def line(self) -> str:
        """The JSON line."""
        return json.dumps(
            {
                "figure": self.figure,
                "value": round(self.value, 3),
                "unit": self.unit,
                "ratio": None if self.ratio is None else round(self.ratio, 3),
                "target": self.target,
                "met": self.met,
            }
        )


class Server:
    """A child process that serves on `port`; `ask` sends it one line and reads one back."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.port = int(self._read())

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a bench server ended early with code {self._process.wait()}")
        return line

    def ask(self, question: str) -> str:
        """One line there, one line back."""
        assert self._process.stdin is not None
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return self._read().strip()


@contextmanager
def serving(module: str, arguments: Sequence[str] = ()) -> Iterator[Server]:
    """Run `python -m module arguments` until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield Server(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(timeout=START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def drive(order: Order) -> Driven:
    """Run the load generator in its own process."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.load"],
        cwd=ROOT, input=json.dumps(asdict(order)), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the load generator failed:\n{done.stderr[-2000:]}")
    driven = Driven(**json.loads(done.stdout))
    if set(driven.answers) != {"2xx"}:
        raise RuntimeError(f"not every request was accepted: {driven.answers}")
    return driven


def in_turns(orders: dict[str, Order], rounds: int) -> dict[str, float]:
    """Requests per second of each order: the median of `rounds`, taken in turns so that a noisy moment hits all."""
    taken: dict[str, list[float]] = {name: [] for name in orders}
    for turn in range(rounds):
        for name, order in orders.items():
            moved = Order(**{**asdict(order), "first": order.first + turn * 1_000_000})
            taken[name].append(drive(moved).per_second)
    return {name: median(values) for name, values in taken.items()}


def say(text: str) -> None:
    """Progress, for a person who waits; figures alone go to stdout."""
    print(text, file=sys.stderr, flush=True)
