"""Any record and any bytes: what was written comes back exactly, what was not written is forged; and any tampered chain
of the audit is told."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.adapters import codec
from bot.adapters.seal import MAC_BYTES, Sealer
from bot.core import effects, events
from bot.core.audit import GENESIS, AuditEntry, link, verify
from bot.core.incident import Incident
from bot.core.source import Source
from bot.core.target import Target
from bot.errors import RecordForged, StoreNewer
from tests.unit.fuzzing import examples

DEPTH = 5  # a plan holds steps that may hold a plan, and so on; below this, containers are empty
TEXTS = st.text(max_size=6) | st.sampled_from(
    ["", "\0", "\U0010ffff", '"', "\\", "\u2028", '{"a":1}', "inc-1", "andon"]
)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**62), 2**62),
    float: st.floats(allow_nan=False),
    str: TEXTS,
    bool: st.booleans(),
    type(None): st.none(),
}
KINDS: tuple[Any, ...] = (*get_args(events.Event), *get_args(effects.OutboxEffect), Incident, Target, Source)


def value(draw: st.DrawFn, kind: Any, depth: int = 0) -> Any:
    """Any value of a type."""
    origin, inner = typing.get_origin(kind), get_args(kind)
    if origin is typing.Annotated:
        return value(draw, inner[0], depth)
    if origin is typing.Literal:
        return draw(st.sampled_from(inner))
    if origin in (typing.Union, types.UnionType):
        if depth > DEPTH and type(None) in inner:
            return None
        return value(draw, draw(st.sampled_from(inner)), depth)
    many = range(0 if depth > DEPTH else draw(st.integers(0, 2)))
    if origin is tuple:
        if Ellipsis in inner:
            return tuple(value(draw, inner[0], depth + 1) for _ in many)
        return tuple(value(draw, one, depth + 1) for one in inner)
    if origin is frozenset:
        return frozenset(value(draw, inner[0], depth + 1) for _ in many)
    if origin in (dict, typing.get_origin(typing.Mapping[str, str])):
        return {draw(TEXTS): value(draw, inner[1], depth + 1) for _ in many}
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        made = {f.name: value(draw, hints[f.name], depth + 1) for f in dataclasses.fields(kind) if f.init}
        return typing.cast(Any, kind)(**made)
    return draw(PLAIN[kind])


@st.composite
def records(draw: st.DrawFn) -> Any:
    """Anything that is stored or journalled."""
    return value(draw, draw(st.sampled_from(KINDS)))


def ways(record: Any) -> list[tuple[Callable[[Any], bytes], Callable[[bytes], Any]]]:
    """How it is written and read."""
    if isinstance(record, Incident | Target | Source):
        return [(codec.encode_record, codec.decode_record)]
    if isinstance(record, get_args(effects.OutboxEffect)):
        return [(codec.encode_effect, codec.decode_effect)]
    found: list[tuple[Callable[[Any], bytes], Callable[[bytes], Any]]] = [
        (lambda event: codec.encode_entry(events.Addressed(to="inc-1", event=event)), _addressed)
    ]
    if isinstance(record, events.IntentDeclared):
        found.append((codec.encode_intent, codec.decode_intent))
    return found


def _addressed(raw: bytes) -> Any:
    entry = codec.decode_entry(raw)
    return entry.event if isinstance(entry, events.Addressed) else entry


@examples(40, weight=4)
@given(records())
def test_any_record_comes_back_as_it_went_in(record: Any) -> None:
    """Every kind, with anything its types allow in every field."""
    for write, read in ways(record):
        assert read(write(record)) == record


GOOD = codec.encode_entry(
    events.AlertsReceived(id="am-1:s", at=7, source="alertmanager", receiver="r", alerts=(), truncated=0)
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good record with bytes turned over, put in, cut out or moved."""
    raw = bytearray(GOOD)
    for _ in range(draw(st.integers(1, 3))):
        at, until = sorted((draw(st.integers(0, len(raw))), draw(st.integers(0, len(raw)))))
        match draw(st.sampled_from(["turn", "put", "cut", "move"])):
            case "turn" if at < len(raw):
                raw[at] ^= 1 << draw(st.integers(0, 7))
            case "put":
                raw[at:at] = draw(st.binary(max_size=8))
            case "cut":
                del raw[at : min(until, at + 8)]
            case _:
                part = raw[at:until]
                del raw[at:until]
                raw[draw(st.integers(0, len(raw))) :][:0] = part
    return bytes(raw)


