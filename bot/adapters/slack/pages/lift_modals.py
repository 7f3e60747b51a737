"""The pages of `/andon unfreeze`: which freeze, what its end would let loose, then the button. Pure.

`freezes` gathers what `preview` shows. What is let loose may act at once, so it is never done unseen.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bot.adapters.slack.cards.phrases import place
from bot.adapters.slack.cards.shapes import Block, action_id
from bot.adapters.slack.pages.forms import UnfreezeForm, mark
from bot.adapters.slack.pages.inputs import Choice, chosen, small, view, words
from bot.adapters.slack.pages.modals import told
from bot.adapters.slack.pages.stop_modals import (
    Stopped,
    acting,
    listed,
    looked_at,
    not_looked_at,
    reach,
    waiting,
)
from bot.core.ids import digest
from bot.core.incident import Incident
from bot.core.plan import Plan, Step

MAX_MARKS: Final = 150  # that a page carries, each of eight characters
_TITLE: Final = "Unfreeze automation"
_DENIED: Final = "What was denied meanwhile does not start by itself."
_CHANGED: Final = "Not done: this is not as it was when you looked. Read it again."
_PARTLY: Final = "There is more than when you looked. Read it again."
_MANY: Final = "These are many, so what opens while you read this would go on too."
_BY_HAND: Final = "`andon unfreeze` on the command line lifts without looking."
_ANY: Final = "*"  # among the marks of a page: it said that incidents it does not name would go on too
_UNKNOWN: Final = "What would be let loose could not be looked up in time. Nothing was done; do it again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifted:
    """What an end of freezes means.

    `off`: why automation is off there, by whom and since when; `seen`: that as `bot.core.lifts` has it. `still`:
    `SYSTEM|COMPONENT` of what stays frozen all the same. `loose`: what nothing would hold back any more.
    """

    off: Sequence[str]
    still: Sequence[str]
    loose: Stopped
    seen: Sequence[str] = ()


def choose(frozen: Mapping[str, str]) -> dict[str, Any]:
    """Which one. `frozen`: `SYSTEM|COMPONENT` -> by whom and why."""
    if not frozen:
        return told("Unfreeze", "Nothing is frozen.")
    choices = [Choice(f"{place(at)} — {why}", f"{at}|{mark(why)}") for at, why in frozen.items()]
    only = choices[0].value if len(choices) == 1 else ""
    blocks = [words(_DENIED), chosen("where", "Which freeze", choices, initial=only)]
    return view(action_id("unfreeze"), _TITLE, blocks, submit="Show what it lets loose")


def preview(form: UnfreezeForm, found: Lifted | None, done: str = "") -> dict[str, Any]:
    """What is off and why, what would go on, then the button; shown anew, what is new comes first and is called so.

    `found` None: it could not be looked up in time. `done`: what came of the part that was as it was shown.
    """
    if found is None:
        return told("Unfreeze", " ".join([done, _UNKNOWN]).strip())
    if not found.off:
        return told("Unfreeze", done or f"Nothing is frozen there: {reach(form.system, form.component)}.")
    blocks = _heads(form, done)
    seen = frozenset(form.shown) if form.shown is not None else None
    off = _new_first([f"• {each}" for each in found.off], [{_off(each)} for each in found.off], seen)
    pending = found.loose.pending
    ahead = [{_ahead(incident, step) for step in steps} for incident, steps in pending]
    waits = _new_first(waiting(found.loose), ahead, None if seen is None or _ANY in seen else seen)
    acts = _new_first(acting(found.loose), [{_acts(plan)} for plan in found.loose.armed], seen)
    nothing = looked_at(found.loose, "No open incident waits to do anything there.")
    shown = marks(found)
    blocks += [
        words(listed("Would be lifted:", off, "")),
        words(listed("What waits would go on:", waits, nothing)),
        *not_looked_at(found.loose),
        *([words(f"{_MANY} {_BY_HAND}")] if _ANY in shown else []),
        words(listed("These may act again from then on:", acts, "No policy is armed there.")),
    ]
    if found.still:
        blocks.append(words(listed("These stay frozen:", [f"• {place(each)}" for each in found.still], "")))
    metadata = json.dumps({"on": [form.system, form.component], "shown": shown})
    return view(
        action_id("unfreeze", "confirm"), _TITLE, [*blocks, small(_DENIED)], submit="Unfreeze", metadata=metadata
    )


def _heads(form: UnfreezeForm, done: str) -> list[Block]:
    if done:
        return [words(done), words(_PARTLY)]
    return [words(_CHANGED)] if form.shown is not None else []


def _new_first(lines: Sequence[str], about: Sequence[Collection[str]], seen: Collection[str] | None) -> list[str]:
    """Lines about what was not shown before, named as new, before those that were. `seen` None: nobody can tell."""
    if seen is None:
        return list(lines)
    new = [not set(each) <= set(seen) for each in about]
    told = [f"• new: {line.removeprefix('• ')}" for line, is_new in zip(lines, new, strict=True) if is_new]
    return told + [line for line, is_new in zip(lines, new, strict=True) if not is_new]


def marks(found: Lifted) -> tuple[str, ...]:
    """One for each thing on the page, whatever there was no room for included.

    Of more than a page carries, or where not all was looked at: of what stops automation and which policies act, with
    `_ANY` for the incidents. In a storm there is another one every moment, and nobody could ever unfreeze.
    """
    held, ahead = _held(found), _all_ahead(found)
    if found.loose.cut or len(held | ahead) > MAX_MARKS:
        return (_ANY, *(sorted(held) if len(held) < MAX_MARKS else [_one_for(held)]))
    return tuple(sorted(held | ahead))


def is_as_shown(found: Lifted, shown: Collection[str]) -> bool:
    """Whether nothing is lifted or let loose that was not on the page; there may be less of it by now."""
    held = _held(found)
    if not found.off:
        return False
    if _ANY in shown:
        return held <= set(shown) or _one_for(held) in shown
    return not found.loose.cut and held | _all_ahead(found) <= set(shown)


def _held(found: Lifted) -> frozenset[str]:
    return frozenset(map(_off, found.off)) | frozenset(map(_acts, found.loose.armed))


def _all_ahead(found: Lifted) -> frozenset[str]:
    return frozenset(_ahead(incident, step) for incident, steps in found.loose.pending for step in steps)


def _one_for(every: Collection[str]) -> str:
    return _short("all", *sorted(every))


def _off(why: str) -> str:
    return _short("off", why)


def _ahead(incident: Incident, step: Step) -> str:
    return _short("ahead", incident.id, step.id)


def _acts(plan: Plan) -> str:
    return _short("acts", plan.system, plan.policy, plan.policy_hash)


def _short(*what: str) -> str:
    return digest(*what)[:8]
