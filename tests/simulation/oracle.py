"""The judge: laws of the design, asked of the targets', the humans', the pager's and the senders' own ledgers.

`runner` calls `judge` after a run has settled. Nothing that Andon says about itself is believed; its audit chains are
read for one thing only: whether they explain what the ledgers show. Each law is a function from `Facts` to sentences,
in `LAWS` by its name; the unit tests feed each a bad ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from tests.simulation import oracle_calls, oracle_due, oracle_ends, oracle_hands, oracle_sends, oracle_votes
from tests.simulation.facts import Facts, gather
from tests.simulation.world import Violation

if TYPE_CHECKING:
    from tests.simulation.world import World

MAX_TOLD: Final = 5  # sentences of one law; the first are the ones to read

Law = Callable[[Facts], Iterable[str]]

LAWS: Final[Mapping[str, Law]] = {
    "no double effect": oracle_sends.not_doubled,
    "approved where due": oracle_votes.approved,
    "explained by the audit": oracle_sends.explained,
    "chains are whole": oracle_sends.whole,
    "towards safety only": oracle_sends.safe,
    "nothing unarmed acts": oracle_sends.armed,
    "a freeze holds": oracle_sends.frozen,
    "a hand is heeded": oracle_hands.heeded,
    "within budget": oracle_sends.budgeted,
    "not early": oracle_sends.not_early,
    "nothing accepted is lost": oracle_ends.accounted,
    "parked is told": oracle_ends.told,
    "poison is told": oracle_ends.poison,
    "at rest": oracle_ends.at_rest,
    "no page storm": oracle_ends.no_storm,
    "what was due was done": oracle_due.done,
    "people are called": oracle_calls.called,
    "people are told": oracle_calls.told,
    "calls are taken back": oracle_calls.taken_back,
}


def complaints(facts: Facts) -> list[Violation]:
    """Everything that the laws have to say."""
    return [Violation(name, words) for name, law in LAWS.items() for words in list(law(facts))[:MAX_TOLD]]


async def judge(world: World) -> list[Violation]:
    """Read the run's ledgers and judge them."""
    return complaints(await gather(world))
