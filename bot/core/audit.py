"""The audit chain of one aggregate: every commit adds a link whose hash covers the link before it (law 10).

The engine makes a link with each commit (`link`); `andon audit verify` reads a chain back and asks `verify` what is
wrong with it. The head and the count that `verify` compares with come from the aggregate's own sealed record, so a
chain that was cut short, or replaced as a whole, shows too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from bot.core.words import AggregateId, JsonText

GENESIS = ""  # what the first link names as its predecessor
# A source's chain grows with every batch it reads, for ever. It keeps its newest links only: what a source caused
# stands in the chain of the incident it opened. `lua/commit.lua` and the in-memory store cut it.
KEPT_LINKS = 2_000


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


def is_bounded(aggregate: AggregateId) -> bool:
    """Whether this aggregate's chain keeps only its newest `KEPT_LINKS`."""
    return aggregate.startswith("source:")


def verify(entries: Sequence[AuditEntry], head: str, seq: int, *, bounded: bool = False) -> tuple[str, ...]:
    """What is wrong with a chain, in words; empty when it is whole.

    `head` and `seq` are the newest link's hash and number as the aggregate's own record has them. A `bounded` chain
    begins with the oldest link that it keeps.
    """
    problems: list[str] = []
    first = max(1, seq - KEPT_LINKS + 1) if bounded else 1
    previous = entries[0].previous if first > 1 and entries else GENESIS
    for place, entry in enumerate(entries, start=first):
        if entry.seq != place:
            problems.append(_misplaced(entries, place, first))
        if entry.hash != _digest(entry.previous, entry.seq, entry.body):
            problems.append(f"entry {entry.seq} was edited: its text does not give its hash")
        elif entry.seq == place and entry.previous != previous:
            problems.append(f"entry {entry.seq} does not follow entry {place - 1}: one of the two was replaced")
        previous = entry.hash
    last = first - 1 + len(entries)
    if last < seq:
        problems.append(f"the chain ends at entry {last}, but the record says {seq}: its end was cut off")
    elif last > seq:
        problems.append(f"the chain has {last} entries, but the record says {seq}: entries were added")
    elif previous != head:
        problems.append(f"entry {seq} is not the one the record names as its last: the chain was rewritten")
    return tuple(problems)


def _misplaced(entries: Sequence[AuditEntry], place: int, first: int) -> str:
    """Whether what should stand at `place` is gone, or stands elsewhere."""
    found = entries[place - first].seq
    if any(entry.seq == place for entry in entries):
        return f"entry {found} stands at place {place}: the chain was reordered"
    return f"entry {place} is missing: entry {found} stands in its place, so one was deleted"


def _digest(previous: str, seq: int, body: JsonText) -> str:
    return hashlib.sha256(f"{seq}\n{previous}\n{body}".encode()).hexdigest()
