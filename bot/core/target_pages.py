"""What a target pages about itself and takes back again: told late, it is taken back once more.

Used by `target_machine` and `system_machine`. Pure. A page that Andon never takes back (writes lost, too much recalled,
a dead letter) is a person's to close, and is let be.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bot.core import target_leases, target_moves
from bot.core.events import MessageDelivered
from bot.core.record import Applied, Decision, Ignored
from bot.core.target import Target
from bot.core.target_moves import TargetDraft

TAKEN_BACK: Final = ("freeze", "automation-tripped", "lease")  # how the names of such pages begin


def told(draft: TargetDraft, event: MessageDelivered) -> Decision:
    """The pager took a page of this target. Whoever had it in hand may have been slow, and it is over meanwhile."""
    what = draft.page_named(event.page)
    if what.partition(":")[0] not in TAKEN_BACK:
        return Ignored("not a page that this target takes back")
    if what in _open(draft.target):
        return Ignored("a page about what still stands")
    draft.unpage(what)
    return Applied(f"{event.channel} took a page that was over by then: {event.reference}; it is taken back")


def _open(target: Target) -> Iterator[str]:
    """The names of the pages that what stands now has sent."""
    if target.freeze is not None and target_moves.is_asked_about(target):
        yield target_moves.reminder_page(target.freeze)
    if target.tripped_at is not None:
        yield target_moves.trip_page(target.tripped_at)
    for action, lease in target.leases.items():
        if target_leases.is_paged(lease):
            yield target_leases.page_of(action, lease)
