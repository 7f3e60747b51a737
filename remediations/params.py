"""What every action's parameters share: strict pydantic models in, canonical JSON out.

Used by each action for its own arguments and by `remediations.catalogue` for checking. Values that still hold `${…}`
cannot be judged before an incident fills them in; everything else is judged when a policy is loaded.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError

from bot.core.action import ParamProblem
from bot.core.words import JsonText
from bot.errors import ConfigError

MAX_TEXT = 2_000  # characters of a reason or message: a screenful; longer text is cut by every vendor anyway
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # all but tab and newline

P = TypeVar("P", bound="Params")


class Params(BaseModel):
    """Base of all parameter models: unknown keys are errors, no conversion, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _printable(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("control characters are not allowed")
    return text


Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TEXT), AfterValidator(_printable)
]


def canonical(value: object) -> JsonText:
    """The one JSON text of a value: sorted keys, no spaces, no NaN. Raises ValueError for what JSON cannot say."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def parse(model: type[P], arguments: JsonText) -> P:
    """Fully rendered arguments as their model. Raises ConfigError that names the part and what is wrong with it."""
    try:
        return model.model_validate_json(arguments)
    except ValidationError as error:
        raise ConfigError("; ".join(f"{p.path or 'arguments'}: {p.message}" for p in problems(error))) from error


def problems(error: ValidationError) -> tuple[ParamProblem, ...]:
    """Pydantic's findings in our words; the rejected value itself is left out (it may be long, or a secret)."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return tuple(
        ParamProblem(path=".".join(map(str, one["loc"])), message=one["msg"].removeprefix("Value error, "))
        for one in found
    )


def check(model: type[Params], arguments: JsonText, *, partial: bool) -> tuple[ParamProblem, ...]:
    """What is wrong with `arguments`. With `partial`, what still holds `${…}` is not judged."""
    try:
        data = json.loads(arguments)
    except ValueError as error:
        return (ParamProblem(path="", message=f"not JSON: {error}"),)
    if not isinstance(data, dict):
        return (ParamProblem(path="", message="arguments are a mapping of names to values"),)
    try:
        model.model_validate_json(arguments)
    except ValidationError as error:
        pending = _pending(data) if partial else frozenset()
        return tuple(p for p in problems(error) if p.path.split(".", 1)[0] not in pending)
    return ()


def _pending(data: dict[str, Any]) -> frozenset[str]:
    """The top-level arguments that wait for an incident."""
    return frozenset(name for name, value in data.items() if _holds_placeholder(value))


def _holds_placeholder(value: Any) -> bool:
    match value:
        case str():
            return "${" in value
        case dict():
            return any(_holds_placeholder(part) for part in value.values())
        case list():
            return any(map(_holds_placeholder, value))
        case _:
            return False
