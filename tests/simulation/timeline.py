"""The short readable story of one run: what happened outside, what Andon did about it, and what was wrong.

Called by `runner` for one seed (`make sim SEED=N`) and for what the shrinker left of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tests.simulation.trace import Note

if TYPE_CHECKING:
    from tests.simulation.world import Violation, World

MAX_LINES: Final = 400  # of a story; a shrunk one has some dozens
DULL: Final = re.compile(
    r"(read_(in|out)box|look at |reclaim|claim_due|next_due|load|resolve_keys|incidents|aggregates|audit|lag|mark"
    r"|check_writable|journal marks|read the journal|remember|evidence |GET |standing|commit acknowledgements|append$"
    r"|commit (source:watch:\S+ ?)+$|dead_letters|retire|post |attend)"
)
FATES: Final = ("refused", "reply lost", "request lost", "answered too late")  # of the call that is named with them
FLOOR: Final = re.compile(r"(AlertEnds|Person|FloorChanges|Reloaded|Calm)")
WIDE: Final = 200  # characters of a line


def lines(world: World, violations: Sequence[Violation]) -> list[str]:
    """The story, oldest first, and the violations at its end."""
    told = [_line(note) for note in _apart(world.trace.notes()) if not _is_dull(note)]
    if len(told) > MAX_LINES:
        told = [*told[: MAX_LINES // 2], f"… {len(told) - MAX_LINES} lines …", *told[-MAX_LINES // 2 :]]
    setup = world.script.setup
    kept = "confirmed" if setup.confirmed else "followed" if setup.followed else "alone"
    head = f"seed {world.seed}: {setup.replicas} replicas, the store {kept}, {len(world.script.steps)} steps"
    return [head, *told, *(f"VIOLATION of {each.law}: {each.words}" for each in violations)]


def _apart(notes: Sequence[Note]) -> list[Note]:
    """Without what follows from another note at the same moment: a lost answer names its request, which also stands."""
    lost = {(note.who, note.at, note.more) for note in notes if note.what == "reply lost"}
    return [note for note in notes if (note.who, note.at, note.what) not in lost]


def _is_dull(note: Note) -> bool:
    if note.who == "script" and "AlertFires" in note.what + note.more:
        return True  # the Alertmanager tells it
    if note.who == "script" and FLOOR.match(note.what + note.more):
        return True  # so do people, and the floor
    if note.what in FATES:
        return bool(DULL.match(note.more))
    return bool(DULL.match(note.what)) and not note.more


def _line(note: Note) -> str:
    text = f"{note.at:9.3f}  {note.who:<14} {note.what}" + (f": {note.more}" if note.more else "")
    return text if len(text) <= WIDE else text[: WIDE - 1] + "…"
