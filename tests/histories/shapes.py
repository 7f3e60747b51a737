"""One of everything that can be stored, every field filled, as this build encodes it."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator
from typing import Any, get_args

from bot.adapters import codec
from bot.core import effects, events
from bot.core.incident import Incident
from bot.core.source import Source
from bot.core.target import Target

MAX_DEPTH = 8  # a plan holds steps that may hold a plan, and so on
ENCODERS = {
    "entry": (codec.encode_entry, codec.decode_entry), "effect": (codec.encode_effect, codec.decode_effect),
    "record": (codec.encode_record, codec.decode_record), "intent": (codec.encode_intent, codec.decode_intent),
}  # fmt: skip


def shapes() -> Iterator[tuple[str, str]]:
    """(what it is, its text) of each."""
    for kind in get_args(events.Event):
        yield "entry", _text("entry", events.Addressed(to="inc-1", event=sample(kind)))
    yield "entry", _text("entry", sample(events.AlertsReceived))
    for kind in get_args(effects.OutboxEffect):
        yield "effect", _text("effect", sample(kind))
    for kind in (Incident, Target, Source):
        yield "record", _text("record", sample(kind))
    yield "intent", _text("intent", sample(events.IntentDeclared))


def written_again(what: str, text: str) -> str:
    """`text`, read and written by this build."""
    write, read = ENCODERS[what]
    return write(read(text.encode())).decode()


def sample(kind: Any, depth: int = 0) -> Any:
    """Some value of a type, with every optional part present (one level of every container)."""
    origin, arguments = typing.get_origin(kind), get_args(kind)
    if origin is typing.Literal:
        return arguments[-1]
    if origin in (typing.Union, types.UnionType):
        return None if depth > MAX_DEPTH and type(None) in arguments else sample(arguments[0], depth)
    if origin is tuple:
        return tuple(sample(one, depth + 1) for one in arguments if one is not Ellipsis)
    if origin in (dict, frozenset):
        return {'a|b "é\n': sample(arguments[1], depth + 1)}
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return typing.cast(Any, kind)(**{f.name: sample(hints[f.name], depth + 1) for f in dataclasses.fields(kind)})
    return {int: 7, float: 1.25, str: "text", bool: True}[kind]


def _text(what: str, value: Any) -> str:
    return ENCODERS[what][0](value).decode()
