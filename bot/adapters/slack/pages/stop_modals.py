"""The page before a freeze or a hold: what it would stop, as far as it can be foreseen, then the button. Pure.

`stopping` gathers what `freeze` shows. Only who fills in a form sees these: what is typed whole is done at once.
What they say of steps and policies, `arm_modals` and `lift_modals` say with the same words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bot.adapters.slack.cards.phrases import place
from bot.adapters.slack.cards.shapes import Block, action_id
from bot.adapters.slack.cards.text import span
from bot.adapters.slack.pages.forms import FreezeForm, HoldForm
from bot.adapters.slack.pages.inputs import small, view, words
from bot.core.incident import Incident, Status
from bot.core.plan import Plan, Step
from bot.core.words import Millis
from bot.engine import outlook
from policies.durations import spell

MAX_LISTED: Final = 15  # incidents, policies or rungs on the page
MAX_STEPS: Final = 4  # of one of them
_UNSENT: Final[frozenset[Status]] = frozenset({"open", "diagnosing", "acting", "awaiting_approval"})
_UNKNOWN: Final = "What it would stop could not be looked up in time. It stops it all the same."


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """What a freeze stops, and its end lets loose: incidents with what they have ahead, and policies that act there.

    `cut`: how many open incidents were looked at in a system that has more of them; 0: there is none such.
    """

    pending: Sequence[tuple[Incident, Sequence[Step]]]
    armed: Sequence[Plan]
    cut: int = 0


def ahead(incident: Incident, component: str = "") -> list[Step]:
    """What it may still send, by itself or once people say yes: steps, then rungs; on one component where one is named.

    The step under way is one of them: the record does not say whether it was sent.
    """
    plan, steps = incident.plan, list[Step]()
    if plan is None:
        return []
    if incident.status in _UNSENT and not incident.taken_by:
        steps += plan.steps[incident.cursor :]
    elif incident.status == "verifying" and not incident.taken_by:
        steps += plan.steps[incident.cursor + 1 :]
    rungs = [plan.ladder[number] for _, number in _acting(incident)]
    steps += [r.step for r in rungs if r.step is not None and (not incident.taken_by or r.until == "resolved")]
    return [step for step in steps if component in ("", step.component)]


def _acting(incident: Incident) -> Iterator[tuple[outlook.Coming, int]]:
    """The rungs to come that run something, soonest first, with their numbers from 0."""
    ladder = incident.plan.ladder if incident.plan is not None else ()
    for each in outlook.coming(incident):
        number = outlook.rung_number(each.timer)
        if number is not None and number < len(ladder) and ladder[number].step is not None:
            yield each, number


def freeze(form: FreezeForm, found: Stopped | None) -> dict[str, Any]:
    """What a freeze would stop. `found` None: it could not be looked up in time."""
    where = reach(form.system, form.component)
    until = "until somebody lifts it" if form.for_ms is None else f"for {spell(form.for_ms)}, then people are asked"
    blocks = [words(f"Frozen would be {where}, {until}.")]
    if found is None:
        blocks.append(words(_UNKNOWN))
    else:
        waits = [f"• {incident.id}: {_steps(steps, on=True)}" for incident, steps in found.pending]
        nothing = looked_at(found, "Nothing waits to be done there.")
        blocks.append(words(listed("It would stop what waits to be done:", waits, nothing)))
        blocks += not_looked_at(found)
        blocks.append(words(listed("From then on these do nothing:", acting(found), "No policy is armed there.")))
    blocks.append(small("What was sent already goes on, and so does paging."))
    data = {"on": [form.system, form.component], "reason": form.reason, "for": form.for_ms}
    metadata = json.dumps(data, ensure_ascii=False)
    return view(action_id("freeze", "confirm"), "Freeze automation", blocks, submit="Freeze", metadata=metadata)


def hold(form: HoldForm, incident: Incident, now: Millis) -> dict[str, Any]:
    """Which rungs would have run what and when; where none comes due in time, there is nothing to hold."""
    until, lasting = max(now + form.for_ms, incident.held_until), spell(form.for_ms)
    held = [
        f"• in {span(max(0, each.due - now))}: {each.words}"
        for each, _ in _acting(incident)
        if each.due is not None and each.due < now + form.for_ms
    ]
    title, about = "Hold the ladder", small(incident.id)
    if not held:
        nothing = f"No action of the ladder would begin within {lasting}: there is nothing to hold back."
        return view(action_id("hold", "confirm"), title, [words(nothing), about], submit="")
    told = listed(f"What these run would wait, for {span(until - now)} from now at least:", held, "")
    blocks = [words(told), small("Whom they page is paged all the same."), about]
    metadata = json.dumps({"ref": form.ref.text, "for": form.for_ms, "reason": form.reason}, ensure_ascii=False)
    return view(action_id("hold", "confirm"), title, blocks, submit="Hold", metadata=metadata)


def steps_of(plan: Plan) -> list[Step]:
    """All that a policy may ever send: its steps, then what its ladder runs."""
    return [*plan.steps, *(rung.step for rung in plan.ladder if rung.step is not None)]


def reach(system: str, component: str) -> str:
    """How far it goes, as people say it."""
    where = place(f"{system}|{component}")
    return where if component or not system else f"all of {where}"


def waiting(found: Stopped) -> list[str]:
    """A line for each incident: what it would send by itself, and what once people say yes."""
    told = []
    for incident, steps in found.pending:
        auto = incident.plan is not None and incident.plan.mode == "auto"
        alone = [step for step in steps if step.automatic and auto]
        asks = [step for step in steps if step not in alone]
        parts = [f"by itself {_steps(alone, on=True)}"] if alone else []
        parts += [f"if people say yes {_steps(asks, on=True)}"] if asks else []
        told.append(f"• {incident.id}: {'; '.join(parts)}")
    return told


def looked_at(found: Stopped, nothing: str) -> str:
    """`nothing`, where all was looked at."""
    return f"None of the {found.cut} incidents looked at waits to do anything there." if found.cut else nothing


def not_looked_at(found: Stopped) -> list[Block]:
    """A remark, where there is more than was looked at."""
    told = f"Only the newest {found.cut} open incidents of a system were looked at, and it has more: of the older ones"
    return [words(f"{told} nothing is told here. `andon show INCIDENT` tells of each.")] if found.cut else []


def acting(found: Stopped) -> list[str]:
    """A line for each policy that acts."""
    return [f"• {plan.policy}: {_steps(steps_of(plan))}" for plan in found.armed]


def _steps(steps: Sequence[Step], *, on: bool = False) -> str:
    told = list(dict.fromkeys(f"{s.action} on {s.component}" if on and s.component else s.action for s in steps))
    rest = [f"and {len(told) - MAX_STEPS} more"] if len(told) > MAX_STEPS else []
    return ", ".join([*told[:MAX_STEPS], *rest])


def listed(head: str, told: Sequence[str], nothing: str) -> str:
    """The lines under their heading, those that fit; `nothing` where there are none."""
    if not told:
        return nothing
    rest = [f"and {len(told) - MAX_LISTED} more"] if len(told) > MAX_LISTED else []
    return "\n".join([head, *told[:MAX_LISTED], *rest])
