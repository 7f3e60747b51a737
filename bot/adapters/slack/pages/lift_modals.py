"""The pages of `/andon unfreeze`: which freeze, what its end would let loose, then the button. Pure.

`freezes` gathers what `preview` shows. What is let loose may act at once, so it is never done unseen.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bot.adapters.slack.cards.phrases import place
from bot.adapters.slack.cards.shapes import action_id
from bot.adapters.slack.pages.forms import UnfreezeForm, mark
from bot.adapters.slack.pages.inputs import Choice, chosen, small, view, words
from bot.adapters.slack.pages.modals import told
from bot.adapters.slack.pages.stop_modals import Stopped, acting, listed, reach, waiting
from bot.core.ids import digest

MAX_MARKS: Final = 150  # that a page carries, each of eight characters; of more it carries one that stands for all
_TITLE: Final = "Unfreeze automation"
_DENIED: Final = "What was denied meanwhile does not start by itself."
_CHANGED: Final = "Not done: this is not as it was when you looked. Read it again."
_UNKNOWN: Final = "What would be let loose could not be looked up in time. Nothing was done; do it again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifted:
    """What an end of freezes means.

    `off`: why automation is off there, by whom and since when. `still`: `SYSTEM|COMPONENT` of what stays frozen all the
    same. `loose`: what nothing would hold back any more.
    """

    off: Sequence[str]
    still: Sequence[str]
    loose: Stopped


def choose(frozen: Mapping[str, str]) -> dict[str, Any]:
    """Which one. `frozen`: `SYSTEM|COMPONENT` -> by whom and why."""
    if not frozen:
        return told("Unfreeze", "Nothing is frozen.")
    choices = [Choice(f"{place(at)} — {why}", f"{at}|{mark(why)}") for at, why in frozen.items()]
    only = choices[0].value if len(choices) == 1 else ""
    blocks = [words(_DENIED), chosen("where", "Which freeze", choices, initial=only)]
    return view(action_id("unfreeze"), _TITLE, blocks, submit="Show what it lets loose")


def preview(form: UnfreezeForm, found: Lifted | None) -> dict[str, Any]:
    """What is off and why, what would go on, then the button. `found` None: it could not be looked up in time."""
    if found is None:
        return told("Unfreeze", _UNKNOWN)
    if not found.off:
        return told("Unfreeze", f"Nothing is frozen there: {reach(form.system, form.component)}.")
    blocks = [words(_CHANGED)] if form.shown is not None else []
    blocks += [
        words(listed("Would be lifted:", [f"• {each}" for each in found.off], "")),
        words(listed("What waits would go on:", waiting(found.loose), "No open incident waits to do anything there.")),
        words(listed("These may act again from then on:", acting(found.loose), "No policy is armed there.")),
    ]
    if found.still:
        blocks.append(words(listed("These stay frozen:", [f"• {place(each)}" for each in found.still], "")))
    metadata = json.dumps({"on": [form.system, form.component], "shown": marks(found)})
    return view(
        action_id("unfreeze", "confirm"), _TITLE, [*blocks, small(_DENIED)], submit="Unfreeze", metadata=metadata
    )


def marks(found: Lifted) -> tuple[str, ...]:
    """One for each thing on the page, whatever there was no room for included."""
    every: list[tuple[str, ...]] = [("off", each) for each in found.off]
    every += [("ahead", incident.id, step.id) for incident, steps in found.loose.pending for step in steps]
    every += [("acts", plan.system, plan.policy, plan.policy_hash) for plan in found.loose.armed]
    made = sorted({digest(*each)[:8] for each in every})
    return tuple(made) if len(made) <= MAX_MARKS else (digest(*made)[:8],)


def is_as_shown(found: Lifted, shown: Collection[str]) -> bool:
    """Whether nothing is lifted or let loose that was not on the page; there may be less of it by now."""
    return bool(found.off) and set(marks(found)) <= set(shown)
