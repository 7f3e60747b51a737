"""The audit chain of one aggregate: every commit adds a link whose hash covers the link before it (law 10).

The engine makes a link with each commit (`link`); `andon audit verify` reads a chain back and asks `verify` what is
wrong with it. The head and the count that `verify` compares with come from the aggregate's own sealed record, so a
chain that was cut short, or replaced as a whole, shows too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from bot.core.words import JsonText

GENESIS = ""  # what the first link names as its predecessor


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One link of an aggregate's chain: `body` is canonical JSON, `hash` covers the previous link's hash and it."""

    seq: int
    previous: str
    hash: str
    body: JsonText


def link(previous: str, seq: int, body: JsonText) -> AuditEntry:
    """The next link after the one whose hash is `previous` (`GENESIS` before the first). `seq` counts from 1."""
    return AuditEntry(seq=seq, previous=previous, hash=_digest(previous, seq, body), body=body)


def verify(entries: Sequence[AuditEntry], head: str, seq: int) -> tuple[str, ...]:
    """What is wrong with a chain, in words; empty when it is whole.

    `head` and `seq` are the newest link's hash and number as the aggregate's own record has them.
    """
    problems: list[str] = []
    previous = GENESIS
    for place, entry in enumerate(entries, start=1):
        if entry.seq != place:
            problems.append(_misplaced(entries, place))
        if entry.hash != _digest(entry.previous, entry.seq, entry.body):
            problems.append(f"entry {entry.seq} was edited: its text does not give its hash")
        elif entry.seq == place and entry.previous != previous:
            problems.append(f"entry {entry.seq} does not follow entry {place - 1}: one of the two was replaced")
        previous = entry.hash
    if len(entries) < seq:
        problems.append(f"the chain ends at entry {len(entries)}, but the record says {seq}: its end was cut off")
    elif len(entries) > seq:
        problems.append(f"the chain has {len(entries)} entries, but the record says {seq}: entries were added")
    elif previous != head:
        problems.append(f"entry {seq} is not the one the record names as its last: the chain was rewritten")
    return tuple(problems)


def _misplaced(entries: Sequence[AuditEntry], place: int) -> str:
    """Whether what should stand at `place` is gone, or stands elsewhere."""
    found = entries[place - 1].seq
    if any(entry.seq == place for entry in entries):
        return f"entry {found} stands at place {place}: the chain was reordered"
    return f"entry {place} is missing: entry {found} stands in its place, so one was deleted"


def _digest(previous: str, seq: int, body: JsonText) -> str:
    return hashlib.sha256(f"{seq}\n{previous}\n{body}".encode()).hexdigest()
