"""`python -m tests.crash --trials 2000`: kill real workers with actions in flight; count what was doubled or lost.

Behind `make crash`. Progress goes to stderr, the table (or `--json`) to stdout; the exit code is 1 when anything was
doubled or lost, or a round did not come to its end. `--publish FILE` writes the table between that page's markers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.crash import points
from tests.crash.judge import read_fates
from tests.crash.lives import BrokenWorker, Nursery, Target, nursery_process, target_process
from tests.crash.publish import publish
from tests.crash.round import TURN, Played, draw, play
from tests.crash.tally import Tally, as_json, remarks, table, tally

JOBS = 3  # rounds side by side: half of a round is waiting for a request to time out
MAX_ROUNDS = 1_000  # a run that has not had its trials by then will not get them
MAX_PROBLEMS = 3  # rounds that did not come to their end; then something is broken that more rounds will not mend


def main() -> int:
    """Run, print, and say by the exit code whether it was clean."""
    asked = _arguments()
    folder = Path(tempfile.mkdtemp(prefix="andon-crash-"))
    played, found = asyncio.run(_run(asked, folder))
    if asked.json:
        print(json.dumps(as_json(found, played), indent=1))
    else:
        print("\n".join([table([*found.rows, found.total]), *remarks(found), *found.failures(), found.verdict()]))
    if asked.publish is not None:
        publish(asked.publish, found, asked.trials)
    if found.clean and not asked.keep:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"ledger, logs and stores are kept in {folder}", file=sys.stderr)
    return 0 if found.clean else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--trials", type=int, default=2_000, help="intents in flight at a worker's death, at least")
    parser.add_argument("--seed", type=int, default=1, help="where the plans of all rounds come from")
    parser.add_argument("--round", type=int, help="play this round of the seed and no other")
    parser.add_argument("--point", choices=sorted(points.BY_NAME), help="kill at this point only")
    parser.add_argument("--jobs", type=int, default=JOBS, help="rounds side by side")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", action="store_true", help="keep the ledger, the logs and the stores")
    parser.add_argument("--publish", type=Path, help="write the table into this page, between its markers")
    return parser.parse_args()


async def _run(asked: argparse.Namespace, folder: Path) -> tuple[list[Played], Tally]:
    """Rounds until there were enough trials."""
    began = time.monotonic()
    played: list[Played] = []
    numbers = iter(range(MAX_ROUNDS) if asked.round is None else [asked.round])
    async with (
        nursery_process() as nursery,
        target_process(folder, str(asked.seed)) as target,
        asyncio.TaskGroup() as tasks,
    ):
        for _ in range(asked.jobs):
            tasks.create_task(_rounds(asked, numbers, nursery, target, folder, played))
    played.sort(key=lambda one: int(one.plan.name[1:]))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return played, tally(
        played, read_fates(target.ledger), asked.seed,
        seconds=time.monotonic() - began, cpu=used.ru_utime + used.ru_stime,
    )  # fmt: skip


async def _rounds(
    asked: argparse.Namespace,
    numbers: Iterator[int],
    nursery: Nursery,
    target: Target,
    folder: Path,
    played: list[Played],
) -> None:
    only = points.BY_NAME[asked.point] if asked.point else None
    turns = 1 if only else len(TURN)  # every point has its turn, however few trials are wanted
    for number in numbers:
        enough = sum(len(one.trials) for one in played) >= asked.trials and number >= turns
        if enough or sum(1 for one in played if one.problem) >= MAX_PROBLEMS:
            return
        plan = draw(asked.seed, number, only)
        try:
            one = await play(plan, nursery, target, folder / plan.name)
        except BrokenWorker as error:
            one = Played(plan, problem=str(error))
        played.append(one)
        total = sum(len(one.trials) for one in played)
        said = f"{plan.name}: {plan.point.words}: {len(one.trials)} in flight, {one.deaths} deaths, {one.seconds:.1f} s"
        print(
            f"{said}; {total} of {asked.trials}{'; ' + one.problem if one.problem else ''}", file=sys.stderr, flush=True
        )


if __name__ == "__main__":
    sys.exit(main())
