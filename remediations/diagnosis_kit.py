"""What every diagnosis is made of: bounded reads, a root-cause table that figures decide, and a finding.

Used by the diagnoses in this package, and meant for those of others; docs/actions.md shows one being written. A
diagnosis looks and decides nothing. It reads within `LOOK_SECONDS`, each read failing alone; turns replies into
figures, with what came from a target cut to plain short text; weighs them with a literal table of `Rule`s; and tells
sentence, cause, fix and figures in a `Finding` that fits the incident's record.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from remediations.kit import (
    ActionContext,
    Cause,
    EvidenceDecl,
    Finding,
    JsonText,
    RedisTarget,
    RedisValue,
    TargetError,
    canonical,
)

LOOK_SECONDS = 2.0  # all reads of a diagnosis together; the dispatcher cuts the whole look off after 5 s
MAX_TEXT = 60  # characters of a name that a target or alert gave: a symbol, model or command is far shorter
MAX_SUMMARY = 900  # characters of the sentence; cause and fix follow it in the record's 2,000
MAX_DETAIL = 1_900  # characters of the figures as JSON: the record keeps 2,000, and nothing of what is longer

F = TypeVar("F")
Command: TypeAlias = tuple[str, ...]


# --- reading ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Replies:
    """What each read gave, by its name; why not, where it gave nothing."""

    values: Mapping[str, RedisValue] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """A reply that is text; "" where there is none."""
        value = self.values.get(name)
        return value if isinstance(value, str) else ""

    def rows(self, name: str) -> list[list[RedisValue]]:
        """A reply that is a list of lists; what is none in it is left out."""
        value = self.values.get(name)
        return [row for row in value if isinstance(row, list)] if isinstance(value, list) else []


async def read_all(redis: RedisTarget, commands: Mapping[str, Command]) -> Replies:
    """All these read-only commands side by side, within LOOK_SECONDS; a read that fails says why and stops no other."""

    async def one(command: Command) -> RedisValue | TargetError:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await redis.read(*command)
        except TimeoutError:
            return TargetError(f"{command[0]} had no answer within {LOOK_SECONDS:g} s")
        except TargetError as error:
            return error

    found = dict(zip(commands, await asyncio.gather(*map(one, commands.values())), strict=True))
    return Replies(
        {name: value for name, value in found.items() if not isinstance(value, TargetError)},
        {name: short(str(value), 200) for name, value in found.items() if isinstance(value, TargetError)},
    )


def declared(context: ActionContext, *kinds: str) -> EvidenceDecl | None:
    """The plan's first evidence of one of these kinds: it tells which component a diagnosis reads from."""
    return next((d for kind in kinds for d in context.declared.values() if d.kind == kind), None)


# --- replies as figures -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """One entry of a stream: the milliseconds of its id, and its fields as short plain text."""

    at: int
    fields: Mapping[str, str]


def stream_entries(rows: Iterable[Sequence[RedisValue]]) -> list[StreamEntry]:
    """A reply to XRANGE or XREVRANGE, oldest first. What is no entry is left out."""
    found = []
    for row in rows:
        stamp = row[0].partition("-")[0] if row and isinstance(row[0], str) else ""
        if len(row) == 2 and isinstance(row[1], list) and stamp.isascii() and stamp.isdigit() and len(stamp) < 16:
            found.append(StreamEntry(int(stamp), pairs(row[1])))
    return sorted(found, key=lambda entry: entry.at)


def pairs(flat: Sequence[RedisValue]) -> dict[str, str]:
    """Names and values that stand one after the other, as a stream entry's and a hash's do."""
    texts = [short("" if value is None or isinstance(value, list) else str(value)) for value in flat]
    return dict(zip(texts[::2], texts[1::2], strict=False))


def info(text: str) -> dict[str, str]:
    """The lines of INFO, ``name:value``."""
    lines = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: value.strip() for name, mark, value in lines if mark}


def number(text: str | None) -> float | None:
    """A plain finite number; None for everything else ("nan", "1e999", "12 ms")."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) < 1e18 and text == (text or "").strip() else None


def short(text: str, limit: int = MAX_TEXT) -> str:
    """Foreign text as one harmless line of at most `limit` characters."""
    line = "".join(c if c.isprintable() else "\ufffd" for c in text[: limit + 1])
    return line if len(line) <= limit else line[: limit - 1] + "…"


# --- weighing -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rule(Generic[F]):
    """One row of a root-cause table, and how figures decide it.

    `holds` says in words how the figures show the sign, or "" when they do not (also when they cannot tell).
    """

    row: Cause
    holds: Callable[[F], str]


@dataclass(frozen=True, slots=True)
class Match:
    """A row that holds, and the figures that show it."""

    row: Cause
    shows: str


def weigh(rules: Iterable[Rule[F]], figures: F) -> tuple[Match, ...]:
    """The rows that hold, in the table's order: the first one is the likeliest."""
    return tuple(Match(rule.row, shows) for rule in rules if (shows := rule.holds(figures)))


def finding(opening: str, matches: Sequence[Match], evidence: Mapping[str, object], *, otherwise: str) -> Finding:
    """What was found: `opening`, then how the first matching row shows; the others are named, for figures can be
    ambiguous. `otherwise` ends the sentence where no row matches."""
    detail = bounded({**evidence, "rows": [match.row.sign for match in matches]})
    if not matches:
        return Finding(short(f"{opening}; {otherwise}", MAX_SUMMARY), detail)
    first, *others = matches
    also = "".join(f"; also {match.row.sign}: {match.shows}" for match in others)
    sentence = f"{opening}; {first.row.sign}: {first.shows}{also}"
    return Finding(short(sentence, MAX_SUMMARY), detail, cause=first.row.cause, fix=first.row.fix)


def bounded(evidence: Mapping[str, object]) -> JsonText:
    """The figures as canonical JSON of at most MAX_DETAIL characters: the longest list is cut, then whole values."""
    kept = dict(evidence)
    while len(text := canonical(kept)) > MAX_DETAIL:
        longest = max(kept, key=lambda name: len(canonical(kept[name])))
        value = kept[longest]
        kept[longest] = value[: len(value) // 2] if isinstance(value, list) and len(value) > 1 else "left out: too long"
        if kept[longest] == value:
            return canonical({"left_out": "all figures: too long"})
    return text


def told(detail: JsonText) -> dict[str, object]:
    """The figures of a finding, for tests and for whoever shows them."""
    return dict(json.loads(detail))
