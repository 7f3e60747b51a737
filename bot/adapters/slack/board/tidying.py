"""What the board looks at once more, and what it stops minding.

Late edits and doubles are seen to; closed incidents whose cards show it, and places that nobody will ask for again, go.
Called by `board` after every sweep.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bot.adapters.slack.board.placing import Placer
from bot.adapters.slack.board.scenery import Scenery
from bot.adapters.slack.board.shelf import Placed, card_name, incident_of, pointer_name
from bot.adapters.slack.board.sights import Brief
from bot.core.words import Millis

KEPT_MS: Final[Millis] = 2 * 86_400_000  # a closed incident's place: what is said later still finds its thread
PER_TIDY: Final = 200  # places written in one go; a sweep later come the next


async def tidy(placer: Placer, scenery: Scenery, tells: Callable[[Brief, Placed], bool], now: Millis) -> None:
    """Have drawn again what must be, note what is over, forget what long has been. `tells`: a thread has something to
    say. StoreUnavailable.
    """
    await placer.revisit()
    told = {(line.shard, line.incident) for line in scenery.lines}
    asked = {incident_of(name) for name, one in placer.places.items() if name.startswith("question:") and not one.over}
    done = 0
    for subject, brief in list(scenery.briefs.items()):
        card = placer.places.get(card_name(*subject))
        if not brief.closed or subject in told or subject in asked or done >= PER_TIDY:
            continue
        if card is not None and not card.over:
            if card.look != brief.look or not card.ts or card.again or tells(brief, card):
                continue
            await placer.note(card, look=card.look, facts=card.facts, over=True)
            done += 1
        pointer = placer.places.get(pointer_name(*subject))
        if pointer is not None and not pointer.over:
            await placer.note(pointer, look=pointer.look, facts=pointer.facts, over=True)
        del scenery.briefs[subject]
    old = [name for name, one in placer.places.items() if one.over and now - one.shown_at > KEPT_MS]
    if old:
        await placer.drop(old[:PER_TIDY])
