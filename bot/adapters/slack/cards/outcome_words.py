"""How one incident went, in a line: what became of its last actions, and of itself. Pure.

Called by `outcomes` for the incidents that a decision card lists. What was not sent says so first, and then why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from bot.adapters.slack.cards.text import clip
from bot.core.incident import Incident, Status, StepOutcome, StepResult
from bot.engine.report_words import span

MAX_STEPS: Final = 2  # the last ones: five incidents are told on one card
MAX_WHY: Final = 90  # characters of a reason: the card gives 240 to an incident
WORDS: Final[Mapping[StepOutcome, str]] = {
    "succeeded": "done", "verified": "done, its effect was seen", "unverified": "done, its effect was NOT seen",
    "unknown": "UNKNOWN whether it took effect", "not_sent": "NOT sent", "unneeded": "not needed",
    "shadowed": "only watched, NOT sent", "asked": "NOT sent", "denied": "not allowed then, NOT sent",
    "branched": "left to the ladder's own action",
}  # fmt: skip
_WITH_WHY: Final[frozenset[StepOutcome]] = frozenset({"not_sent", "denied"})
_UNDER_WAY: Final[frozenset[Status]] = frozenset({"open", "diagnosing", "acting", "verifying"})
# An outcome that the next one of the same step replaces.
_REPLACED: Final[Mapping[StepOutcome, frozenset[StepOutcome]]] = {
    "asked": frozenset(WORDS),
    "succeeded": frozenset({"verified", "unverified"}),
}


def summary(incident: Incident) -> str:
    """``risk.reduce_kelly: done, its effect was seen; resolved after 4 min (inc-…)``."""
    told = [_result(incident, result, last=result is incident.results[-1]) for result in _settled(incident)]
    return f"{', '.join(told[-MAX_STEPS:]) or 'nothing was sent'}; {_standing(incident)} ({incident.id})"


def _settled(incident: Incident) -> Iterator[StepResult]:
    """The results of the episode that had some last, without those that another one replaced."""
    results = incident.results
    for number, result in enumerate(results):
        later = next((each for each in results[number + 1 :] if each.step == result.step), None)
        replaced = later is not None and later.outcome in _REPLACED.get(result.outcome, frozenset())
        if result.episode == results[-1].episode and not replaced:
            yield result


def _result(incident: Incident, result: StepResult, *, last: bool) -> str:
    steps = {step.id: step.action for step in incident.plan.steps} if incident.plan is not None else {}
    action = steps.get(result.step, result.step)
    words = WORDS[result.outcome]
    if result.outcome == "asked" and last:
        return f"{action}: {_asked(incident)}"
    return f"{action}: {words}" + _because(result.why if result.outcome in _WITH_WHY else "")


def _asked(incident: Incident) -> str:
    """What came of a question that no action followed."""
    if incident.status == "awaiting_approval":
        return "people are asked now"
    if incident.status in _UNDER_WAY:
        return "not sent yet"
    if incident.status == "parked":
        return "NOT sent" + _because(incident.why)
    return "NOT sent" + _because(incident.settled.why if incident.settled is not None else "")


def _because(why: str) -> str:
    return f" ({clip(why, MAX_WHY)})" if why else ""


def _standing(incident: Incident) -> str:
    """Where it stands, or when and how it ended."""
    parked = "parked, " if incident.resumes == "parked" else ""
    match incident.status:
        case "resolved" | "closed":
            over = incident.resolved_at or incident.closed_at or incident.opened_at
            return f"{parked}resolved after {span(over - incident.opened_at)}"
        case "parked":
            return "parked, not resolved"
        case "mitigated":
            return "mitigated, not resolved yet"
        case _:
            return "not over yet"
