"""`/andon run` as modals: which action and on what, its fields, what it would do now, and only then the button.

Part of `modals`. The fields come from the action's own parameter schema; its own model judges them again when it is
ordered. The pages follow one another as updates of one view, so Slack keeps what was typed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bot.adapters.slack.cards.phrases import place
from bot.adapters.slack.cards.shapes import Block, action_id
from bot.adapters.slack.pages.forms import RunChoice, RunForm
from bot.adapters.slack.pages.inputs import (
    MAX_TYPED,
    Choice,
    chosen,
    chosen_of,
    number,
    small,
    ticked,
    typed,
    view,
    words,
)
from bot.adapters.slack.pages.modal_reading import MAX_WORDS, Typed, carried
from bot.core.action import ActionSpec
from bot.core.words import JsonText
from bot.engine import figures
from bot.engine.action_ports import Component

CHOOSE: Final = action_id("run")
FIELDS: Final = action_id("run", "fields")
CONFIRM: Final = action_id("run", "confirm")
_TITLE: Final = "Run an action"
_ANY: Final = "*"  # the role of actions that take any component


def choose(
    actions: Sequence[ActionSpec], components: Sequence[Component], shards: Sequence[str],
    given: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """First page: every action under the component it can act on. `given`: arguments that were typed already."""
    groups: dict[str, list[Choice]] = {}
    for component in components:
        fit = [spec for spec in actions if spec.role and spec.role in (component.role, _ANY)]
        where = f"{component.system}|{component.name}"
        groups[place(where)] = [Choice(spec.name, f"{where}|{spec.name}") for spec in fit]
    for shard in shards:
        groups[shard] = [Choice(spec.name, f"{shard}||{spec.name}") for spec in actions if not spec.role]
    every = [choice for choices in groups.values() for choice in choices if choice.fits]
    if not every:
        return view(CHOOSE, _TITLE, [words("There is no component here that this could act on.")], submit="")
    blocks = [
        words("What it would do is shown before anything is done."),
        chosen_of("what", "Which action, and on what", groups, initial=every[0].value if len(every) == 1 else ""),
        small("Not in the list? Type it: /andon run ACTION SYSTEM/COMPONENT name=value"),
    ]
    metadata = json.dumps({"given": given}, ensure_ascii=False) if given else ""
    return view(CHOOSE, _TITLE, blocks, submit="Next", metadata=metadata)


def fields(
    choice: RunChoice, spec: ActionSpec, schema: JsonText, given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Second page: one field for each parameter, with what was typed already."""
    declared = json.loads(schema)
    needed, given = set(declared.get("required", ())), given or {}
    inputs: list[Block] = []
    kinds: dict[str, str] = {}
    for name, parameter in declared.get("properties", {}).items():
        kinds[name] = _kind(parameter)
        shown = given.get(name, parameter.get("default"))
        inputs.append(_input(name, parameter, kinds[name], shown, required=name in needed))
    if "reason" not in kinds:
        said = str(given.get("reason", ""))
        inputs.append(typed("reason", "Why", most=MAX_WORDS, lines=True, hint="Kept in the audit.", initial=said))
    about = f"{spec.name} on {place(f'{choice.system}|{choice.component}')}: {spec.summary}"
    blocks = [words(about), small(f"{spec.risk}, {_EXPOSURE[spec.direction]}"), *inputs]
    return view(FIELDS, _TITLE, blocks, submit="Show what it would do", metadata=_metadata(choice, kinds=kinds))


_EXPOSURE: Final = {
    "lowers": "lowers exposure", "neutral": "leaves exposure as it is", "raises": "raises exposure",
}  # fmt: skip


def preview(form: RunForm, seen: Mapping[str, Any]) -> dict[str, Any]:
    """Third page: what the order would do now, and whose yes it needs. `seen` is the answer to a dry run.

    Raises InputError when the arguments are more than a modal can carry.
    """
    choice = RunChoice(system=form.system, component=form.component, action=form.action)
    lines = [f"{form.action} on {place(f'{form.system}|{form.component}')}", f"It {_OUTCOME[seen['outcome']]}."]
    lines += [seen["why"]] if seen["why"] else []
    if seen["outcome"] == "would act":
        changes = figures.intended(seen["before"], seen["wanted"])
        lines += [f"{each.name}: {each.was} → {each.now}" for each in changes] or ["What changes cannot be read now."]
    lines += [f"by hand: {seen['by_hand']}"] if seen["by_hand"] else []
    if seen.get("stopped"):
        return view(CONFIRM, _TITLE, [words("\n".join(lines)), words(f"Stopped: {seen['stopped']}")], submit="")
    lines.append(_whose_word(seen))
    acts = seen["outcome"] == "would act"
    metadata = _metadata(choice, args=dict(form.arguments), reason=form.reason) if acts else ""
    return view(CONFIRM, _TITLE, [words("\n".join(lines))], submit="Run it" if acts else "", metadata=metadata)


