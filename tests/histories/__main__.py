"""`python -m tests.histories`: write what this build stores into `tests/fixtures/histories/<its schema>/`.

`--shapes` writes the shapes only. `--accept` takes what this build decides otherwise into the histories of all
versions, where a decision, or its words, was changed on purpose. Either is reviewed in the diff and committed. Run by
no test.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from bot.core.record import OLDEST_SCHEMA, SCHEMA_VERSION
from tests.histories.chains import Chain, accepted, replay
from tests.histories.recorder import OUT
from tests.histories.shapes import shapes

FOLDER = Path(__file__).parents[1] / "fixtures" / "histories"
# What happens in them: acting, verifying, a resolve; approvals, a denial, a freeze; probes after a kill; a lease; a
# diagnosis; an order; copies and reorderings; a watch. None that changes a waiting time of the machines.
SCENARIOS = (
    "acted_on_once_verified or copies_and_reorderings or freeze_between or approved_step_is_sent_once or "
    "critical_step_needs_two or drift_in_a_pin or order_of_an_eligible or proved_by_a_probe or no_probe_can_prove or "
    "end_of_a_lease or killed_while_diagnosing or killed_while_parked or "
    "waiting_for_its_turn or silence_is_noticed or wrong_person_is_refused"
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.histories", description="Keep what this build stores.")
    parser.add_argument("--shapes", action="store_true", help="the shapes only")
    parser.add_argument("--accept", action="store_true", help="what is decided otherwise now is meant so")
    parser.add_argument("--into", type=Path, default=FOLDER / str(SCHEMA_VERSION), help="folder to write to")
    options = parser.parse_args()
    if options.accept:
        accept()
        return 0
    into: Path = options.into
    into.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"what": what, "text": text}, ensure_ascii=False) for what, text in shapes()]
    (into / "shapes.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if options.shapes:
        return 0
    chains = into / "chains.jsonl"
    chains.unlink(missing_ok=True)
    command = [
        sys.executable, "-m", "pytest", "-q", "-x", "-p", "tests.histories.recorder", "tests/integration/engine",
        "-k", SCENARIOS,
    ]  # fmt: skip
    return subprocess.run(command, env={**os.environ, OUT: str(chains)}, check=False).returncode


def accept() -> None:
    for version in range(OLDEST_SCHEMA, SCHEMA_VERSION + 1):
        path = FOLDER / str(version) / "chains.jsonl"
        chains = [Chain.of(line) for line in path.read_text(encoding="utf-8").splitlines()]
        lines = [accepted(each, version).line() if replay(each, version) else each.line() for each in chains]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
