"""`router.switch_pattern`: each row of the runbook's table is told by figures, and nothing is told from too little."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.plan import EvidenceDecl
from bot.engine.action_ports import ActionContext, Finding
from bot.engine.connector_ports import RedisValue
from bot.errors import TargetError
from remediations import model_switching
from remediations.diagnosis_kit import MAX_DETAIL, StreamEntry, stream_entries, told
from remediations.model_switching import RULES, Switching, SwitchPattern, judge

Row = tuple[str, str, str]  # symbol, from, to
NOW = 1_700_000_000_000
MODELS = ("lstm-v2", "gru-v1", "xgb-v3", "tcn-v1")
PAIR: tuple[Row, ...] = (("BTC-USD", "lstm-v2", "gru-v1"), ("BTC-USD", "gru-v1", "lstm-v2"))
PINGPONG: tuple[Row, ...] = (*PAIR, ("ETH-USD", "gru-v1", "lstm-v2"), ("ETH-USD", "lstm-v2", "gru-v1"))
RANDOM: tuple[Row, ...] = tuple(
    (symbol, MODELS[i], MODELS[j]) for i, j in ((0, 1), (1, 2), (2, 3), (3, 0), (0, 2)) for symbol in ("BTC", "ETH")
)


def log(rows: Iterable[Row], times: int, *, confidence: object = 0.8, latency: object = 30) -> list[StreamEntry]:
    """These switches over and over, one a second."""
    cycle = list(rows) * times
    return [
        StreamEntry(NOW + 1_000 * n, {
            "symbol": symbol, "from": old, "to": new, "confidence": str(confidence), "latency_ms": str(latency),
        })
        for n, (symbol, old, new) in enumerate(cycle)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("entries", "cause", "fix", "figure"),
    [
        (log(PINGPONG, 5), "bad routing rule threshold", "update model_router_rules.yml", "gru-v1 and lstm-v2"),
        (log(RANDOM, 3), "market halt or low volume", '"market hours only"', "4 models"),
        (log(RANDOM, 3, latency=1_800), "model server overload", "scale model instances", "1,800 ms"),
        (log(PAIR, 10, confidence=0.55), "confidence threshold too low", "min confidence to 0.6", "confidence 0.55"),
    ],
)
def test_each_row_of_the_table(entries: list[StreamEntry], cause: str, fix: str, figure: str) -> None:
    """Sign, figure, cause and fix of the runbook, and the rate."""
    found = judge(entries)
    assert found.cause == cause
    assert fix in found.fix
    assert figure in found.summary
    assert "(60 a minute)" in found.summary


@pytest.mark.parametrize(
    ("entries", "first", "also"),
    [
        (log(PAIR, 10, confidence=0.55), "one symbol oscillates", "also switches between two models"),
        (log(PINGPONG, 5, latency=900), "slow switches", "also switches between two models"),
        (log(RANDOM, 3, latency=900), "slow switches", "also random switching"),
    ],
)
def test_what_looks_like_two_rows_names_both(entries: list[StreamEntry], first: str, also: str) -> None:
    """The likelier cause leads; the other is not hidden."""
    summary = judge(entries).summary
    assert first in summary
    assert also in summary
    assert summary.index(first) < summary.index(also)


@pytest.mark.parametrize(
    "entries",
    [
        [*log(PAIR, 4), *log(RANDOM, 1)],  # half and half
        log([("BTC-USD", "a", "b")], 20),  # always the same direction: nothing goes to and fro
    ],
)
def test_what_looks_like_no_row_says_so(entries: list[StreamEntry]) -> None:
    """No cause is made up."""
    found = judge(entries)
    assert (found.cause, found.fix) == ("", "")
    assert "no pattern of the runbook" in found.summary


@pytest.mark.parametrize("entries", [[], log(PAIR, 1), log(PAIR, 2)])
def test_too_few_switches_are_no_pattern(entries: list[StreamEntry]) -> None:
    """Four switches can look like anything."""
    found = judge(entries)
    assert f"only {len(entries)} switches" in found.summary
    assert found.cause == ""


def test_what_lies_longer_back_does_not_count() -> None:
    """An hour ago it was another pattern."""
    old = [replace(entry, at=entry.at - 3_600_000) for entry in log(RANDOM, 4)]
    assert judge([*old, *log(PINGPONG, 5)]).cause == "bad routing rule threshold"


def test_a_figure_that_is_missing_decides_nothing() -> None:
    """Without confidence one symbol to and fro is a ping-pong; without latency nothing is slow."""
    found = judge(log(PAIR, 10, confidence="", latency="n/a"))
    assert found.cause == "bad routing rule threshold"
    assert "oscillates" not in found.summary
    assert told(found.detail)["confidence"] is None


BASE = Switching(
    count=20, seconds=19, symbols=3, models=2, top_symbol="BTC", top_symbol_share=0.4, top_pair="a and b",
    top_pair_share=0.5, back_and_forth=0.9, latency_ms=30, confidence=0.8,
)  # fmt: skip


@pytest.mark.parametrize(
    ("figures", "signs"),
    [
        ({"latency_ms": 499.9}, []),
        ({"latency_ms": 500.0}, ["slow switches"]),
        ({"top_symbol_share": 0.7, "confidence": 0.59}, ["one symbol oscillates with low confidence"]),
        ({"top_symbol_share": 0.7, "confidence": 0.6}, []),
        ({"top_symbol_share": 0.69, "confidence": 0.5}, []),
        ({"top_pair_share": 0.7}, ["switches between two models"]),
        ({"top_pair_share": 0.7, "back_and_forth": 0.69}, []),
        ({"models": 3}, ["random switching across all models"]),
        ({"models": 3, "top_pair_share": 0.51}, []),
    ],
)
def test_where_each_row_begins(figures: dict[str, float], signs: list[str]) -> None:
    """The thresholds, from both sides."""
    seen = replace(BASE, **figures)  # type: ignore[arg-type]  # field names with their numbers
    assert [rule.row.sign for rule in RULES if rule.holds(seen)] == signs


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["symbol", "from", "to", "confidence", "latency_ms", "x"]), st.text(max_size=80), max_size=6
        ),
        max_size=40,
    )
)
def test_whatever_stands_in_the_entries_is_data(fields: list[dict[str, str]]) -> None:
    """No text breaks it, and what it says is bounded, printable and one line."""
    rows: list[list[RedisValue]] = [
        [f"{NOW + n}-0", [text for pair in each.items() for text in pair]] for n, each in enumerate(fields)
    ]
    found = judge(stream_entries(rows))
    assert found.summary.isprintable()
    assert len(found.summary) < 1_000
    assert len(found.detail) <= MAX_DETAIL
    json.loads(found.detail)


class Log:
    """A Redis that answers one command, or not."""

    def __init__(self, reply: RedisValue | TargetError) -> None:
        self.reply = reply
        self.asked: list[tuple[str, ...]] = []

    async def read(self, *command: str, at: str = "") -> RedisValue:
        self.asked.append(command)
        if isinstance(self.reply, TargetError):
            raise self.reply
        return self.reply


class Place:
    """Targets with one Redis, called `redis`."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def redis(self, system: str, name: str) -> Log:
        if name != "redis":
            raise TargetError(f"{system} has no component named {name}")
        return self.log


