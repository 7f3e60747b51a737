"""What an unfreeze ends on a target, thing by thing, so that nobody ends what they have not seen.

`bot.core.system_machine` and `target_machine` refuse with `unseen` before they lift; whoever shows a target to a person
keeps its `marks`, which travel in the order (`TargetUnfrozen.seen`). Pure.
"""

from __future__ import annotations

from typing import Final

from bot.core.ids import digest
from bot.core.orders import TargetUnfrozen
from bot.core.record import Denied
from bot.core.target import Target

UNSEEN: Final = "it was stopped anew since you looked"  # how such a refusal begins


def marks(target: Target) -> tuple[str, ...]:
    """One for each thing that stops automation there: the freeze, every doubt about the store, a spent budget."""
    return tuple(_in_force(target))


def unseen(target: Target, event: TargetUnfrozen) -> Denied | None:
    """A refusal, where something is in force that this person was not shown; of what they were shown, all may go."""
    if not event.seen:
        return None
    new = [words for mark, words in _in_force(target).items() if mark not in event.seen]
    return Denied(f"{UNSEEN}: {'; '.join(new)}") if new else None


def _in_force(target: Target) -> dict[str, str]:
    """Mark -> what it is, in words. The same freeze said again later is another one."""
    found: dict[str, str] = {}
    if (freeze := target.freeze) is not None:
        mark = _mark(target, "freeze", freeze.by, freeze.reason, freeze.since)
        found[mark] = f"frozen by {freeze.by}: {freeze.reason}"
    for by, doubt in sorted(target.doubts.items()):
        found[_mark(target, "doubt", by, doubt.why, doubt.since)] = f"{by} found that {doubt.why}"
    if target.tripped_at is not None:
        found[_mark(target, "budget", target.tripped_at)] = "its budget of automatic actions is used up"
    return found


def _mark(target: Target, *what: str | int) -> str:
    return digest(target.system, target.id, *what)[:16]
