"""The whole path, as fast as it goes: ingest, match, open or update the incident, commit, effects performed.

A sender pushes as fast as the door takes; the clock stops when inbox and outbox are empty, so every alert is folded and
every message and page it caused is out and confirmed. Called by `tests.bench.__main__`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
        opens = {"alertname": "BenchOpens"}
        say(f"whole path: {count} one-alert incidents")
        _push(house, Order(port=house.port, count=200, shape=opens, first=90_000_000))  # warm
        before = house.open_incidents()
        rate = _push(house, Order(port=house.port, count=count, shape=opens))
        opened = house.open_incidents() - before
        if opened != count:
            raise RuntimeError(f"{count} incidents should have opened, {opened} did")
        yield from _told("path.incidents", "incidents/s", 2_000, rate)

        webhooks = 150 if quick else 900
        say(f"whole path: {webhooks * 50} alerts into {INCIDENT_LANES} open incidents")
        joins = {"alertname": "BenchJoins", "lanes": INCIDENT_LANES}
        _push(house, Order(port=house.port, count=INCIDENT_LANES, shape=joins, first=50_000_000))  # opens them
        before = house.open_incidents()
        fifty = {**joins, "alerts": 50}
        rate = _push(house, Order(port=house.port, count=webhooks, shape=fifty, first=60_000_000))
        if house.open_incidents() != before:
            raise RuntimeError("alerts that should have joined an incident opened another one")
        yield from _told("path.alerts", "alerts/s", 15_000, Rate(rate.by_wall * 50, rate.by_core * 50))


@dataclass(frozen=True, slots=True)
class Rate:
    """Per second of the wall clock, and per second of processor time of Andon's process."""

    by_wall: float
    by_core: float


def _push(house: House, order: Order) -> Rate:
    """Webhooks per second, from the first byte until nothing waits any more."""
    cpu = house.cpu_seconds()
    driven = drive(order)
    done = house.settle(SETTLE_SECONDS)
    return Rate(
        driven.requests / ((done - driven.started_ns) / 1e9),
        driven.requests / max(house.cpu_seconds() - cpu, 0.01),  # the kernel counts in hundredths
    )


def _told(name: str, unit: str, wanted: int, rate: Rate) -> Iterator[Figure]:
    """By the wall clock, with sender and store on the same processors; and per core that Andon itself used."""
    target = f">= {wanted} {unit}"
    yield Figure(name, rate.by_wall, unit, target, rate.by_wall >= wanted, rate.by_wall / wanted)
    if rate.by_core == rate.by_core:  # not NaN
        per_core = f"{unit} per core of Andon's own time"
        yield Figure(f"{name}_per_core", rate.by_core, per_core, target, rate.by_core >= wanted, rate.by_core / wanted)
