"""`python -m tests.breaks`: break each law once, in a copy of the source, and demand that a machine turns red.

Behind `make breaks`. Every machine must pass on the unbroken copy; then each break of `table.BREAKS` is made there
alone, and its machine must fail by an assertion of its own (not by an error on the way to it), and name what it saw.
Prints a table; exit code 1 when a break went unnoticed or a machine does not pass unbroken, 2 when a break's old text
is not found in the source: then the table must follow the code.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from tests.breaks.table import BREAKS, Break

ROOT: Final = Path(__file__).resolve().parents[2]
COPIED: Final = ("bot", "handlers", "policies", "remediations", "configs", "deploy", "docs", "tests", "pyproject.toml",
                 "README.md", "LICENSE")  # fmt: skip
SECONDS: Final = 400.0  # one machine; it takes ten to thirty on a machine that is not busy
TOLD: Final = 25  # lines of a machine's output that are shown when it did not do as it should

TESTS_FAILED: Final = 1  # pytest's exit code for failed assertions, and our machines': not 2 (usage), 4, 5


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of one run of one machine."""

    code: int
    output: str
    seconds: float

    @property
    def tail(self) -> str:
        return "\n".join(self.output.splitlines()[-TOLD:])


def misplaced(breaks: Sequence[Break], root: Path = ROOT) -> list[str]:
    """The breaks whose old text does not stand exactly once in their file, or whose new text is no Python."""
    wrong = []
    for each in breaks:
        path = root / each.file
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        found = text.count(each.old)
        if found != 1:
            wrong.append(f"law {each.law}: {each.file} holds {found} times: {each.old!r}")
            continue
        try:
            compile(text.replace(each.old, each.new), each.file, "exec")
        except SyntaxError as error:
            wrong.append(f"law {each.law}: {each.file} would be no Python any more: {error}")
    return wrong


def run(copy: Path, machine: tuple[str, ...]) -> Ran:
    """One machine on one copy. Whatever it starts imports the copy too."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANDON_")}
    environment |= {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, *machine], cwd=copy, env=environment, capture_output=True, text=True, timeout=SECONDS,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Ran(124, f"no end within {SECONDS:g} s", SECONDS)
    return Ran(done.returncode, done.stdout + done.stderr, time.monotonic() - began)


@contextmanager
def broken(copy: Path, each: Break) -> Iterator[None]:
    """The copy with this break in it."""
    path = copy / each.file
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace(each.old, each.new), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(whole, encoding="utf-8")


def unnoticed(each: Break, ran: Ran) -> str:
    """Why this run is not the machine turning red, or ""."""
    if ran.code == 0:
        return "NOT NOTICED: the machine passes"
    if ran.code != TESTS_FAILED:
        return f"the machine did not get as far as a verdict (exit code {ran.code})"
    return "" if each.shows in ran.output else f"it failed, but does not name {each.shows!r}"


class Bench:
    """Copies of the source, one for each job."""

    def __init__(self, folder: Path, jobs: int) -> None:
        self._free: SimpleQueue[Path] = SimpleQueue()
        for number in range(jobs):
            copy = folder / f"copy{number}"
            copy.mkdir()
            for name in COPIED:
                source = ROOT / name
                if source.is_dir():
                    shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
                elif source.exists():
                    shutil.copy2(source, copy / name)
            ours = run(copy, ("-c", "import bot; print(bot.__file__)")).output.strip()
            if not ours.startswith(str(copy)):
                raise SystemExit(f"the copy is not what is imported: {ours}")
            self._free.put(copy)

    def passes(self, machine: tuple[str, ...]) -> Ran:
        """The machine on an unbroken copy."""
        return self._on_one(lambda copy: run(copy, machine))

    def breaks(self, each: Break) -> Ran:
        """Its machine on a copy with this break."""

        def work(copy: Path) -> Ran:
            with broken(copy, each):
                return run(copy, each.machine)

        return self._on_one(work)

    def _on_one(self, work: Callable[[Path], Ran]) -> Ran:
        copy = self._free.get()
        try:
            return work(copy)
        finally:
            self._free.put(copy)


def main() -> int:
    """As the module says."""
    parser = argparse.ArgumentParser(prog="python -m tests.breaks")
    parser.add_argument("--law", type=int, action="append", help="only this law's breaks")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="what would be broken, and nothing more")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    chosen = [each for each in BREAKS if not asked.law or each.law in asked.law]
    if asked.list:
        print("\n".join(f"law {each.law:2}  {each.says}  ({each.command})" for each in chosen))
        return 0
    if wrong := misplaced(chosen):
        sys.stderr.write("\n".join(wrong) + "\nthe table no longer fits the source: tests/breaks/table.py\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="breaks") as folder:
        return judge(Bench(Path(folder), asked.jobs), chosen, asked.jobs, as_json=asked.json)


def judge(bench: Bench, chosen: list[Break], jobs: int, *, as_json: bool) -> int:
    """Run everything, print, and say by the exit code whether each break was noticed."""
    failures = []
    with ThreadPoolExecutor(jobs) as pool:
        machines = list(dict.fromkeys(each.machine for each in chosen))
        for machine, ran in zip(machines, pool.map(bench.passes, machines), strict=True):
            if ran.code:
                failures.append(f"UNBROKEN, and yet red: python {' '.join(machine)}\n{ran.tail}")
            sys.stderr.write(f"unbroken: {' '.join(machine[1:])}: exit code {ran.code}, {ran.seconds:.0f} s\n")
        rows = []
        for each, ran in zip(chosen, pool.map(bench.breaks, chosen), strict=True):
            problem = unnoticed(each, ran)
            if problem:
                failures.append(f"law {each.law}, {each.says}: {problem}\n{ran.tail}")
            rows.append({"law": each.law, "break": each.says, "machine": each.command, "noticed": not problem,
                         "seconds": round(ran.seconds, 1)})  # fmt: skip
            if not as_json:
                print(f"law {each.law:2}  {'red' if not problem else 'MISSED':6}  {ran.seconds:5.0f} s  {each.says}")
                sys.stdout.flush()
    if as_json:
        print(json.dumps({"breaks": rows, "failures": failures}, indent=1))
    else:
        for failure in failures:
            print(failure)
        print(f"{len(chosen)} breaks, {sum(not row['noticed'] for row in rows)} unnoticed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
