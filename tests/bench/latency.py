"""From the alert's first byte to the first byte of the request at the trading system, at 100 alerts a second.

In between lie: the door and its fsync, match, fold, commit (fsync), evidence and inspection over HTTP, guard, intent
(store and journal, fsync each), a second look at the current value, and the request. Called by `tests.bench.__main__`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.house import LANES, andon
from tests.bench.lab import Figure, drive, say, serving
from tests.bench.load import Order, percentile

RATE = 100.0
SETTLE_SECONDS = 60.0


def policy(lane: int) -> dict[str, Any]:
    """One lane's policy: an incident for each alert, acting on the lane's own component."""
    return {
        "name": f"act-{lane:02d}",
        "match": ['alertname="BenchActs"', f'lane="{lane:05d}"'],
        "group_by": ["seq"],
        "mode": "auto",
        "channel": "#bench",
        "evidence": {
            "var": {
                "http": "/api/risk/status", "json": "var", "at_json": "at",
                "component": f"lane-{lane:02d}", "max_age": "5s",
            }
        },
        "plan": [
            {
                "action": "risk.reduce_kelly",
                "component": f"lane-{lane:02d}",
                "with": {"kelly_fraction": 0.1, "reason": "seq ${labels.seq}"},
                "guard": "evidence.var > 1.8",
            }
        ],
    }  # fmt: skip


def figures(folder: Path, *, quick: bool) -> Iterator[Figure]:
    """p50 and p99, and how many alerts did not lead to a request."""
    count = 200 if quick else 2_000
    with (
        serving("tests.bench.target") as target,
        andon(folder / "latency", [policy(lane) for lane in range(LANES)], target_port=target.port) as house,
    ):
        shape = {"alertname": "BenchActs", "lanes": LANES, "severity": "critical"}
        say("alert -> request at the target: warming up")
        drive(Order(port=house.port, count=100, rate=50.0, shape=shape, first=90_000_000))
        house.settle(SETTLE_SECONDS)
        say(f"alert -> request at the target: {count} alerts, {RATE:g} a second")
        driven = drive(Order(port=house.port, count=count, rate=RATE, shape=shape))
        house.settle(SETTLE_SECONDS)
        arrivals: dict[str, int] = json.loads(target.ask("arrivals"))
    waits = sorted(
        (arrivals[f"{number:08d}"] - sent) / 1e6
        for number, sent in enumerate(driven.sent_ns)
        if f"{number:08d}" in arrivals
    )
    missing = count - len(waits)
    p50, p99 = percentile(waits, 0.50), percentile(waits, 0.99)
    yield Figure("action.unanswered", missing, "alerts", "0: every alert leads to one request", missing == 0)
    yield Figure("action.latency_p50", p50, "ms", "<= 4 ms", p50 <= 4, p50 / 4)
    yield Figure("action.latency_p99", p99, "ms", "<= 8 ms", p99 <= 8, p99 / 8)
