"""`risk.var_pattern`: one symbol, all of them, after a model switch, or a slow rise, each told by figures (row T2)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.alert import Alert
from bot.core.plan import EvidenceDecl
from bot.core.reading import Reading
from bot.core.words import Millis
from bot.engine.action_ports import ActionContext, Finding
from bot.engine.connector_ports import RedisValue
from bot.errors import TargetError
from bot.testing.redis_twin import MemoryRedis
from remediations.diagnosis_kit import MAX_DETAIL, StreamEntry
from remediations.var_pattern import VarPattern, judge
from remediations.var_rules import RULES, Rise, Switched, Symbol, Var, last_switch, rise

NOW: Millis = 1_700_000_000_000
MINUTE: Millis = 60_000
AFTER_SWITCH, GRADUAL, SINGLE, ALL = (rule.row.sign for rule in RULES)
BTC, ETH, SOL = Symbol("BTC", 2.4, 410_000.0), Symbol("ETH", 1.2), Symbol("SOL", 1.9)
SWITCHED = Switched(symbol="BTC", old="gru", new="lstm", seconds_before=12, chance=0.01)
SLOW_RISE = Rise("BTC", 1.2, 2.4, 0.1, 0.9)


def signs(seen: Var) -> list[str]:
    return [rule.row.sign for rule in RULES if rule.holds(seen)]


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        (Var(symbols=(BTC, ETH)), [SINGLE]),
        (Var(symbols=(BTC,)), [SINGLE]),
        (Var(symbols=(BTC, SOL)), [ALL]),
        (Var(symbols=(BTC, SOL, ETH)), []),  # two of three are neither one nor all
        (Var(symbols=(ETH,)), []),
        (Var(symbols=(Symbol("BTC", 1.8),)), []),  # at the limit is not over it
        (Var(symbols=(BTC, ETH), switched=(SWITCHED,)), [AFTER_SWITCH, SINGLE]),
        (Var(symbols=(BTC, ETH), switched=(replace(SWITCHED, chance=0.06),)), [SINGLE]),
        (Var(symbols=(BTC, ETH), switched=(replace(SWITCHED, chance=None),)), [AFTER_SWITCH, SINGLE]),
        (Var(symbols=(BTC, ETH), switched=(replace(SWITCHED, symbol="ETH"),)), [SINGLE]),  # the calm one's model
        (Var(symbols=(BTC, ETH), rises=(SLOW_RISE,)), [GRADUAL, SINGLE]),
        (Var(symbols=(BTC, ETH), rises=(replace(SLOW_RISE, step=0.48),)), [SINGLE]),  # most of it in one step
        (Var(symbols=(BTC, ETH), rises=(replace(SLOW_RISE, first=2.2),)), [SINGLE]),  # hardly any
        (Var(symbols=(BTC, ETH), rises=(replace(SLOW_RISE, up=0.6),)), [SINGLE]),  # up and down
        (Var(symbols=(BTC, SOL), switched=(SWITCHED,), rises=(SLOW_RISE,)), [AFTER_SWITCH, GRADUAL, ALL]),
    ],
)
def test_where_each_row_begins(seen: Var, found: list[str]) -> None:
    """The runbook's rows by their figures, from both sides, what explains most first."""
    assert signs(seen) == found


@pytest.mark.parametrize(
    ("seen", "cause", "fix", "figure"),
    [
        (Var(symbols=(BTC, ETH)), "concentrated position", "position limit for that symbol", "position $410,000"),
        (
            Var(symbols=(BTC, SOL)),
            "market volatility spike",
            "lower global Kelly to 0.15",
            "lowest at 1.90 %",
        ),
        (Var(symbols=(BTC,), switched=(SWITCHED,)), "over-confident", "confidence penalty", "gru to lstm 12 s before"),
        (
            Var(symbols=(BTC,), rises=(SLOW_RISE,)),
            "stale volatility",
            "refresh",
            "no step over 0.10",
        ),
    ],
)
def test_each_row_of_the_table(seen: Var, cause: str, fix: str, figure: str) -> None:
    """Cause and fix of the runbook, with the figures that tell."""
    found = judge(seen)
    assert cause in found.cause
    assert fix in found.fix
    assert figure in found.summary


