"""What is handed out again after the store was found to have forgotten something, under its newer name."""

from __future__ import annotations

from dataclasses import replace

from bot.core.effects import PostMessage
from bot.engine.in_hand import InHand
from bot.engine.ports import OutboxDelivery

WORK = OutboxDelivery("7-0", PostMessage(id="post-1", incident="inc-1", channel="ops", topic="hold", text="hello"), 1)
AGAIN = replace(WORK, delivery="7-0@1")


class Shard:
    """How often it was found to have forgotten something."""

    times = 0


def _in_hand(shard: Shard) -> InHand:
    return InHand(lambda: shard.times)


def test_work_under_way_is_known_under_a_newer_name_and_acknowledged_with_it() -> None:
    """Else it would run twice side by side, and its acknowledgement under the old name would count for nothing."""
    hand = _in_hand(shard := Shard())
    hand.begin(WORK)
    shard.times = 1
    assert hand.came(AGAIN) == "known"
    assert hand.came(WORK) == "known"  # an older reply that comes late takes nothing back
    assert hand.acknowledge(WORK) == "7-0@1"
    hand.done(WORK, finished=True)
    assert hand.came(AGAIN) == "known"
    assert len(hand) == 0


def test_what_was_done_while_its_name_was_no_longer_the_newest_is_only_acknowledged() -> None:
    """The loss was known when its outcome was written, so the outcome stands; only its entry was left over."""
    hand = _in_hand(shard := Shard())
    hand.begin(WORK)
    shard.times = 1
    assert hand.acknowledge(WORK) == "7-0"
    hand.done(WORK, finished=True)
    assert hand.came(WORK) == "known"
    assert hand.came(AGAIN) == "done"


def test_what_was_done_before_a_loss_and_comes_again_is_begun_again() -> None:
    """Its outcome was forgotten with its acknowledgement: somebody still waits for it."""
    hand = _in_hand(shard := Shard())
    hand.begin(WORK)
    hand.acknowledge(WORK)
    hand.done(WORK, finished=True)
    shard.times = 1
    assert hand.came(WORK) == "known"
    assert hand.came(AGAIN) == "new"


def test_another_effect_under_the_same_entry_is_other_work() -> None:
    """A store that failed over may give an entry id again."""
    hand = _in_hand(Shard())
    hand.begin(WORK)
    assert WORK.effect is not None
    assert hand.came(replace(AGAIN, effect=replace(WORK.effect, id="post-2"))) == "new"
    assert hand.came(replace(AGAIN, effect=None, raw=b"?")) == "new"
