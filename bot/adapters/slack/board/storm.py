"""When incidents come too fast for a card each: which channel is in a storm, and who stands only in its digest.

Asked by `jobs` for every channel. Pure. A storm begins with more than `cards` incidents opened within `within_ms`, and
is over when no such window is left; then those still open get cards, and what is said of the others goes below the
digest. An incident that waits for a decision always has its own card.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bot.adapters.slack.board.shelf import Placed
from bot.adapters.slack.board.sights import Brief
from bot.core.words import JsonText, Millis

STORM_CARDS: Final = 8  # as `storm:` in andon.yaml has it when nothing is said
STORM_WITHIN_MS: Final[Millis] = 60_000


@dataclass(frozen=True, slots=True)
class Storm:
    """A channel's storm: members opened from `began` to `until`. `held`: those that stand only in the digest.

    `fresh`: the digest that stands there is of an earlier storm. `over`: nothing about it will change.
    """

    channel: str
    began: Millis
    until: Millis
    on: bool
    over: bool
    fresh: bool
    members: tuple[Brief, ...]
    held: frozenset[tuple[str, str]]

    @property
    def facts(self) -> JsonText:
        """What the digest's place remembers."""
        return json.dumps({"began": self.began, "until": self.until}, separators=(",", ":"))


def weather(
    channel: str, briefs: Sequence[Brief], carded: Callable[[Brief], bool], digest: Placed | None, now: Millis,
    *, cards: int, within_ms: Millis,
) -> Storm | None:  # fmt: skip
    """The channel's storm; None in fair weather. `briefs` are the channel's, `digest` its last one."""
    recent = [brief.opened_at for brief in briefs if now - within_ms < brief.opened_at <= now]
    on = len(recent) > cards
    span = _span(digest)
    fresh = on and (span is None or (digest is not None and digest.over and span[1] <= min(recent)))
    if fresh:
        span = (min(recent), max(recent))
    if span is None:
        return None
    began, until = span[0], max(span[1], *recent) if on else span[1]
    members = tuple(
        sorted((b for b in briefs if began <= b.opened_at <= until), key=lambda b: (b.opened_at, b.incident))
    )
    bare = [b for b in members if not carded(b) and not b.question]
    over = not on and all(b.ended for b in bare)
    held = frozenset((b.shard, b.incident) for b in bare if on or b.ended)
    return Storm(channel, began, until, on, over, fresh, members, held)


def _span(digest: Placed | None) -> tuple[Millis, Millis] | None:
    """From when to when the members opened that this digest stands for."""
    if digest is None:
        return None
    try:
        facts = json.loads(digest.facts)
        began, until = facts["began"], facts["until"]
    except (ValueError, KeyError, TypeError):
        return None
    return (began, until) if isinstance(began, int) and isinstance(until, int) else None
