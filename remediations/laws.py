"""What every action's and diagnosis's registration must keep to: the laws of the design, as far as a declaration shows.

Called by `bot.extensions` for what other distributions bring (there a broken law stops the start) and by the contract
suite for every action. What only running an action can show is the suite's (`bot.testing.action_contract`).
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Final, get_args

from bot.core.action import MAX_SEND_MS, ActionSpec
from bot.core.words import Delivery, Direction, Risk
from remediations.kit import DiagnosisEntry, Entry, Params
from remediations.params import check

NAME: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*\Z")
MAX_NAME: Final = 60  # characters: it stands in buttons and in the titles of pages
MAX_SUMMARY: Final = 200  # characters: one sentence in a table

METHODS: Final = {
    "inspect": ("context", "arguments"),
    "send": ("context", "proceed"),
    "read_back": ("context", "proceed"),
}


def of_action(entry: Entry) -> Iterator[str]:
    """What is wrong with an action's registration, one sentence each; nothing when it may be used."""
    yield from _wording(entry.spec.name, entry.spec.summary)
    yield from _declaration(entry.spec)
    yield from _safety(entry.spec)
    yield from _parameters(entry)
    yield from _class(entry.action, METHODS)


def of_diagnosis(entry: DiagnosisEntry) -> Iterator[str]:
    """What is wrong with a diagnosis's registration."""
    yield from _wording(entry.name, entry.summary)
    yield from _class(entry.diagnosis, {"look": ("context",)})


def _wording(name: str, summary: str) -> Iterator[str]:
    if not isinstance(name, str) or NAME.match(name) is None or len(name) > MAX_NAME:
        yield f"its name {name!r} is not like router.pause: small letters, digits, _ and dots, at most {MAX_NAME}"
    if not isinstance(summary, str) or not summary.endswith(".") or len(summary) > MAX_SUMMARY or "\n" in summary:
        yield f"its summary is not one sentence of at most {MAX_SUMMARY} characters that ends in a full stop"


def _declaration(spec: ActionSpec) -> Iterator[str]:
    words = (("delivery", spec.delivery, Delivery), ("risk", spec.risk, Risk), ("direction", spec.direction, Direction))
    for field, value, kind in words:
        if value not in get_args(kind):
            yield f"its {field} is {value!r}; it can be {', '.join(get_args(kind))}"
    if not 0 < spec.send_ms <= MAX_SEND_MS:
        yield f"its send_ms is {spec.send_ms}; it can be 1 to {MAX_SEND_MS}"
    for field in ("pins", "floors"):
        names = getattr(spec, field)
        if not isinstance(names, tuple) or not all(isinstance(name, str) and name for name in names):
            yield f"its {field} are not a tuple of names; write {field}=('name',)"
    if spec.undo == spec.name:
        yield "it names itself as its undo"


def _safety(spec: ActionSpec) -> Iterator[str]:
    """What the design's laws 3 to 7 say about a declaration as a whole."""
    if spec.direction == "raises" and spec.risk not in ("risky", "critical"):
        yield f"it raises exposure, so its risk cannot be {spec.risk}; declare risky or critical"
    if spec.delivery != "once" and not spec.role:
        yield f"it acts on no component (role), so nothing can be {spec.delivery} about it; declare delivery once"
    if not spec.role and (spec.pins or spec.floors):
        yield "pins and floors are fields of a component's state, and it acts on no component; name a role or drop them"
    if spec.floors and spec.direction == "raises":
        yield "floors hold what automation lowers, and it raises; drop them"


def _parameters(entry: Entry) -> Iterator[str]:
    if not (isinstance(entry.params, type) and issubclass(entry.params, Params)):
        yield "its params are not a class made from remediations.kit.Params"
        return
    if entry.params.model_config != Params.model_config:
        yield "its params change the model's settings; leave model_config as Params has it (strict, closed, frozen)"
    try:
        example = json.dumps(dict(entry.example), allow_nan=False)
    except (TypeError, ValueError) as error:
        yield f"its example is no JSON object ({error})"
        return
    for problem in check(entry.params, example, partial=False):
        yield f"its example does not fit its own params: {problem.path or 'example'}: {problem.message}"
        return
    yield from _needs(entry, example)


def _needs(entry: Entry, example: str) -> Iterator[str]:
    """Called for every step when policies are loaded, so what it raises would stop that."""
    try:
        lines = entry.needs(example)
    except Exception as error:  # noqa: BLE001  # an author's code; whatever it raises is the finding
        yield f"its needs raise {error!r} for its example"
        return
    if not isinstance(lines, tuple) or not all(isinstance(line, str) and line for line in lines):
        yield f"its needs are {lines!r} for its example; they are a tuple of allow lines, like ('POST /v1/limits',)"


def _class(made: object, methods: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """A class that is made without arguments and has these methods, all `async def`."""
    if not isinstance(made, type):
        yield f"{made!r} is not a class"
        return
    try:
        inspect.signature(made).bind()
    except (TypeError, ValueError):
        yield f"{made.__name__} cannot be made without arguments; it keeps nothing between calls"
    for name, takes in methods.items():
        method = getattr(made, name, None)
        asked = f"async def {name}(self, {', '.join(takes)})"
        if not inspect.iscoroutinefunction(method):
            yield f"{made.__name__} has no `{asked}`"
            continue
        try:
            inspect.signature(method).bind(None, *takes)
        except TypeError:
            yield f"{made.__name__}.{name} takes other arguments than `{asked}`"
