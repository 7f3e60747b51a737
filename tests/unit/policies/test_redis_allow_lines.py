"""What a line of `allow` lets through to a Redis, and what may be read without one."""

from __future__ import annotations

import pytest

from policies import redis_commands

LINES = ["FAILOVER", "SENTINEL FAILOVER", "PUBLISH param.reload", "HSET metrics:*", "DEL metrics:old"]


@pytest.mark.parametrize(
    ("command", "allowed"),
    [
        ("FAILOVER TO 10.0.0.6 6379 TIMEOUT 5000", True),
        ("SENTINEL FAILOVER trading COORDINATED", True),
        ("SENTINEL REMOVE trading", False),
        ("PUBLISH param.reload {}", True),
        ("publish param.reload {}", True),
        ("PUBLISH param.reload.all {}", False),
        ("HSET metrics:var value 1", True),
        ("HSET metric value 1", False),
        ("HSET", False),
        ("SET metrics:var 1", False),
        ("DEL metrics:old", True),
        ("DEL metrics:old metrics:new", False),
        ("EVAL return 0", False),
        ("CONFIG SET a b", False),
        ("", False),
    ],
)
def test_a_line_lets_its_verb_and_key_through_and_nothing_else(command: str, allowed: bool) -> None:
    """The key that is written is the key that was checked."""
    assert redis_commands.allows(LINES, command.split()) is allowed


@pytest.mark.parametrize("line", ["EVAL", "FLUSHALL", "SET", "SET *", "SET a*b", "SET  a", "SET a b", "", "failover"])
def test_a_line_that_would_allow_too_much_or_nothing_is_told(line: str) -> None:
    """Each comes with what to write instead."""
    problem = redis_commands.line_problem(line)
    assert problem is not None
    assert all(problem)


def test_the_lines_of_the_runbook_are_well() -> None:
    """Nothing is wrong with what the tests above allow."""
    assert [redis_commands.line_problem(line) for line in LINES] == [None] * len(LINES)


@pytest.mark.parametrize(
    "command",
    ["CONFIG GET *", "KEYS *", "SET a b", "CLIENT KILL x", "XREAD STREAMS s $ BLOCK 0", "DEBUG SLEEP 1", "",
     "XRANGE s - + COUNT 1001", "XRANGE s - + COUNT -1", "XRANGE s - + COUNT 10 COUNT 99999", "XRANGE s - + COUNT",
     "XREVRANGE s + - count 1 Count 2", "TS.RANGE s - + AGGREGATION avg 1 COUNT 5 COUNT 5000",
     "XINFO STREAM s FULL COUNT 0", "SLOWLOG GET -1", "SLOWLOG GET 9999999"],
)  # fmt: skip
def test_what_is_not_in_the_table_is_not_read(command: str) -> None:
    """What writes, blocks, or answers without end is refused in words."""
    assert isinstance(redis_commands.reading(command.split()), str)


def test_a_range_is_always_bounded() -> None:
    """A stream of any length answers with a page."""
    assert redis_commands.reading(["xrange", "count", "-", "+"]) == ("xrange", "count", "-", "+", "COUNT", "1000")
    counted = ["TS.RANGE", "s", "-", "+", "AGGREGATION", "count", "60000"]
    assert redis_commands.reading(counted) == (*counted, "COUNT", "1000")
    assert redis_commands.reading(["XREVRANGE", "s", "+", "-", "count", "20"]) == (
        "XREVRANGE", "s", "+", "-", "count", "20",
    )  # fmt: skip


@pytest.mark.parametrize("command", [["XINFO STREAM", "s", "FULL"], ["SLOWLOG GET", "99999"], ["XRANGE s", "-", "+"]])
def test_a_name_of_two_words_comes_as_two(command: list[str]) -> None:
    """Else what follows it is counted from another place than the server does."""
    assert isinstance(redis_commands.reading(command), str)