@examples(100)
@given(damaged() | st.binary(max_size=80) | st.binary(max_size=40).map(lambda tail: b"1 " + tail))
@example(b"")
@example(b"1 " + b'{"kind":"incident",' * 2_000)
@example(b"99999999999999999999999 {}")
@example("１ {}".encode())
@example(b"1 null")
def test_any_bytes_are_a_record_or_forged(raw: bytes) -> None:
    """To every reader: exactly what one of us wrote, or RecordForged (StoreNewer for a version to come)."""
    for read, write in (
        (codec.decode_entry, codec.encode_entry),
        (codec.decode_effect, codec.encode_effect),
        (codec.decode_record, codec.encode_record),
        (codec.decode_intent, codec.encode_intent),
    ):
        try:
            found = read(raw)
        except (RecordForged, StoreNewer) as error:
            str(error).encode()
            continue
        assert read(write(found)) == found  # type: ignore[operator]  # each with its own reader


@examples(50)
@given(st.binary(max_size=40), st.binary(max_size=60), st.integers(0, 10**6), st.integers(1, 255))
def test_no_change_of_a_sealed_record_opens(context: bytes, body: bytes, at: int, turned: int) -> None:
    """Any byte of it, its place, or a part moved between the two."""
    sealer = Sealer(b"k" * 32)
    sealed = sealer.seal(context, body)
    assert sealer.open(context, sealed) == body
    forged = bytearray(sealed)
    forged[at % len(forged)] ^= turned
    for place, bytes_there in (
        (context, bytes(forged)),
        (context + b"x", sealed),
        (context + body[:1], sealed[:MAC_BYTES] + body[1:]) if body else (context, sealed[:-1]),
        (context, sealed[:-1]),
    ):
        with pytest.raises(RecordForged):
            sealer.open(place, bytes_there)


def chain(bodies: list[str]) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    for seq, body in enumerate(bodies, start=1):
        entries.append(link(entries[-1].hash if entries else GENESIS, seq, body))
    return entries


@st.composite
def tampered(draw: st.DrawFn) -> tuple[list[AuditEntry], list[AuditEntry]]:
    """A whole chain, and what somebody made of it."""
    whole = chain(draw(st.lists(st.text(max_size=8), min_size=1, max_size=8)))
    made = list(whole)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(made))) if made else 0
        one = made[at] if at < len(made) else None
        match draw(st.sampled_from(["edit", "relink", "delete", "swap", "add", "cut", "renumber", "rewrite"])):
            case "edit" if one:
                made[at] = replace(one, body=draw(st.text(max_size=8)))
            case "relink" if one:
                made[at] = link(one.previous, one.seq, draw(st.text(max_size=8)))
            case "delete" if one:
                del made[at]
            case "swap" if one:
                made[at], made[0] = made[0], made[at]
            case "add":
                made.insert(at, link(made[at - 1].hash if at else GENESIS, at + 1, draw(st.text(max_size=8))))
            case "cut":
                del made[at:]
            case "renumber" if one:
                made[at] = replace(one, seq=draw(st.integers(-1, 10)))
            case "rewrite":
                made[at:] = chain([entry.body for entry in made[:at]] + [draw(st.text(max_size=8))])[at:]
            case _:
                pass
    return whole, made


@examples(100)
@given(tampered())
def test_every_tampered_chain_is_told(case: tuple[list[AuditEntry], list[AuditEntry]]) -> None:
    """Whatever was done to the entries, unless nothing was: the sealed record knows head and number."""
    whole, made = case
    problems = verify(made, whole[-1].hash, len(whole))
    assert bool(problems) == (made != whole)
    assert all(problem for problem in problems)
