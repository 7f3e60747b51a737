"""Filling `${labels.x}` into what evidence asks: pure, called by `bot.adapters.evidence`.

A label's value may come from anybody (law 11), so each language takes it only where it can be nothing but a value: as
part of a Redis key, inside a quoted PromQL string (`evidence_promql`), or percent-encoded inside a URL path segment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias
from urllib.parse import quote

from bot.adapters import evidence_promql
from bot.errors import TargetError

Kind: TypeAlias = Literal["redis_hash", "promql", "http", "redis_state", "redis_stream"]

MAX_VALUE = 200  # characters of a label's value in a query; symbols and instances are far shorter
PLACEHOLDER = re.compile(r"\$\{labels\.([a-zA-Z_][a-zA-Z0-9_]*)\}")


def fill(kind: Kind, query: str, labels: Mapping[str, str]) -> str:
    """The query with its placeholders filled in. Raises TargetError for a label that is missing or does not fit."""
    values = {name: _value(labels, name) for name in label_names(query)}
    match kind:
        case "redis_hash" | "redis_stream" | "redis_state":
            filled = PLACEHOLDER.sub(lambda found: values[found[1]], query)
            rest = PLACEHOLDER.sub("", query)
        case "promql":
            filled = evidence_promql.fill(query, lambda text, turn: PLACEHOLDER.sub(lambda f: turn(values[f[1]]), text))
            rest = PLACEHOLDER.sub("", query)
        case "http":
            filled = PLACEHOLDER.sub(lambda found: quote(values[found[1]], safe=""), query)
            rest = PLACEHOLDER.sub("", query)
            if any(part in (".", "..") for part in filled.split("/")):
                raise TargetError("a label's value would leave the path")
    if "${" in rest:
        raise TargetError("it holds a placeholder that is not ${labels.NAME}")
    return filled


def label_names(query: str) -> tuple[str, ...]:
    """The labels a query asks for, sorted."""
    return tuple(sorted(set(PLACEHOLDER.findall(query))))


def common(label_sets: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The labels on which all agree."""
    shared: dict[str, str] | None = None
    for labels in label_sets:
        shared = dict(labels) if shared is None else {k: v for k, v in shared.items() if labels.get(k) == v}
    return shared or {}


def _value(labels: Mapping[str, str], name: str) -> str:
    value = labels.get(name, "")
    if not value:
        raise TargetError(f"there is no single value of the label {name!r} to ask with")
    if len(value) > MAX_VALUE:
        raise TargetError(f"the label {name!r} is longer than {MAX_VALUE} characters")
    if not value.isprintable():
        raise TargetError(f"the label {name!r} holds control characters")
    return value
