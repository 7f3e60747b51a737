"""Who may post webhooks and what is refused: every 4xx, on the wire, counted and logged."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs

from bot.adapters.http_app import Listen, build, serve
from bot.adapters.http_services import Source
from bot.errors import ConfigError
from tests.integration.door_twin import SYSTEM, Open, TwinServices, opened, raw

PATH = "/webhooks/alertmanager"
BEARER = Source(name="alertmanager-a", scheme="bearer", secret=b"s3cret-token")
BASIC = Source(name="alertmanager-b", scheme="basic", secret="ops:pä:ss".encode())


def basic(secret: str) -> str:
    return "Basic " + base64.b64encode(secret.encode()).decode()


@pytest.fixture
async def services() -> TwinServices:
    return TwinServices(sources=(BEARER, BASIC))


@pytest.fixture
async def door(services: TwinServices) -> AsyncIterator[Open]:
    async with opened(services) as door:
        yield door


@pytest.fixture
async def sender(door: Open) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(door.addresses.webhooks) as session:
        yield session


@pytest.mark.parametrize(
    "header",
    ["Bearer s3cret-token", "bearer  s3cret-token", basic("ops:pä:ss"), basic("ops:pä:ss").replace("Basic", "basic")],
)
async def test_each_source_has_its_own_credential(sender: aiohttp.ClientSession, header: str) -> None:
    """Bearer and basic, side by side; the scheme's case does not matter."""
    async with sender.post(PATH, data=raw(), headers={"Authorization": header}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    "header",
    [
        None, "", "Bearer", "Bearer ", "Bearer s3cret-toke", "Bearer s3cret-tokenx", "Basic s3cret-token", "Basic !!!",
        basic("ops:pass"), basic("ops:"), "Bearer " + "x" * 5_000, "Bearer ops:pä:ss", "Digest s3cret-token",
        "Bearer s3cret-tok\udce9n",
    ],
)  # fmt: skip
async def test_strangers_are_refused_before_their_body_is_read(
    services: TwinServices, sender: aiohttp.ClientSession, header: str | None
) -> None:
    """401 says how to authenticate; nothing is stored; it is counted without naming the attempt."""
    headers = {} if header is None else {"Authorization": header}
    async with sender.post(PATH, data=raw(), headers=headers) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert set(await answer.json()) == {"error", "fix"}
    assert services.store.batches == []
    assert counted(services, source="", outcome="unauthenticated") == 1


async def test_poison_from_a_known_sender_is_counted_and_logged(
    services: TwinServices, sender: aiohttp.ClientSession
) -> None:
    """A body that can never succeed goes nowhere, but not silently: counter, log line and the field in the answer."""
    body = json.loads(raw(1))
    body["alerts"][0]["labels"]["severity"] = 5
    with capture_logs() as logs:
        async with sender.post(PATH, json=body, headers={"Authorization": "Bearer s3cret-token"}) as answer:
            assert answer.status == 400
            assert await answer.json() == {
                "error": "Input should be a valid string",
                "field": "alerts[0].labels.severity",
            }
    assert services.store.batches == []
    assert counted(services, source="alertmanager-a", outcome="rejected") == 1
    [line] = [line for line in logs if line["event"] == "webhook_rejected"]
    assert (line["source"], line["field"], line["log_level"]) == (
        "alertmanager-a",
        "alerts[0].labels.severity",
        "error",
    )


async def test_a_body_over_one_mebibyte_is_413(services: TwinServices, sender: aiohttp.ClientSession) -> None:
    """By its declared length, and by what arrives when none is declared."""
    large = raw(1, padding="x" * 1_048_576)
    headers = {"Authorization": "Bearer s3cret-token"}
    async with sender.post(PATH, data=io.BytesIO(large), headers=headers) as answer:
        assert answer.status == 413
        assert (await answer.json())["field"] == "body"

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 65_536):
            yield large[start : start + 65_536]

    async with sender.post(PATH, data=pieces(), headers=headers) as answer:
        assert answer.status == 413
    assert services.store.batches == []


async def test_a_body_in_pieces_is_put_together(services: TwinServices, sender: aiohttp.ClientSession) -> None:
    """Chunked transfer is as good as any other."""

    async def pieces() -> AsyncIterator[bytes]:
        for byte in (whole := raw(20))[:-10], whole[-10:]:
            yield byte
            await asyncio.sleep(0)

    async with sender.post(PATH, data=pieces(), headers={"Authorization": "Bearer s3cret-token"}) as answer:
        assert answer.status == 200
    assert len(await services.store.stored(SYSTEM)) == 1


async def test_other_paths_and_methods_answer_in_json(sender: aiohttp.ClientSession) -> None:
    """404 and 405 have the same shape as every other error, and the webhook door leads to nothing but webhooks."""
    for path in (PATH, "/webhooks/grafana"):
        async with sender.get(path) as answer:
            assert answer.status == 405
            assert "POST" in answer.headers["Allow"]
            assert "error" in await answer.json()
    for path in ("/", "/webhooks/others", "/api/v1/incidents"):
        async with sender.get(path) as answer:
            assert answer.status == 404
            assert "error" in await answer.json()


async def test_metrics_are_served_with_their_content_type(sender: aiohttp.ClientSession) -> None:
    """What a Prometheus scrapes, and our own counters in it."""
    async with sender.get("/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        assert "andon_webhooks_total" in await answer.text()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "andon.example"])
async def test_an_open_door_to_a_network_is_not_opened(host: str) -> None:
    """Without credentials only loopback is served; the message says which setting is missing."""
    doors = build(TwinServices())
    with pytest.raises(ConfigError, match=r"listen\.auth"):
        await serve(doors, Listen(host=host, port=0), asyncio.Event())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost"])
async def test_loopback_needs_no_credentials(host: str) -> None:
    """A newcomer's first start works."""
    async with (
        opened(TwinServices(), Listen(host=host, port=0)) as door,
        aiohttp.ClientSession(door.addresses.webhooks) as session,
        session.post(PATH, data=raw()) as answer,
    ):
        assert answer.status == 200


async def test_a_web_page_cannot_fire_an_alert_on_an_open_loopback() -> None:
    """Without credentials, a browser on this machine is no Alertmanager: its `Origin` gives it away."""
    services = TwinServices()
    async with opened(services) as door, aiohttp.ClientSession(door.addresses.webhooks) as session:
        headers = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
        async with session.post(PATH, data=raw(), headers=headers) as answer:
            assert answer.status == 403
    assert services.store.batches == []


async def test_an_address_in_use_is_told_as_configuration(tmp_path: Path) -> None:
    """Two replicas on one port: the second says which address it could not have."""
    async with opened(TwinServices()) as door:
        port = int(door.addresses.webhooks.rsplit(":", 1)[1])
        with pytest.raises(ConfigError, match=str(port)):
            await serve(build(TwinServices()), Listen(port=port), asyncio.Event())


def counted(services: TwinServices, **labels: str) -> float:
    return services.registry.get_sample_value("andon_webhooks_total", labels) or 0.0
