"""One question to one source: a Redis hash or stream, Redis itself, PromQL, an HTTP document; values with their time.

Called by `bot.adapters.evidence` with queries already filled in; raises TargetError's family. What these return is not
judged yet: age, future and `take` are the reader's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

from bot.adapters import evidence_promql, evidence_values, targets_redis_look
from bot.adapters.connectors import Connectors
from bot.adapters.http_target import HttpConnector
from bot.core.plan import EvidenceDecl
from bot.core.words import Millis
from bot.errors import TargetError

PINGS = 100  # for a latency: 99 of them set the 99th percentile, so that one hiccup of ours is none of theirs
MAX_SERIES = 1_000  # of one answer; a figure over more is the rule's business, not a guard's
TIMELESS = "it has no time of its own, so it cannot be proved fresh"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sample:
    """One value and when its source took it; `asked` names what was asked, for the card."""

    value: float | str | bool
    taken_at: Millis
    asked: str


async def ask(connectors: Connectors, system: str, decl: EvidenceDecl, query: str, now: Millis) -> list[Sample]:
    """The samples behind one filled-in query: at least one, of `now` what is measured now. Raises TargetError."""
    match decl.kind:
        case "redis_hash":
            return [await _hash(connectors, system, decl, query)]
        case "http":
            return [await _document(connectors, system, decl, query)]
        case "redis_state":
            return [await _state(connectors, system, decl.component, query, now)]
        case "redis_stream":
            return [await _stream(connectors, system, decl, query, now)]
        case "promql":
            return await _promql(connectors.prometheus(system, decl.component), query)


async def together(*questions: Awaitable[T]) -> list[T]:
    """All answers, in order; the first error only once every question has ended, so none is left running."""
    answers = await asyncio.gather(*questions, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return [answer for answer in answers if not isinstance(answer, BaseException)]


async def _hash(connectors: Connectors, system: str, decl: EvidenceDecl, key: str) -> Sample:
    if not decl.at_field:
        raise TargetError(TIMELESS)
    field = decl.field or "value"
    value, at = await connectors.redis(system, decl.component).hash_fields(key, [field, decl.at_field])
    if value is None:
        raise TargetError(f"{key} has no {field}")
    if at is None:
        raise TargetError(TIMELESS)
    return Sample(evidence_values.text_value(value), evidence_values.time_ms(at), f"{key} {field}")


async def _state(connectors: Connectors, system: str, component: str, figure: str, now: Millis) -> Sample:
    """A figure of all servers of a Redis, looked at now."""
    look = await connectors.redis(system, component).look(samples=PINGS if figure.endswith("p99_us") else 0)
    return Sample(targets_redis_look.figure(look, figure), now, figure)


async def _stream(connectors: Connectors, system: str, decl: EvidenceDecl, key: str, now: Millis) -> Sample:
    """How many entries a stream got lately. Its ids are its own time, so one from the future spoils the count."""
    count, newest = await connectors.redis(system, decl.component).entries_since(key, now - decl.within_ms)
    if newest > now + evidence_values.FUTURE_MS:
        raise TargetError(f"the newest entry of {key} is dated {(newest - now) / 1_000:.1f} s in the future")
    return Sample(float(count), now, key)


async def _document(connectors: Connectors, system: str, decl: EvidenceDecl, path: str) -> Sample:
    reply = await connectors.http(system, decl.component).read(path)
    document = evidence_values.json_document(reply.body)
    value = evidence_values.plain_value(evidence_values.json_at(document, decl.field), decl.field)
    if not decl.at_field:
        raise TargetError(TIMELESS)
    at = evidence_values.time_ms(evidence_values.json_at(document, decl.at_field))
    return Sample(value, at, f"{path} {decl.field}")


async def _promql(prometheus: HttpConnector, expression: str) -> list[Sample]:
    """Every series of the answer, each dated by the oldest sample the expression read."""
    chosen = evidence_promql.selectors(expression)
    if not chosen:
        raise TargetError(TIMELESS)
    values, *times = await together(
        _query(prometheus, expression), *(_query(prometheus, f"min(timestamp({one}))") for one in chosen)
    )
    if not values:
        raise TargetError("the query found no series")
    if not all(times):
        raise TargetError(TIMELESS)
    oldest = min(evidence_values.time_ms(value) for samples in times for value in samples)
    return [Sample(evidence_values.finite(value), oldest, expression) for value in values]


async def _query(prometheus: HttpConnector, expression: str) -> list[float]:
    """An instant query's values. https://prometheus.io/docs/prometheus/latest/querying/api/"""
    reply = await prometheus.get("/api/v1/query", {"query": expression})
    document = evidence_values.json_document(reply.body)
    result = evidence_values.json_at(document, "data.result")
    match evidence_values.json_at(document, "data.resultType"):
        case "scalar":
            return [_sample(result)]
        case "vector" if isinstance(result, list) and len(result) <= MAX_SERIES:
            return [_sample(evidence_values.json_at(series, "value")) for series in result]
        case "vector":
            raise TargetError(f"the query found more than {MAX_SERIES} series")
        case other:
            raise TargetError(f"the query answers with a {str(other)[:20]}, not with figures")


def _sample(pair: Any) -> float:
    """The value of Prometheus's `[unix time, "value"]`; NaN and +Inf arrive as text and stay what they are."""
    try:
        return float(pair[1])
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise TargetError("the query's answer is not as Prometheus writes it") from error
