"""What a modal sends back, read: every field's value by its name, and what is wrong with it in a sentence.

Called by `modals.read`. Slack refuses what its own fields forbid (lengths, bounds); all of it is judged again here,
because what comes in is only text from outside, and once more at the desk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from bot.adapters.slack.cards.shapes import PREFIX, Ref
from bot.adapters.slack.pages import forms
from bot.adapters.slack.pages.inputs import FIELD
from bot.core.words import Millis
from bot.errors import InputError
from policies import durations, matchers
from policies.problems import UnclearError

MAX_WORDS: Final = 500  # characters of a reason, as at every other door
MAX_MATCHERS: Final = 20  # a silence that needs more is two silences
MAX_NUMBER: Final = 30  # characters of a number
MAX_HOLD_MS: Final[Millis] = 24 * 3_600_000
MAX_FREEZE_MS: Final[Millis] = 30 * 86_400_000
FOREVER: Final = "until-lifted"


class Typed:
    """What was typed, by field. A field that is wrong leaves its sentence in `problems` and a harmless value."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self.problems: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str, *, required: bool = True, most: int = MAX_WORDS) -> str:
        """A text, without blanks around it."""
        said = str(self._element(name).get("value") or "").encode("utf-8", "replace").decode().strip()
        if required and not said:
            self.problems[name] = "Write at least a word: somebody will want to know."
        elif len(said) > most:
            self.problems[name] = f"This has {len(said)} characters; {most} fit."
        return said

    def choice(self, name: str) -> str:
        """The value chosen from a list; "" where none is."""
        picked = self._element(name).get("selected_option")
        return str(picked.get("value", "")) if isinstance(picked, Mapping) else ""

    def must_choose(self, name: str) -> str:
        """The value chosen from a list."""
        picked = self.choice(name)
        if not picked:
            self.problems[name] = "Choose one."
        return picked

    def ticked(self, name: str) -> bool:
        """Whether the box is ticked."""
        return bool(self._element(name).get("selected_options"))

    def number(self, name: str, *, required: bool = True, whole: bool = False) -> int | float | None:
        """A number; None where an optional one was left out."""
        said = str(self._element(name).get("value") or "").strip()
        if not said:
            if required:
                self.problems[name] = "Write a number."
            return None
        read = int if whole or said.lstrip("+-").isdigit() else float
        try:
            found = read(said[:MAX_NUMBER])
        except ValueError:
            found = float("nan")
        if not abs(found) < float("inf") or len(said) > MAX_NUMBER:  # the first is also false for what is no number
            self.problems[name] = "Write a whole number, like 5." if whole else "Write a number, like 0.1."
            return None
        return found

    def duration(self, name: str, most: Millis) -> Millis:
        """A length of time, chosen or typed."""
        said = self.choice(name) or str(self._element(name).get("value") or "").strip()
        try:
            found = durations.parse(said)
        except UnclearError:
            self.problems[name] = "Write it like 90s, 15m or 1h30m."
            return 0
        if not 1_000 <= found <= most:
            self.problems[name] = f"From 1s to {durations.spell(most)}."
        return found

    def _element(self, name: str) -> Mapping[str, Any]:
        block = self._values.get(name)
        element = block.get(FIELD) if isinstance(block, Mapping) else None
        return element if isinstance(element, Mapping) else {}


def read(callback: str, metadata: str, seen: Typed) -> forms.Form:
    """The form of one modal. Raises InputError when the modal is none of ours."""
    match callback.removeprefix(PREFIX):
        case "deny":
            return forms.DenyForm(ref=Ref.read(metadata), reason=seen.text("reason"))
        case "approve":
            return forms.AloneForm(ref=Ref.read(metadata), reason=seen.text("reason"))
        case "edit":
            return _edit(metadata, seen)
        case "hold" | "hold:confirm" | "freeze" | "freeze:confirm" as verb:
            return _stopping(verb, metadata, seen)
        case "escalate":
            return forms.EscalateForm(ref=Ref.read(metadata), reason=seen.text("reason", required=False))
        case "resolve":
            note = seen.text("note", required=False)
            return forms.ResolveForm(ref=Ref.read(metadata), note=note, force=seen.ticked("force"))
        case "unfreeze":
            at, _, shown = seen.must_choose("where").rpartition("|")
            system, _, component = at.partition("|")
            return forms.UnfreezeForm(system=system, component=component, seen=shown)
        case "unfreeze:confirm":
            about = carried(metadata)
            system, component = map(str, about["on"])
            return forms.UnfreezeForm(system=system, component=component, shown=tuple(map(str, about["shown"])))
        case "arm" | "arm:confirm" | "disarm" | "disarm:confirm" as verb:
            return _arm(verb, metadata, seen)
        case "silence":
            return _silence(seen)
        case "silence:confirm":
            return _silence_confirmed(metadata)
    raise InputError("callback_id", "is not a form of Andon's; open it again")


