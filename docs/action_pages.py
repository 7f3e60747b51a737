"""One page per action and per diagnosis, from what each registers: declaration, params, example, refusals.

Used by `docs/generate.py`. Nothing here knows any action by name.
"""

from __future__ import annotations

import json
from typing import Any

from reference_pages import NOTE, cell

from remediations.catalogue import ActionCatalogue
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


def action_pages(catalogue: ActionCatalogue) -> dict[str, str]:
    """Action name -> its page; `README` -> their list."""
    entries = {name: entry for name in catalogue.names() if (entry := catalogue.entry(name)) is not None}
    pages = {
        name: _action_page(entry, json.loads(catalogue.params_schema(name)), set(entries))
        for name, entry in entries.items()
    }
    rows = [
        f"| [`{name}`]({name}.md) | {cell(entry.spec.summary)} | {entry.spec.risk} | {entry.spec.direction} | "
        f"{entry.spec.delivery} | {entry.spec.source} |\n"
        for name, entry in entries.items()
    ]
    pages["README"] = "".join(
        [
            NOTE, "# Actions\n\nWhat a policy's plan may ask for. How to write one: [actions](../../actions.md).\n\n",
            "| action | does | risk | direction | delivery | row |\n|---|---|---|---|---|---|\n", *rows,
            "\nRead-only looks at a system, for `diagnose:`, are [diagnoses](../diagnoses/README.md).\n",
        ]
    )  # fmt: skip
    return pages


def diagnosis_pages(catalogue: ActionCatalogue) -> dict[str, str]:
    """Diagnosis name -> its page; `README` -> their list."""
    entries = {name: entry for name in catalogue.diagnoses() if (entry := catalogue.diagnosis_entry(name)) is not None}
    pages = {name: _diagnosis_page(entry) for name, entry in entries.items()}
    rows = [f"| [`{name}`]({name}.md) | {cell(entry.summary)} | {entry.source} |\n" for name, entry in entries.items()]
    pages["README"] = "".join(
        [
            NOTE, "# Diagnoses\n\nRead-only looks that a policy may name under `diagnose:`. Their finding goes on the ",
            "incident's card; they decide nothing. How to write one: [actions](../../actions.md).\n\n",
            "| diagnosis | tells | row |\n|---|---|---|\n", *rows,
        ]
    )  # fmt: skip
    return pages


# --- an action ----------------------------------------------------------------------------------------------------


def _action_page(entry: Entry, schema: dict[str, Any], known: set[str]) -> str:
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
    out = [NOTE, f"# `{spec.name}`\n\n{spec.summary}\n\n| | |\n|---|---|\n"]
    out += [f"| {name} | {value} |\n" for name, value in facts.items() if value]
    out += ["\n## Arguments\n\n", _arguments(schema)]
    out += ["\n## In a policy\n\n```yaml\nplan:\n", _step(entry), "```\n"]
    out += ["\n## What a refusal looks like\n\n", _refusals(entry, schema)]
    out.append(f"\nSource: [`{_file(entry.action)}`](../../../{_file(entry.action)})\n")
    return "".join(out)


def _place(role: str) -> str:
    if role == ANY_ROLE:
        return "the component that the policy names"
    return f"a component with role `{role}`" if role else "no component, so it needs no turn"


def _undo(name: str, known: set[str]) -> str:
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


def _file(made: type) -> str:
    return made.__module__.replace(".", "/") + ".py"


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


def _diagnosis_page(entry: DiagnosisEntry) -> str:
    out = [NOTE, f"# `{entry.name}`\n\n{entry.summary}\n"]
    facts = {"Reads": "; ".join(entry.reads), "Runbook row": entry.source}
    rows = [f"| {name} | {cell(value)} |\n" for name, value in facts.items() if value]
    out += ["\n| | |\n|---|---|\n", *rows] if rows else []
    if entry.causes:
        out.append("\n## Causes it tells apart\n\n| shows | likely cause | fix |\n|---|---|---|\n")
        out += [f"| {cell(row.sign)} | {cell(row.cause)} | {cell(row.fix)} |\n" for row in entry.causes]
    out.append(f"\n## In a policy\n\n```yaml\ndiagnose: [{entry.name}]\n```\n")
    out.append(f"\nSource: [`{_file(entry.diagnosis)}`](../../../{_file(entry.diagnosis)})\n")
    return "".join(out)
