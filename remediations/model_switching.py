"""`router.switch_pattern`: why models are switched so often (runbook, "Excessive Model Switching", row T1).

A read-only look at the newest switches in `model.switch.log`, run by dispatch beside the plan; it never delays the
pause. An entry's fields are `symbol`, `from`, `to`, and where the router writes them `confidence` (of the new model, 0
to 1) and `latency_ms`. What is written there is data: it is compared, counted and shown as short text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from remediations.diagnosis_kit import (
    Rule,
    StreamEntry,
    declared,
    finding,
    number,
    read_all,
    short,
    stream_entries,
    weigh,
)
from remediations.kit import ActionContext, Cause, DiagnosisEntry, Finding, TargetError

STREAM = "model.switch.log"  # trading-core runbook, "Key Redis Keys"
COUNT = 60  # entries read: three minutes at the runbook's 20 a minute
WINDOW_MS = 300_000  # of these, only what lies within the alert's own 5 minutes counts
FEWEST = 6  # switches below which any of the patterns can be chance
MOST = 0.7  # share that makes "one pair" or "one symbol": normal switching goes on beside the faulty kind
MIXED = 0.5  # share of the commonest pair up to which switching is "across all"
SLOW_MS = 500.0  # a switch is a change of reference, tens of ms; half a second is waiting for the model server
MIN_CONFIDENCE = 0.6  # the runbook's fix: "Increase min confidence to 0.6"


@dataclass(frozen=True, slots=True, kw_only=True)
class Switching:
    """The newest switches as figures. Shares are of `count`; None where no entry tells."""

    count: int
    seconds: float
    symbols: int
    models: int
    top_symbol: str
    top_symbol_share: float
    top_pair: str
    top_pair_share: float
    back_and_forth: float  # share of the symbols' own consecutive switches that took the one before back
    latency_ms: float | None
    confidence: float | None

    @property
    def per_minute(self) -> float:
        """The rate, from the time that `count` switches took."""
        return (self.count - 1) * 60 / self.seconds if self.seconds > 0 else 0.0


SLOW = Cause(sign="slow switches", cause="model server overload", fix="scale model instances")
OSCILLATION = Cause(
    sign="one symbol oscillates with low confidence",
    cause="confidence threshold too low",
    fix="raise min confidence to 0.6 (confidence_thresholds.min_confidence in model_router_rules.yml)",
)
PINGPONG = Cause(
    sign="switches between two models",
    cause="bad routing rule threshold",
    fix="update model_router_rules.yml",
)
RANDOM = Cause(
    sign="random switching across all models",
    cause="market halt or low volume",
    fix='enable "market hours only" mode',
)


def _slow(seen: Switching) -> str:
    if seen.latency_ms is None or seen.latency_ms < SLOW_MS:
        return ""
    return f"half of them take {seen.latency_ms:,.0f} ms or more"


def _oscillation(seen: Switching) -> str:
    if seen.top_symbol_share < MOST or seen.confidence is None or seen.confidence >= MIN_CONFIDENCE:
        return ""
    return f"{seen.top_symbol_share:.0%} are {seen.top_symbol}, median confidence {seen.confidence:.2f}"


def _pingpong(seen: Switching) -> str:
    if seen.top_pair_share < MOST or seen.back_and_forth < MOST:
        return ""
    return f"{seen.top_pair_share:.0%} are between {seen.top_pair}, {seen.back_and_forth:.0%} take the last one back"


def _random(seen: Switching) -> str:
    if seen.models < 3 or seen.top_pair_share > MIXED:
        return ""
    return f"{seen.models} models, and no pair has more than {seen.top_pair_share:.0%}"


# The runbook's table, what explains the others first: an overloaded server makes any switching slow, and a low
# threshold makes one symbol go to and fro between two models.
RULES: tuple[Rule[Switching], ...] = (
    Rule(SLOW, _slow),
    Rule(OSCILLATION, _oscillation),
    Rule(PINGPONG, _pingpong),
    Rule(RANDOM, _random),
)


class SwitchPattern:
    """The diagnosis; it keeps nothing between calls."""

    async def look(self, context: ActionContext) -> Finding:
        """The newest switches, and which row of the runbook's table they look like."""
        source = declared(context, "redis_stream", "redis_state", "redis_hash")
        if source is None:
            return Finding(f"the plan declares no evidence from a Redis, so {STREAM} cannot be read")
        key = source.query if source.kind == "redis_stream" else STREAM
        try:
            redis = context.targets.redis(context.system, source.component)
        except TargetError as error:
            return Finding(f"{key} cannot be read: {error}")
        replies = await read_all(redis, {"switches": ("XREVRANGE", key, "+", "-", "COUNT", str(COUNT))})
        if replies.errors:
            return Finding(f"{key} cannot be read: {replies.errors['switches']}")
        return judge(stream_entries(replies.rows("switches")))


