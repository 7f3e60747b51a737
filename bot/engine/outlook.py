"""What comes next and when, in words: the timers of an incident as people understand them. Pure.

Told by `andon show` (`bot.console_story`) from the API's JSON, by the demo, and by the cards in Slack from the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bot.core.incident import Incident
from bot.core.plan import Plan
from bot.core.words import Millis

# What happens when a timer of an incident comes due, as the machine names them.
_TIMER_WORDS: Final[Mapping[str, str]] = {
    "turn": "give up waiting for the action's outcome and ask a person",
    "verify": "give up on verification and ask a person",
    "verify:again": "read the evidence again, to verify the action",
    "resolve:again": "read the evidence again, to see whether it is over",
    "retry": "weigh the guard again",
    "diagnosis": "go on without the diagnosis",
    "patience": "page, if it still fires",
    "approval": "escalate, if nobody has decided",
    "hold": "stop taking a new alert for the same episode",
    "close": "close the incident",
}
_EVERY_FEW_SECONDS: Final = frozenset({"verify:again", "resolve:again", "retry"})  # set anew each time they come due
_RUNG: Final = "rung:"


@dataclass(frozen=True, slots=True)
class Coming:
    """One thing that will happen. `due` is None for what happens again every few seconds until it settles."""

    timer: str
    words: str
    due: Millis | None

    @property
    def is_rung(self) -> bool:
        """Whether it is a rung of the ladder."""
        return self.timer.startswith(_RUNG)


def coming(incident: Incident) -> tuple[Coming, ...]:
    """Everything the incident waits for, soonest first; what happens all the time comes first."""
    ordered = sorted((timer.due, name) for name, timer in incident.timers.items())
    told = [
        Coming(name, rung_of(incident.plan, name) or timer_words(name), None if name in _EVERY_FEW_SECONDS else due)
        for due, name in ordered
    ]
    return tuple(sorted(told, key=lambda each: each.due is not None))


def next_rung(incident: Incident) -> Coming | None:
    """The rung of the ladder that is climbed next."""
    return next((each for each in coming(incident) if each.is_rung), None)


def timer_words(name: str) -> str:
    """What a timer is for."""
    if name.startswith(_RUNG):
        number = name.removeprefix(_RUNG)
        return f"climb to rung {int(number) + 1 if number.isdecimal() else number} of the ladder"
    return _TIMER_WORDS.get(name, name)


def rung_number(timer: str) -> int | None:
    """The rung (from 0) that a timer is for; None for other timers."""
    number = timer.removeprefix(_RUNG)
    return int(number) if number != timer and number.isdecimal() else None


def rung_of(plan: Plan | None, timer: str) -> str:
    """What a rung of the ladder will do when its time comes; "" for other timers."""
    number = rung_number(timer)
    if plan is None or number is None or number >= len(plan.ladder):
        return ""
    rung = plan.ladder[number]
    return rung_words(
        number,
        page=f"{rung.page.service} ({rung.page.severity})" if rung.page is not None else "",
        notify=rung.notify,
        action=rung.step.action if rung.step is not None else "",
        guard=rung.step.guard if rung.step is not None else "",
        until=rung.until,
    )


def rung_words(number: int, *, page: str, notify: str, action: str, guard: str, until: str) -> str:
    """Whom a rung pages, whom it tells, what it runs, and what ends it before that."""
    does = [f"page {page}"] if page else []
    does += [f"tell {notify}"] if notify else []
    does += [f"run {action}" + (f" if {guard}" if guard else "")] if action else []
    return f"rung {number + 1}: {', '.join(does)}, unless {until}"
