"""`risk.var_pattern`: why VaR is over its limit (trading-core runbook, "VaR Breach > 90% Target", row T2).

A read-only look, run by dispatch beside the plan; it never delays a protective step. For each symbol that an alert or
the newest model switches name it reads VaR (percent of equity) and position (US dollars) through the plan's own
evidence; when models were switched, from `model.switch.log`; and how VaR came to be, from the runbook's TimeSeries,
where the Redis has them. `var_rules` weighs what was seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from remediations.diagnosis_kit import (
    Command,
    Replies,
    StreamEntry,
    bounded,
    declared,
    finding,
    number,
    read_all,
    short,
    stream_entries,
    weigh,
)
from remediations.kit import (
    ActionContext,
    Alert,
    DiagnosisEntry,
    EvidenceDecl,
    EvidenceReader,
    Finding,
    Millis,
    Reading,
    TargetError,
)
from remediations.var_rules import HIGH_VAR_PCT, RULES, Symbol, Var, last_switch, rise

VAR_KEY = "metrics:var_pct:"  # plain-hash fallback of the TimeSeries keys; trading-core runbook, "Key Redis Keys"
POSITION_KEY = "metrics:position_size_usd:"
SERIES_KEY = "var_pct:"  # the TimeSeries themselves
SWITCHES = "model.switch.log"
COUNT = 200  # switches read, for how often a symbol's model usually changes
HISTORY_MS: Millis = 900_000  # the runbook looks at the last 15 minutes
BUCKET_MS: Millis = 60_000
MAX_SYMBOLS = 24  # two reads each, all within the reader's 2 s; more symbols are counted, not read
MAX_SHOWN = 5  # symbols named in the sentence; the detail has all that were read
Histories = Mapping[str, Sequence[float]]


class VarPattern:
    """The diagnosis; it keeps nothing between calls."""

    async def look(self, context: ActionContext) -> Finding:
        """Which symbols are high, since what, and what the runbook makes of that."""
        breached = {s: a for a in context.alerts if (s := a.labels.get("symbol", "")) and "${" not in s}
        if not breached:
            return Finding("no alert names a symbol, so nothing can be told about its VaR")
        pattern = _declaration(context.declared)
        if pattern is None or context.evidence is None:
            names = ", ".join(short(symbol) for symbol in sorted(breached)[:MAX_SHOWN])
            return Finding(f"alerts name {names}; the plan declares no {VAR_KEY}… evidence to read from")
        switches, histories, untold = await _past(context, pattern, sorted(breached))
        others = sorted({entry.fields.get("symbol", "") for entry in switches} - breached.keys() - {""})
        chosen = [*sorted(breached), *(symbol for symbol in others if "${" not in symbol)]
        symbols = await _present(context, context.evidence, pattern, chosen[:MAX_SYMBOLS])
        began = {symbol: alert.starts_at for symbol, alert in breached.items()}
        seen = _var(symbols, began, switches, histories)
        return judge(seen, len(chosen) - len(symbols), untold)


def judge(seen: Var, left_out: int = 0, untold: Sequence[str] = ()) -> Finding:
    """The finding on these figures; `left_out` symbols were not read, `untold` could not be. Pure."""
    known = seen.known
    if not known:
        names = ", ".join(symbol.name for symbol in seen.symbols[:MAX_SHOWN])
        why = seen.symbols[0].why if seen.symbols else "no symbol is named"
        return Finding(f"VaR of {names} cannot be read: {short(why, 200)}")
    unread = len(seen.symbols) - len(known) + left_out
    notes = [f"{unread} more not read"] if unread else []
    note = f" ({'; '.join([*notes, *untold])})" if notes or untold else ""
    shown = ", ".join(_show(symbol) for symbol in known[:MAX_SHOWN])
    if not seen.high:
        return Finding(f"no symbol is above {HIGH_VAR_PCT} % now: {shown}{note}", bounded(_evidence(seen, left_out)))
    opening = f"{len(seen.high)} of {len(known)} symbols are high: {shown}{note}"
    return finding(opening, weigh(RULES, seen), _evidence(seen, left_out), otherwise="no row of the runbook's table")


def _declaration(decls: Mapping[str, EvidenceDecl]) -> EvidenceDecl | None:
    """The plan's own VaR reading, as the pattern (component, fields, age) of what is read here."""
    return next((d for d in decls.values() if d.kind == "redis_hash" and d.query.startswith(VAR_KEY)), None)


