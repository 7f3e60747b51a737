"""Records to bytes and back: inbox entries, outbox effects, aggregates and journalled intents.

Called by the store and the journal around every read and write; sealing (`seal.py`) comes after encoding and before
decoding. A stored record is its schema version, a space, and JSON whose `kind` says what it is. An earlier version is
read with what was added since at its default (docs/adr/0012); a later one raises `StoreNewer`. Whatever else does not
fit exactly (an unknown kind, a missing or an additional field) raises `RecordForged`.

The core's dataclasses know nothing of pydantic; the adapters here are built on first use and then kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal, TypeAlias, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from bot.core.effects import OutboxEffect
from bot.core.events import Addressed, AlertsReceived, Event, InboxEntry, IntentDeclared
from bot.core.incident import Incident
from bot.core.record import OLDEST_SCHEMA, SCHEMA_VERSION
from bot.core.source import Source
from bot.core.target import Target
from bot.core.words import AggregateId, JsonText
from bot.errors import InputError, RecordForged, StoreNewer

# A record with a field we do not know was written by something we do not know. Readings may hold NaN or Inf.
_CONFIG = ConfigDict(extra="forbid", ser_json_inf_nan="constants")
_PREFIX = b"%d " % SCHEMA_VERSION
_MAX_DIGITS = 8  # of a version's number; a longer one was never written by us
_MAX_COMPLAINT = 300  # characters of pydantic's text that go into an error; the rest repeats the record

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredAddressed:
    """`Addressed` as stored: its event carries a `kind`, which spares pydantic trying each event in turn."""

    kind: Literal["addressed"] = "addressed"
    to: AggregateId
    event: Annotated[Event, Field(discriminator="kind")]


_StoredEntry: TypeAlias = Annotated[AlertsReceived | _StoredAddressed, Field(discriminator="kind")]
_StoredEffect: TypeAlias = Annotated[OutboxEffect, Field(discriminator="kind")]
_StoredRecord: TypeAlias = Annotated[Incident | Target | Source, Field(discriminator="kind")]


def warm_up() -> None:
    """Build every adapter now (about 80 ms), so that the first alert does not wait for it."""
    for build in (_entries, _effects, _records, _intents, _events):
        build()


def encode_entry(entry: InboxEntry) -> bytes:
    """An inbox entry as bytes."""
    stored = _StoredAddressed(to=entry.to, event=entry.event) if isinstance(entry, Addressed) else entry
    return _encode(_entries(), stored)


def decode_entry(raw: bytes) -> InboxEntry:
    """The inbox entry in `raw`. Raises RecordForged."""
    stored = _decode(_entries(), raw, "inbox entry")
    return Addressed(to=stored.to, event=stored.event) if isinstance(stored, _StoredAddressed) else stored


def encode_effect(effect: OutboxEffect) -> bytes:
    """An outbox effect as bytes."""
    return _encode(_effects(), effect)


def decode_effect(raw: bytes) -> OutboxEffect:
    """The outbox effect in `raw`. Raises RecordForged."""
    return _decode(_effects(), raw, "outbox effect")


def encode_record(record: Incident | Target | Source) -> bytes:
    """An aggregate as bytes."""
    return _encode(_records(), record)


def decode_record(raw: bytes) -> Incident | Target | Source:
    """The aggregate in `raw`. Raises RecordForged."""
    return _decode(_records(), raw, "record")


def event_text(event: Event) -> JsonText:
    """An event as JSON text, for the audit."""
    return _events().dump_json(event).decode()


def encode_intent(intent: IntentDeclared) -> bytes:
    """An intent as the local journal keeps it."""
    return _encode(_intents(), intent)


def decode_intent(raw: bytes) -> IntentDeclared:
    """The intent in `raw`. Raises RecordForged."""
    intent = _decode(_intents(), raw, "intent")
    if intent is None:
        raise RecordForged("intent: empty")
    return intent


def _encode(adapter: TypeAdapter[T], value: T) -> bytes:
    try:
        return _PREFIX + adapter.serializer.to_json(value)
    except PydanticSerializationError as error:  # half a surrogate pair is text to Python, but cannot be written
        raise InputError("text", f"cannot be stored: {str(error)[:_MAX_COMPLAINT]}") from error


def _decode(adapter: TypeAdapter[T], raw: bytes, what: str) -> T:
    text = raw[len(_PREFIX) :] if raw.startswith(_PREFIX) else _of_another_version(raw, what)
    try:
        return adapter.validator.validate_json(text)  # type: ignore[no-any-return]  # made for T
    except ValidationError as error:
        raise RecordForged(f"{what}: {str(error)[:_MAX_COMPLAINT]}") from error


def _of_another_version(raw: bytes, what: str) -> bytes:
    """What follows the version, if it is an earlier one that is still read. Raises StoreNewer, RecordForged."""
    number, space, _ = raw[: _MAX_DIGITS + 1].partition(b" ")
    version = int(number) if space and number.isdigit() and number[:1] != b"0" else 0
    if version > SCHEMA_VERSION:
        raise StoreNewer(f"{what}: schema version {version}, but this Andon reads up to {SCHEMA_VERSION}")
    if version < OLDEST_SCHEMA:
        shown = number[:_MAX_DIGITS].decode("ascii", "replace")
        reads = f"{OLDEST_SCHEMA} to {SCHEMA_VERSION}"
        raise RecordForged(f"{what}: schema version {shown!r}, but this Andon reads {reads}")
    return raw[len(number) + 1 :]


@cache
def _entries() -> TypeAdapter[AlertsReceived | _StoredAddressed]:
    return TypeAdapter(_StoredEntry, config=_CONFIG)


@cache
def _effects() -> TypeAdapter[OutboxEffect]:
    return TypeAdapter(_StoredEffect, config=_CONFIG)


@cache
def _records() -> TypeAdapter[Incident | Target | Source]:
    return TypeAdapter(_StoredRecord, config=_CONFIG)


@cache
def _events() -> TypeAdapter[Event]:
    return TypeAdapter(Annotated[Event, Field(discriminator="kind")], config=_CONFIG)


@cache
def _intents() -> TypeAdapter[IntentDeclared | None]:
    # Pydantic takes no configuration for a bare dataclass, so the type is an optional one.
    return TypeAdapter(IntentDeclared | None, config=_CONFIG)
