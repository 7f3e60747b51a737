"""What counts as forgotten: only what somebody was told yes for, and once."""

from __future__ import annotations

from bot.engine.high_water import HighWater, Mark

S = "trading-core"


def told(marks: HighWater, total: int, own: int) -> None:
    """A write that the store confirmed."""
    marks.saw(S, marks.before(S), Mark(total, own))


def looked(marks: HighWater, total: int, own: int) -> None:
    marks.saw(S, marks.before(S), Mark(total, own), wrote=False)


def test_a_count_that_only_grows_is_no_loss() -> None:
    """Other replicas write too, and a write whose reply was lost counts as well."""
    marks = HighWater()
    told(marks, 1, 1)
    told(marks, 7, 3)
    looked(marks, 9, 3)
    assert marks.lost(S) == ""


def test_a_reply_that_is_not_above_what_was_acknowledged_before_is_a_loss() -> None:
    """The same count again would hide one lost write."""
    marks = HighWater()
    told(marks, 5, 5)
    told(marks, 5, 5)
    assert "forgotten" in marks.lost(S)


def test_the_replicas_own_count_shows_what_other_replicas_writes_would_hide() -> None:
    """The shard has been written past its old count by others since."""
    marks = HighWater()
    told(marks, 5, 5)
    looked(marks, 90, 4)
    assert "5 of this replica's, 4 are left" in marks.lost(S)


def test_replies_that_come_in_another_order_are_no_loss() -> None:
    """Two writes under way at once: the one that left first is answered last."""
    marks = HighWater()
    first = marks.before(S)
    second = marks.before(S)
    marks.saw(S, second, Mark(2, 2))
    marks.saw(S, first, Mark(1, 1))
    assert marks.lost(S) == ""
    assert marks.marks() == {S: Mark(2, 2)}


def test_one_loss_is_found_once() -> None:
    """What was under way when it was found tells of the same one."""
    marks = HighWater()
    told(marks, 10, 10)
    under_way = marks.before(S)
    looked(marks, 8, 8)
    found = marks.losses()[S]
    marks.saw(S, under_way, Mark(9, 9))
    marks.settled(S, found)
    assert marks.lost(S) == ""
    told(marks, 10, 10)
    assert marks.lost(S) == ""


def test_where_replicas_confirm_what_is_merely_read_was_promised_to_nobody() -> None:
    """A cut-off primary shows writes that nobody was told yes for; the next one rightly lacks them."""
    marks = HighWater(reads_prove=False)
    told(marks, 200, 200)
    looked(marks, 202, 202)
    looked(marks, 200, 200)
    assert marks.lost(S) == ""
    looked(marks, 199, 199)
    assert marks.lost(S)


def test_marks_of_a_predecessor_count() -> None:
    """Killed, and the store put back meanwhile."""
    marks = HighWater()
    marks.restore({S: Mark(9, 4)})
    looked(marks, 8, 4)
    assert "9 in all, 8 are left" in marks.lost(S)
