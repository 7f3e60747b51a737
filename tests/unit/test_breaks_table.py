"""The table of deliberate breaks fits the source: what `make breaks` would break is really there, for every law."""

from __future__ import annotations

from tests.breaks.__main__ import Ran, misplaced, unnoticed
from tests.breaks.table import BREAKS, LAWS


def test_every_law_has_a_break() -> None:
    """A law that is never broken on purpose is a law that nobody knows to be watched."""
    assert {each.law for each in BREAKS} == set(LAWS)


def test_every_old_text_stands_once_where_the_table_says() -> None:
    """Whoever changes one of these lines brings the table along: its break must go on breaking that law."""
    assert misplaced(BREAKS) == []


def test_a_break_counts_as_noticed_only_by_a_verdict() -> None:
    """Neither passing, nor stumbling over something else on the way."""
    one = BREAKS[0]
    assert unnoticed(one, Ran(1, f"FAILED {one.shows}", 1.0)) == ""
    for ran in (Ran(0, one.shows, 1.0), Ran(1, "ImportError", 1.0), Ran(2, one.shows, 1.0), Ran(124, "", 1.0)):
        assert unnoticed(one, ran)
