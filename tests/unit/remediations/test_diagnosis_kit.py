"""The diagnosis kit: reads are bounded and fail alone, figures fit the record, the first row that holds leads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.engine.connector_ports import RedisValue
from bot.errors import TargetError
from remediations.diagnosis_kit import (
    LOOK_SECONDS,
    MAX_DETAIL,
    MAX_SUMMARY,
    Rule,
    bounded,
    finding,
    info,
    number,
    read_all,
    short,
    stream_entries,
    weigh,
)
from remediations.kit import Cause


def _over(limit: int) -> Callable[[int], str]:
    return lambda degrees: f"{degrees} C" if degrees > limit else ""


HOT: Rule[int] = Rule(Cause(sign="it is hot", cause="the sun", fix="shade"), _over(30))
BOILS: Rule[int] = Rule(Cause(sign="it boils", cause="the stove", fix="lid"), _over(99))


class Slow:
    """A Redis that answers GET, refuses HGET and never answers INFO."""

    async def read(self, *command: str, at: str = "") -> RedisValue:
        if command[0] == "INFO":
            await asyncio.Event().wait()
        if command[0] == "HGET":
            raise TargetError("WRONGTYPE\nkey holds something else")
        return "7"


@pytest.mark.looptime
async def test_a_read_that_hangs_or_fails_stops_no_other() -> None:
    """All of them end within the bound, each with its reply or its reason, on one line."""
    commands = {"a": ("GET", "x"), "b": ("HGET", "x", "y"), "c": ("INFO",)}
    began = asyncio.get_running_loop().time()
    replies = await read_all(Slow(), commands)  # type: ignore[arg-type]  # only read() is used
    assert asyncio.get_running_loop().time() - began <= LOOK_SECONDS + 0.01
    assert replies.values == {"a": "7"}
    assert replies.errors == {
        "b": "WRONGTYPE\ufffdkey holds something else", "c": f"INFO had no answer within {LOOK_SECONDS:g} s"
    }  # fmt: skip
    assert (replies.text("b"), replies.rows("a")) == ("", [])


def test_the_first_row_that_holds_leads_and_the_others_are_named() -> None:
    """Cause and fix are the first one's; no row, no cause."""
    found = finding("the kettle", weigh((BOILS, HOT), 100), {"degrees": 100}, otherwise="all is well")
    assert found.summary == "the kettle; it boils: 100 C; also it is hot: 100 C"
    assert (found.cause, found.fix) == ("the stove", "lid")
    assert json.loads(found.detail) == {"degrees": 100, "rows": ["it boils", "it is hot"]}
    cold = finding("the kettle", weigh((BOILS, HOT), 20), {}, otherwise="all is well")
    assert (cold.summary, cold.cause, cold.fix) == ("the kettle; all is well", "", "")
    assert len(finding("x" * 5_000, (), {}, otherwise="").summary) == MAX_SUMMARY


_JSON = (
    st.none() | st.integers() | st.text(max_size=90) | st.lists(st.lists(st.text(max_size=40), max_size=3), max_size=20)
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(max_size=400), _JSON, max_size=8))
def test_figures_always_fit_the_record(evidence: dict[str, object]) -> None:
    """However many and long: valid JSON of a bounded length, never cut in the middle."""
    text = bounded(evidence)
    assert len(text) <= MAX_DETAIL
    assert isinstance(json.loads(text), dict)


def test_a_list_gives_way_before_figures_do() -> None:
    """What is cut is the longest list's tail; single figures stay."""
    kept = json.loads(bounded({"clients": 7, "slow": [["KEYS", n] for n in range(500)]}))
    assert kept["clients"] == 7
    assert kept["slow"][:2] == [["KEYS", 0], ["KEYS", 1]]
    assert len(kept["slow"]) > 50


@pytest.mark.parametrize("text", ["", None, "nan", "inf", "1e999", " 7", "7 ms", "0x7", "٧x"])
def test_what_is_no_plain_figure_is_none(text: str | None) -> None:
    """Nothing is guessed."""
    assert number(text) is None


def test_replies_become_figures() -> None:
    """INFO's lines, a stream's entries in their order, foreign text on one line."""
    assert info("# Memory\r\nused_memory:12\r\nempty:\r\nodd\r\n") == {"used_memory": "12", "empty": ""}
    rows: list[list[RedisValue]] = [["5-1", ["a", "1", "b", None]], ["4-0", []], ["x-1", []], ["3-0", "no"]]
    assert [(entry.at, entry.fields) for entry in stream_entries(rows)] == [(4, {}), (5, {"a": "1", "b": ""})]
    assert short("a\nb\x1b[2J" + "c" * 100, 10) == "a\ufffdb\ufffd[2Jcc…"
