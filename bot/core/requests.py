"""What people ask of a record, taken once: a request that comes again is known by its id and changes nothing again.

An operator's request keeps its id when it is sent again (`Idempotency-Key`), perhaps long after somebody else has asked
for the opposite. Each record therefore remembers the requests it took, newest last. Called by the three machines.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from bot.core.incident import Incident
from bot.core.record import Applied, Denied, Ignored, Transition
from bot.core.target import Target

CONFIGURATION = "configuration"  # says at every start what `armed:` in andon.yaml lists; that is no request of a person
MAX_HEARD = 64  # requests remembered per record: people and scripts repeat within minutes, not 64 requests later

R = TypeVar("R", Incident, Target)


def take_once(record: R, request: str, transition: Transition[R]) -> Transition[R]:
    """The transition, unless the record took this request (its id) before; then nothing, with the reason.

    A request that changes nothing is remembered too, lest its copy does later what it could not do at its time. A
    denied one is not: who asks again asks anew.
    """
    if request in record.heard:
        return Transition(record, (), Ignored("a copy of a request that was taken before"))
    if isinstance(transition.decision, Denied):
        return transition
    heard = (*record.heard, request)[-MAX_HEARD:]
    decision = transition.decision
    if isinstance(decision, Ignored):
        decision = Applied(f"changes nothing: {decision.reason}")
    return Transition(replace(transition.record, heard=heard), transition.effects, decision)
