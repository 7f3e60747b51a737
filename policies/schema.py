"""JSON Schemas of the four kinds of documents, so that editors complete keys and underline mistakes.

Written to `configs/schemas/` by `docs/generate.py`, and printed by `andon schema`. The policy schema knows every action
and its arguments: they come from the catalogue. Editors see what a schema can say; `andon check` sees the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from bot.core.action import Catalogue
from policies.andon import AndonDocument
from policies.document import PolicyFile
from policies.models import StrictModel
from policies.people import PeopleDocument
from policies.targets import TargetsDocument

Schema: TypeAlias = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FILES: Mapping[str, type[StrictModel]] = {
    "andon.schema.json": AndonDocument,
    "people.schema.json": PeopleDocument,
    "policies.schema.json": PolicyFile,
    "targets.schema.json": TargetsDocument,
}
_PLACEHOLDER: Schema = {"type": "string", "pattern": r"\$\{"}


def schemas(catalogue: Catalogue) -> dict[str, str]:
    """File name -> text of the schema, ending in a newline; the same text for the same catalogue."""
    out: dict[str, str] = {}
    for name, model in FILES.items():
        schema = model.model_json_schema(by_alias=True)
        if model is PolicyFile:
            _add_actions(schema, catalogue)
        text = json.dumps({"$schema": DIALECT, **schema}, indent=2, sort_keys=True, ensure_ascii=False)
        out[name] = text + "\n"
    return out


def _add_actions(schema: Schema, catalogue: Catalogue) -> None:
    """Make each step's `with` the arguments of its `action`, and each rung's those of its `run`."""
    definitions: Schema = schema["$defs"]
    choices: list[Schema] = []
    for action in catalogue.names():
        spec = catalogue.spec(action)
        if spec is None:
            continue
        choices.append(
            {"const": action, "description": f"{spec.summary} Risk: {spec.risk}; {spec.direction} exposure."}
        )
        definitions[f"with {action}"] = _arguments(action, json.loads(catalogue.params_schema(action)), definitions)
    for name, key in (("StepDoc", "action"), ("RungDoc", "run")):
        part: Schema = definitions[name]
        part["properties"][key] = {"description": part["properties"][key]["description"], "oneOf": choices}
        part["allOf"] = [_case(key, choice["const"]) for choice in choices]
    entry = definitions["PreAuthorisedDoc"]["properties"]
    entry["action"] = {"enum": list(catalogue.names())}


def _case(key: str, action: str) -> Schema:
    """Where `key` names this action, `with` is its arguments."""
    return {
        "if": {"properties": {key: {"const": action}}, "required": [key]},
        "then": {"properties": {"with": {"$ref": f"#/$defs/with {action}"}}},
    }


def _arguments(action: str, schema: Schema, definitions: Schema) -> Schema:
    """The arguments' schema with its own definitions moved beside ours, and `${…}` allowed in texts."""
    for name, definition in schema.pop("$defs", {}).items():
        definitions[f"{action} {name}"] = _moved(action, definition)
    moved = _moved(action, schema)
    assert isinstance(moved, dict)
    for name, part in moved.get("properties", {}).items():
        if part.get("type") == "string" and ("pattern" in part or "enum" in part or "format" in part):
            moved["properties"][name] = {"anyOf": [part, _PLACEHOLDER]}
    return moved


def _moved(action: str, node: Any) -> Any:
    """Rewrite references to the moved definitions."""
    if isinstance(node, dict):
        return {
            key: f"#/$defs/{action} {value.removeprefix('#/$defs/')}"
            if key == "$ref" and isinstance(value, str)
            else _moved(action, value)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_moved(action, inner) for inner in node]
    return node
