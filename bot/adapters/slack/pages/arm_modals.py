"""The pages of `/andon arm`: which policy, what it would do by itself, then the button. Pure.

To disarm lets nothing happen, so that is one page.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from bot.adapters.slack.cards.phrases import plain_intent
from bot.adapters.slack.cards.shapes import action_id
from bot.adapters.slack.pages.inputs import Choice, chosen_of, small, view, words
from bot.adapters.slack.pages.modals import told
from bot.core.incident import Incident, StepResult
from bot.core.plan import Plan, Step
from policies.durations import spell

MAX_STEPS: Final = 12  # of one policy, told before it is armed
MAX_PAST: Final = 5  # of what it would have done
MAX_GUARD: Final = 200

_BY_ITSELF: Final = "From the next alert on it does this by itself, as far as its plan and the laws let it."
_WATCHES: Final = "From now on it only says what it would do. What is under way goes on."


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
    return view(action_id("disarm"), "Disarm a policy", blocks, submit="Disarm")


def preview(plan: Plan, past: Sequence[tuple[Incident, StepResult]]) -> dict[str, Any]:
    """What an armed policy does, and what it only said lately because it was not armed; then the button.

    `past`: results of its steps that were only watched, newest first.
    """
    steps = [*_steps(plan)]
    if not steps:
        return told("Arm a policy", f"{plan.policy} of {plan.system} has no step: armed or not, it only calls people.")
    if plan.mode == "shadow":
        return told("Arm a policy", f"{plan.policy} of {plan.system} is in shadow mode: armed or not, it only watches.")
    head = f"{plan.policy} of {plan.system}, once armed:"
    lines = [head, *steps[:MAX_STEPS]] + ([f"and {len(steps) - MAX_STEPS} more"] if len(steps) > MAX_STEPS else [])
    actions = {step.id: step.action for step in plan.steps}
    seen = [
        f"• {each.id}: {actions.get(r.step, r.step)} {plain_intent(r.before, r.after)}" for each, r in past[:MAX_PAST]
    ]
    would = ["Lately it would have done:", *seen] if seen else ["Lately there was nothing that it would have done."]
    blocks = [words("\n".join(lines)), words("\n".join(would)), small(_BY_ITSELF)]
    metadata = json.dumps({"on": [plan.system, plan.policy, plan.policy_hash]})
    return view(action_id("arm", "confirm"), "Arm a policy", blocks, submit="Arm it", metadata=metadata)


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
