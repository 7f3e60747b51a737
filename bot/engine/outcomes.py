"""How one run of a step is told: each outcome with everything that was learned on the way.

Filled and asked by `bot.engine.activity`; what it makes are the events that the incident folds next.
"""

from __future__ import annotations

from typing import TypeAlias, TypedDict

from bot.core.effects import RunStep
from bot.core.events import ApprovalNeeded, StepNotSent, StepShadowed, StepSucceeded, StepUnknown, StepUnneeded
from bot.core.reading import Reading
from bot.core.words import JsonText, Millis
from bot.engine.ports import Clock

Outcome: TypeAlias = StepSucceeded | StepUnneeded | StepShadowed | ApprovalNeeded | StepNotSent | StepUnknown


class ReportFields(TypedDict):
    """The fields every outcome carries (`bot.core.events.StepReport`)."""

    id: str
    at: Millis
    episode: int
    step: str
    why: str
    intent: str
    arguments: JsonText
    before: JsonText
    after: JsonText
    readings: tuple[Reading, ...]


class Outcomes:
    """What is known of one run so far, and the words for its end."""

    def __init__(self, effect: RunStep, clock: Clock) -> None:
        self._effect = effect
        self._clock = clock
        self.readings: tuple[Reading, ...] = ()
        self.before: JsonText = "{}"
        self.arguments: JsonText = "{}"
        self.unanswered = False  # an attempt left and nothing proves what became of it

    def report(self, why: str, after: JsonText = "{}") -> ReportFields:
        effect = self._effect
        return {
            "id": f"{effect.id}/outcome", "at": self._clock.now(), "episode": effect.episode,
            "step": effect.step.id, "why": why, "intent": effect.id, "arguments": self.arguments,
            "before": self.before, "after": after, "readings": self.readings,
        }  # fmt: skip

    def succeeded(self, restore: JsonText, after: JsonText, why: str) -> StepSucceeded:
        return StepSucceeded(**self.report(why, after), restore=restore)

    def failed(self, why: str) -> StepNotSent | StepUnknown:
        """It was not sent now; whether an earlier attempt took effect is another question."""
        return self.unknown(why) if self.unanswered else self.not_sent(why)

    def not_sent(self, why: str) -> StepNotSent:
        return StepNotSent(**self.report(why))

    def unknown(self, why: str, after: JsonText = "{}") -> StepUnknown:
        return StepUnknown(**self.report(why, after))
