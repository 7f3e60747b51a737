"""A slice of what `make sim` does: a few seeds, each a pure function of its number."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bot.core.words import Millis
from tests.simulation import crash_walk
from tests.simulation import shrink as shrinking
from tests.simulation.runner import Verdict, play, run
from tests.simulation.script import TROUBLE_MS, calm
from tests.simulation.script import quiet as told
from tests.simulation.small_ledgers import CUT
from tests.simulation.steps import AlertFires, Calm, FloorChanges
from tests.simulation.troubles import Failover
from tests.simulation.world import Script, Setup, Violation, World

ROOT = Path(__file__).resolve().parents[2]
SEEDS = 12
CRASHES = 48  # sixteen calls of a few hundred, three ways each
DIGESTS = """
from tests.simulation.__main__ import quiet
from tests.simulation.runner import run
from tests.simulation.script import draw
quiet()
print([run(draw(seed)).digest for seed in (3, 8)])
"""


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, as `make sim` is one."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=150, check=False,
    )  # fmt: skip


@pytest.mark.timeout(180)  # two seconds of work in a process of its own, beside whatever else runs
def test_a_few_seeds_break_no_law() -> None:
    """Whole floors under crashes, lost answers and failovers; the last line is what people and CI read."""
    done = python("-m", "tests.simulation", "--seeds", str(SEEDS), "--jobs", "1")
    assert done.stdout.splitlines()[-1] == f"{SEEDS} seeds, 0 violations", done.stdout + done.stderr
    assert done.returncode == 0


@pytest.mark.timeout(180)  # as above
def test_a_few_seeds_without_trouble_leave_nothing_undone() -> None:
    """Where nothing goes wrong the judge may demand most: what is due is done, and who is to be called is called."""
    done = python("-m", "tests.simulation", "--calm", "--seeds", str(SEEDS), "--jobs", "1")
    assert done.stdout.splitlines()[-1] == f"{SEEDS} seeds, 0 violations", done.stdout + done.stderr


@pytest.mark.timeout(180)  # as above
def test_a_crash_around_a_call_breaks_no_law() -> None:
    """A slice of a walk: one call in thirty of a small seed, before it, under way, and answered."""
    done = python("-m", "tests.simulation", "--around", "16", "--every", "30", "--jobs", "1")
    calls, last = done.stdout.splitlines()[-2:]
    assert calls.startswith("seed 16: "), done.stdout + done.stderr
    assert last == f"{CRASHES} crashes, 0 violations", done.stdout
    assert done.returncode == 0


def test_a_walk_kills_where_it_says() -> None:
    """Once, around that very call; and the replica lives a second life."""
    base = calm(16)
    for crash in crash_walk.around([40]):
        verdict = run(crash_walk.with_crash(base, crash), story=True)
        assert sum(f"dies {crash.where}" in line for line in verdict.story) == 1
        assert verdict.calls_of[crash_walk.REPLICA] < crash_walk.count(base)  # of its second life


@pytest.mark.timeout(180)  # as above
def test_a_seed_is_the_same_in_every_process() -> None:
    """However Python orders its sets of text: a seed that failed elsewhere fails here."""
    one, other = python("-c", DIGESTS, PYTHONHASHSEED="1"), python("-c", DIGESTS, PYTHONHASHSEED="2")
    assert one.returncode == 0, one.stderr
    assert one.stdout == other.stdout


@dataclass(frozen=True)
class Numbered:
    """A step that does nothing."""

    at: Millis
    until: Millis = 0
    is_trouble: bool = False

    async def apply(self, world: World) -> None:
        """Nothing."""


def test_a_failing_script_is_cut_to_what_it_takes() -> None:
    """Of twenty steps only the two that break the law together are left, and a violation of another law counts not."""
    steps = tuple(Numbered(at=number) for number in range(20))
    script = Script(1, Setup(replicas=4), steps, TROUBLE_MS)
    tried: list[Script] = []

    def fails(script: Script) -> Verdict:
        tried.append(script)
        named = {step.at for step in script.steps}
        law = "both" if {3, 17} <= named else "another"
        return Verdict(1, 0, 0, "", (Violation(law, "…"),))

    smaller = shrinking.shrink(script, "both", fails)
    assert [step.at for step in smaller.steps] == [3, 17]
    assert smaller.setup == replace(script.setup, replicas=1)
    assert len(tried) < shrinking.MAX_RUNS


def test_two_replicas_end_a_doubt_and_bring_up_no_new_one() -> None:
    """Each compares its journal once after a failover that lost writes; told anew, a doubt would go round for ever."""
    steps = (
        Failover(at=9_000, gone=11_000, until=12_000),
        AlertFires(at=9_990, name="Unhedged", batch="h1"),
        Calm(at=59_000),
    )
    verdict = run(told(steps, Setup(replicas=2, followed=True)), story=True)
    assert verdict.violations == ()
    assert sum("commit target:*" in line for line in verdict.story) < 30, "\n".join(verdict.story)


def test_a_breach_that_stays_calls_everybody_and_asks_for_the_halt() -> None:
    """Kelly is cut and VaR stays high: in the end every service of the ladder has been called, and the halt asked."""
    steps = (
        FloorChanges(at=900, component="risk-engine", field="stress", value=9.0),
        AlertFires(at=1_000, name="VaRBreach", batch="BTC-USD"),
        AlertFires(at=1_000, name="PeopleOnly", batch="p1"),
        Calm(at=59_000),
    )
    world = World(told(steps))
    asyncio.set_event_loop(world.loop)
    try:
        assert world.loop.run_until_complete(play(world)) == []
    finally:
        asyncio.set_event_loop(None)
        world.loop.dispose()
    assert [a.request for a in world.floor.machines["risk-engine"].ledger if a.key][:1] == [CUT]
    called = [page for page in world.floor.pager.ledger if page.kind == "page"]
    assert {page.service for page in called} >= {"pm", "cro", "lead", "head"}
    assert any("trading.halt" in page.summary and page.at >= 17_000 for page in called)
