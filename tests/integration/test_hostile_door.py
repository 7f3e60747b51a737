"""Requests that no honest sender makes: refused with a 4xx or a closed connection, without an effect, a 5xx or a look
inside; and the next honest request is answered as ever."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request
from aiohttp.web import Application, Response, TCPSite
from structlog.testing import capture_logs

from bot.adapters import http_body
from bot.adapters.http_app import Listen
from bot.adapters.http_doorman import Doorman
from bot.adapters.http_errors import answer_errors
from bot.adapters.http_intake import MAX_WAITING_BYTES
from bot.adapters.http_services import PersonToken, Source
from bot.core.incident import Incident
from bot.core.target import Target
from bot.errors import InputError
from handlers import alertmanager
from handlers.routing import split
from tests.integration.attacks import Packets, at_api, at_webhooks
from tests.integration.door_twin import SYSTEM, Open, TwinServices, opened, raw
from tests.integration.pending import ask, record
from tests.integration.raw_http import get, post, shoot
from tests.unit.handlers.test_grafana_webhook import body as grafana_body

TOKEN = "s3cret-token"
PATHS = {"alertmanager": ("/webhooks/alertmanager", raw()), "grafana": ("/webhooks/grafana", grafana_body())}


@pytest.fixture
async def services() -> TwinServices:
    return TwinServices(
        sources=(Source(name="monitoring", scheme="bearer", secret=TOKEN.encode()),),
        tokens=(PersonToken(person="demo-approver", secret=TOKEN.encode()),),
    )


@pytest.fixture
async def door(services: TwinServices) -> AsyncIterator[Open]:
    async with opened(services, Listen(port=0, api_host="127.0.0.1")) as door:
        yield door


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


async def fire(port: int, attacks: Mapping[str, Packets]) -> dict[str, Any]:
    """What was wrong with the answers, by the attack's name."""
    wrong = {}
    for name, packets in attacks.items():
        answer = await shoot(port, *packets)
        if not answer.is_refusal or answer.shows_the_inside:
            wrong[name] = answer
    return wrong


@pytest.mark.parametrize("kind", PATHS)
async def test_no_hostile_webhook_is_taken(services: TwinServices, door: Open, kind: str) -> None:
    """Smuggled, packed, bottomless, forged, cut: nothing reaches the inbox, and the door stands as before."""
    port, (path, good) = port_of(door.addresses.webhooks), PATHS[kind]
    with capture_logs() as logs:
        wrong = await fire(port, at_webhooks(path, good, TOKEN))
    inbox = [batch for batch in services.store.batches if batch[0] != "unrouted"]  # there our own alarms go
    assert (wrong, inbox) == ({}, [])
    assert [line["event"] for line in logs if line["event"] in ("request_failed", "append_failed")] == []
    assert (await shoot(port, post(path, good, token=TOKEN))).status == 200


async def state(services: TwinServices) -> dict[str, Any]:
    """Everything an order could have changed, without the counts of what was only heard and refused."""
    found: dict[str, Any] = {"batches": list(services.store.batches)}
    for shard in services.shards:
        for name in await services.store.aggregates(shard):
            kept = (await services.store.load(shard, [name]))[name].record
            if isinstance(kept, Incident):
                found[name] = (kept.status, kept.approval, kept.granted, kept.taken_by, dict(kept.timers))
            if isinstance(kept, Target):
                found[name] = (kept.freeze, dict(kept.armed), kept.leases)
    return found


async def test_no_hostile_order_or_approval_counts(services: TwinServices, door: Open) -> None:
    """Over TCP, with a good token or none: no vote, no freeze, no arming, no incident, no alert."""
    incident = await ask(services)
    approval = (await record(services, incident)).approval
    assert approval is not None
    good = {"approval": approval.id, "digest": approval.terms.digest}
    port, before = port_of(door.addresses.api), await state(services)
    with capture_logs() as logs:
        wrong = await fire(port, at_api(TOKEN, incident, good))
    assert (wrong, await state(services)) == ({}, before)
    assert [line for line in logs if line["event"] == "request_failed"] == []
    vote = post(f"/api/v1/incidents/{incident}/approve", json.dumps(good).encode(), token=TOKEN)
    assert (await shoot(port, vote)).status == 200, "the vote that all of them imitated"
    assert (await shoot(port, vote)).status == 409, "sent again, it is not a second yes"


