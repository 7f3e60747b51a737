"""The verbs that `redis.command` may send, and what is wrong with their arguments. Pure.

A part of `policies.redis_commands.WRITES`, which says why that list is longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MAX_ARGUMENTS = 16  # of one command: a handful of fields; more belongs into a program
MAX_SHOWN = 200  # characters of a value on a card


@dataclass(frozen=True, slots=True)
class Verb:
    """How a verb may be used: its arguments besides the verb (at least, at most), and what reads the same thing."""

    least: int
    most: int
    reads: str
    with_field: bool = False  # the read takes the first field or member too


def verbs() -> Mapping[str, Verb]:
    """Writes that name one key and say what it shall be; done twice they leave the same as done once."""
    return {
        "SET": Verb(2, 4, "GET"),  # … EX seconds: a mark that goes by itself; see `_unsound`
        "DEL": Verb(1, 1, "EXISTS"),  # one key: the allow line names one
        "EXPIRE": Verb(2, 2, "TTL"),
        "PERSIST": Verb(1, 1, "TTL"),
        "HSET": Verb(3, MAX_ARGUMENTS, "HGET", True),
        "HDEL": Verb(2, MAX_ARGUMENTS, "HGET", True),
        "SADD": Verb(2, MAX_ARGUMENTS, "SISMEMBER", True),
        "SREM": Verb(2, MAX_ARGUMENTS, "SISMEMBER", True),
    }


def why_not(command: list[str]) -> str:
    """Why redis.command never sends this, whatever a component allows; "" where nothing speaks against it."""
    verb, *rest = command
    known = verbs().get(verb)
    if known is None:
        return f"{verb[:MAX_SHOWN]!r} is none of the verbs redis.command may send: {', '.join(verbs())}"
    if not known.least <= len(rest) <= known.most:
        return f"{verb} takes {known.least} to {known.most} arguments here, not {len(rest)}"
    return _unsound(verb, rest)


def _unsound(verb: str, rest: list[str]) -> str:
    """What is wrong with a time to live, or with the options of SET; "" for nothing."""
    match (verb, *(word.upper() for word in rest[1:])):
        case ("EXPIRE", seconds) | ("SET", _, "EX" | "PX", seconds):
            lives = seconds.isascii() and seconds.isdigit() and int(seconds) > 0
            return "" if lives else f"{seconds[:20]!r} is no time to live: it would delete {rest[0][:MAX_SHOWN]!r}"
        case ("SET", _) | ("SET", _, "KEEPTTL"):
            return ""
        case ("SET", *_):
            return "SET takes a key and a value here, and then EX seconds, PX milliseconds or KEEPTTL"
    return ""