async def _past(
    context: ActionContext, pattern: EvidenceDecl, breached: Sequence[str]
) -> tuple[list[StreamEntry], Histories, list[str]]:
    """The newest switches, each breached symbol's VaR of the last minutes, and what of these cannot be told."""
    source = declared(context, "redis_stream") or pattern
    read: dict[str, Command] = {"switches": ("XREVRANGE", SWITCHES, "+", "-", "COUNT", str(COUNT))}
    since, until = str(context.now - HISTORY_MS), str(context.now)
    for symbol in breached[:MAX_SHOWN]:
        read[symbol] = (
            "TS.RANGE", SERIES_KEY + symbol, since, until, "COUNT", "20", "AGGREGATION", "avg", str(BUCKET_MS)
        )  # fmt: skip
    try:
        replies = await read_all(context.targets.redis(context.system, source.component), read)
    except TargetError as error:
        return [], {}, [f"nor what came before: {short(str(error), 100)}"]
    histories = {s: [v for row in replies.rows(s) if len(row) > 1 and (v := number(str(row[1]))) is not None]
                 for s in breached[:MAX_SHOWN]}  # fmt: skip
    return stream_entries(replies.rows("switches")), histories, _untold(replies, histories)


def _untold(replies: Replies, histories: Histories) -> list[str]:
    untold = ["when models were switched cannot be told"] if "switches" in replies.errors else []
    return untold if any(histories.values()) else [*untold, "no TimeSeries here, so a gradual rise cannot be told"]


async def _present(
    context: ActionContext, reader: EvidenceReader, pattern: EvidenceDecl, symbols: Sequence[str]
) -> list[Symbol]:
    """VaR and position of each symbol now, in one concurrent read."""
    wanted: dict[str, EvidenceDecl] = {}
    for index, symbol in enumerate(symbols):
        for kind, key in (("var", VAR_KEY), ("position", POSITION_KEY)):
            name = f"{kind}_{index}"
            wanted[name] = replace(pattern, name=name, query=key + symbol, over="incident", take="only")
    alerts: tuple[Alert, ...] = context.alerts
    readings = await reader.read(context.system, wanted, alerts, context.now)
    found = {reading.name: reading for reading in readings}
    return [_symbol(symbol, found[f"var_{i}"], found[f"position_{i}"]) for i, symbol in enumerate(symbols)]


def _symbol(name: str, var: Reading, position: Reading) -> Symbol:
    return Symbol(short(name), _figure(var), _figure(position), var.error or position.error)


def _figure(reading: Reading) -> float | None:
    return reading.value if isinstance(reading.value, float) and not reading.error else None


def _var(
    symbols: Sequence[Symbol], began: Mapping[str, Millis], switches: Sequence[StreamEntry], histories: Histories
) -> Var:
    """All that was seen, as figures."""
    found = (last_switch(symbol, at, switches) for symbol, at in sorted(began.items()))
    rises = (rise(symbol, values) for symbol, values in sorted(histories.items()))
    return Var(
        symbols=tuple(symbols),
        switched=tuple(switch for switch in found if switch is not None),
        rises=tuple(each for each in rises if each is not None),
    )


def _evidence(seen: Var, left_out: int) -> dict[str, object]:
    return {
        "high_above_pct": HIGH_VAR_PCT, "not_read": left_out,
        "symbols": [
            {"symbol": s.name, "var_pct": s.var_pct, "position_usd": s.position_usd, "error": short(s.why)}
            for s in seen.symbols
        ],
        "switched": [
            {"symbol": s.symbol, "seconds_before": s.seconds_before, "chance": s.chance} for s in seen.switched
        ],
        "rises": [{"symbol": r.symbol, "from": r.first, "to": r.last, "largest_step": r.step} for r in seen.rises],
    }  # fmt: skip


def _show(symbol: Symbol) -> str:
    position = "" if symbol.position_usd is None else f", position ${symbol.position_usd:,.0f}"
    return f"{symbol.name} (VaR {symbol.var_pct:.2f} %{position})"


ENTRY = DiagnosisEntry(
    name="risk.var_pattern",
    summary="Tells why VaR is over its limit: one position, the market, a model switch, or stale volatility.",
    diagnosis=VarPattern,
    source="T2",
    reads=(
        f"`{VAR_KEY}<symbol>`", f"`{POSITION_KEY}<symbol>`", f"the newest {COUNT} entries of `{SWITCHES}`",
        f"`{SERIES_KEY}<symbol>` of the last 15 minutes, where the Redis has TimeSeries",
    ),
    causes=tuple(rule.row for rule in RULES),
)  # fmt: skip
