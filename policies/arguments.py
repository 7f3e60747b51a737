"""An action's arguments, judged by its catalogue entry and told in this room's words.

Called by `policies.lint` for every step of a policy, and by `policies.planning` for what a person orders.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from pydantic import JsonValue

from bot.core.action import Catalogue
from policies.problems import Path, did_you_mean
from policies.rendering import canonical

Schema: TypeAlias = dict[str, Any]  # JSON Schema, as the catalogue gives it


def mistakes(
    action: str, given: Mapping[str, JsonValue], catalogue: Catalogue, schema: Schema, *, partial: bool
) -> Iterator[tuple[Path, str, str]]:
    """(path, message, fix) of everything wrong with `given`. `partial`: what still holds `${…}` is not judged."""
    try:
        text = canonical(dict(given))
    except ValueError:
        yield (), "a number in the arguments is not finite", "write a number"
        return
    for problem in catalogue.check_arguments(action, text, partial=partial):
        path: Path = tuple(int(part) if part.isdigit() else part for part in problem.path.split(".") if part)
        yield path, *_told(action, given, path, problem.message, schema)


def _told(action: str, given: Mapping[str, JsonValue], path: Path, message: str, schema: Schema) -> tuple[str, str]:
    """The catalogue's finding as a sentence, with what the argument is for."""
    properties = schema.get("properties", {})
    name = str(path[0]) if path else ""
    described = properties.get(name, {}).get("description", "")
    if len(path) == 1 and name not in properties:
        fix = did_you_mean(name, properties, "known: " + ", ".join(properties))
        return f"{action} has no argument {name!r}", fix
    if len(path) == 1 and name not in given:
        return f"{action} needs the argument {name!r}", f"add {name}: {described}".rstrip(": ")
    return message[:1].lower() + message[1:], described
