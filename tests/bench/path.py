"""The whole path, as fast as it goes: ingest, match, open or update the incident, commit, effects performed.

A sender pushes as fast as the door takes; the clock stops when inbox and outbox are empty, so every alert is folded and
every message and page it caused is out and confirmed. Called by `tests.bench.__main__`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.bench.house import House, andon
from tests.bench.lab import Figure, drive, say
from tests.bench.load import Order

INCIDENT_LANES = 50  # incidents that alerts join; each tracks up to 1,000 alerts
SETTLE_SECONDS = 90.0

OPENS = {"name": "opens", "match": ['alertname="BenchOpens"'], "group_by": ["seq"], "channel": "#bench"}
JOINS = {"name": "joins", "match": ['alertname="BenchJoins"'], "group_by": ["lane"], "channel": "#bench"}


def figures(folder: Path, *, quick: bool) -> Iterator[Figure]:
    """Incidents opened per second, and alerts per second into incidents that are open."""
    with andon(folder / "path", [OPENS, JOINS]) as house:
        count = 600 if quick else 6_000
        say(f"whole path: {count} one-alert incidents")
        _push(house, Order(port=house.port, count=200, shape={"alertname": "BenchOpens"}, first=90_000_000))  # warm
        before = house.open_incidents()
        rate = _push(house, Order(port=house.port, count=count, shape={"alertname": "BenchOpens"}))
        opened = house.open_incidents() - before
        if opened != count:
            raise RuntimeError(f"{count} incidents should have opened, {opened} did")
        yield Figure("path.incidents", rate, "incidents/s", ">= 2000 incidents/s", rate >= 2_000, rate / 2_000)

        webhooks = 150 if quick else 900
        say(f"whole path: {webhooks * 50} alerts into {INCIDENT_LANES} open incidents")
        joins = {"alertname": "BenchJoins", "lanes": INCIDENT_LANES}
        _push(house, Order(port=house.port, count=INCIDENT_LANES, shape=joins, first=50_000_000))  # opens them
        before = house.open_incidents()
        rate = 50 * _push(
            house, Order(port=house.port, count=webhooks, shape={**joins, "alerts": 50}, first=60_000_000)
        )
        if house.open_incidents() != before:
            raise RuntimeError("alerts that should have joined an incident opened another one")
        yield Figure("path.alerts", rate, "alerts/s", ">= 15000 alerts/s", rate >= 15_000, rate / 15_000)


def _push(house: House, order: Order) -> float:
    """Webhooks per second, from the first byte until nothing waits any more."""
    driven = drive(order)
    done = house.settle(SETTLE_SECONDS)
    return driven.requests / ((done - driven.started_ns) / 1e9)
