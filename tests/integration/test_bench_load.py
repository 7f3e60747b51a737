"""The bench's load generator measures what it says: whole requests, each answer counted, webhooks Andon accepts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from handlers import alertmanager
from tests.bench.baselines import floor_app
from tests.bench.load import Order, drive, percentile
from tests.bench.payloads import Requests, Shape


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """The parse floor on a free port."""
    runner = web.AppRunner(floor_app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def test_closed_manner_sends_exactly_what_was_ordered(port: int) -> None:
    """With a count, every request is sent once and answered once."""
    driven = await drive(Order(port=port, count=50, connections=4))
    assert (driven.requests, driven.answers) == (50, {"2xx": 50})


async def test_open_manner_keeps_the_pace_and_notes_each_departure(port: int) -> None:
    """At 200 a second for a quarter of a second, fifty leave, in order, over about that time."""
    driven = await drive(Order(port=port, rate=200.0, seconds=0.25, connections=4))
    assert driven.answers == {"2xx": 50}
    assert list(driven.sent_ns) == sorted(driven.sent_ns)
    assert driven.sent_ns[-1] - driven.sent_ns[0] >= 200_000_000


async def test_a_refusal_is_counted_as_one(port: int) -> None:
    """What is not 2xx is told apart, so that the lab can refuse the measurement."""
    driven = await drive(Order(port=port, path="/nowhere", count=3, connections=1))
    assert driven.answers == {"4xx": 3}


def test_webhooks_are_ones_that_andon_accepts() -> None:
    """Numbered requests differ in fingerprint, carry their true length, and parse as version 4."""
    requests = Requests(Shape(alerts=50, lanes=2), "/webhooks/alertmanager", ())
    fingerprints = set()
    for number in (0, 7):
        head, _, body = requests.make(number).partition(b"\r\n\r\n")
        assert b"Content-Length: %d" % len(body) in head
        webhook = alertmanager.parse(body)
        assert {alert.labels["lane"] for alert in webhook.alerts} == {f"{number % 2:05d}"}
        fingerprints |= {alert.fingerprint for alert in webhook.alerts}
    assert len(fingerprints) == 100
    assert json.loads(body)["version"] == "4"


def test_percentile_is_the_nearest_rank() -> None:
    """The median of 1..100 is 51 by nearest rank from zero, the 99th percentile 100."""
    ranked = [float(value) for value in range(1, 101)]
    assert (percentile(ranked, 0.5), percentile(ranked, 0.99)) == (51.0, 100.0)
