"""How one closed incident looks as a file, and how the index lists it: bytes in, values out, sealed. Pure.

A file is gzip over one JSON document, ``{"seal": …, "archive": …}``. The seal is a MAC, with the store's own key, over
exactly the bytes of ``archive`` and the incident's place; it holds the record, every link of its audit chain, the
chain's head and its version. The index, `index.jsonl`, is a chain of its own: each line's hash covers the line before
and says which file keeps which incident, with the file's SHA-256. Used by `bot.adapters.archive`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from dataclasses import asdict, dataclass
from typing import Any, Final

from bot.adapters.codec import decode_record, encode_record
from bot.adapters.seal import MAC_BYTES, Sealer
from bot.core.audit import AuditEntry, link
from bot.core.incident import Incident
from bot.core.words import AggregateId, JsonText, Millis
from bot.engine.ports import Archived
from bot.errors import InputError, RecordForged

MAX_DOCUMENT: Final = 64 * 1024 * 1024  # bytes unpacked; a record with 1,000 alerts and 10,000 links is about 10 MB
_LEVEL: Final = 6  # zlib's own middle; audit text shrinks to about a tenth
_OPENING: Final = b'{"seal":"%b","archive":'
_SEAL_AT: Final = len(b'{"seal":"')
_BODY_AT: Final = len(_OPENING % (b"0" * 2 * MAC_BYTES))
_ENDING: Final = b"}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What a line of the index says. `file` is relative to the archive's folder."""

    incident: AggregateId
    system: str
    file: str
    sha256: str
    head: str
    version: int
    closed_at: Millis
    archived_at: Millis


def pack(closed: Archived, sealer: Sealer) -> bytes:
    """The file of a closed incident; the same incident always gives the same bytes. InputError when it is too large."""
    incident = closed.incident
    schema, _, record = encode_record(incident).partition(b" ")
    document = {
        "incident": incident.id,
        "system": incident.system,
        "version": closed.version,
        "head": closed.head,
        "schema": int(schema),
        "record": json.loads(record),
        "audit": [asdict(entry) for entry in closed.audit],
    }
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    if len(body) > MAX_DOCUMENT:
        raise InputError("incident", f"{incident.id}: {len(body):,} bytes are more than an archive file may have")
    seal = sealer.seal(_context(incident.system, incident.id), body)[:MAC_BYTES]
    return gzip.compress(_OPENING % seal.hex().encode() + body + _ENDING, _LEVEL, mtime=0)


def unpack(data: bytes, system: str, incident: AggregateId, sealer: Sealer) -> Archived:
    """The incident in a file. RecordForged when it is not exactly what `pack` made for this incident."""
    where = f"the archive of {incident}"
    text = _unzip(data, where)
    body, context = text[_BODY_AT : -len(_ENDING)], _context(system, incident)
    try:
        seal = bytes.fromhex(text[_SEAL_AT : _SEAL_AT + 2 * MAC_BYTES].decode("ascii"))
    except ValueError as error:
        raise RecordForged(f"{where} is no archive file of ours") from error
    body = sealer.open(context, seal + body)  # from here on, it is what we wrote
    document: dict[str, Any] = json.loads(body)
    record = decode_record(b"%d " % document["schema"] + json.dumps(document["record"]).encode())
    if not isinstance(record, Incident):
        raise RecordForged(f"{where} holds no incident")
    return Archived(
        incident=record,
        version=document["version"],
        head=document["head"],
        audit=tuple(AuditEntry(**entry) for entry in document["audit"]),
    )


def next_line(listed: Listed, last: AuditEntry | None) -> AuditEntry:
    """The index's next line, after `last`."""
    body = json.dumps(asdict(listed), sort_keys=True, separators=(",", ":"))
    return link(last.hash if last else "", last.seq + 1 if last else 1, body)


def write_line(entry: AuditEntry) -> bytes:
    """A line of the index as text."""
    line = {"seq": entry.seq, "previous": entry.previous, "hash": entry.hash, "keeps": json.loads(entry.body)}
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def read_line(raw: bytes) -> tuple[AuditEntry, Listed | None]:
    """A line of the index. One that was mangled still comes back, so that verification can say which."""
    try:
        line = json.loads(raw)
        body = json.dumps(line["keeps"], sort_keys=True, separators=(",", ":"))
        entry = AuditEntry(int(line["seq"]), str(line["previous"]), str(line["hash"]), body)
        return entry, _listed(line["keeps"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):  # also numbers and depths of a mischief
        return AuditEntry(seq=0, previous="", hash="", body=raw.decode("utf-8", "replace")), None


def write_head(entry: AuditEntry, sealer: Sealer) -> bytes:
    """What the index's end is remembered by, sealed, so that cutting it off shows."""
    body = json.dumps({"seq": entry.seq, "hash": entry.hash}).encode()
    return json.dumps(
        {"head": body.decode(), "seal": sealer.seal(b"the archive's index.head", body)[:MAC_BYTES].hex()}
    ).encode()


def read_head(raw: bytes, sealer: Sealer) -> tuple[int, JsonText]:
    """(seq, hash) of the index's end. RecordForged."""
    try:
        told = json.loads(raw)
        body = sealer.open(b"the archive's index.head", bytes.fromhex(told["seal"]) + told["head"].encode())
        head = json.loads(body)
        return int(head["seq"]), str(head["hash"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise RecordForged("the archive's index.head is not one of ours") from error


def fingerprint(data: bytes) -> str:
    """A file's SHA-256."""
    return hashlib.sha256(data).hexdigest()


def _listed(told: dict[str, Any]) -> Listed | None:
    names = Listed.__dataclass_fields__
    if set(told) != set(names):
        return None
    numbers = {"version", "closed_at", "archived_at"}
    if any(not isinstance(told[name], int if name in numbers else str) for name in names):
        return None
    return Listed(**told)


def _context(system: str, incident: AggregateId) -> bytes:
    return f"archive|{system}|{incident}".encode()


def _unzip(data: bytes, where: str) -> bytes:
    """Unpacked, never beyond the bound: a file somebody put there may unpack to anything."""
    inflate = zlib.decompressobj(wbits=31)  # gzip
    try:
        text = inflate.decompress(data, MAX_DOCUMENT + _BODY_AT + len(_ENDING))
    except zlib.error as error:
        raise RecordForged(f"{where} cannot be unpacked: it was damaged or edited") from error
    if not inflate.eof or inflate.unused_data:
        raise RecordForged(f"{where} was cut off, or something was added")
    return text