async def test_what_cannot_be_stored_is_all_that_is_503(services: TwinServices, door: Open) -> None:
    """A store that is away turns good requests into 503, and none of the hostile ones."""
    services.store.down = "disk full"
    path, good = PATHS["alertmanager"]
    port = port_of(door.addresses.webhooks)
    assert (await shoot(port, post(path, good, token=TOKEN))).status == 503
    bodies = {name: sent for name, sent in at_webhooks(path, good, TOKEN).items() if name.startswith("body")}
    assert await fire(port, bodies) == {}


def slow_request(headers: Mapping[str, str]) -> Any:
    """A request whose body never comes."""
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.transport = asyncio.Transport()  # connected, and silent
    stream = StreamReader(protocol, 65_536, loop=loop)
    return make_mocked_request("POST", "/x", headers=dict(headers), payload=stream)


@pytest.mark.looptime
async def test_a_body_that_never_comes_is_waited_for_ten_seconds() -> None:
    """A sender that stalls holds a connection, but no longer; the API says 408, the webhook door 503."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(InputError) as caught:
        await http_body.ordered(slow_request({"Content-Length": "300"}))
    assert (caught.value.status, loop.time() - began) == (408, http_body.BODY_SECONDS)
    with pytest.raises(TimeoutError):
        await http_body.whole(slow_request({"Content-Length": "300"}))


async def hello(_: object) -> Response:
    return Response(text="hello")


async def small_door(limit: int, idle_seconds: float = 75.0) -> tuple[Doorman, int]:
    app = Application(middlewares=[answer_errors])
    app.router.add_get("/", hello)
    doorman = Doorman(app, limit=limit, idle_seconds=idle_seconds)
    await doorman.setup()
    site = TCPSite(doorman, "127.0.0.1", 0)
    await site.start()
    return doorman, doorman.addresses[0][1]


async def test_connections_past_the_bound_are_closed_at_once() -> None:
    """Silent connections cost descriptors that the store and the targets need; who is inside already goes on."""
    doorman, port = await small_door(limit=3)
    try:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        with capture_logs() as logs:
            turned_away = [await shoot(port, get("/")) for _ in range(5)]
        assert [answer.status for answer in turned_away] == [0] * 5
        assert [line["event"] for line in logs] == ["door_full"], "once a minute is enough"
        reader, writer = silent[0]
        writer.write(get("/", headers=b"Connection: close\r\n"))
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        async with asyncio.timeout(5):
            while (await shoot(port, get("/"))).status != 200:
                await asyncio.sleep(0)
    finally:
        for _, writer in silent:
            writer.close()
        await doorman.cleanup()


@pytest.mark.parametrize("said", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_a_connection_that_says_nothing_whole_is_closed(said: bytes) -> None:
    """From its first second on, whatever it has begun to say."""
    doorman, port = await small_door(limit=64, idle_seconds=0.05)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
    finally:
        await doorman.cleanup()


async def test_what_is_no_http_is_one_line_in_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    """A scanner, or a sender of TLS, cannot fill the log with tracebacks; what it sent is quoted in one line."""
    doorman, port = await small_door(limit=64)
    try:
        with capture_logs() as logs:
            for _ in range(20):
                assert (await shoot(port, b"GET / HTTP/1.1\r\nHost: x\r\nX: \x1b[31m\0\nPAGE\r\n\r\n")).status == 400
        assert [(line["event"], line["remote"]) for line in logs] == [("not_http", "127.0.0.1")]
    finally:
        await doorman.cleanup()
    assert capfd.readouterr().err == ""


async def test_large_alerts_in_flight_are_bounded_in_bytes(services: TwinServices, door: Open) -> None:
    """Few alerts can be as much memory as many: past 64 MiB that wait for the store, senders are told to come back."""
    intake = door.doors.intake
    services.store.gate.clear()
    entry = split(alertmanager.parse(raw()), services.routes, 1)[SYSTEM]
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(intake.store({SYSTEM: entry}, MAX_WAITING_BYTES - 10))
        await services.store.entered.wait()
        answer = await shoot(port_of(door.addresses.webhooks), post(*PATHS["alertmanager"], token=TOKEN))
        assert answer.status == 503
        assert b"bytes of alerts wait" in answer.body
        services.store.gate.set()
        await waiting
    assert (await shoot(port_of(door.addresses.webhooks), post(*PATHS["alertmanager"], token=TOKEN))).status == 200
