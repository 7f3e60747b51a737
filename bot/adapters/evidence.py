"""Declared evidence, read: implements `action_ports.EvidenceReader`.

Called by the step activity, by verification and by diagnoses. Every declaration becomes exactly one reading: its query
filled in per distinct label set (`over: alerts`) or with the labels all alerts share, asked concurrently, joined by
`take`, and dated by the oldest part. What cannot be read, is not a figure, is stale or from the future comes back as a
reading with an error: nothing here raises, and nothing here decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog

from bot.adapters import evidence_queries, evidence_values
from bot.adapters.connectors import Connectors
from bot.adapters.evidence_sources import Sample, ask, together
from bot.core.alert import Alert
from bot.core.plan import EvidenceDecl
from bot.core.reading import Reading
from bot.core.words import Millis
from bot.errors import TargetError

READ_SECONDS = 2.0  # one declaration with all its parts; the activity allows 3 s for looking
MAX_PARTS = 200  # distinct queries of one declaration: more alerts than that belong in one PromQL expression
MAX_AT_ONCE = 16  # queries in flight per declaration, as many as a component's connections
MAX_ERROR = 300  # characters of an error shown to a person


class Evidence:
    """The reader over the connectors; keeps nothing between reads.

    `clock`: what the time is when an answer is there; whatever was taken meanwhile is not from the future.
    """

    def __init__(self, connectors: Connectors, clock: Callable[[], Millis] = lambda: 0) -> None:
        self._connectors = connectors
        self._clock = clock
        self._log = structlog.get_logger("andon.evidence")

    async def read(
        self, system: str, declared: Mapping[str, EvidenceDecl], alerts: Sequence[Alert], now: Millis
    ) -> tuple[Reading, ...]:
        """One reading per declaration, in order of declaration."""
        return tuple(await asyncio.gather(*(self._one(system, decl, alerts, now) for decl in declared.values())))

    async def _one(self, system: str, decl: EvidenceDecl, alerts: Sequence[Alert], now: Millis) -> Reading:
        """One declaration. Named supervision point: whatever goes wrong is an error in the reading."""
        source = f"{decl.component}: {decl.query}"
        try:
            queries = distinct_queries(decl, alerts)
            source = f"{decl.component}: {_shown(queries)}"
            async with asyncio.timeout(READ_SECONDS):
                samples = await self._samples(system, decl, queries, now)
            value, taken_at = joined(decl, samples)
        except TargetError as error:
            return Reading(name=decl.name, value=None, source=source, error=_short(str(error)))
        except TimeoutError:
            return Reading(name=decl.name, value=None, source=source, error=f"no answer within {READ_SECONDS:g} s")
        except Exception:  # noqa: BLE001 - the port promises never to raise; the log has the traceback
            self._log.exception("evidence_read_failed", evidence=decl.name, system=system)
            return Reading(
                name=decl.name, value=None, source=source, error="reading it failed inside Andon; see its log"
            )
        problem = _short(evidence_values.age_error(value, taken_at, now, decl.max_age_ms, there_at=self._clock()))
        return Reading(
            name=decl.name, value=None if problem else value, taken_at=taken_at, source=source, error=problem
        )

    async def _samples(self, system: str, decl: EvidenceDecl, queries: Sequence[str], now: Millis) -> list[Sample]:
        """Every part's samples. The first part that fails fails the whole: a maximum over some is no maximum."""
        turns = asyncio.Semaphore(MAX_AT_ONCE)

        async def part(query: str) -> list[Sample]:
            async with turns:
                try:
                    return await ask(self._connectors, system, decl, query, now)
                except TargetError as error:
                    if len(queries) == 1:
                        raise
                    raise TargetError(f"{query[:100]}: {error}") from error

        return [sample for samples in await together(*map(part, queries)) for sample in samples]


def distinct_queries(decl: EvidenceDecl, alerts: Sequence[Alert]) -> list[str]:
    """What is to be asked, filled in; at least one. Raises TargetError."""
    if not evidence_queries.label_names(decl.query) or decl.over == "incident":
        return [evidence_queries.fill(decl.kind, decl.query, evidence_queries.common(a.labels for a in alerts))]
    if not alerts:
        raise TargetError("there is no alert whose labels could be asked with")
    queries = list(dict.fromkeys(evidence_queries.fill(decl.kind, decl.query, a.labels) for a in alerts))
    if len(queries) > MAX_PARTS:
        raise TargetError(f"it would take {len(queries)} queries; at most {MAX_PARTS} are asked")
    return queries


def _shown(queries: Sequence[str]) -> str:
    """What is asked, in a few words."""
    first, *others = queries
    return f"{first} and {len(others)} more" if others else first


def joined(decl: EvidenceDecl, samples: Sequence[Sample]) -> tuple[float | str | bool, Millis]:
    """One value by `take`, and the oldest time. Raises TargetError when they do not join."""
    oldest = min(sample.taken_at for sample in samples)
    if decl.take == "only":
        if len(samples) > 1:
            raise TargetError(f"{len(samples)} values were found where only one is expected; say take: max, min or sum")
        return samples[0].value, oldest
    figures = [s.value for s in samples if isinstance(s.value, (int, float)) and not isinstance(s.value, bool)]
    if len(figures) < len(samples):
        raise TargetError(f"take: {decl.take} needs figures, and not every value is one")
    match decl.take:
        case "max":
            return max(figures), oldest
        case "min":
            return min(figures), oldest
        case "sum":
            return evidence_values.finite(sum(figures)), oldest


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_ERROR else line[: MAX_ERROR - 1] + "…"
