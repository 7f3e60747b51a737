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
        "healthy": "evidence.var < 1.6",
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
    """p50 and p99, alone (ten alerts a second) and at the rate of the target; and how many led to no request."""
    count = 200 if quick else 2_000
    alone = 30 if quick else 200
    with (
        serving("tests.bench.target") as target,
        andon(folder / "latency", [policy(lane) for lane in range(LANES)], target_port=target.port) as house,
    ):
        shape = {"alertname": "BenchActs", "lanes": LANES, "severity": "critical"}

        def waits(rate: float, orders: int, first: int) -> list[float]:
            driven = drive(Order(port=house.port, count=orders, rate=rate, shape=shape, first=first))
            house.settle(SETTLE_SECONDS)
            arrivals: dict[str, int] = json.loads(target.ask("arrivals"))
            seqs = [f"{first + number:08d}" for number in range(orders)]
            found = zip(seqs, driven.sent_ns, strict=True)
            return sorted((arrivals[seq] - sent) / 1e6 for seq, sent in found if seq in arrivals)

        say("alert -> request at the target: warming up")
        waits(25.0, LANES, 90_000_000)
        say(f"alert -> request at the target: {alone} alerts, ten a second")
        calm = waits(10.0, alone, 80_000_000)
        say(f"alert -> request at the target: {count} alerts, {RATE:g} a second")
        busy = waits(RATE, count, 0)
    missing = count + alone - len(busy) - len(calm)
    yield Figure("action.unanswered", missing, "alerts", "0: every alert leads to one request", missing == 0)
    yield Figure("action.latency_alone_p50", percentile(calm, 0.50), "ms", "none: 10 alerts/s", None)
    yield Figure("action.latency_alone_p99", percentile(calm, 0.99), "ms", "none: 10 alerts/s", None)
    p50, p99 = percentile(busy, 0.50), percentile(busy, 0.99)
    yield Figure("action.latency_p50", p50, "ms", "<= 4 ms at 100 alerts/s", p50 <= 4, p50 / 4)
    yield Figure("action.latency_p99", p99, "ms", "<= 8 ms at 100 alerts/s", p99 <= 8, p99 / 8)
