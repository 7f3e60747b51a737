"""The modals: what is asked before something is done, and what came back of it.

`listeners` opens what this renders and gives what Slack sends back to `read`, which makes a `forms.Form` of it or says
field by field what is wrong. What a modal is about travels in its `private_metadata`. What is shown before it is done
has pages of its own (`run_modals`, `arm_modals`, `lift_modals`, `stop_modals`). Nothing here decides: who may do it is
asked at the desk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bot.adapters.slack.cards.shapes import Block, Message, Ref, Verb, action_id
from bot.adapters.slack.pages import modal_reading, run_modals
from bot.adapters.slack.pages.forms import FieldErrors, Form, SilenceForm
from bot.adapters.slack.pages.inputs import Choice, chosen, chosen_of, number, small, ticked, typed, view, words
from bot.adapters.slack.pages.modal_reading import FOREVER, MAX_MATCHERS, MAX_WORDS, Typed
from bot.core.words import Millis
from bot.engine.action_ports import Component
from bot.errors import InputError
from policies.durations import spell

_MINUTE: Final[Millis] = 60_000
HOLDS: Final = tuple(n * _MINUTE for n in (5, 10, 15, 30, 60, 120, 240, 480, 1_440))
SILENCES: Final = tuple(n * _MINUTE for n in (15, 30, 60, 120, 240, 480, 1_440))  # longer ones belong into Alertmanager
FREEZES: Final = tuple(n * _MINUTE for n in (30, 60, 120, 240, 480, 1_440, 4_320, 10_080))
TOLD: Final = "andon:told"
MAX_LISTED: Final = 20  # alerts named before they are silenced; the rest is counted


@dataclass(frozen=True, slots=True)
class Bound:
    """One argument a person may set to a safer value: from `least` to what was proposed."""

    name: str
    least: float
    most: float


def safer(arguments: Mapping[str, Any], floors: Mapping[str, float]) -> tuple[Bound, ...]:
    """What of a proposed step may be edited: numbers that have a floor on their component, down to that floor.

    Fields have floors because less is safer there; the proposed value is the most anybody is asked to approve.
    """
    numbers = {k: v for k, v in arguments.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return tuple(
        Bound(name, floors[name], float(value))
        for name, value in sorted(numbers.items())
        if name in floors and floors[name] < value
    )


def deny(ref: Ref, what: str) -> dict[str, Any]:
    """No to a question, with the reason."""
    blocks = [words(f"Nothing is sent. No to: {what}"), _why("Why not", "Everybody reads it on the card.")]
    return _about("deny", ref, "Deny", blocks, submit="Deny")


def alone(ref: Ref, what: str, silence: str) -> dict[str, Any]:
    """Yes without a second person, by breaking the glass."""
    blocks = [
        words(f"You approve alone: {what}"),
        words(f"Everybody on call is paged and told that you did. Without a decision: {silence}."),
        _why("Why it cannot wait for a second person", "It stands in the audit, with your name."),
    ]
    return _about("approve", ref, "Approve alone", blocks, submit="Approve alone")


def edit(ref: Ref, what: str, bounds: Sequence[Bound]) -> dict[str, Any]:
    """A safer value than the proposed one."""
    fields = [
        number(
            f"arg.{bound.name}", bound.name, least=bound.least, most=bound.most, initial=f"{bound.most:.15g}",
            hint=f"From {bound.least:g} (its floor) to {bound.most:g} (as proposed). Only towards safety.",
        )
        for bound in bounds
    ]  # fmt: skip
    blocks = [words(f"Instead of: {what}"), *fields, _why("Why", "Kept with the change.")]
    metadata = json.dumps({"ref": ref.text, "bounds": {b.name: [b.least, b.most] for b in bounds}})
    return view(action_id("edit"), "A safer value", blocks, submit="Do this instead", metadata=metadata)


def hold(ref: Ref, reason: str = "") -> dict[str, Any]:
    """The ladder waits. `reason`: what was typed already."""
    blocks = [
        words("The ladder's own actions wait. Paging goes on, and everything else does."),
        _for_how_long(HOLDS, initial=HOLDS[2]),
        _why("Why", "", required=False, initial=reason),
    ]
    return _about("hold", ref, "Hold the ladder", blocks, submit="Show what waits")


def escalate(ref: Ref, next_called: str = "") -> dict[str, Any]:
    """The next rung pages now."""
    who = f"{next_called} is paged now." if next_called else "The next rung pages now."
    blocks = [words(who), _why("What they should know", "", required=False)]
    return _about("escalate", ref, "More people", blocks, submit="Page now")


def resolve(ref: Ref, firing: int = 0) -> dict[str, Any]:
    """The matter is closed by a person."""
    still = f"{firing} alert{'s' if firing != 1 else ''} still fire{'' if firing != 1 else 's'}."
    blocks = [
        words(still if firing else "No alert fires any more."),
        typed("note", "What it was, and what ended it", most=MAX_WORDS, lines=True, required=False),
        ticked(
            "force", "If alerts still fire", "Close it all the same",
            hint="They are dismissed until they fire anew. Without this, it stays open while they fire.",
        ),
    ]  # fmt: skip
    return _about("resolve", ref, "Resolve", blocks, submit="Resolve")


def freeze(
    shards: Sequence[str], components: Sequence[Component], where: str = "|", for_ms: Millis | None = None
) -> dict[str, Any]:
    """Automation off. `where` is `SYSTEM|COMPONENT`; `for_ms` None is until it is lifted."""
    until = [Choice("until somebody lifts it", FOREVER)]
    lengths = sorted({*FREEZES, *(() if for_ms is None else (for_ms,))})
    until += [Choice(f"{spell(ms)}, then people are asked again", spell(ms)) for ms in lengths]
    blocks = [
        words("Nothing is sent there by itself or by approval until it is lifted. Paging goes on."),
        chosen_of("where", "Where", _places(shards, components), initial=where),
        _why("Why", "Shown wherever somebody meets the freeze."),
        chosen("for", "For how long", until, initial=FOREVER if for_ms is None else spell(for_ms)),
    ]
    return view(action_id("freeze"), "Freeze automation", blocks, submit="Show what stops")


def silence(matchers: Sequence[str] = (), for_ms: Millis = SILENCES[2], comment: str = "") -> dict[str, Any]:
    """Alerts that are not to be told for a while; first it is shown which."""
    blocks = [
        words("Alertmanager stops telling these alerts. A silenced alert resolves no incident."),
        typed(
            "matchers", "Which alerts", most=MAX_WORDS * 2, lines=True, initial="\n".join(matchers),
            hint=f'One matcher a line, at most {MAX_MATCHERS}, all must hold: alertname="VaRBreach"',
        ),
        _for_how_long(SILENCES, initial=for_ms),
        _why("Why", "Kept in Alertmanager, with your name.", name="comment", initial=comment),
    ]  # fmt: skip
    return view(action_id("silence"), "Silence alerts", blocks, submit="Show which")


def silence_confirm(form: SilenceForm, alerts: Sequence[str]) -> dict[str, Any]:
    """Which alerts it would silence now; with the second button it is done."""
    named = [f"• {alert}" for alert in alerts[:MAX_LISTED]]
    if len(alerts) > MAX_LISTED:
        named.append(f"and {len(alerts) - MAX_LISTED} more")
    now = f"{len(alerts)} alerts of now would be silent:" if alerts else "No alert of now matches; later ones may."
    blocks = [words("\n".join([now, *named])), words(f"{', '.join(form.matchers)} for {spell(form.for_ms)}")]
    data = {"matchers": form.matchers, "for": form.for_ms, "comment": form.comment}
    metadata = json.dumps(data, ensure_ascii=False)
    return view(action_id("silence", "confirm"), "Silence alerts", blocks, submit="Silence", metadata=metadata)


def told(title: str, text: str) -> dict[str, Any]:
    """What came of it, or that it is being looked at; nothing to send."""
    return view(TOLD, title, [words(text)], submit="")


def answer(message: Message) -> dict[str, Any]:
    """An answer where no message can be shown: over the Home tab."""
    return view(TOLD, "Andon", message.blocks, submit="")


def read(callback: str, metadata: str, values: Mapping[str, Any]) -> Form | FieldErrors:
    """What came back of a modal. Raises InputError when it is none of ours."""
    seen = Typed(values)
    try:
        form = run_modals.read(callback, metadata, seen) or modal_reading.read(callback, metadata, seen)
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # JSON of another shape than what we put there
        raise InputError("private_metadata", "is not what Andon put there; open the form again") from error
    return FieldErrors(seen.problems) if seen.problems else form


def _about(verb: Verb, ref: Ref, title: str, blocks: list[Block], *, submit: str) -> dict[str, Any]:
    """A modal about one incident, which it names."""
    return view(action_id(verb), title, [*blocks, small(ref.incident)], submit=submit, metadata=ref.text)


def _why(label: str, hint: str, *, name: str = "reason", required: bool = True, initial: str = "") -> Block:
    return typed(name, label, hint=hint, most=MAX_WORDS, lines=True, required=required, initial=initial)


def _for_how_long(durations: Sequence[Millis], *, initial: Millis) -> Block:
    every = sorted({*durations, initial})
    return chosen("for", "For how long", [Choice(spell(ms), spell(ms)) for ms in every], initial=spell(initial))


def _places(shards: Sequence[str], components: Sequence[Component]) -> dict[str, list[Choice]]:
    """Everything, each system, each component."""
    groups = {"Everything": [Choice("every system", "|")]}
    for shard in shards:
        inside = [Choice(f"{shard} / {c.name}", f"{shard}|{c.name}") for c in components if c.system == shard]
        groups[shard] = [Choice(f"all of {shard}", f"{shard}|"), *inside]
    return groups