def _arm(verb: str, metadata: str, seen: Typed) -> forms.ArmForm:
    verb, _, confirmed = verb.partition(":")
    if confirmed:
        system, policy, shown = map(str, carried(metadata)["on"])
        return forms.ArmForm(system=system, policy=policy, on=verb == "arm", seen=shown)
    system, policy = where(seen, "policy")
    return forms.ArmForm(system=system, policy=policy, on=verb == "arm")


def carried(metadata: str) -> Mapping[str, Any]:
    """What a modal carries as JSON. Raises InputError."""
    try:
        found = json.loads(metadata)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError("private_metadata", "is not what Andon put there; open the form again")
    return found


def where(seen: Typed, name: str) -> tuple[str, str]:
    """`SYSTEM|COMPONENT`, as chosen; either may be ""."""
    picked = seen.must_choose(name)
    system, bar, component = picked.partition("|")
    if picked and (not bar or "|" in component):
        seen.problems[name] = "Choose one of the list."
    return system, component


def _edit(metadata: str, seen: Typed) -> forms.EditForm:
    about = carried(metadata)
    arguments: dict[str, float] = {}
    for name, (least, most) in about["bounds"].items():
        found = seen.number(f"arg.{name}")
        if found is not None and not least <= found <= most:
            seen.problems[f"arg.{name}"] = f"Only from {least:g} to {most:g}: towards safety, and not below the floor."
        elif found is not None:
            arguments[name] = found
    if arguments and not seen.problems and all(arguments[n] == most for n, (_, most) in about["bounds"].items()):
        seen.problems[f"arg.{next(iter(arguments))}"] = "This is what was proposed; approve it on the card instead."
    return forms.EditForm(ref=Ref.read(about["ref"]), arguments=arguments, reason=seen.text("reason"))


def _stopping(verb: str, metadata: str, seen: Typed) -> forms.HoldForm | forms.FreezeForm:
    match verb:
        case "hold":
            for_ms, reason = seen.duration("for", MAX_HOLD_MS), seen.text("reason", required=False)
            return forms.HoldForm(ref=Ref.read(metadata), for_ms=for_ms, reason=reason)
        case "freeze":
            system, component = where(seen, "where")
            lasting = None if seen.choice("for") == FOREVER else seen.duration("for", MAX_FREEZE_MS)
            return forms.FreezeForm(system=system, component=component, reason=seen.text("reason"), for_ms=lasting)
    about = carried(metadata)
    lasting, reason = None if about["for"] is None else int(about["for"]), str(about["reason"])
    if verb == "hold:confirm":
        return forms.HoldForm(ref=Ref.read(about["ref"]), for_ms=lasting or 0, reason=reason, confirmed=True)
    system, component = map(str, about["on"])
    return forms.FreezeForm(system=system, component=component, reason=reason, for_ms=lasting, confirmed=True)


def _silence(seen: Typed) -> forms.SilenceForm:
    lines = tuple(line.strip() for line in seen.text("matchers", most=2 * MAX_WORDS).splitlines() if line.strip())
    if len(lines) > MAX_MATCHERS:
        seen.problems["matchers"] = f"These are {len(lines)} matchers; at most {MAX_MATCHERS} fit one silence."
    else:
        _judge_matchers(seen, lines)
    for_ms, comment = seen.duration("for", MAX_HOLD_MS), seen.text("comment")
    return forms.SilenceForm(matchers=lines, for_ms=for_ms, comment=comment)


def _judge_matchers(seen: Typed, lines: tuple[str, ...]) -> None:
    """Each is a matcher, and at least one of them needs a label: else everything would be silent."""
    try:
        read = [matchers.parse(line) for line in lines]
    except UnclearError as error:
        seen.problems["matchers"] = str(error)
        return
    if read and all(matcher.accepts("") for matcher in read):
        seen.problems["matchers"] = 'These match every alert there is. Name a label, like alertname="VaRBreach".'


def _silence_confirmed(metadata: str) -> forms.SilenceForm:
    about = carried(metadata)
    return forms.SilenceForm(
        matchers=tuple(about["matchers"]), for_ms=about["for"], comment=about["comment"], confirmed=True
    )
