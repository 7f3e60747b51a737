"""The pages of `/andon arm` and `disarm`: which policy, what it does, what that changes, then the button. Pure.

`arming` gathers what they show.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from bot.adapters.slack.cards.phrases import plain_intent
from bot.adapters.slack.cards.shapes import action_id
from bot.adapters.slack.cards.text import utc
from bot.adapters.slack.pages.inputs import Choice, chosen_of, small, view, words
from bot.adapters.slack.pages.modals import told
from bot.adapters.slack.pages.stop_modals import Stopped, listed, looked_at, not_looked_at, waiting
from bot.core.ids import digest
from bot.core.incident import Incident, StepResult
from bot.core.plan import Plan, Step
from bot.core.target import Armed
from policies.durations import spell

MAX_STEPS: Final = 12  # of one policy, told before it is armed
MAX_PAST: Final = 5  # of what it would have done
MAX_GUARD: Final = 200

_BY_ITSELF: Final = "From the next alert on it does this by itself, as far as its plan and the laws let it."
_WATCHES: Final = "From then on it only says what it would do. What was sent already goes on."
_UNKNOWN: Final = "What waits to be done could not be looked up in time. It is stopped all the same."


def choose(plans: Sequence[Plan], *, on: bool) -> dict[str, Any]:
    """Which policy may act, or only watch; each with what it would do."""
    groups: dict[str, list[Choice]] = {}
    for plan in sorted(plans, key=lambda plan: (plan.system, plan.policy)):
        if plan.steps:
            acts = ", ".join(dict.fromkeys(step.action for step in plan.steps))
            groups.setdefault(plan.system, []).append(Choice(f"{plan.policy}: {acts}", f"{plan.system}|{plan.policy}"))
    if not groups:
        return told("Policies", "No policy has a step that could be armed.")
    blocks = [words(_BY_ITSELF if on else _WATCHES), chosen_of("policy", "Which policy", groups)]
    if on:
        return view(action_id("arm"), "Arm a policy", blocks, submit="Show what it would do")
    return view(action_id("disarm"), "Disarm a policy", blocks, submit="Show what stops")


def preview(plan: Plan, past: Sequence[tuple[Incident, StepResult]]) -> dict[str, Any]:
    """What an armed policy does, and what it only said lately because it was not armed; then the button.

    `past`: results of its steps that were only watched, newest first.
    """
    steps = [*_steps(plan)]
    if not steps:
        return told("Arm a policy", f"{plan.policy} of {plan.system} has no step: armed or not, it only calls people.")
    if plan.mode == "shadow":
        return told("Arm a policy", f"{plan.policy} of {plan.system} is in shadow mode: armed or not, it only watches.")
    lines = _first([f"{plan.policy} of {plan.system}, once armed:"], steps)
    actions = {step.id: step.action for step in plan.steps}
    seen = [
        f"• {each.id}: {actions.get(r.step, r.step)} {plain_intent(r.before, r.after)}" for each, r in past[:MAX_PAST]
    ]
    would = ["Lately it would have done:", *seen] if seen else ["Lately there was nothing that it would have done."]
    blocks = [words("\n".join(lines)), words("\n".join(would)), small(_BY_ITSELF)]
    metadata = json.dumps({"on": [plan.system, plan.policy, plan.policy_hash]})
    return view(action_id("arm", "confirm"), "Arm a policy", blocks, submit="Arm it", metadata=metadata)


def stops(plan: Plan, armed: Armed | None, found: Stopped | None) -> dict[str, Any]:
    """What a policy does no more once it is disarmed, and which open incidents would have gone on; then the button.

    `armed`: by whom, None where it is not. `found`: incidents of this policy, None where they could not be looked up.
    """
    if armed is None:
        nothing = f"{plan.policy} of {plan.system} is not armed: it only says what it would do."
        return told("Disarm a policy", nothing)
    head = f"{plan.policy} of {plan.system}, armed by {armed.by} since {utc(armed.at)}, would no longer do:"
    waits = _UNKNOWN
    if found is not None:
        nothing = looked_at(found, "No open incident waits to do any of it.")
        waits = listed("It would stop what waits to be done:", waiting(found), nothing)
    cut = not_looked_at(found) if found is not None else []
    blocks = [words("\n".join(_first([head], [*_steps(plan)]))), words(waits), *cut, small(_WATCHES)]
    metadata = json.dumps({"on": [plan.system, plan.policy, mark_of(plan, armed)]})
    return view(action_id("disarm", "confirm"), "Disarm a policy", blocks, submit="Disarm it", metadata=metadata)


def mark_of(plan: Plan, armed: Armed) -> str:
    """Tells what would be disarmed from what is armed there later: another policy, or the same one armed anew."""
    return digest(plan.policy_hash, armed.by, armed.at)[:16]


def _first(head: list[str], steps: Sequence[str]) -> list[str]:
    return [*head, *steps[:MAX_STEPS], *([f"and {len(steps) - MAX_STEPS} more"] if len(steps) > MAX_STEPS else [])]


def _steps(plan: Plan) -> Iterator[str]:
    """Each step of the plan in order, then what the ladder's rungs run."""
    for number, step in enumerate(plan.steps, start=1):
        yield f"{number}. {_step(plan, step)}"
    for rung in plan.ladder:
        if rung.step is not None:
            yield f"after {spell(rung.after_ms)}: {_step(plan, rung.step)}"


def _step(plan: Plan, step: Step) -> str:
    on = f" on {step.component}" if step.component else ""
    arguments = " ".join(f"{name}={_plain(value)}" for name, value in json.loads(step.arguments).items())
    alone = step.automatic and plan.mode == "auto"
    told = f"{step.action}{on}{f' {arguments}' if arguments else ''}, {'by itself' if alone else 'if people say yes'}"
    told += f", only if {step.guard[:MAX_GUARD]}" if step.guard else ""
    return told + (f", not again for {spell(step.cooldown_ms)}" if step.cooldown_ms else "")


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
