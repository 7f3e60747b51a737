"""`python -m tests.bench [--quick] [--only NAME]`: JSON lines on stdout, progress on stderr.

Each line: figure, value, unit, ratio, target, met. `met` is null where the figure is only a comparison. What falls
short says `"met": false`; the exit code is 0 all the same, because a measurement that was taken is a success.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import cards, commands, ingest, latency, matching, path
from tests.bench.lab import Figure, say


def main() -> int:
    """Take every figure in turn. 1 when one of them could not be taken."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--quick", action="store_true", help="shorter and rougher: under a minute")
    parser.add_argument(
        "--only", choices=["matching", "ingest", "latency", "commands", "path", "cards"], help="one group of figures"
    )
    chosen = parser.parse_args()
    quick: bool = chosen.quick
    started = time.perf_counter()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="andon-bench-") as scratch:
        folder = Path(scratch)
        groups: dict[str, Callable[[], Iterator[Figure]]] = {
            "matching": lambda: matching.figures(quick=quick),
            "ingest": lambda: ingest.figures(folder, quick=quick),
            "latency": lambda: latency.figures(folder, quick=quick),
            "commands": lambda: commands.figures(folder, quick=quick),
            "path": lambda: path.figures(folder, quick=quick),
            "cards": lambda: cards.figures(folder, quick=quick),
        }
        for name, take in groups.items():
            if chosen.only in (None, name):
                failed += _take(name, take)
    say(f"took {time.perf_counter() - started:.0f} s")
    return 1 if failed else 0


def _take(name: str, take: Callable[[], Iterator[Figure]]) -> int:
    try:
        for figure in take():
            print(figure.line(), flush=True)
    except (RuntimeError, TimeoutError, OSError) as error:
        say(f"{name}: could not be measured: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