def judge(entries: Sequence[StreamEntry]) -> Finding:
    """The finding on these entries, oldest first. Pure."""
    recent = [entry for entry in entries if entry.at > entries[-1].at - WINDOW_MS]
    if len(recent) < FEWEST:
        return Finding(f"only {len(recent)} switches are in the log's last 5 minutes: too few to tell a pattern")
    seen = measure(recent)
    opening = f"the last {seen.count} switches took {seen.seconds:,.0f} s ({seen.per_minute:,.0f} a minute)"
    evidence = {name: _rounded(getattr(seen, name)) for name in Switching.__dataclass_fields__}
    evidence["per_minute"] = round(seen.per_minute, 1)
    untold = " (no entry tells a confidence)" if seen.confidence is None else ""
    otherwise = f"no pattern of the runbook: {seen.models} models, {seen.symbols} symbols{untold}"
    return finding(opening, weigh(RULES, seen), evidence, otherwise=otherwise)


def measure(entries: Sequence[StreamEntry]) -> Switching:
    """The figures of at least one entry."""
    symbols: Counter[str] = Counter()
    switched: Counter[frozenset[str]] = Counter()
    models: set[str] = set()
    last: dict[str, tuple[str, str]] = {}
    followed = returned = 0
    for entry in entries:
        symbol, old, new = (entry.fields.get(name, "?") for name in ("symbol", "from", "to"))
        symbols[symbol] += 1
        switched[frozenset((old, new))] += 1
        models |= {old, new}
        if symbol in last:
            followed += 1
            returned += last[symbol] == (new, old)
        last[symbol] = (old, new)
    (top_symbol, of_symbol), (pair, of_pair) = symbols.most_common(1)[0], switched.most_common(1)[0]
    return Switching(
        count=len(entries),
        seconds=(entries[-1].at - entries[0].at) / 1_000,
        symbols=len(symbols),
        models=len(models),
        top_symbol=short(top_symbol),
        top_symbol_share=of_symbol / len(entries),
        top_pair=" and ".join(sorted(pair)),
        top_pair_share=of_pair / len(entries),
        back_and_forth=returned / followed if followed else 0.0,
        latency_ms=_median(entries, "latency_ms"),
        confidence=_median(entries, "confidence"),
    )


def _median(entries: Sequence[StreamEntry], field: str) -> float | None:
    values = [value for entry in entries if (value := number(entry.fields.get(field))) is not None]
    return median(values) if len(values) * 2 >= len(entries) else None  # a figure that few entries tell is none


def _rounded(value: object) -> object:
    return round(value, 3) if isinstance(value, float) else value


ENTRY = DiagnosisEntry(
    name="router.switch_pattern",
    summary="Tells which of the runbook's switching patterns the newest model switches show.",
    diagnosis=SwitchPattern,
    source="T1",
    reads=(f"the newest {COUNT} entries of {STREAM}: symbol, from, to, confidence, latency_ms",),
    causes=tuple(rule.row for rule in RULES),
)
