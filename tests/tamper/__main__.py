"""`python -m tests.tamper --edits 10000`: change the audit at random, and demand that each change is found and named.

Every edit is a function of its seed, on a floor that is always the same: `--first N --edits 1` repeats one. Prints
progress, a table of what was done, and ends with one line: ``10000 edits, 0 missed``. Exit code 1 if any was missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path

import structlog

from tests.tamper.trials import Outcome, run

EVERY = 500  # edits between two lines of progress


def work(seeds: range) -> Outcome:
    """One process's share, on a floor of its own."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))  # what goes wrong here is the point

    def told(done: int) -> None:
        if done % EVERY == 0:
            sys.stderr.write(f"seeds {seeds.start}–{seeds.stop - 1}: {done} edits\n")

    with tempfile.TemporaryDirectory(prefix="tamper") as folder:
        return asyncio.run(run(Path(folder), seeds, told))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tamper")
    parser.add_argument("--edits", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    jobs = max(1, min(asked.jobs, asked.edits))
    bounds = [asked.first + asked.edits * part // jobs for part in range(jobs + 1)]
    whole = Outcome()
    with ProcessPoolExecutor(jobs) as pool:
        for part in pool.map(work, [range(*pair) for pair in pairwise(bounds)]):
            whole.add(part)
    if asked.json:
        print(json.dumps({"edits": asked.edits, "missed": whole.missed, "kinds": dict(sorted(whole.made.items()))}))
        return 1 if whole.missed else 0
    for kind, count in sorted(whole.made.items()):
        print(f"{count:7}  {kind}")
    for missed in whole.missed:
        print(f"MISSED  {missed}")
    print(f"{asked.edits} edits, {len(whole.missed)} missed")
    return 1 if whole.missed else 0


if __name__ == "__main__":
    sys.exit(main())
