"""The audit under attack: a slice of the machine that changes it at random, and bundles that verify anywhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.adapters import bundle
from bot.cli import app
from tests.tamper.floor import INCIDENTS, RISK, Floor, floor
from tests.tamper.trials import EDITS, Outcome, said, trial

OF_EACH = 2  # of each kind; `make tamper` makes 10,000


@pytest.fixture
async def on(tmp_path: Path) -> AsyncIterator[Floor]:
    async with floor(tmp_path) as made:
        yield made


@pytest.mark.timeout(180)  # seventy verifications of everything
async def test_every_edit_is_found_and_named(on: Floor) -> None:
    """Edits, deletions, reorderings, truncations, replays and forgeries; the untouched floor verifies."""
    outcome = Outcome()
    assert said(await on.verify()) == ""
    for kind in EDITS:
        for seed in range(OF_EACH):
            await trial(on, seed, outcome, kind)
    assert outcome.missed == []
    assert said(await on.verify()) == ""


async def test_a_new_key_begins_a_new_chain_and_the_old_one_stays_proof(on: Floor) -> None:
    """Rotation: both chains are verified, and what was signed with the old key still counts."""
    old = on.local()
    maker = on.signing("andon-a", bytes([9] * 32))
    await maker.round()
    assert on.local() != old
    assert said(await on.verify()) == ""
    assert len((await on.verify()).signed) == 3
    old.write_bytes(old.read_bytes().replace(b'"at":', b'"at" :', 1))
    assert "was edited" in said(await on.verify())


async def test_a_running_process_knows_where_its_chain_ends(on: Floor) -> None:
    """Also where the store forgot it and there is no copy: whoever cuts the file must wait for a restart."""
    key = on.signers["andon-a"]
    await on.raw.hdel("andon:{andon}:checkpoints", key.public)
    on.copy("andon-a").unlink()
    on.local().write_bytes(b"".join(on.local().read_bytes().splitlines(keepends=True)[:-1]))
    assert "this process knows" in said(await on.verify(restarted=False))


async def test_a_bundle_verifies_where_nothing_else_is(on: Floor, tmp_path: Path) -> None:
    """One command, no store, no configuration; it says how much of it was signed, and by whom."""
    file = tmp_path / "bundle.json"
    file.write_text(bundle.text(on.bundle), encoding="utf-8")
    shutil.rmtree(on.checkpoints)
    await on.raw.flushdb()
    key = on.signers["andon-a"].public
    done = CliRunner().invoke(app, ["audit", "verify-bundle", str(file), "--key", key, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["ok"], told["key"], told["key_compared"]) == (True, key, True)
    length = len(on.bundle["parts"]["chain"])
    assert told["about"]["incident"] == INCIDENTS[0]
    assert any(f"entries 1 to {length} were signed" in fact for fact in told["proven"])
    assert any(RISK in fact or "target:*" in fact for fact in told["proven"])
    assert "compare the key" in CliRunner().invoke(app, ["audit", "verify-bundle", str(file)]).stdout


async def test_a_bundle_that_was_changed_is_refused_with_what_differs(on: Floor, tmp_path: Path) -> None:
    """Exit code 1 and the part; 2 for what is no bundle at all."""
    file = tmp_path / "bundle.json"
    changed = json.loads(json.dumps(on.bundle))
    changed["parts"]["chain"][1]["body"] = '{"why":"never happened"}'
    file.write_text(bundle.text(changed), encoding="utf-8")
    done = CliRunner().invoke(app, ["audit", "verify-bundle", str(file)])
    assert done.exit_code == 1
    assert "'chain' is not what was signed" in done.stdout
    assert "entry 2 was edited" in done.stdout
    other = CliRunner().invoke(app, ["audit", "verify-bundle", str(file), "--key", "ed25519:" + "0" * 64])
    assert "it is signed with ed25519:" in other.stdout
    file.write_text("{}")
    assert CliRunner().invoke(app, ["audit", "verify-bundle", str(file)]).exit_code != 0
