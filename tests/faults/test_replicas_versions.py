"""The build at hand and the next one beside it on one store: a rolling upgrade under load, and no way back."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

import bot
from bot.core.record import SCHEMA_VERSION
from bot.sandbox.children import until
from tests.faults.crew import SYSTEM, Crew, Replica, open_crew

ROOMS = ("bot", "handlers", "remediations", "policies", "configs")
WITHIN = 60.0  # what was handed over is looked for every ten seconds, and once more after that
NUMBER = f"SCHEMA_VERSION = {SCHEMA_VERSION}\n"
FIELD = '    why: str = ""'  # of an incident


def next_build(folder: Path) -> Path:
    """A copy of this source tree whose records carry the next number, and incidents a field more."""
    here = Path(bot.__file__).parents[1]
    for room in ROOMS:
        shutil.copytree(here / room, folder / room)
    for file, old, new in (
        ("record", NUMBER, f"SCHEMA_VERSION = {SCHEMA_VERSION + 1}\n"),
        ("incident", FIELD, f'    next_remark: str = "of the next build"\n{FIELD}'),
    ):
        path = folder / "bot" / "core" / f"{file}.py"
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} stands in {path.name} once"
        path.write_text(text.replace(old, new))
    return folder


async def stands_back(crew: Crew, replica: Replica) -> None:
    """Return once it has left the system to the newer build, and says so everywhere."""

    async def look() -> bool:
        status, checks = await crew.readiness(replica)
        return status == 503 and not checks["version"]["ok"] and SYSTEM in checks["version"]["detail"]

    await until(f"{replica.name} stands back", look, within=WITHIN)
    assert await crew.metric(replica, f'andon_store_newer{{shard="{SYSTEM}"}}') == 1
    assert f"schema version {SCHEMA_VERSION + 1}" in replica.said("stands_back")[0]["met"]
    assert replica.child.running


@pytest.mark.timeout(300)  # generous: a busy machine starts a replica in half a minute
async def test_an_upgrade_under_load_loses_and_doubles_nothing_and_there_is_no_way_back(tmp_path: Path) -> None:
    """Older replicas stand back as soon as they meet what the newer one wrote, which finishes what they held."""
    tree = next_build(tmp_path / "next")
    async with open_crew("a", "b") as crew:
        async with crew.alerting("Work0", "Work1", "Work2", "Late", every=0.5):
            await asyncio.sleep(1)
            await crew.add("n", tree=tree)
            for name in ("a", "b"):
                await stands_back(crew, crew.replicas[name])
            began = len(crew.accepted)
            a = crew.replicas["a"]
            await a.end()  # rolled over, one by one, under its own name
            a.tree = tree
            await a.start()
            await crew.is_ready(a)
            await until("the newer ones take it all", lambda: _more(crew, began), within=WITHIN)
        assert crew.refused[503] > 0  # by those that stood back; another replica took it
        await crew.quiet(within=WITHIN)
        ends = await crew.accounts(crew.replicas["n"])
        assert ends["ran"] > 10

        b = crew.replicas["b"]
        b_said = b.said("set_aside")
        await b.end()
        await b.start()
        assert await b.child.wait(60) == 2
        assert f"schema {SCHEMA_VERSION + 1}" in b.child.tail()
        assert "start that version again" in b.child.tail()
        assert b_said == []
        assert await crew.accounts(crew.replicas["n"]) == ends


async def _more(crew: Crew, began: int) -> bool:
    return len(crew.accepted) > began + 20
