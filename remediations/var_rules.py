"""The runbook's root-cause table of a VaR breach (row T2), decided by figures. Pure; used by `var_pattern`.

A model switch is a sign only where it is no coincidence: models are switched up to 15 times a minute on a normal day,
so one always came before. What counts is how unlikely a switch of this symbol so shortly before is, at its usual rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from remediations.diagnosis_kit import Rule, StreamEntry
from remediations.kit import Cause, Millis

HIGH_VAR_PCT = 1.8  # 90 % of the 2.0 % limit: where the runbook's alert begins
SWITCH_MS: Millis = 300_000  # a model that made VaR jump did so within minutes
CHANCE = 0.05  # a switch so close by chance: once in twenty breaches at most
FEWEST_EARLIER = 3  # earlier switches that make a rate
UNRATED_MS: Millis = 60_000  # without a rate, only a switch this shortly before counts
FEWEST_POINTS = 8  # of a history, of 15 minutes at one a minute
GROWTH_PCT = 0.3  # percentage points that make a rise; a quiet symbol's VaR moves by hundredths
STEADY = 0.7  # share of steps that go up
JUMP = 0.4  # share of the rise in one step from which it is a jump


@dataclass(frozen=True, slots=True)
class Symbol:
    """What one symbol shows now; None where it could not be read (`why`)."""

    name: str
    var_pct: float | None
    position_usd: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """A symbol's last model switch before its breach, and how likely one so close is by chance (None: unknown)."""

    symbol: str
    old: str
    new: str
    seconds_before: float
    chance: float | None


@dataclass(frozen=True, slots=True)
class Rise:
    """A symbol's VaR over the last minutes: first, last, the largest step up, and the share of steps that go up."""

    symbol: str
    first: float
    last: float
    step: float
    up: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Var:
    """All that was seen."""

    symbols: tuple[Symbol, ...]
    switched: tuple[Switched, ...] = ()
    rises: tuple[Rise, ...] = ()

    @property
    def known(self) -> list[Symbol]:
        """What could be read, the highest first."""
        return sorted((s for s in self.symbols if s.var_pct is not None), key=lambda s: -(s.var_pct or 0.0))

    @property
    def high(self) -> list[Symbol]:
        """Over the runbook's limit."""
        return [s for s in self.known if (s.var_pct or 0.0) > HIGH_VAR_PCT]


AFTER_SWITCH = Cause(
    sign="VaR after a model switch",
    cause="new model over-confident",
    fix="add a model confidence penalty",
)
GRADUAL = Cause(
    sign="gradual VaR increase",
    cause="stale volatility estimates",
    fix="force a refresh of the volatility calculations",
)
SINGLE = Cause(
    sign="a single symbol has high VaR",
    cause="concentrated position",
    fix="reduce the position limit for that symbol",
)
ALL = Cause(
    sign="all symbols are elevated",
    cause="market volatility spike",
    fix="lower global Kelly to 0.15",
)


def _after_switch(seen: Var) -> str:
    names = {symbol.name for symbol in seen.high}
    for switch in seen.switched:
        if switch.symbol in names and (switch.chance is None or switch.chance <= CHANCE):
            rarely = "" if switch.chance is None else f", {switch.chance:.1%} likely by chance"
            models = f"{switch.symbol} went from {switch.old} to {switch.new}"
            return f"{models} {switch.seconds_before:.0f} s before{rarely}"
    return ""


def _gradual(seen: Var) -> str:
    names = {symbol.name for symbol in seen.high}
    for each in seen.rises:
        grown = each.last - each.first
        if each.symbol in names and grown >= GROWTH_PCT and each.up >= STEADY and each.step < JUMP * grown:
            return f"{each.symbol} rose from {each.first:.2f} to {each.last:.2f} % with no step over {each.step:.2f}"
    return ""


def _single(seen: Var) -> str:
    if len(seen.high) != 1:
        return ""
    others = "the only one known" if len(seen.known) == 1 else f"next is {seen.known[1].var_pct:.2f} %"
    return f"{seen.high[0].name} at {seen.high[0].var_pct:.2f} %, {others}"


def _all(seen: Var) -> str:
    if len(seen.high) < 2 or len(seen.high) < len(seen.known):
        return ""
    return f"{len(seen.high)} of {len(seen.known)}, the lowest at {seen.high[-1].var_pct:.2f} %"


# The runbook's table, the one that needs most to hold first: how VaR came to be explains where it is.
RULES: tuple[Rule[Var], ...] = (
    Rule(AFTER_SWITCH, _after_switch),
    Rule(GRADUAL, _gradual),
    Rule(SINGLE, _single),
    Rule(ALL, _all),
)


def last_switch(symbol: str, began: Millis, switches: Sequence[StreamEntry]) -> Switched | None:
    """The symbol's last switch before `began`, with how likely one so close is by chance; None: none in time."""
    mine = [entry for entry in switches if entry.fields.get("symbol") == symbol and entry.at <= began]
    if not mine or began - mine[-1].at > SWITCH_MS:
        return None
    last, earlier = mine[-1], mine[:-1]
    before = began - last.at
    chance = None
    if len(earlier) >= FEWEST_EARLIER:
        span = max(1, last.at - switches[0].at)
        chance = round(1 - math.exp(-before * len(earlier) / span), 4)
    elif before > UNRATED_MS:
        return None
    old, new = (last.fields.get(name, "?") for name in ("from", "to"))
    return Switched(symbol=symbol, old=old, new=new, seconds_before=before / 1_000, chance=chance)


def rise(symbol: str, values: Sequence[float]) -> Rise | None:
    """A history as figures; None where it is too short to tell."""
    if len(values) < FEWEST_POINTS:
        return None
    steps = [later - earlier for earlier, later in pairwise(values)]
    return Rise(symbol, values[0], values[-1], max(steps), sum(step > 0 for step in steps) / len(steps))
