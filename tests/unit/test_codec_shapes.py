"""Records to bytes and back: every kind, exactly, and nothing else."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.adapters import codec
from bot.core import effects, events
from bot.core.incident import Incident
from bot.core.reading import Reading
from bot.core.record import OLDEST_SCHEMA, SCHEMA_VERSION
from bot.core.source import Source
from bot.core.target import Target
from bot.errors import InputError, RecordForged, StoreNewer

EVENTS: tuple[type, ...] = get_args(events.Event)
MAX_DEPTH = 8  # a plan holds steps that may hold a plan, and so on
EFFECTS: tuple[type, ...] = get_args(effects.OutboxEffect)


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


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_every_event_comes_back_as_it_went_in(kind: type) -> None:
    """Addressed events keep their class and every field."""
    entry = events.Addressed(to="inc-1", event=sample(kind))
    assert codec.decode_entry(codec.encode_entry(entry)) == entry


@pytest.mark.parametrize("kind", EFFECTS, ids=lambda kind: kind.__name__)
def test_every_effect_comes_back_as_it_went_in(kind: type) -> None:
    """Effects keep their class and every field."""
    effect = sample(kind)
    assert codec.decode_effect(codec.encode_effect(effect)) == effect


@pytest.mark.parametrize("kind", [Incident, Target, Source])
def test_every_record_comes_back_as_it_went_in(kind: type) -> None:
    """Full records, and records with nothing in them."""
    for record in (sample(kind), Incident(id="inc-1", key="k", system="s"), Target(id="target:*", system="s")):
        assert codec.decode_record(codec.encode_record(record)) == record


def test_webhooks_and_intents_come_back_as_they_went_in() -> None:
    """The other two things that are stored."""
    webhook, intent = sample(events.AlertsReceived), sample(events.IntentDeclared)
    assert codec.decode_entry(codec.encode_entry(webhook)) == webhook
    assert codec.decode_intent(codec.encode_intent(intent)) == intent


@given(st.one_of(st.floats(), st.text(), st.booleans(), st.none()))
def test_a_readings_value_keeps_its_type(value: float | str | bool | None) -> None:
    """A number stays a number (also NaN and infinities), "NaN" stays text, True does not become 1."""
    reading = Reading(name="var", value=value)
    event = events.EvidenceObserved(
        id="e", at=1, episode=1, purpose="verify", token="t", holds=None, why="", readings=(reading,)
    )
    raw = codec.encode_entry(events.Addressed(to="inc-1", event=event))
    entry = codec.decode_entry(raw)
    assert isinstance(entry, events.Addressed)
    assert isinstance(entry.event, events.EvidenceObserved)
    back = entry.event.readings[0].value
    assert type(back) is type(value)
    if isinstance(value, float) and math.isnan(value):
        assert isinstance(back, float)
        assert math.isnan(back)
    else:
        assert back == value


GOOD = codec.encode_entry(sample(events.AlertsReceived))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "schema version ''"),
        (b"0" + GOOD[1:], "schema version '0'"),
        (b"+2" + GOOD[1:], "schema version '\\+2'"),
        (b"99999999999 {}", "schema version"),
        (GOOD[2:], "schema version"),
        (b"1 {}", "kind"),
        (GOOD.replace(b"alerts_received", b"alerts_relieved"), "alerts_relieved"),
        (GOOD.replace(b'"truncated":7', b'"truncated":7,"more":1'), "more"),
        (GOOD.replace(b',"truncated":7', b',"truncated":"many"'), "truncated"),
        (GOOD.replace(b'"id":"text",', b""), "id"),
        (GOOD[:-1], "entry"),
        (b"1 " + b"[" * 100_000, "entry"),
        (b"1 \xff\xfe", "entry"),
    ],
    ids=[
        "empty",
        "zero",
        "signed",
        "too-long",
        "unversioned",
        "no-kind",
        "kind",
        "extra",
        "type",
        "missing",
        "torn",
        "deep",
        "binary",
    ],
)
def test_anything_else_is_forged(raw: bytes, words: str) -> None:
    """No version of ours, an unknown kind or shape, torn or foreign bytes: never half understood."""
    with pytest.raises(RecordForged, match=words):
        codec.decode_entry(raw)


def test_a_later_version_is_not_read_and_not_called_forged() -> None:
    """It is for a newer Andon, whatever it looks like: nothing of it is understood here."""
    later = b"%d " % (SCHEMA_VERSION + 1)
    for raw in (later + GOOD.partition(b" ")[2], later + b'{"kind":"not yet"}', later):
        for read in (codec.decode_entry, codec.decode_effect, codec.decode_record, codec.decode_intent):
            with pytest.raises(StoreNewer, match=f"schema version {SCHEMA_VERSION + 1}"):
                read(raw)


def test_every_earlier_version_is_read() -> None:
    """What has not changed since reads the same under every version from the oldest on."""
    for version in range(OLDEST_SCHEMA, SCHEMA_VERSION + 1):
        assert codec.decode_entry(b"%d " % version + GOOD.partition(b" ")[2]) == codec.decode_entry(GOOD)


def test_text_that_cannot_be_written_is_the_senders_mistake() -> None:
    """Half a surrogate pair is refused as input (4xx), not as a failure of the store."""
    entry = events.AlertsReceived(id="half \ud800", at=1, source="", receiver="", alerts=())
    with pytest.raises(InputError):
        codec.encode_entry(entry)


def test_an_effect_is_not_an_entry_and_a_record_is_neither() -> None:
    """Each reader takes its own kinds only."""
    effect = codec.encode_effect(sample(effects.PageOncall))
    with pytest.raises(RecordForged):
        codec.decode_entry(effect)
    with pytest.raises(RecordForged):
        codec.decode_record(effect)
    with pytest.raises(RecordForged):
        codec.decode_intent(b"1 null")
