"""How documents are validated: strict pydantic models whose mistakes become `Problem`s with a line.

`StrictModel` is the base of every document (policies, targets, people, andon). `validate` is called by
`policies.loader`; it turns pydantic's errors into sentences, adds "did you mean", and says plainly which keys belong to
parts of the language that are not available yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Tag, ValidationError
from pydantic_core import ErrorDetails

from policies.problems import Path, Problem, UnclearError, did_you_mean
from policies.safe_yaml import Document, Value

MAX_PROBLEMS = 50  # per document; beyond it the file is something else altogether


class StrictModel(BaseModel):
    """A part of a document: unknown keys, near-miss types and non-finite numbers are errors.

    `not_yet` names keys that belong to the language but are not available, with what to do instead.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
    not_yet: ClassVar[Mapping[str, str]] = {}


M = TypeVar("M", bound=StrictModel)


def validate(model: type[M], document: Document, value: Value, at: Path = ()) -> tuple[M | None, tuple[Problem, ...]]:
    """`value` (found at path `at` of the document) as a model, or every mistake in it."""
    if not isinstance(value, dict):
        kind = "empty" if value is None else f"a {_KINDS.get(type(value), 'value')}"
        return None, (document.problem(at, f"this is {kind}, not a mapping", "write `key: value` lines"),)
    try:
        return model.model_validate(value), ()
    except ValidationError as error:
        details = error.errors(include_url=False)[:MAX_PROBLEMS]
        return None, tuple(_problem(model, document, at, detail) for detail in details)


_KINDS: Mapping[type, str] = {
    str: "text",
    int: "number",
    float: "number",
    bool: "boolean",
    list: "list",
    dict: "mapping",
    type(None): "nothing",
}
_WANTED: Mapping[str, tuple[str, str]] = {
    "string_type": ("text", "quote it"),
    "int_type": ("a whole number", ""),
    "float_type": ("a number", "write it without quotes"),
    "bool_type": ("true or false", ""),
    "list_type": ("a list", "write it as [a, b] or as lines that start with -"),
    "dict_type": ("a mapping", "write `key: value` lines"),
    "model_type": ("a mapping", "write `key: value` lines"),
    "model_attributes_type": ("a mapping", "write `key: value` lines"),
}


def _problem(model: type[StrictModel], document: Document, at: Path, detail: ErrorDetails) -> Problem:
    whole = tuple(part for part in detail["loc"] if part != "[key]")
    where = tuple(part for part in whole if not _is_form(part))
    path = (*at, *where)
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(model, document, at, where, _model_at(model, whole[:-1]))
    if kind == "missing":
        parent = path[:-1]
        return document.problem(parent, f"the key {path[-1]!r} is missing", f"add {path[-1]}:")
    cause = context.get("error")
    if isinstance(cause, UnclearError):
        return document.problem(path, cause.message, cause.fix)
    if kind == "literal_error":
        choices = str(context.get("expected", "")).replace("'", "")
        return document.problem(path, f"{given!r} is not one of: {choices}", _nearest(given, choices))
    if kind in _WANTED:
        wanted, fix = _WANTED[kind]
        return document.problem(path, f"this is {_KINDS.get(type(given), 'a value')}, not {wanted}", fix)
    return document.problem(path, detail["msg"][:1].lower() + detail["msg"][1:], "")


def _nearest(given: object, choices: str) -> str:
    return did_you_mean(given, choices.replace(" or ", ", ").split(", ")) if isinstance(given, str) else ""


def _is_form(part: int | str) -> bool:
    """Whether a part of pydantic's path names which of several forms an entry has, like ``(wait)``; files have none."""
    return isinstance(part, str) and part.startswith("(")


def _unknown_key(
    model: type[StrictModel], document: Document, at: Path, where: Path, owner: type[StrictModel] | None
) -> Problem:
    key = str(where[-1])
    path = (*at, *where)
    if owner is None:
        return document.problem(path, f"unknown key {key!r}")
    if key in owner.not_yet:
        return document.problem(path, f"unknown key {key!r}: not available yet", owner.not_yet[key])
    known = [field.alias or name for name, field in owner.model_fields.items()]
    return document.problem(path, f"unknown key {key!r}", did_you_mean(key, known, "known: " + ", ".join(known)))


def _model_at(model: type[StrictModel], where: Path) -> type[StrictModel] | None:
    """The model that describes the mapping at `where`."""
    current: Any = model
    for part in where:
        if isinstance(current, type) and issubclass(current, BaseModel):
            names = {field.alias or name: field.annotation for name, field in current.model_fields.items()}
            current = _unwrap(names.get(str(part)))
        elif _is_form(part):
            current = _formed(current, str(part))
        else:  # an item of a list, or a value of a dict: the last type argument
            arguments = get_args(current)
            current = _unwrap(arguments[-1]) if arguments else None
    return current if isinstance(current, type) and issubclass(current, StrictModel) else None


def _formed(annotation: Any, form: str) -> Any:
    """The model with this tag among the forms of a union."""
    forms = get_args(get_args(annotation)[0])
    return next((get_args(one)[0] for one in forms if Tag(form) in getattr(one, "__metadata__", ())), None)


def _unwrap(annotation: Any) -> Any:
    """`X | None` -> `X`."""
    inner = [a for a in get_args(annotation) if a is not type(None)]
    return inner[0] if len(inner) == 1 and type(None) in get_args(annotation) else annotation
