"""Alertmanagers that can be asked: the twin and Alertmanager itself promise the same; what is no answer is an error."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr

from bot.adapters.alertmanager_api import MAX_ANSWER, AlertmanagerApi
from bot.adapters.clock import wall_ms
from bot.core.alert import Alert
from bot.engine.standing import AlertSource, View
from bot.errors import SourceError
from bot.sandbox.alerts import fingerprint, rfc3339
from bot.sandbox.children import Child, until
from bot.testing import MemoryAlertmanager
from tests.acceptance.harness import services

CONFIG = """\
route: {receiver: andon}
receivers: [{name: andon}]
inhibit_rules:
  - {source_matchers: [alertname="Root"], target_matchers: [alertname="Leaf"]}
"""


@dataclass
class Bench:
    """An Alertmanager under test, and how to bring things about in it."""

    source: AlertSource
    fire: Callable[[dict[str, str]], Awaitable[None]]
    end: Callable[[dict[str, str]], Awaitable[None]]
    silence: Callable[[str], Awaitable[None]]
    restart: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]]


def twin() -> Bench:
    memory = MemoryAlertmanager()

    async def fire(labels: dict[str, str]) -> None:
        root = any(held.alert.name == "Root" for held in memory.held.values())
        told = Alert(fingerprint=fingerprint(labels), status="firing", labels=labels, starts_at=wall_ms())
        inhibited = "1 inhibition" if root and labels["alertname"] == "Leaf" else ""
        memory.fire(told, receivers=("andon",), muted_by=inhibited)

    async def end(labels: dict[str, str]) -> None:
        memory.end(fingerprint(labels))

    async def silence(alertname: str) -> None:
        for held in list(memory.held.values()):
            if held.alert.name == alertname:
                memory.mute(held.alert.fingerprint)

    async def restart() -> None:
        memory.restart()

    async def stop() -> None:
        memory.down = "stopped"

    return Bench(memory, fire, end, silence, restart, stop)


@dataclass
class Real:
    """Alertmanager 0.25 in a process of its own."""

    folder: Path
    session: aiohttp.ClientSession
    stack: AsyncExitStack
    children: list[Child] = field(default_factory=list)
    address: str = ""

    async def start(self) -> None:
        config = self.folder / "alertmanager.yml"
        config.write_text(CONFIG)
        where = self.folder / f"run-{len(self.children)}"  # a directory of its own: what it kept is removed
        where.mkdir()
        service = await services.alertmanager(self.stack, self.session, config, where, "alertmanager")
        self.children.append(service.child)
        self.address = service.address

    async def post(self, path: str, body: object) -> None:
        async with self.session.post(f"http://{self.address}/api/v2/{path}", json=body) as answer:
            assert answer.status == 200, await answer.text()

    async def fire(self, labels: dict[str, str]) -> None:
        await self.post("alerts", [{"labels": labels, "annotations": {"summary": "s"}}])

    async def end(self, labels: dict[str, str]) -> None:
        await self.post("alerts", [{"labels": labels, "endsAt": rfc3339(wall_ms() - 1_000)}])

    async def silence(self, alertname: str) -> None:
        matchers = [{"name": "alertname", "value": alertname, "isRegex": False}]
        times = {"startsAt": rfc3339(wall_ms() - 1_000), "endsAt": rfc3339(wall_ms() + 60_000)}
        await self.post("silences", {"matchers": matchers, "createdBy": "test", "comment": "test", **times})

    async def stop(self) -> None:
        await self.children[-1].kill()


@pytest.fixture(params=["twin", "alertmanager"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """Each in turn."""
    if request.param == "twin":
        yield twin()
        return
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        real = Real(tmp_path, session, stack)
        await real.start()

        def api() -> AlertmanagerApi:
            made = AlertmanagerApi("a", f"http://{real.address}/", receiver="andon")
            stack.push_async_callback(made.close)
            return made

        async def restart() -> None:
            await real.stop()
            await real.start()
            bench.source = api()

        bench = Bench(api(), real.fire, real.end, real.silence, restart, real.stop)
        yield bench


async def seen(bench: Bench, condition: Callable[[View], bool]) -> View:
    """The first look for which `condition` holds; Alertmanager mutes and routes a moment after it was told."""

    async def look() -> View | None:
        view = await bench.source.look()
        return view if condition(view) else None

    return await until("the look shows it", look, within=10)


async def test_what_fires_is_listed_with_all_that_a_webhook_would_tell(bench: Bench) -> None:
    """Same fingerprint, so that what is found and what is delivered are one alert."""
    labels = {"alertname": "VaRBreach", "severity": "critical", "symbol": "BTC-USD"}
    before = wall_ms()
    await bench.fire(labels)
    view = await seen(bench, lambda view: any(held.settled for held in view.held.values()))
    [(name, held)] = view.held.items()
    assert name == held.alert.fingerprint == fingerprint(labels)
    assert (held.alert.labels, held.alert.status, held.alert.source) == (labels, "firing", "alertmanager")
    assert abs(held.alert.starts_at - before) < 10_000
    assert (held.receivers, held.muted_by) == (("andon",), "")
    assert view.fed_ms is not None
    assert view.fed_ms < 10_000


async def test_what_is_silenced_or_inhibited_is_listed_as_such(bench: Bench) -> None:
    """It still fires; leaving it out would look like health."""
    for name in ("Root", "Leaf", "Noise"):
        await bench.fire({"alertname": name})
    await bench.silence("Noise")
    view = await seen(bench, lambda view: sum(bool(held.muted_by) for held in view.held.values()) == 2)
    muted = {held.alert.name: held.muted_by for held in view.held.values()}
    assert muted == {"Root": "", "Leaf": "1 inhibition", "Noise": "1 silence"}


async def test_what_ended_is_not_listed_and_a_restart_forgets_everything(bench: Bench) -> None:
    """Which is why an absence needs an Alertmanager that has run for a while and is being fed."""
    for name in ("Over", "Stays"):
        await bench.fire({"alertname": name})
    await bench.end({"alertname": "Over"})
    view = await seen(bench, lambda view: len(view.held) == 1)
    assert [held.alert.name for held in view.held.values()] == ["Stays"]
    await bench.restart()
    view = await bench.source.look()
    assert view.held == {}
    assert view.fed_ms is None
    assert view.uptime_ms < 10_000


async def test_one_that_is_gone_is_an_error_and_never_an_empty_list(bench: Bench) -> None:
    """No news is not good news."""
    await bench.fire({"alertname": "Stays"})
    await bench.stop()
    with pytest.raises(SourceError):
        await bench.source.look()


# --- answers that are none ----------------------------------------------------------------------------------------

ALERTS = "/api/v2/alerts"
STATUS = b'{"uptime": "2025-01-17T10:00:00.000Z", "config": {"original": "route: {}"}}'


@pytest.fixture
async def odd() -> AsyncIterator[tuple[AlertmanagerApi, dict[str, web.Response | float], list[web.BaseRequest]]]:
    """A server that answers as told, and what it was asked."""
    answers: dict[str, web.Response | float] = {}
    asked: list[web.BaseRequest] = []
    ended = asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request)
        told = answers.get(request.path, web.Response(body=STATUS if request.path != ALERTS else b"[]"))
        if isinstance(told, float):
            await ended.wait()
            return web.Response()
        return told

    server = web.ServerRunner(web.Server(answer))
    await server.setup()
    await web.TCPSite(server, "127.0.0.1", 0).start()
    api = AlertmanagerApi(
        "a", f"http://127.0.0.1:{server.addresses[0][1]}", credentials=SecretStr("t0ken"), look_seconds=0.5
    )
    yield api, answers, asked
    ended.set()
    await api.close()
    await server.cleanup()


Odd = tuple[AlertmanagerApi, dict[str, "web.Response | float"], list[web.BaseRequest]]


async def test_everything_is_asked_for_with_our_credentials(odd: Odd) -> None:
    """Silenced, inhibited and unprocessed too; a bearer token, or a user and password as basic."""
    api, _, asked = odd
    await api.look()
    [alerts] = [request for request in asked if request.path == ALERTS]
    assert dict(alerts.query) == {"active": "true", "silenced": "true", "inhibited": "true", "unprocessed": "true"}
    assert {request.headers["Authorization"] for request in asked} == {"Bearer t0ken"}
    other = AlertmanagerApi("b", f"http://{alerts.host}", credentials=SecretStr("ops:pä:ss"))
    await other.look()
    await other.close()
    basic = asked[-1].headers["Authorization"]
    assert base64.b64decode(basic.removeprefix("Basic ")).decode() == "ops:pä:ss"


@pytest.mark.parametrize(
    ("path", "told", "words"),
    [
        (ALERTS, web.Response(status=500), "500"),
        (ALERTS, web.Response(status=401), "401"),
        (ALERTS, web.Response(status=302, headers={"Location": "/elsewhere"}), "302"),
        (ALERTS, web.Response(body=b"<html>"), "cannot be read"),
        (ALERTS, web.Response(body=b'[{"labels": {}}]'), "cannot be read"),
        (ALERTS, web.Response(body=b"[" + b" " * MAX_ANSWER), "larger than"),
        (ALERTS, web.Response(body=b"[]", headers={"Date": "yesterday"}), "no usable Date"),
        (ALERTS, 1.0, "within 0.5 s"),
        ("/api/v2/status", web.Response(body=b"{}"), "cannot be read"),
        ("/api/v2/status", web.Response(status=404), "404"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_answer_that_cannot_be_used_is_an_error(odd: Odd, path: str, told: object, words: str) -> None:
    """Never an empty list: whatever is odd about the answer, nothing is concluded from it."""
    api, answers, _ = odd
    answers[path] = told  # type: ignore[assignment]
    with pytest.raises(SourceError, match=words):
        await api.look()


async def test_one_odd_alert_does_not_switch_off_the_others(odd: Odd) -> None:
    """More labels than are taken: it is left out and known to be there; the others are compared as ever."""
    api, answers, _ = odd
    times = {"startsAt": "2025-01-17T10:00:00.000Z", "updatedAt": "2025-01-17T10:00:00.000Z"}
    status = {"state": "active", "silencedBy": [], "inhibitedBy": []}
    good = {"fingerprint": "g", "labels": {"alertname": "Good"}, "receivers": [{"name": "r"}], "status": status} | times
    bad = good | {"fingerprint": "b", "labels": {f"l{number}": "x" for number in range(65)}}
    answers[ALERTS] = web.json_response([good, bad])
    view = await api.look()
    assert (set(view.held), view.unread) == ({"g"}, {"b"})