def test_what_is_not_known_is_said_and_nothing_made_up() -> None:
    """Nothing readable, nothing high, nothing of the table: each in a sentence without a cause."""
    for seen, why in (
        (Var(symbols=(Symbol("BTC", None, None, "it is 90 s old"),)), "VaR of BTC cannot be read: it is 90 s old"),
        (Var(symbols=(ETH,)), "no symbol is above 1.8 % now"),
        (Var(symbols=(BTC, SOL, ETH)), "no row of the runbook's table"),
    ):
        found = judge(seen)
        assert why in found.summary
        assert (found.cause, found.fix) == ("", "")
    assert "2 more not read; no TimeSeries here" in judge(Var(symbols=(BTC,)), 2, ["no TimeSeries here"]).summary


def switches(*at: Millis, symbol: str = "BTC") -> list[StreamEntry]:
    return [StreamEntry(when, {"symbol": symbol, "from": "gru", "to": "lstm"}) for when in at]


def test_a_switch_is_a_sign_only_where_it_is_no_coincidence() -> None:
    """Twelve seconds before means little where the model changes every minute, and much where it does every hour."""
    often = switches(*(NOW - 12_000 - MINUTE * n for n in range(10, -1, -1)))
    rarely = switches(*(NOW - 12_000 - 60 * MINUTE * n for n in range(10, -1, -1)))
    by_chance, not_by_chance = last_switch("BTC", NOW, often), last_switch("BTC", NOW, rarely)
    assert by_chance is not None
    assert not_by_chance is not None
    assert by_chance.chance == pytest.approx(0.18, abs=0.01)
    assert not_by_chance.chance == pytest.approx(0.0033, abs=0.0005)
    assert by_chance.seconds_before == not_by_chance.seconds_before == 12


def test_a_switch_without_a_usual_rate_counts_only_shortly_before() -> None:
    """One entry in the log: within the minute yes, longer no; after the breach, another symbol, long ago: never."""
    assert last_switch("BTC", NOW, switches(NOW - 59_000)) == Switched(
        symbol="BTC", old="gru", new="lstm", seconds_before=59, chance=None
    )
    for entries in (
        switches(NOW - 61_000), switches(NOW + 1), switches(NOW - 1, symbol="ETH"), switches(NOW - 301_000), []
    ):  # fmt: skip
        assert last_switch("BTC", NOW, entries) is None


def test_a_history_becomes_figures_or_is_too_short() -> None:
    """Eight minutes at least; the largest step and the share of steps up."""
    assert rise("BTC", [1.0] * 7) is None
    found = rise("BTC", [1.0, 1.1, 1.2, 1.3, 1.2, 1.4, 1.5, 1.6, 1.7])
    assert found is not None
    assert (found.first, found.last, found.up) == (1.0, 1.7, 7 / 8)
    assert found.step == pytest.approx(0.2)


@given(
    st.lists(st.tuples(st.text(max_size=80), st.none() | st.floats(0, 100), st.text(max_size=90)), max_size=30),
    st.lists(st.text(max_size=80), max_size=5),
)
def test_whatever_symbols_are_called_is_data(
    named: Sequence[tuple[str, float | None, str]], models: Sequence[str]
) -> None:
    """Bounded and valid, whatever stands in labels and entries."""
    entries = [StreamEntry(NOW, {"symbol": "BTC", "from": model, "to": model}) for model in models]
    switched = last_switch("BTC", NOW, entries)
    symbols = (BTC, *(Symbol(name, value, None, why) for name, value, why in named))
    found = judge(Var(symbols=symbols, switched=(switched,) if switched else ()))
    assert found.summary.isprintable()
    assert len(found.summary) < 1_000
    assert len(found.detail) <= MAX_DETAIL
    json.loads(found.detail)


