"""The page of an action or a diagnosis, from what it registers: declaration, params, example, refusals.

Shown by `andon actions NAME`, also for what other distributions bring; `docs/action_pages.py` makes the reference of
Andon's own with it. Nothing here knows any action by name.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from remediations.kit import ANY_ROLE, DiagnosisEntry, Entry
from remediations.params import check

MAX_STEP = 110  # characters of `with:` in one line; longer ones are written one argument a line
_DELIVERIES = {
    "absolute": "absolute: asks for a state, not for a change; safe to send again, and the current state is read "
    "before every attempt",
    "keyed": "keyed: the target itself rejects a repeated key or an older fence",
    "once": "once: sent at most once; without an answer the target is probed, and unless that proves it done a person "
    "decides",
}
_DIRECTIONS = {
    "lowers": "lowers exposure",
    "neutral": "leaves exposure as it is",
    "raises": "raises exposure, so it never runs by itself",
}
_RISKS = {
    "read": "read: changes nothing",
    "safe": "safe: may run by itself where its policy is armed",
    "risky": "risky: one approver",
    "critical": "critical: two approvers",
}


# --- an action ----------------------------------------------------------------------------------------------------


def of_action(entry: Entry, schema: dict[str, Any], known: Collection[str]) -> str:
    """An action's page, as Markdown. `schema`: of its params; `known`: the actions that have pages."""
    spec = entry.spec
    facts = {
        "Acts on": _place(spec.role),
        "Risk": _RISKS[spec.risk],
        "Direction": _DIRECTIONS[spec.direction],
        "Delivery": _DELIVERIES[spec.delivery],
        "One send takes at most": f"{spec.send_ms / 1000:g} s, answer included",
        "An approval is bound to": ", ".join(f"`{pin}`" for pin in spec.pins) or "nothing of the target's state",
        "Never pushed below the component's floor": ", ".join(f"`{floor}`" for floor in spec.floors),
        "Taken back by": _undo(spec.undo, known),
        "Runbook row": spec.source,
    }
    out = [f"# `{spec.name}`\n\n{spec.summary}\n\n| | |\n|---|---|\n"]
    out += [f"| {name} | {value} |\n" for name, value in facts.items() if value]
    out += ["\n## Arguments\n\n", _arguments(schema)]
    out += ["\n## In a policy\n\n```yaml\nplan:\n", _step(entry), "```\n"]
    out += ["\n## What a refusal looks like\n\n", _refusals(entry, schema)]
    return "".join(out)


def _place(role: str) -> str:
    if role == ANY_ROLE:
        return "the component that the policy names"
    return f"a component with role `{role}`" if role else "no component, so it needs no turn"


def _undo(name: str, known: Collection[str]) -> str:
    if not name:
        return "no action; a person decides what then"
    return f"[`{name}`]({name}.md)" if name in known else f"`{name}`, by hand: there is no such action yet"


def _step(entry: Entry) -> str:
    lines = [f"  - action: {entry.spec.name}\n"]
    if entry.spec.role == ANY_ROLE:
        lines.append("    component: NAME\n")
    if entry.example:
        pairs = [f"{name}: {_flow(value)}" for name, value in entry.example.items()]
        inline = f"    with: {{{', '.join(pairs)}}}\n"
        lines += [inline] if len(inline) <= MAX_STEP else ["    with:\n", *(f"      {pair}\n" for pair in pairs)]
    return "".join(lines)


def _flow(value: Any) -> str:
    """A value as YAML reads it in one line; JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)


def _refusals(entry: Entry, schema: dict[str, Any]) -> str:
    """The declared ones, which the contract suite proves, and one of the params' own."""
    rows = [f"| {cell(situation)} | {cell(words)} |\n" for situation, words in entry.refuses.items()]
    wrong = {**entry.example, "no_such_argument": 1}
    told = "; ".join(f"{each.path}: {each.message}" for each in check(entry.params, json.dumps(wrong), partial=False))
    rows.append(f"| an argument is misspelt (told by `andon check`) | {cell(told)} |\n")
    return "".join(["| when | a person reads |\n|---|---|\n", *rows])


def _arguments(schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = [
        f"| `{name}` | {_type(part)} | {cell(part.get('description', ''))} | {_given(part, name in required)} |\n"
        for name, part in schema.get("properties", {}).items()
    ]
    return "".join(["| | type | | default |\n|---|---|---|---|\n", *rows]) if rows else "None.\n"


def _given(part: dict[str, Any], required: bool) -> str:
    if required:
        return "required"
    return f"`{json.dumps(part['default'])}`" if "default" in part else ""


def _type(part: dict[str, Any]) -> str:
    if "anyOf" in part:
        return " or ".join(_type(choice) for choice in part["anyOf"])
    if "enum" in part:
        return " or ".join(f"`{value}`" for value in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    words = str(part.get("type", "object" if "$ref" in part else "any value"))
    low, high = part.get("minimum", part.get("exclusiveMinimum")), part.get("maximum", part.get("exclusiveMaximum"))
    if low is not None or high is not None:
        words += f", {'' if low is None else f'{low:,}'} to {'' if high is None else f'{high:,}'}".rstrip()
    if "maxLength" in part:
        words += f", at most {part['maxLength']} characters"
    return words


# --- a diagnosis --------------------------------------------------------------------------------------------------


def of_diagnosis(entry: DiagnosisEntry) -> str:
    """A diagnosis's page, as Markdown."""
    out = [f"# `{entry.name}`\n\n{entry.summary}\n"]
    facts = {"Reads": "; ".join(entry.reads), "Runbook row": entry.source}
    rows = [f"| {name} | {cell(value)} |\n" for name, value in facts.items() if value]
    out += ["\n| | |\n|---|---|\n", *rows] if rows else []
    if entry.causes:
        out.append("\n## Causes it tells apart\n\n| shows | likely cause | fix |\n|---|---|---|\n")
        out += [f"| {cell(row.sign)} | {cell(row.cause)} | {cell(row.fix)} |\n" for row in entry.causes]
    out.append(f"\n## In a policy\n\n```yaml\ndiagnose: [{entry.name}]\n```\n")
    return "".join(out)


def cell(text: str) -> str:
    """Text as one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
