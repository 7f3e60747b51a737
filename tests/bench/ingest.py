"""Durable ingest: webhooks per second against the parse floor and the naive server, and how long a sender waits.

Three servers, each alone in its process; the same load generator drives them in turns. Called by `__main__`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.adapters.embedded import EmbeddedValkey
from tests.bench.lab import Figure, drive, in_turns, say, serving
from tests.bench.load import Order

CONNECTIONS = 32
FIFTY = {"alerts": 50}
BEARER = ("Authorization: Bearer bench-token",)


@contextmanager
def valkey(folder: Path) -> Iterator[str]:
    """An embedded Valkey for the naive server: the same binary and settings as Andon's own."""
    server = EmbeddedValkey(folder)
    with asyncio.Runner() as runner:
        runner.run(server.start())
        try:
            yield server.url
        finally:
            runner.run(server.stop())


def figures(folder: Path, *, quick: bool) -> Iterator[Figure]:
    """Ingest of one-alert and fifty-alert webhooks, and the latency of the answer."""
    seconds, rounds = (0.7, 3) if quick else (3.0, 5)
    with (
        valkey(folder / "naive") as store,
        serving("tests.bench.baselines", ["floor"]) as floor,
        serving("tests.bench.baselines", ["naive", "--store", store]) as naive,
        serving("tests.bench.door", ["--data-dir", str(folder / "door")]) as door,
    ):
        say("durable ingest: one-alert webhooks, parse floor, naive and Andon in turns")
        base = {"connections": CONNECTIONS, "seconds": seconds}
        one = in_turns(
            {
                "floor": Order(port=floor.port, headers=BEARER, **base),
                "naive": Order(port=naive.port, headers=BEARER, **base),
                "andon": Order(port=door.port, headers=BEARER, **base),
            },
            rounds,
        )
        yield Figure("ingest.parse_floor", one["floor"], "webhooks/s", "none: the comparison", None)
        yield Figure(
            "ingest.naive", one["naive"], "webhooks/s", "none: the comparison", None, one["naive"] / one["floor"]
        )
        ratio = one["andon"] / one["floor"]
        yield Figure("ingest.one_alert", one["andon"], "webhooks/s", ">= 0.6 x parse floor", ratio >= 0.6, ratio)

        say("durable ingest: fifty-alert webhooks, naive and Andon in turns")
        fifty = in_turns(
            {
                "naive": Order(port=naive.port, headers=BEARER, shape=FIFTY, first=20_000_000, **base),
                "andon": Order(port=door.port, headers=BEARER, shape=FIFTY, first=20_000_000, **base),
            },
            rounds,
        )
        yield Figure("ingest.naive_fifty", fifty["naive"] * 50, "alerts/s", "none: the comparison", None)
        ratio = fifty["andon"] / fifty["naive"]
        yield Figure("ingest.fifty_alerts", fifty["andon"] * 50, "alerts/s", ">= 3 x naive", ratio >= 3, ratio)

        say("POST -> 2xx at 1,000 a second")
        pace = {"headers": BEARER, "connections": 64, "rate": 1_000.0, "seconds": 2.0 if quick else 10.0}
        bare = drive(Order(port=floor.port, first=40_000_000, **pace)).p99_ms
        drive(Order(port=door.port, first=41_000_000, **{**pace, "seconds": 1.0}))  # warm
        durable = drive(Order(port=door.port, first=42_000_000, **pace))
        yield Figure("ingest.answer_p50", durable.p50_ms, "ms", "none", None)
        yield Figure(
            "ingest.answer_p99", durable.p99_ms, "ms", "<= 2.5 ms", durable.p99_ms <= 2.5, durable.p99_ms / bare
        )
