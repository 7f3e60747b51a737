"""Label values, names and bad alerts without end: what is counted, remembered, paged and kept stays bounded."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from bot.adapters.http_refusals import MAX_ASIDE, MAX_SEEN, Refusals
from bot.adapters.http_services import Source
from bot.adapters.metrics import MAX_LABEL_LENGTH, MAX_LABEL_VALUES, Metrics
from bot.core.effects import PageOncall
from bot.engine.alarms import Alarms
from bot.testing import FakeClock, MemoryStore
from handlers import alertmanager
from tests.integration.door_twin import Open, TwinServices, opened, webhook

FIGURES: dict[Any, Callable[[int], Any]] = {
    str: lambda number: f"text {number} " + "x" * 500,
    int: lambda _: 1,
    float: lambda _: 0.5,
    bool: lambda _: True,
}
WEBHOOKS, EACH = 50, 200


@pytest.fixture
async def services() -> TwinServices:
    return TwinServices(sources=(Source(name="monitoring", scheme="bearer", secret=b"s3cret-token"),))


@pytest.fixture
async def door(services: TwinServices) -> AsyncIterator[Open]:
    async with opened(services) as door:
        yield door


def flood(number: int) -> bytes:
    """A webhook in which every name and value is new."""
    body = webhook(EACH, receiver=f"receiver-{number}", groupKey=f"{{}}:{number}")
    for index, alert in enumerate(body["alerts"]):
        alert["fingerprint"] = f"{number:08x}{index:08x}"
        alert["labels"] |= {
            "alertname": f"Alert{number}-{index}",
            f"label{number}_{index}": "x",
            "system": f"s{number}",
        }
    return json.dumps(body).encode()


async def test_ten_thousand_label_values_make_no_metric_series(services: TwinServices, door: Open) -> None:
    """Alert names, labels, receivers and systems nobody configured: the page of metrics has the lines it had before."""

    def lines() -> list[str]:
        text = Metrics.render(services).decode()  # type: ignore[arg-type]  # it has a registry, which is all that is read
        return sorted(line.rsplit(" ", 1)[0] for line in text.splitlines() if not line.startswith("#"))

    headers = {"Authorization": "Bearer s3cret-token"}
    async with aiohttp.ClientSession(door.addresses.webhooks, headers=headers) as sender:
        async with sender.post("/webhooks/alertmanager", data=flood(0)) as answer:
            assert answer.status == 200
        before = lines()
        for number in range(1, WEBHOOKS + 1):
            async with sender.post("/webhooks/alertmanager", data=flood(number)) as answer:
                assert answer.status == 200
    assert lines() == before
    assert services.registry.get_sample_value("andon_alerts_stored_total", {"source": "monitoring"}) == EACH * (
        WEBHOOKS + 1
    )


def test_every_figure_stays_bounded_whatever_it_is_told() -> None:
    """Each method of telemetry, with ever new texts in every place: at most so many series a metric, of short names."""
    metrics = Metrics()
    told = [getattr(metrics, name) for name, _ in inspect.getmembers(Metrics, inspect.isfunction) if name[0] != "_"]
    asked = {method: inspect.signature(method, eval_str=True).parameters for method in told}
    plain = {
        method: names
        for method, names in asked.items()
        if names and {p.annotation for p in names.values()} <= set(FIGURES)
    }
    assert len(plain) > 8
    for number in range(3 * MAX_LABEL_VALUES):
        for method, names in plain.items():
            method(**{name: FIGURES[p.annotation](number) for name, p in names.items()})
    series: dict[str, set[str]] = {}
    for family in metrics.registry.collect():
        for sample in family.samples:
            labels = {key: value for key, value in sample.labels.items() if key != "le"}
            series.setdefault(sample.name, set()).add(json.dumps(labels, sort_keys=True))
            assert all(len(value) <= MAX_LABEL_LENGTH for value in labels.values())
    assert max(map(len, series.values())) <= 2 * (MAX_LABEL_VALUES + 1)


async def test_bad_alerts_of_ever_new_shapes_are_one_page_and_little_memory() -> None:
    """Each is set aside and logged, whatever its broken label is called; people hear of it once a minute."""
    store, clock = MemoryStore(), FakeClock()
    refusals = Refusals(store, clock, Alarms(store, clock), monotonic=lambda: 1_000.0)
    for number in range(MAX_SEEN + 50):
        body = webhook(2)
        body["alerts"][1]["labels"] |= {f"broken{number}": 5, "padding": "x" * 40_000}
        await refusals.set_aside("monitoring", alertmanager.salvage(json.dumps(body).encode()))
    effects = [delivery.effect for delivery in await store.read_outbox("unrouted", 1_000, 0)]
    assert [type(effect) for effect in effects] == [PageOncall]
    letters = await store.dead_letters("unrouted", 1_000)
    assert len(letters) == MAX_SEEN + 50
    assert max(len(raw) for _, _, raw in letters) <= MAX_ASIDE
    assert len(refusals._seen) == MAX_SEEN
