"""`risk.var_concentration`: which symbols carry the VaR (trading-core runbook, "VaR Breach > 90% Target", row T2).

A read-only look, run by dispatch beside the plan; it never delays a protective step. For each symbol that an alert
names it reads VaR (percent of equity) and position (US dollars) from the Redis the plan's own evidence comes from, and
names the runbook's likely cause and fix. Its finding goes on the card; it decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bot.core.alert import Alert
from bot.core.plan import EvidenceDecl
from bot.core.reading import Reading
from bot.engine.action_ports import ActionContext, EvidenceReader, Finding
from remediations.kit import Cause, DiagnosisEntry
from remediations.params import canonical

VAR_KEY = "metrics:var_pct:"  # plain-hash fallback of the TimeSeries keys; trading-core runbook, "Key Redis Keys"
POSITION_KEY = "metrics:position_size_usd:"
HIGH_VAR_PCT = 1.8  # 90 % of the 2.0 % limit: where the runbook's alert begins
MAX_SYMBOLS = 24  # two reads each, all within the reader's 2 s; more symbols are counted, not read
MAX_SHOWN = 5  # symbols named in the sentence; the detail has all that were read


@dataclass(frozen=True, slots=True)
class Figures:
    """What one symbol shows; None where it could not be read (`why`)."""

    symbol: str
    var_pct: float | None
    position_usd: float | None
    why: str = ""


class VarConcentration:
    """The diagnosis; it keeps nothing between calls."""

    async def look(self, context: ActionContext) -> Finding:
        """Which of the alerting symbols are high, and what the runbook makes of that."""
        by_symbol = {s: a for a in context.alerts if (s := a.labels.get("symbol", "")) and "${" not in s}
        if not by_symbol:
            return Finding("no alert names a symbol, so concentration cannot be told")
        pattern = _var_declaration(context.declared)
        if pattern is None or context.evidence is None:
            return Finding(
                f"alerts name {_names(sorted(by_symbol))}; the plan declares no {VAR_KEY}… evidence to read from"
            )
        chosen = sorted(by_symbol)[:MAX_SYMBOLS]
        figures = await _read(context, context.evidence, pattern, {s: by_symbol[s] for s in chosen})
        left_out = len(by_symbol) - len(chosen)
        return Finding(_sentence(figures, left_out), canonical(_detail(figures, left_out)))


def _var_declaration(declared: Mapping[str, EvidenceDecl]) -> EvidenceDecl | None:
    """The plan's own VaR reading, as the pattern (component, fields, age) of what is read here."""
    return next((d for d in declared.values() if d.kind == "redis_hash" and d.query.startswith(VAR_KEY)), None)


async def _read(
    context: ActionContext, reader: EvidenceReader, pattern: EvidenceDecl, by_symbol: Mapping[str, Alert]
) -> list[Figures]:
    """VaR and position of each symbol, in one concurrent read."""
    declared: dict[str, EvidenceDecl] = {}
    for index, symbol in enumerate(by_symbol):
        for kind, key in (("var", VAR_KEY), ("position", POSITION_KEY)):
            name = f"{kind}_{index}"
            declared[name] = replace(pattern, name=name, query=key + symbol, over="incident", take="only")
    readings = await reader.read(context.system, declared, tuple(by_symbol.values()), context.now)
    found = {reading.name: reading for reading in readings}
    return [_figures(symbol, found[f"var_{i}"], found[f"position_{i}"]) for i, symbol in enumerate(by_symbol)]


def _figures(symbol: str, var: Reading, position: Reading) -> Figures:
    return Figures(symbol, _number(var), _number(position), var.error or position.error)


def _number(reading: Reading) -> float | None:
    return reading.value if isinstance(reading.value, float) and not reading.error else None


def _sentence(figures: list[Figures], left_out: int) -> str:
    """The runbook's row, in words."""
    known = sorted((f for f in figures if f.var_pct is not None), key=lambda f: -(f.var_pct or 0.0))
    if not known:
        return f"VaR of {_names([f.symbol for f in figures])} cannot be read: {figures[0].why}"
    high = [f for f in known if (f.var_pct or 0.0) > HIGH_VAR_PCT]
    unread = len(figures) - len(known) + left_out
    note = f" ({unread} more not read)" if unread else ""
    shown = ", ".join(_show(f) for f in known[:MAX_SHOWN])
    if not high:
        return f"no alerting symbol is above {HIGH_VAR_PCT} % now: {shown}{note}"
    if len(high) == 1:
        cause = "likely a concentrated position; the runbook's fix is a lower position limit for that symbol"
        return f"one symbol is high: {_show(high[0])}{note}; {cause}"
    if len(high) == len(known):
        cause = "likely market volatility; the runbook's fix is a global Kelly of 0.15"
        return f"all {len(high)} alerting symbols are high: {shown}{note}; {cause}"
    return f"{len(high)} of {len(known)} alerting symbols are high: {shown}{note}"


def _show(figures: Figures) -> str:
    position = "" if figures.position_usd is None else f", position ${figures.position_usd:,.0f}"
    return f"{figures.symbol[:40]} (VaR {figures.var_pct:.2f} %{position})"


def _names(symbols: list[str]) -> str:
    more = len(symbols) - MAX_SHOWN
    return ", ".join(s[:40] for s in symbols[:MAX_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _detail(figures: list[Figures], left_out: int) -> dict[str, object]:
    symbols = [
        {"symbol": f.symbol, "var_pct": f.var_pct, "position_usd": f.position_usd, "error": f.why} for f in figures
    ]
    return {"high_above_pct": HIGH_VAR_PCT, "symbols": symbols, "not_read": left_out}


ENTRY = DiagnosisEntry(
    name="risk.var_concentration",
    summary="Which of the alerting symbols carry the VaR: one (concentration) or all (volatility).",
    diagnosis=VarConcentration,
    source="T2",
    reads=(f"`{VAR_KEY}<symbol>`", f"`{POSITION_KEY}<symbol>`"),
    causes=(
        Cause(
            sign="VaR of one symbol is high", cause="concentrated position", fix="lower that symbol's position limit"
        ),
        Cause(sign="VaR of all symbols is high", cause="market volatility", fix="global Kelly of 0.15"),
    ),
)
