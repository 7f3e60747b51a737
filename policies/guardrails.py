"""The last word before an action is sent without a person: law 4 and the pinned-and-current rule, as one pure function.

Dispatch calls `authorise` after evidence and guard, right before it declares the intent. Anything but `Allow` asks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TypeAlias

from bot.core.plan import Plan, Step
from bot.core.words import Disposition, JsonText, Millis, risk_rank
from policies.rendering import canonical


@dataclass(frozen=True, slots=True)
class Allow:
    """It may run by itself; `why` goes into the audit."""

    why: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A person must decide, for this reason."""

    reason: str


Authorisation: TypeAlias = Allow | Ask

_APPROVERS = {"risky": "one approver", "critical": "two approvers"}


def counterpart(step: Step, current: Plan | None) -> Step | None:
    """The current policy's version of a pinned step: the same action in the same place of the plan or the ladder."""
    if current is None:
        return None
    rungs = (rung.step for rung in current.ladder if rung.step is not None)
    return next((s for s in (*current.steps, *rungs) if s.id == step.id), None)


def authorise(
    pinned: Plan,
    step: Step,
    current: Plan | None,
    rendered: JsonText,
    rendered_current: JsonText | None,
    disposition: Disposition,
    now: Millis,
) -> Authorisation:
    """Whether `step` of the pinned plan may be sent now without asking anybody.

    `rendered` are the arguments about to be sent, `rendered_current` those of the current policy's counterpart (None
    when it has none, or they cannot be rendered).
    """
    refusal = (
        _not_acting(pinned, disposition)
        or _not_automatic(step, now)
        or _changed(pinned, step, current, rendered, rendered_current, now)
    )
    if refusal:
        return Ask(refusal)
    return Allow(step.authority or f"{step.action} is {step.risk} and {_DIRECTIONS[step.direction]}")


_DIRECTIONS = {"lowers": "lowers exposure", "neutral": "leaves exposure as it is", "raises": "raises exposure"}


def _not_acting(pinned: Plan, disposition: Disposition) -> str:
    if disposition != "act":
        return f"{pinned.policy} may only {'suggest' if disposition == 'suggest' else 'watch'} now"
    if pinned.mode != "auto":
        return f"{pinned.policy} is in mode {pinned.mode}"
    return ""


def _not_automatic(step: Step, now: Millis) -> str:
    if step.direction == "raises":
        return f"{step.action} raises exposure, which is never automatic"
    if not step.automatic:
        return f"{step.action} is {step.risk}: {_APPROVERS.get(step.risk, 'a person')} must say yes"
    if risk_rank(step.risk) > risk_rank("safe") and step.automatic_until is None:
        return f"{step.action} is {step.risk} and nobody signed for it"
    if step.automatic_until is not None and now >= step.automatic_until:
        return f"the signature for {step.action} has ended ({step.authority})"
    return ""


def difference(
    pinned: Plan, step: Step, current: Plan | None, rendered: JsonText, rendered_current: JsonText | None
) -> str:
    """What of this step the current policy would do differently, or "": both must give the very same step."""
    if current is None:
        return f"{pinned.policy} is no longer among the policies"
    ours = counterpart(step, current)
    if ours is None:
        return f"{pinned.policy} no longer has {step.action} as this step"
    if (ours.component, ours.delivery, ours.direction) != (step.component, step.delivery, step.direction):
        return f"{pinned.policy} now runs {step.action} on {ours.component or 'nothing'} as {ours.delivery}"
    if rendered_current is None or _same_spelling(rendered) != _same_spelling(rendered_current):
        return f"{pinned.policy} now gives {step.action} other arguments than when this incident opened"
    return ""


def _changed(
    pinned: Plan, step: Step, current: Plan | None, rendered: JsonText, rendered_current: JsonText | None, now: Millis
) -> str:
    """Why the current policy would not do the same by itself, or ""."""
    if current is not None and current.mode != "auto":
        return f"{pinned.policy} is in mode {current.mode} since this incident opened"
    changed = difference(pinned, step, current, rendered, rendered_current)
    ours = counterpart(step, current)
    return changed if changed or ours is None else _not_automatic(ours, now)


def _same_spelling(arguments: JsonText) -> JsonText:
    return canonical(json.loads(arguments))  # as text, because to Python 1 == True
