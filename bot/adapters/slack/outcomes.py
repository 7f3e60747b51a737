"""How a policy's last incidents went, for whoever is to decide about the next: shown on its decision card.

Asked by `scenery` while a question waits. Read once a minute from the newest incidents of the system.
"""

from __future__ import annotations

from typing import Final

from bot.core.incident import Incident
from bot.core.words import AggregateId, Millis
from bot.engine.ports import Clock, Store
from bot.engine.report_words import span

LAST: Final = 5  # outcomes shown: more is not read while a decision waits
LOOKED_THROUGH: Final = 300  # newest incidents of a system in which they are looked for
KEPT_MS: Final[Millis] = 60_000  # a system's outcomes, before they are read anew
_WORDS: Final = {
    "succeeded": "done", "verified": "done, its effect was seen", "unverified": "done, its effect was NOT seen",
    "unknown": "UNKNOWN whether it took effect", "not_sent": "NOT sent",
}  # fmt: skip


class Outcomes:
    """The last incidents of each policy, read once a minute."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._read: dict[str, tuple[Millis, list[tuple[str, AggregateId, str]]]] = {}  # by shard

    async def of(self, shard: str, policy: str, besides: AggregateId) -> tuple[str, ...]:
        """How the policy's last incidents but this one ended, newest first, in plain words. StoreUnavailable."""
        now = self._clock.now()
        at, found = self._read.get(shard, (-KEPT_MS, []))
        if abs(now - at) >= KEPT_MS:
            lines = await self._store.incidents(shard, closed=True, limit=LOOKED_THROUGH)
            found = [
                (line.incident.plan.policy, line.incident.id, summary(line.incident))
                for line in lines
                if line.incident.plan is not None and line.incident.resolved_at is not None
            ]
            self._read[shard] = (now, found)
        return tuple(words for name, one, words in found if name == policy and one != besides)[:LAST]


def summary(incident: Incident) -> str:
    """``risk.reduce_kelly: done, its effect was seen; resolved after 4 min (inc-…)``."""
    steps = {step.id: step.action for step in incident.plan.steps} if incident.plan is not None else {}
    told = [
        f"{steps.get(result.step, result.step)}: {_WORDS[result.outcome]}"
        for result in incident.results
        if result.outcome in _WORDS
    ]
    over = incident.resolved_at or incident.opened_at
    did = ", ".join(told[-2:]) or "nothing was sent"
    return f"{did}; resolved after {span(over - incident.opened_at)} ({incident.id})"