_OUTCOME: Final = {
    "would act": "would act",
    "nothing to do": "has nothing to do",
    "cannot tell": "cannot tell what it would do",
    "refused": "would refuse",
}


def _whose_word(seen: Mapping[str, Any]) -> str:
    if seen["your_word_is_enough"]:
        return f"Your word is enough: {seen['approval']}"
    able = ", ".join(seen["may_approve"]) or "nobody"
    return f"{seen['quorum']} must say yes first ({able} may): {seen['approval']}"


def read(callback: str, metadata: str, seen: Typed) -> RunChoice | RunForm | None:
    """What came back of one of these pages; None when it is another modal."""
    if callback == CHOOSE:
        return _choice(metadata, seen)
    if callback not in (FIELDS, CONFIRM):
        return None
    about = carried(metadata)
    system, component, action = about["on"]
    if callback == CONFIRM:
        return RunForm(
            system=system, component=component, action=action, arguments=about["args"], reason=about["reason"],
            confirmed=True,
        )  # fmt: skip
    arguments = {
        name: value for name, kind in about["kinds"].items() if (value := _value(name, kind, seen)) is not None
    }
    reason = seen.text("reason") if "reason" in seen else str(arguments.get("reason", ""))[:MAX_WORDS]
    return RunForm(system=system, component=component, action=action, arguments=arguments, reason=reason)


def _metadata(choice: RunChoice, **more: Any) -> str:
    return json.dumps({"on": [choice.system, choice.component, choice.action], **more}, ensure_ascii=False)


def _choice(metadata: str, seen: Typed) -> RunChoice:
    parts = seen.must_choose("what").split("|")
    if len(parts) != 3:
        seen.problems.setdefault("what", "Choose one of the list.")
        parts = ["", "", ""]
    given = dict(carried(metadata)["given"]) if metadata else {}
    return RunChoice(system=parts[0], component=parts[1], action=parts[2], given=given)


def _kind(parameter: Mapping[str, Any]) -> str:
    """How a parameter is typed: whole, number, box, text, lines (one text a line), or json."""
    match parameter.get("type"):
        case "integer":
            return "whole"
        case "number":
            return "number"
        case "boolean":
            return "box"
        case "string":
            return "one" if parameter.get("enum") else "text"
        case "array" if parameter.get("items", {}).get("type") == "string":
            return "lines"
        case _:
            return "json"


def _input(name: str, parameter: Mapping[str, Any], kind: str, shown: Any, *, required: bool) -> Block:
    """The field of one parameter."""
    field, hint = f"arg.{name}", str(parameter.get("description", ""))
    initial = "" if shown is None else shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
    match kind:
        case "whole" | "number":
            return number(
                field, name, whole=kind == "whole", least=parameter.get("minimum"), most=parameter.get("maximum"),
                hint=hint, initial=initial, required=required,
            )  # fmt: skip
        case "box":
            return ticked(field, name, "yes", hint=hint, initial=shown is True)
        case "one":
            choices = [Choice(str(each), str(each)) for each in parameter["enum"]]
            return chosen(field, name, choices, initial=initial, hint=hint, required=required)
        case "lines":
            text = "\n".join(map(str, shown)) if isinstance(shown, list) else ""
            return typed(field, name, hint=f"{hint} One a line.", initial=text, lines=True, required=required)
        case "json":
            return typed(field, name, hint=f"{hint} As JSON.", initial=initial, lines=True, required=required)
        case _:
            most = min(int(parameter.get("maxLength", MAX_TYPED)), MAX_TYPED)
            return typed(field, name, hint=hint, initial=initial, most=most, lines=most > MAX_WORDS, required=required)


def _value(name: str, kind: str, seen: Typed) -> Any:
    """What was put into the field of one parameter; None: left out. The action's own model judges it."""
    field = f"arg.{name}"
    match kind:
        case "whole" | "number":
            return seen.number(field, required=False, whole=kind == "whole")
        case "box":
            return seen.ticked(field)
        case "one":
            return seen.choice(field) or None
        case "lines":
            said = seen.text(field, required=False, most=MAX_TYPED)
            return [line for line in said.splitlines() if line.strip()] if said else None
        case "json":
            return _json(field, seen)
        case _:
            return seen.text(field, required=False, most=MAX_TYPED) or None


def _json(field: str, seen: Typed) -> Any:
    said = seen.text(field, required=False, most=MAX_TYPED)
    if not said:
        return None
    try:
        return json.loads(said)
    except (ValueError, RecursionError):
        seen.problems[field] = 'This is not JSON. Write it like {"name": "value"} or "text".'
        return None
