"""What matching one alert costs with ten policies and with ten thousand. Called by `tests.bench.__main__`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from bot.core.alert import Alert
from policies.book import PolicyBook
from policies.loader import Source, load
from remediations.catalogue import CATALOGUE
from tests.bench.lab import Figure, say

SYSTEM = "bench"
PER_FILE = 2_000  # a policy file is at most 1 MiB


def _book(count: int) -> PolicyBook:
    """`count` policies through the real loader, as JSON (which is YAML)."""
    policies = [
        {"name": f"policy-{n}", "match": [f'alertname="Alert{n}"', 'severity=~"critical|page"'], "group_by": ["symbol"]}
        for n in range(count)
    ]
    sources = [
        Source(
            f"policies-{start}.yaml",
            json.dumps({"system": SYSTEM, "labels": ["symbol"], "policies": policies[start : start + PER_FILE]}),
            "policies",
        )
        for start in range(0, count, PER_FILE)
    ]
    targets = Source("targets.yaml", json.dumps({"systems": {SYSTEM: {"components": []}}}), "targets")
    loaded = load([*sources, targets], CATALOGUE)
    if loaded.book is None:
        raise RuntimeError(str(loaded.problems[0]))
    return loaded.book


def _alerts(count: int) -> list[Alert]:
    return [
        Alert(
            fingerprint=f"{n:016x}",
            status="firing",
            labels={"alertname": f"Alert{n % count}", "severity": "critical", "symbol": f"S{n % 7}", "job": "core"},
            starts_at=0,
        )
        for n in range(1_000)
    ]


def _seconds(book: PolicyBook, alerts: list[Alert]) -> float:
    """Per match, over all alerts; every one must match."""
    started = time.perf_counter()
    for alert in alerts:
        if not book.match(SYSTEM, alert):
            raise RuntimeError("an alert matched nothing")
    return (time.perf_counter() - started) / len(alerts)


def figures(*, quick: bool) -> Iterator[Figure]:
    """Cost per match with ten policies and with ten thousand, measured in turns."""
    say("matching: loading 10 and 10,000 policies")
    few, many = (_book(10), _alerts(10)), (_book(10_000), _alerts(10_000))
    say("matching: 10 and 10,000 policies in turns")
    taken = [(_seconds(*few), _seconds(*many)) for _ in range(20 if quick else 100)]
    small, large = min(one for one, _ in taken), min(other for _, other in taken)  # the least disturbed of each
    yield Figure("matching.10", small * 1e6, "us/alert", "none: the comparison", None)
    ratio = large / small
    yield Figure("matching.10000", large * 1e6, "us/alert", "<= 1.3 x that with 10", ratio <= 1.3, ratio)
