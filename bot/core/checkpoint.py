"""Checkpoints: what every audit chain's head was, said by a replica at a time, signed, and chained (law 10).

A hash chain proves its order; it cannot prove that it is the chain there always was, for whoever may write to the
store may write all of it anew. A *checkpoint* is one line: the heads that changed since the line before, the hash of
that line, the replica's public key, and a signature with a key that is not in the store. `bot.engine.checkpoints`
makes them, `bot.engine.audit_verification` compares them with what is stored. How a signature is checked is an
argument: the core knows no cryptography.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from bot.core.words import AggregateId, JsonText, Millis

GENESIS: Final = ""  # what the first checkpoint of a chain names as its predecessor
MAX_STATEMENTS: Final = 500  # in one checkpoint: about 60 kB, so that a bundle of some of them stays small
MAX_LINE: Final = 512 * 1024  # bytes; a longer line was never written by us

Verifier: TypeAlias = Callable[[str, bytes, str], bool]  # (public key, what was signed, signature) -> whether it holds

_CONTEXT: Final = b"andon checkpoint 1\n"  # nothing else that this key signs begins so


@dataclass(frozen=True, slots=True)
class Statement:
    """At this version, the aggregate's audit chain ended in `head`."""

    shard: str
    aggregate: AggregateId
    version: int
    head: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One link of a replica's chain of checkpoints. `key` is the public key that the signature holds for."""

    seq: int
    previous: str
    at: Millis
    replica: str
    key: str
    saw: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint as written: its line without the line end, and the hash that its successor names."""

    checkpoint: Checkpoint
    signature: str
    hash: str
    line: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """Somebody remembers that a chain had this link. `where` says who, for people; `hash` "": only how many."""

    seq: int
    hash: str
    where: str


def to_sign(checkpoint: Checkpoint) -> bytes:
    """What the signature is over."""
    return _CONTEXT + _body(checkpoint).encode()


def sealed(checkpoint: Checkpoint, signature: str) -> Signed:
    """The checkpoint as it is written."""
    body = _body(checkpoint)
    line = f'{{"checkpoint":{body},"signature":{json.dumps(signature)}}}'.encode()
    return Signed(checkpoint, signature, hashlib.sha256(body.encode()).hexdigest(), line)


def parse(line: bytes) -> Signed | None:
    """A line as written by `sealed`, character for character; None for anything else."""
    if len(line) > MAX_LINE:
        return None
    try:
        told = json.loads(line)
        body = told["checkpoint"]
        found = sealed(
            Checkpoint(
                seq=body["seq"], previous=body["previous"], at=body["at"], replica=body["replica"], key=body["key"],
                saw=tuple(Statement(*each) for each in body["saw"]),
            ),
            told["signature"],
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if found.line == line and _fits(found.checkpoint) else None


def _fits(checkpoint: Checkpoint) -> bool:
    """JSON takes many types; these are ours."""
    numbers = [checkpoint.seq, checkpoint.at, *(each.version for each in checkpoint.saw)]
    texts = [checkpoint.previous, checkpoint.replica, checkpoint.key]
    texts += [text for each in checkpoint.saw for text in (each.shard, each.aggregate, each.head)]
    return all(type(number) is int for number in numbers) and all(isinstance(text, str) for text in texts)


def _body(checkpoint: Checkpoint) -> JsonText:
    return json.dumps(
        {
            "at": checkpoint.at,
            "key": checkpoint.key,
            "previous": checkpoint.previous,
            "replica": checkpoint.replica,
            "saw": [[each.shard, each.aggregate, each.version, each.head] for each in checkpoint.saw],
            "seq": checkpoint.seq,
        },
        separators=(",", ":"),
    )


# --- reading a chain back -----------------------------------------------------------------------------------------


class ChainReader:
    """Walks a chain of checkpoints, line by line, and keeps what is wrong with it.

    Only what carries the key's own signature is believed; what is out of its place, but signed, is believed too, for it
    was said. `marks` are compared on the way; `count` and `problems` are complete when the walk is over.
    """

    def __init__(self, key: str, holds: Verifier, marks: Iterable[Mark] = ()) -> None:
        self.key = key
        self.problems: list[str] = []
        self.count = 0
        self.last: Signed | None = None
        self._holds = holds
        self._marks = tuple(marks)
        self._hashes: dict[int, str] = {mark.seq: "" for mark in self._marks}

    def walk(self, lines: Iterable[bytes]) -> Iterator[Signed]:
        """Every checkpoint that was really signed, in the order of the lines."""
        previous: str | None = GENESIS
        for place, line in enumerate(lines, start=1):
            self.count = place
            found = parse(line)
            if found is None:
                self._wrong(f"checkpoint {place} was edited: it is no line of ours any more")
                previous = None
                continue
            stated = found.checkpoint
            if stated.key != self.key or not self._holds(self.key, to_sign(stated), found.signature):
                self._wrong(f"checkpoint {place} was edited or forged: the key's signature does not hold")
                previous = found.hash
                continue
            if stated.seq != place:
                self._wrong(f"checkpoint {stated.seq} stands at place {place}: one was deleted, or they were reordered")
            elif previous is not None and stated.previous != previous:
                self._wrong(f"checkpoint {place} does not follow checkpoint {place - 1}: one of the two was replaced")
            previous = found.hash
            self.last = found
            if place in self._hashes:
                self._hashes[place] = found.hash
            yield found
        self._compare()

    def _compare(self) -> None:
        for mark in self._marks:
            if mark.seq > self.count:
                self._wrong(f"the chain ends at checkpoint {self.count}, but {mark.where} knows {mark.seq}: "
                            "its end was cut off")  # fmt: skip
            elif mark.hash and self._hashes[mark.seq] != mark.hash:
                self._wrong(f"checkpoint {mark.seq} is not the one that {mark.where} knows: the chain was rewritten")

    def _wrong(self, problem: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)


MAX_PROBLEMS: Final = 50  # named of one chain; whoever cut a thousand lines need not be told a thousand times


# --- comparing with what is stored --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """A statement about one aggregate, and who made it when."""

    version: int
    head: str
    checkpoint: int
    key: str


def contradicted(told: Sequence[Told], hashes: Sequence[tuple[int, str]], *, bounded: bool = False) -> list[Told]:
    """The statements that a chain does not bear out. `hashes`: (seq, hash) of its entries, oldest first.

    A `bounded` chain has let go of its oldest entries: what was said of those is not contradicted.
    """
    known = dict(hashes)
    first = hashes[0][0] if hashes else 0
    return [
        each
        for each in told
        if known.get(each.version) != each.head and not (bounded and hashes and each.version < first)
    ]


def words(broken: Told, copies: Sequence[int], signer: str) -> str:
    """What a statement that nothing bears out means. `copies`: how many entries each copy of the chain has."""
    by = f"checkpoint {broken.checkpoint} of {signer}"
    if not copies:
        return (
            f"{by} saw it at entry {broken.version}, but it is neither in the store nor in the archive: it was deleted"
        )
    longest = max(copies)
    if longest < broken.version:
        return f"the chain ends at entry {longest}, but {by} saw entry {broken.version}: its end was cut off"
    return f"entry {broken.version} is not the one that {by} saw: the chain was rewritten"
