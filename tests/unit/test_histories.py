"""What earlier versions stored, read and replayed by this build (docs/adr/0012)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.core.audit import GENESIS, link
from bot.core.record import OLDEST_SCHEMA, SCHEMA_VERSION
from tests.histories.chains import Chain, replay, without_additions
from tests.histories.shapes import shapes, written_again

FOLDER = Path(__file__).parents[1] / "fixtures" / "histories"
KEPT = range(OLDEST_SCHEMA, SCHEMA_VERSION + 1)


def kept(version: int, name: str) -> list[str]:
    return (FOLDER / str(version) / name).read_text(encoding="utf-8").splitlines()


def test_every_version_that_is_read_has_its_history() -> None:
    """No version is promised to be readable without something of it to read."""
    assert sorted(int(folder.name) for folder in FOLDER.iterdir()) == list(KEPT)


@pytest.mark.parametrize("version", KEPT)
def test_whatever_a_version_stored_is_read_and_written_again(version: int) -> None:
    """Every kind of entry, effect, record and intent, every field: nothing is lost on the way through this build."""
    for line in kept(version, "shapes.jsonl"):
        told = json.loads(line)
        number, _, then = told["text"].partition(" ")
        assert int(number) == version
        _, _, now = written_again(told["what"], told["text"]).partition(" ")
        assert without_additions(json.loads(now), json.loads(then)) == json.loads(then)


@pytest.mark.parametrize("version", KEPT)
def test_what_a_version_decided_is_decided_again(version: int) -> None:
    """Every event of every chain, folded by the machines of now: same decisions, effects, records and audit hashes."""
    chains = [Chain.of(line) for line in kept(version, "chains.jsonl")]
    assert len(chains) > 30
    for chain in chains:
        assert replay(chain, version) == [], f"schema {version}, {chain.scenario}, {chain.aggregate}"


def test_a_changed_decision_is_seen() -> None:
    """The replay is able to fail: another decision, time, effect, status or record is found, its hash made to fit."""
    chain = next(c for c in map(Chain.of, kept(OLDEST_SCHEMA, "chains.jsonl")) if c.aggregate.startswith("inc-"))
    assert replay(chain, OLDEST_SCHEMA) == []
    ((digest, told), *rest) = chain.links
    for old, new in (
        ('"decision":"applied"', '"decision":"denied"'), ('"state":"', '"state":"un'),
        ('"kind":"post_message"', '"kind":"x"'), ('"why":"', '"why":"not '),
    ):  # fmt: skip
        edited = told[::-1].replace(old[::-1], new[::-1], 1)[::-1]
        assert edited != told
        fits = Chain(chain.scenario, chain.aggregate, chain.record, ((link(GENESIS, 1, edited).hash, edited),))
        assert "link 1 reads" in replay(fits, OLDEST_SCHEMA)[0]
        torn = Chain(chain.scenario, chain.aggregate, chain.record, ((digest, edited), *rest))
        assert "does not give its hash" in replay(torn, OLDEST_SCHEMA)[0]
    other = Chain(chain.scenario, chain.aggregate, chain.record.replace('"episode":1', '"episode":2', 1), chain.links)
    assert "the record was" in replay(other, OLDEST_SCHEMA)[0]


def test_the_stored_shape_changes_only_with_its_number() -> None:
    """Who adds a field or a kind raises SCHEMA_VERSION, or an older build beside this one takes it for a forgery.

    Until the present number is released, `python -m tests.histories` writes its history anew.
    """
    stored = [(told["what"], told["text"]) for told in map(json.loads, kept(SCHEMA_VERSION, "shapes.jsonl"))]
    assert stored == list(shapes()), "the shape of what is stored has changed: see docs/adr/0012"