async def look(
    reply: RedisValue | TargetError, *, component: str = "redis", declares: bool = True
) -> tuple[Finding, Log]:
    evidence = EvidenceDecl(name="rate", kind="redis_stream", component=component, query="model.switch.log")
    redis = Log(reply)
    context = ActionContext(
        system="trading-core", component="", targets=Place(redis), now=NOW,  # type: ignore[arg-type]  # only redis()
        declared={"rate": evidence} if declares else {},
    )  # fmt: skip
    return await SwitchPattern().look(context), redis


async def test_it_reads_the_newest_entries_once_from_where_the_plan_s_evidence_is() -> None:
    """Newest first as Redis gives them, told oldest first."""
    rows: list[RedisValue] = [
        [f"{entry.at}-0", [text for pair in entry.fields.items() for text in pair]] for entry in log(PINGPONG, 5)
    ]
    found, redis = await look(rows[::-1])
    assert found.cause == "bad routing rule threshold"
    assert redis.asked == [("XREVRANGE", "model.switch.log", "+", "-", "COUNT", str(model_switching.COUNT))]


async def test_a_log_that_cannot_be_read_is_said_to_be_so() -> None:
    """No Redis, no such component, no evidence: each in one sentence, none with a cause."""
    for found, why in (
        ((await look(TargetError("no primary answers")))[0], "no primary answers"),
        ((await look([], component="gone"))[0], "no component named gone"),
        ((await look([], declares=False))[0], "declares no evidence from a Redis"),
        ((await look([["x"], "y", ["1-1", None]]))[0], "only 0 switches"),  # not a log at all
    ):
        assert why in found.summary
        assert found.cause == ""
