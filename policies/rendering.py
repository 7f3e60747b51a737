"""Substitution of `${labels.x}` and `${annotations.x}` into an action's arguments — that, and nothing else.

Lint calls `references` at load; dispatch calls `render` right before an intent is declared. There is no template
engine: a path is replaced by its values, as data, inside JSON text values. Distinct values of several alerts are sorted
and joined. `$${` stands for a literal `${`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bot.core.alert import Alert
from bot.core.words import JsonText
from bot.errors import ConfigError
from policies.problems import UnclearError, did_you_mean

MAX_TEXT = 1_000  # characters of one rendered value: an argument is a reason or a name, not a report
# Control characters, line separators and halves of surrogate pairs: they have no place in an argument, and an odd label
# must not be able to make a protective action invalid.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PLACE = re.compile(r"\$\$\{|\$\{([^{}]*)\}")
_PATH = re.compile(r"(labels|annotations)\.([a-zA-Z_][a-zA-Z0-9_]*)\Z")


class RenderError(ConfigError):
    """An argument cannot be rendered from these alerts; the message names the path."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One `${root.name}` in a text."""

    root: str
    name: str


def references(text: str) -> tuple[Reference, ...]:
    """Every path that `text` substitutes. Raises UnclearError for what is not a path."""
    out = []
    for found in _PLACE.finditer(text):
        if found[1] is None:
            continue
        path = _PATH.match(found[1])
        if path is None:
            raise UnclearError(f"${{{found[1]}}} is not a path that is substituted", _fix(found[1]))
        out.append(Reference(path[1], path[2]))
    if "${" in _PLACE.sub("", text):
        raise UnclearError(
            f"a ${{ is not closed in {text!r}", "write ${labels.NAME}, or $${ for the characters themselves"
        )
    return tuple(out)


def _fix(path: str) -> str:
    root = path.split(".")[0].strip()
    if root == "evidence":
        return "arguments are absolute and never made from readings; write the value"
    return did_you_mean(root, ("labels", "annotations"), "only ${labels.NAME} and ${annotations.NAME} are")


def texts(value: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """(path, text) of every text value inside a JSON value."""
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from texts(inner, (*at, str(key)))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from texts(inner, (*at, index))


def render(
    arguments: JsonText, labels: Mapping[str, Sequence[str]], annotations: Mapping[str, Sequence[str]] | None = None
) -> JsonText:
    """The arguments with every path replaced, as canonical JSON. Raises RenderError when a path has no value."""
    values = {"labels": labels, "annotations": annotations or {}}
    return canonical(_render(json.loads(arguments), values))


def canonical(value: object) -> JsonText:
    """One spelling for one JSON value: sorted keys, no spaces, no non-finite numbers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def label_values(alerts: Iterable[Alert]) -> dict[str, tuple[str, ...]]:
    """Each label of the alerts with its distinct values, sorted: what `render` substitutes."""
    return _values(alert.labels for alert in alerts)


def annotation_values(alerts: Iterable[Alert]) -> dict[str, tuple[str, ...]]:
    """Each annotation of the alerts with its distinct values, sorted."""
    return _values(alert.annotations for alert in alerts)


def shared_labels(alerts: Sequence[Alert]) -> dict[str, str]:
    """The labels that every alert has with the same value: what conditions see as `labels`."""
    if not alerts:
        return {}
    first, rest = alerts[0].labels, alerts[1:]
    return {name: value for name, value in first.items() if all(a.labels.get(name) == value for a in rest)}


def _values(sets: Iterable[Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    out: dict[str, set[str]] = {}
    for labels in sets:
        for name, value in labels.items():
            out.setdefault(name, set()).add(value)
    return {name: tuple(sorted(found)) for name, found in out.items()}


def _render(value: object, values: Mapping[str, Mapping[str, Sequence[str]]]) -> object:
    if isinstance(value, str):
        return _substitute(value, values)
    if isinstance(value, dict):
        return {key: _render(inner, values) for key, inner in value.items()}
    if isinstance(value, list):
        return [_render(inner, values) for inner in value]
    return value


def _substitute(text: str, values: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    def replace(found: re.Match[str]) -> str:
        if found[1] is None:
            return "${"
        path = _PATH.match(found[1])
        if path is None:
            raise RenderError(f"${{{found[1]}}} is not a path that is substituted")
        present = sorted({v for v in values[path[1]].get(path[2], ()) if v})
        if not present:
            raise RenderError(f"no alert of the incident has a value for {found[1]}")
        return _UNPRINTABLE.sub("\ufffd", ", ".join(present))

    rendered = _PLACE.sub(replace, text)
    return rendered if len(rendered) <= MAX_TEXT else rendered[: MAX_TEXT - 1] + "…"


def change(before: JsonText, wanted: JsonText) -> str:
    """What would change, for people: ``kelly_fraction 0.25 → 0.1``."""
    old, new = json.loads(before), json.loads(wanted)
    parts = [
        f"{name} {_plain(old[name])} → {_plain(value)}" if name in old else f"{name}: {_plain(value)}"
        for name, value in sorted(new.items())
        if name not in old or old[name] != value
    ]
    return ", ".join(parts) or "nothing it reads would change"


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
