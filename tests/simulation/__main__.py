"""`python -m tests.simulation`: many seeds on all cores, or one of them again.

`make sim SEEDS=10000` ends with one line `10000 seeds, 0 violations`; `make sim SEED=N` replays one and tells its
story.
A failing seed is shrunk (`shrink`) and told (`timeline`). Exit code 1 when a law did not hold.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Never

if TYPE_CHECKING:
    from tests.simulation.crash_walk import Crash
    from tests.simulation.world import Script

HASH_SEED: Final = "0"  # sets of text are walked in the same order in every process
CHUNK: Final = 20  # seeds handed to a process at a time
COLLECT_EVERY: Final = 10
TOLD: Final = 3  # failing seeds that are shrunk and told; the others are named
MOST_CHARACTERS: Final = 400  # of a violation in a line; the story has all of it
SAY_SECONDS: Final = 2.0  # between two lines of progress

_frozen: list[int] = []  # in a process of many seeds: the first of them


def main() -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1_000, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--seed", type=int, help="replay this one and tell its story")
    parser.add_argument("--calm", action="store_true", help="without any trouble: what is due must be done, all of it")
    parser.add_argument("--around", type=int, help="kill a replica before and after every call it makes in this seed")
    parser.add_argument("--every", type=int, default=1, help="with --around: at one call in so many")
    parser.add_argument("--call", type=int, help="with --around: at this call alone, each story told")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--whole", action="store_true", help="tell a failing seed as it is, not shrunk")
    parser.add_argument("--json", action="store_true", help="one JSON line for each failing seed, and one at the end")
    options = parser.parse_args()
    if options.around is not None:
        if options.call is not None:
            return around_call(options.around, options.call)
        return around(options.around, options.jobs, options.every)
    if options.seed is not None:
        return replay(Told(options.seed, calm=options.calm, whole=options.whole), as_json=options.json)
    return many(options)


@dataclass(frozen=True, slots=True)
class Told:
    """A seed to tell: as it was drawn or without its troubles, shrunk or whole."""

    seed: int
    calm: bool
    whole: bool

    def script(self) -> Script:
        """What happens in it."""
        from tests.simulation import script

        return script.calm(self.seed) if self.calm else script.draw(self.seed)


def replay(told: Told, *, as_json: bool) -> int:
    """One seed, told."""
    from tests.simulation.runner import run

    quiet()
    verdict = run(told.script(), story=True)
    if as_json:
        print(json.dumps(asdict(verdict)))
    elif verdict.violations:
        print("\n".join(story(told)))
    else:
        print("\n".join(verdict.story))
    if not as_json:
        print(f"seed {told.seed}: {verdict.events} events, {verdict.calls} calls, trace {verdict.digest[:16]}")
        print(f"1 seeds, {len(verdict.violations)} violations")
    return 1 if verdict.violations else 0


def many(options: argparse.Namespace) -> int:
    """Seeds `first` and on, side by side."""
    first, count, jobs, as_json = options.first, options.seeds, options.jobs, options.json
    began, said = time.monotonic(), 0.0
    done = events = calls = broken = 0
    failed: dict[int, list[tuple[str, str]]] = {}
    with ProcessPoolExecutor(jobs, initializer=quiet) as processes:
        for chunk in _chunks(processes, options):
            for seed, folded, passed, violations in chunk:
                done, events, calls, broken = done + 1, events + folded, calls + passed, broken + len(violations)
                if violations:
                    failed[seed] = violations
                    _name(seed, violations, calm=options.calm, as_json=as_json)
            now = time.monotonic()
            if now - said >= SAY_SECONDS and not as_json:
                said = now
                left = (now - began) / done * (count - done)
                _say(f"{done:,} of {count:,} seeds, {events:,} events, {broken} violations, about {left:.0f} s left")
        shown = [Told(seed, calm=options.calm, whole=options.whole) for seed in sorted(failed)[:TOLD]]
        for told in [processes.submit(story, each) for each in shown if not as_json]:
            print("\n" + "\n".join(told.result()))
    seconds = time.monotonic() - began
    if as_json:
        print(json.dumps({"seeds": done, "events": events, "calls": calls, "violations": broken, "seconds": seconds}))
    else:
        print(
            f"seeds {first} to {first + count - 1}: {events:,} events, {calls:,} calls, {seconds:.0f} s on {jobs} cores"
        )
        print(f"{done} seeds, {broken} violations")
    return 1 if broken else 0


def _chunks(
    processes: ProcessPoolExecutor, options: argparse.Namespace
) -> Iterator[list[tuple[int, int, int, list[tuple[str, str]]]]]:
    """Results as they come, a few chunks under way at a time."""
    end = options.first + options.seeds
    starts = iter(range(options.first, end, CHUNK))
    under_way: set[Future[list[tuple[int, int, int, list[tuple[str, str]]]]]] = set()
    while True:
        while len(under_way) < 2 * options.jobs and (start := next(starts, None)) is not None:
            under_way.add(processes.submit(some, start, min(start + CHUNK, end), calm=options.calm))
        if not under_way:
            return
        ended, under_way = wait(under_way, return_when=FIRST_COMPLETED)
        for each in ended:
            yield each.result()


def some(first: int, end: int, *, calm: bool) -> list[tuple[int, int, int, list[tuple[str, str]]]]:
    """In a process of its own: (seed, events, calls, violations) of each."""
    from tests.simulation.runner import run

    results = []
    for seed in range(first, end):
        verdict = run(Told(seed, calm=calm, whole=False).script(), digest=False)
        results.append((seed, verdict.events, verdict.calls, [(each.law, each.words) for each in verdict.violations]))
        tidy(seed)
    return results


def tidy(number: int) -> None:
    """After each of many runs in one process: collect what a few of them have left."""
    if number % COLLECT_EVERY == 0 or not _frozen:
        gc.collect()
    if not _frozen:
        gc.freeze()  # what all runs share is looked at no more
        _frozen.append(number)  # to ask the collector itself takes it a walk through all of that


def crashed(base: Script, numbered: tuple[int, Crash]) -> list[tuple[str, str]]:
    """In a process of its own: the violations that a crash brings about."""
    from tests.simulation.crash_walk import with_crash
    from tests.simulation.runner import run

    number, crash = numbered
    violations = [(each.law, each.words) for each in run(with_crash(base, crash), digest=False).violations]
    tidy(number)
    return violations


def around(seed: int, jobs: int, every: int) -> int:
    """Without any other trouble, kill the first replica around each of its calls in turn."""
    from tests.simulation import crash_walk
    from tests.simulation.script import calm

    done = broken = 0
    began = said = time.monotonic()
    base = calm(seed)
    with ProcessPoolExecutor(jobs, initializer=quiet) as processes:
        calls = processes.submit(crash_walk.count, base).result()
        crashes = crash_walk.around(range(1, calls + 1, max(1, every)))
        found = processes.map(partial(crashed, base), enumerate(crashes), chunksize=CHUNK)
        for crash, violations in zip(crashes, found, strict=True):
            done += 1
            now = time.monotonic()
            if now - said >= SAY_SECONDS:
                said, left = now, (now - began) / done * (len(crashes) - done)
                _say(f"{done:,} of {len(crashes):,} crashes, {broken} violations, about {left:.0f} s left")
            if violations:
                broken += len(violations)
                law, words = violations[0]
                again = f'make sim ARGS="--around {seed} --call {crash.nth}"'
                print(
                    f"{crash.where} call {crash.nth}: {law}: {words[-MOST_CHARACTERS:]}; tell it with: {again}",
                    flush=True,
                )
    print(f"seed {seed}: {calls:,} calls, {time.monotonic() - began:.0f} s on {jobs} cores")
    print(f"{done} crashes, {broken} violations")
    return 1 if broken else 0


def around_call(seed: int, nth: int) -> int:
    """The crashes around one call, told."""
    from tests.simulation import crash_walk
    from tests.simulation.runner import run
    from tests.simulation.script import calm

    quiet()
    broken, base = 0, calm(seed)
    for crash in crash_walk.around([nth]):
        verdict = run(crash_walk.with_crash(base, crash), story=True)
        broken += len(verdict.violations)
        print(f"--- {crash.where} call {nth} ---", *verdict.story, sep="\n")
    print(f"{len(crash_walk.around([nth]))} crashes, {broken} violations")
    return 1 if broken else 0


def story(told: Told) -> list[str]:
    """A failing seed, shrunk and told."""
    from tests.simulation.runner import run
    from tests.simulation.shrink import shrink

    script = told.script()
    verdict = run(script, story=told.whole)
    if not verdict.violations:
        return [f"seed {told.seed} does not fail when it is run again: something in it does not come from the seed"]
    head = f"seed {told.seed} breaks: {verdict.violations[0].law}"
    if told.whole:
        return [head, *verdict.story]
    smaller = shrink(script, verdict.violations[0].law)
    shrunk = run(smaller, story=True)
    words = f"{head} (shrunk from {len(script.steps)} steps to {len(smaller.steps)})"
    return [words, *shrunk.story, *(f"  {each.law}: {each.words}" for each in shrunk.violations)]


def quiet() -> None:
    """In every process, first: no log lines, and the garbage collector only between runs."""
    import structlog

    def drop(logger: object, name: str, event: object) -> Never:
        raise structlog.DropEvent

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50), processors=[drop])
    gc.disable()


def _name(seed: int, violations: list[tuple[str, str]], *, calm: bool, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"seed": seed, "violations": violations}), flush=True)
        return
    law, words = violations[0]
    words = " … ".join(line.strip() for line in words.strip().splitlines()[-2:])[-MOST_CHARACTERS:]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    again = f"make sim SEED={seed}" + (" ARGS=--calm" if calm else "")
    print(f"seed {seed}: {law}: {words}{more}; replay it with: {again}", flush=True)


def _say(words: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{words}", end="", file=sys.stderr, flush=True)
    else:
        print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        os.execve(
            sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": HASH_SEED},
        )  # fmt: skip
    sys.exit(main())
