"""How a figure came to be what it is: its last hour, as Prometheus knows it.

Asked by `bot.adapters.slack.board.charts` for the picture on a decision card. Nothing is decided by it, so what
cannot be read is simply not shown. https://prometheus.io/docs/prometheus/latest/querying/api/#range-queries
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from bot.adapters import evidence_values
from bot.adapters.connectors import Connectors
from bot.adapters.evidence import distinct_queries
from bot.core.alert import Alert
from bot.core.plan import EvidenceDecl, Plan
from bot.core.words import Millis
from bot.errors import TargetError

SPAN_MS: Final[Millis] = 3_600_000  # long enough to tell a drift from a jump
STEPS: Final = 240  # points of a line; a picture 600 pixels wide shows no more
MAX_LINES: Final = 5  # series in one picture; more are noise


@dataclass(frozen=True, slots=True)
class Line:
    """One series: its labels in a few words, and its points as (ms, value), oldest first."""

    name: str
    points: tuple[tuple[Millis, float], ...]


@dataclass(frozen=True, slots=True)
class History:
    """What a picture is drawn from. `limit` is the figure that the guard compares it with, None where there is none."""

    name: str
    asked: str
    lines: tuple[Line, ...]
    limit: float | None
    since: Millis
    until: Millis


class Histories:
    """Reads them. `connectors` are those of the moment."""

    def __init__(self, connectors: Connectors) -> None:
        self._connectors = connectors

    async def read(self, plan: Plan, guard: str, alerts: Sequence[Alert], now: Millis) -> History | None:
        """The last hour of what the guard weighs, or else of the first figure that has a history; None where none has,
        or nothing came of it."""
        found = [decl for decl in map(_drawn, plan.evidence.values()) if decl is not None]
        found.sort(key=lambda decl: limit_in(guard, decl.name) is None)
        if not found:
            return None
        decl = found[0]
        try:
            queries = distinct_queries(decl, alerts)[:MAX_LINES]
            lines = [line for query in queries for line in await self._range(plan.system, decl, query, now)][:MAX_LINES]
        except TargetError:
            return None
        if not any(line.points for line in lines):
            return None
        return History(decl.name, queries[0], tuple(lines), limit_in(guard, decl.name), now - SPAN_MS, now)

    async def _range(self, system: str, decl: EvidenceDecl, query: str, now: Millis) -> tuple[Line, ...]:
        prometheus = self._connectors.prometheus(system, decl.component)
        reply = await prometheus.get(
            "/api/v1/query_range",
            {
                "query": query, "start": f"{(now - SPAN_MS) / 1_000:.3f}", "end": f"{now / 1_000:.3f}",
                "step": f"{SPAN_MS / STEPS / 1_000:g}",
            },
        )  # fmt: skip
        found = evidence_values.json_at(evidence_values.json_document(reply.body), "data.result")
        if not isinstance(found, list):
            raise TargetError("the answer is not as Prometheus writes it")
        return tuple(_line(series) for series in found[:MAX_LINES])


def _drawn(decl: EvidenceDecl) -> EvidenceDecl | None:
    """The reading as its picture asks for it: its own PromQL, or its `history`; None where it has neither."""
    if decl.history:
        return replace(decl, kind="promql", query=decl.history, component=decl.history_from)
    return decl if decl.kind == "promql" else None


def limit_in(guard: str, name: str) -> float | None:
    """The figure that a guard compares this evidence with, as in `evidence.var > 1.8`."""
    found = re.search(rf"\bevidence\.{re.escape(name)}\s*[<>]=?\s*(-?\d+(?:\.\d+)?)", guard)
    return float(found.group(1)) if found else None


def _line(series: Any) -> Line:
    if not isinstance(series, dict):
        raise TargetError("the answer is not as Prometheus writes it")
    labels = series.get("metric") or {}
    name = ", ".join(f"{key}={value}" for key, value in sorted(labels.items()) if key != "__name__")
    try:
        points = [(int(float(at) * 1_000), float(value)) for at, value in series.get("values", [])]
    except (TypeError, ValueError) as error:
        raise TargetError("the answer is not as Prometheus writes it") from error
    return Line(name, tuple((at, value) for at, value in points if math.isfinite(value)))
