"""The kinds of text that documents are made of: names, labels, conditions, instants.

Each is an annotated type for the pydantic models; what is wrong with a value is said with an example of a right one.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field

from bot.core.words import Millis
from policies import expressions, matchers
from policies.problems import UnclearError

NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$"
EVERY = "*"  # where a name may stand, and all are meant
LABEL_PATTERN = r"^[a-zA-Z_][a-zA-Z0-9_]{0,127}$"
READING_PATTERN = r"^[a-z_][a-z0-9_]{0,62}$"

_NAME = re.compile(NAME_PATTERN[:-1] + r"\Z")
_LABEL = re.compile(LABEL_PATTERN[:-1] + r"\Z")
_READING = re.compile(READING_PATTERN[:-1] + r"\Z")


def _name(value: str) -> str:
    return _fitting(_NAME, value, "a name (small letters, digits and dashes)", "var-breach")


def _name_or_every(value: str) -> str:
    return value if value == EVERY else _name(value)


def _label(value: str) -> str:
    return _fitting(_LABEL, value, "a label name", "symbol")


def _reading(value: str) -> str:
    return _fitting(_READING, value, "a name for a reading (small letters, digits, _)", "var")


def _fitting(pattern: re.Pattern[str], value: str, what: str, example: str) -> str:
    if pattern.match(value) is None:
        raise UnclearError(f"{value!r} is not {what}", f"write it like {example}")
    return value


def _matcher(value: str) -> str:
    matchers.parse(value)
    return value


def _condition(value: str) -> str:
    expressions.compile(value)
    return value


def _instant(value: str) -> str:
    if value:
        instant(value)
    return value


def instant(value: str) -> Millis:
    """An instant with its zone (`2026-01-31T18:00:00Z`) in epoch milliseconds. Raises UnclearError."""
    try:
        read = datetime.fromisoformat(value)
    except ValueError as error:
        raise UnclearError(f"{value!r} is not an instant", "write it like 2026-01-31T18:00:00Z") from error
    if read.tzinfo is None:
        raise UnclearError(f"{value} does not say in which zone", f"write {value}Z for UTC, or add an offset")
    return round(read.timestamp() * 1_000)


Name: TypeAlias = Annotated[str, AfterValidator(_name), Field(json_schema_extra={"pattern": NAME_PATTERN})]
NameOrEvery: TypeAlias = Annotated[
    str, AfterValidator(_name_or_every), Field(json_schema_extra={"pattern": rf"^\*$|{NAME_PATTERN}"})
]
Label: TypeAlias = Annotated[str, AfterValidator(_label), Field(json_schema_extra={"pattern": LABEL_PATTERN})]
ReadingName: TypeAlias = Annotated[str, AfterValidator(_reading), Field(json_schema_extra={"pattern": READING_PATTERN})]
MatcherText: TypeAlias = Annotated[str, AfterValidator(_matcher), Field(examples=['alertname="VaRBreach"'])]
ConditionText: TypeAlias = Annotated[str, AfterValidator(_condition), Field(examples=["evidence.var > 1.8"])]
InstantText: TypeAlias = Annotated[str, AfterValidator(_instant), Field(examples=["2026-01-31T18:00:00Z"])]
