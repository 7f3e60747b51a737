"""A law about hands on: who has said "I have it", and was heard, is not acted beside.

Takes the run's `Facts` and yields a sentence for each breach. Called by `oracle`.
"""

from __future__ import annotations

from collections.abc import Iterator

from bot.core.words import Millis
from tests.simulation.components import Arrival
from tests.simulation.facts import Facts
from tests.simulation.oracle_sends import show
from tests.simulation.people import Deed


def heeded(facts: Facts) -> Iterator[str]:
    """After a take nothing is sent for that incident, in that episode, but what was declared before it was heard."""
    intents = [line.event for line in facts.lines if line.kind == "intent_declared" and line.decision == "applied"]
    for deed in facts.deeds:
        if deed.verb != "take" or deed.answer != "applied" or facts.forgot(deed.at):
            continue
        episode = _episode(facts, deed)
        own = {i["intent"] for i in intents if (i.get("incident"), i.get("episode")) == (deed.to, episode)}
        for send in facts.sends():
            if send.key in own and _declared(facts, send) > deed.answered_at:
                when = f"{deed.answered_at / 1_000:.3f} s"
                yield f"{deed.person} was told at {when} that {deed.to} is theirs, and then {show(send)}"


def _episode(facts: Facts, deed: Deed) -> int:
    """The incident's episode at the take, by its chain: what it had heard of its steps until then."""
    episode = 1
    for line in facts.lines:
        if line.aggregate == deed.to:
            if line.event.get("id") == deed.id:
                break
            episode = max(episode, line.event.get("episode", 1))
    return episode


def _declared(facts: Facts, send: Arrival) -> Millis:
    """When its intent was first on its way to a disk, whichever replica's: what is sent again was declared then."""
    known = [at for (_, intent), times in facts.journalled.items() if intent == send.key for at in times]
    return min([facts.decided(send), *known])
