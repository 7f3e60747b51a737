"""The hash chain of an aggregate (law 10)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.audit import GENESIS, AuditEntry, link, verify


def chain(length: int) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    for seq in range(1, length + 1):
        entries.append(link(entries[-1].hash if entries else GENESIS, seq, f'{{"event":{seq}}}'))
    return entries


@pytest.mark.parametrize("length", [0, 1, 2, 50])
def test_a_whole_chain_has_no_problems(length: int) -> None:
    """What was linked verifies, from the empty chain on."""
    entries = chain(length)
    assert verify(entries, entries[-1].hash if entries else GENESIS, length) == ()


def test_every_edited_entry_is_named() -> None:
    """An edit shows at its entry, in the first, in the middle and in the last."""
    for place in (0, 2, 4):
        entries = chain(5)
        head = entries[-1].hash
        entries[place] = replace(entries[place], body='{"event":"other"}')
        assert f"entry {place + 1} was edited" in " ".join(verify(entries, head, 5))


def test_an_edit_with_a_recomputed_hash_shows_at_its_successor_or_at_the_record() -> None:
    """Whoever recomputes a link must recompute all that follow, and then the record's own head does not fit."""
    entries = chain(5)
    head = entries[-1].hash
    forged = link(entries[1].previous, 2, '{"event":"other"}')
    assert "entry 3 does not follow entry 2" in " ".join(verify([entries[0], forged, *entries[2:]], head, 5))
    rewritten = [entries[0], forged]
    for seq in (3, 4, 5):
        rewritten.append(link(rewritten[-1].hash, seq, entries[seq - 1].body))
    assert verify(rewritten, head, 5) == (
        "entry 5 is not the one the record names as its last: the chain was rewritten",
    )


@pytest.mark.parametrize("gone", [1, 3, 4])
def test_a_deleted_entry_is_named(gone: int) -> None:
    """The gap is told by the number that is missing."""
    entries = chain(5)
    head = entries[-1].hash
    del entries[gone - 1]
    assert f"entry {gone} is missing" in " ".join(verify(entries, head, 5))


def test_a_truncated_chain_is_told_apart_from_a_short_one() -> None:
    """The record knows how long the chain is."""
    entries = chain(5)
    assert verify(entries[:3], entries[-1].hash, 5) == (
        "the chain ends at entry 3, but the record says 5: its end was cut off",
    )
    assert verify([], entries[-1].hash, 5) == ("the chain ends at entry 0, but the record says 5: its end was cut off",)


def test_reordered_and_added_entries_are_told() -> None:
    """Two entries that changed places, and one too many."""
    entries = chain(4)
    head = entries[-1].hash
    swapped = [entries[0], entries[2], entries[1], entries[3]]
    assert "entry 3 stands at place 2: the chain was reordered" in verify(swapped, head, 4)
    added = [*entries, link(head, 5, "{}")]
    assert verify(added, head, 4) == ("the chain has 5 entries, but the record says 4: entries were added",)


def test_no_part_of_a_link_can_move_into_another() -> None:
    """Number, predecessor and text are kept apart in what is hashed."""
    assert link("ab", 1, "c").hash != link("a", 1, "bc").hash
    assert link("", 11, "c").hash != link("", 1, "1c").hash