# --- over twins ---------------------------------------------------------------------------------------------------


class Floor:
    """A Redis with a switch log and perhaps TimeSeries, and evidence by key."""

    def __init__(self, var: Mapping[str, float]) -> None:
        self.var = var
        self.redis_twin = MemoryRedis()
        self.redis_twin.answers = {"XREVRANGE": [], "TS.RANGE": TargetError("ERR unknown command 'TS.RANGE'")}

    def redis(self, system: str, name: str) -> MemoryRedis:
        return self.redis_twin

    async def read(
        self, system: str, wanted: Mapping[str, EvidenceDecl], alerts: Sequence[Alert], now: Millis
    ) -> tuple[Reading, ...]:
        values = {name: self.var.get(decl.query.removeprefix("metrics:var_pct:")) for name, decl in wanted.items()}
        return tuple(
            Reading(name=name, value=value, error="" if value is not None else "there is no such key")
            for name, value in values.items()
        )

    async def look(self, *symbols: str) -> Finding:
        var = EvidenceDecl(name="var", kind="redis_hash", component="redis", query="metrics:var_pct:${labels.symbol}")
        alerts = tuple(
            Alert(fingerprint=f"{n:016}", status="firing", labels={"symbol": s}, starts_at=NOW - MINUTE, ends_at=None)
            for n, s in enumerate(symbols)
        )
        context = ActionContext(
            system="trading-core", component="", targets=self, now=NOW, alerts=alerts,  # type: ignore[arg-type]  # redis()
            declared={"var": var}, evidence=self,
        )  # fmt: skip
        return await VarPattern().look(context)


def entry(at: Millis, symbol: str) -> RedisValue:
    return [f"{at}-0", ["symbol", symbol, "from", "gru", "to", "lstm"]]


async def test_symbols_without_an_alert_are_looked_at_too() -> None:
    """One alert says nothing about all symbols: those that the switch log names are read as well."""
    floor = Floor({"BTC": 2.4, "ETH": 1.2})
    floor.redis_twin.answers["XREVRANGE"] = [entry(NOW - 900_000, "ETH")]
    found = await floor.look("BTC")
    assert found.summary.startswith("1 of 2 symbols are high: BTC (VaR 2.40 %")
    assert "no TimeSeries here, so a gradual rise cannot be told" in found.summary
    assert found.cause == "concentrated position"
    assert floor.redis_twin.sent == []


async def test_time_series_tell_a_gradual_rise() -> None:
    """Where the Redis has the runbook's var_pct:<symbol>, its last 15 minutes are read, bounded."""
    floor = Floor({"BTC": 2.4})
    floor.redis_twin.answers["TS.RANGE"] = [[NOW - n * MINUTE, str(2.4 - n * 0.1)] for n in range(14, -1, -1)]
    found = await floor.look("BTC")
    assert found.cause == "stale volatility estimates"
    assert "BTC rose from 1.00 to 2.40 %" in found.summary
    assert "TimeSeries" not in found.summary


async def test_a_switch_right_before_the_alert_began_is_named() -> None:
    """The alert's own start is what counts, not when somebody looked."""
    floor = Floor({"BTC": 2.4})
    floor.redis_twin.answers["XREVRANGE"] = [entry(NOW - MINUTE - 5_000, "BTC")]
    found = await floor.look("BTC")
    assert (found.cause, "5 s before" in found.summary) == ("new model over-confident", True)


async def test_a_redis_that_tells_nothing_of_the_past_hides_nothing_of_the_present() -> None:
    """Log and series unreadable: the present is told, and what is missing said."""
    floor = Floor({"BTC": 2.4})
    floor.redis_twin.answers["XREVRANGE"] = TargetError("WRONGTYPE")
    found = await floor.look("BTC")
    assert "when models were switched cannot be told" in found.summary
    assert found.cause == "concentrated position"
    assert "no alert names a symbol" in (await floor.look()).summary
