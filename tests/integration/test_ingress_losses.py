"""What the webhook door does not take is told to a person: bad alerts among good ones, Grafana's, wrong credentials."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from structlog.testing import capture_logs

from bot.adapters.http_refusals import QUIET_SECONDS, STRANGER_LIMIT, STRANGER_WINDOW_SECONDS, Strangers
from bot.adapters.http_services import Source
from bot.core.alert import Alert
from bot.core.effects import PageOncall
from bot.core.events import AlertsReceived
from bot.engine.alarms import Alarms
from bot.testing import FakeClock, MemoryStore
from tests.integration.door_twin import SYSTEM, Open, TwinServices, opened, raw, webhook
from tests.unit.handlers.test_grafana_webhook import body as grafana_body

ALERTMANAGER = "/webhooks/alertmanager"
GRAFANA = "/webhooks/grafana"
TOKEN = {"Authorization": "Bearer s3cret-token"}


@pytest.fixture
async def services() -> TwinServices:
    return TwinServices(sources=(Source(name="bearer", scheme="bearer", secret=b"s3cret-token"),))


@pytest.fixture
async def door(services: TwinServices) -> AsyncIterator[Open]:
    async with opened(services) as door:
        yield door


@pytest.fixture
async def sender(door: Open) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(door.addresses.webhooks, headers=TOKEN) as session:
        yield session


async def post(sender: aiohttp.ClientSession, path: str, body: bytes) -> int:
    async with sender.post(path, data=body) as answer:
        return answer.status


async def alarms_in(store: MemoryStore, *, within_ms: int = 0) -> list[Alert]:
    """Alerts of Andon's own in the inbox, each read once; waits for the first."""
    entries = [delivery.entry for delivery in await store.read_inbox("unrouted", 1_000, within_ms)]
    found = [alert for entry in entries if isinstance(entry, AlertsReceived) for alert in entry.alerts]
    return [alert for alert in found if alert.source == "andon"]


async def pages_in(store: MemoryStore) -> list[PageOncall]:
    effects = [delivery.effect for delivery in await store.read_outbox("unrouted", 1_000, 0)]
    return [effect for effect in effects if isinstance(effect, PageOncall)]


async def test_grafana_s_alerts_are_stored_and_a_replay_is_a_copy(
    services: TwinServices, sender: aiohttp.ClientSession
) -> None:
    """200 means in the inbox; the same body again has the same entry, fingerprint and firing."""
    for _ in range(2):
        assert await post(sender, GRAFANA, grafana_body(receiver="trading-core")) == 200
    first, second = await services.store.stored(SYSTEM)
    assert isinstance(first, AlertsReceived)
    assert first.source == "grafana"
    assert first == second


async def test_a_store_that_is_away_costs_grafana_s_alert_but_not_in_silence(
    services: TwinServices, sender: aiohttp.ClientSession
) -> None:
    """503, because nothing was stored; Grafana sends nothing twice, so the loss is told once the store is back."""
    services.store.down = "disk full"
    for _ in range(20):
        assert await post(sender, GRAFANA, grafana_body()) == 503
    services.store.down = ""
    [alarm] = await alarms_in(services.store, within_ms=10_000)
    assert (alarm.name, alarm.severity) == ("AndonGrafanaAlertRefused", "critical")
    assert "disk full" in alarm.annotations["summary"]


async def test_grafana_s_body_that_cannot_be_read_is_an_alarm_too(
    services: TwinServices, sender: aiohttp.ClientSession
) -> None:
    """400 names the field, and so does what people are told."""
    assert await post(sender, GRAFANA, grafana_body(alerts=7)) == 400
    [alarm] = await alarms_in(services.store)
    assert alarm.name == "AndonGrafanaAlertRefused"
    assert "alerts: " in alarm.annotations["summary"]


async def test_good_alerts_are_stored_beside_a_bad_one(services: TwinServices, sender: aiohttp.ClientSession) -> None:
    """Alertmanager never sends a 4xx again: the good ones go in, the bad one is kept for people, who are paged."""
    body = webhook(4)
    body["alerts"][2]["labels"]["severity"] = 5
    for _ in range(3):  # the group is sent again at every interval, with the same bad alert in it
        assert await post(sender, ALERTMANAGER, json.dumps(body).encode()) == 200
    stored = await services.store.stored(SYSTEM)
    assert [len(entry.alerts) for entry in stored if isinstance(entry, AlertsReceived)] == [3, 3, 3]
    [page] = await pages_in(services.store)
    assert "alerts[2].labels.severity" in page.summary
    [(_, reason, letter)] = await services.store.dead_letters("unrouted", 10)
    assert "alerts[2].labels.severity" in reason
    assert json.loads(letter) == [body["alerts"][2]]


async def test_a_bad_alert_that_cannot_be_kept_is_not_taken(
    services: TwinServices, sender: aiohttp.ClientSession
) -> None:
    """The good one's shard writes, the letters' does not: 503, so that Alertmanager sends both again."""

    async def refuse(*_: object) -> None:
        from bot.errors import StoreUnavailable

        raise StoreUnavailable("disk full")

    body = webhook(2)
    body["alerts"][1]["startsAt"] = "x"
    kept, services.store.dead_letter = services.store.dead_letter, refuse  # type: ignore[method-assign,assignment]
    assert await post(sender, ALERTMANAGER, json.dumps(body).encode()) == 503
    services.store.dead_letter = kept  # type: ignore[method-assign]
    assert await post(sender, ALERTMANAGER, json.dumps(body).encode()) == 200
    assert len(await services.store.dead_letters("unrouted", 10)) == 1


async def test_a_refused_webhook_is_told_also_when_the_store_is_away(
    services: TwinServices, sender: aiohttp.ClientSession
) -> None:
    """The page cannot be stored, so an alarm waits for the store."""
    services.store.down = "disk full"
    assert await post(sender, ALERTMANAGER, b"{}") == 400
    services.store.down = ""
    [alarm] = await alarms_in(services.store, within_ms=10_000)
    assert alarm.name == "AndonWebhookRefused"


async def test_wrong_credentials_again_and_again_are_one_alarm(services: TwinServices, door: Open) -> None:
    """A token that was changed on one side only: every alert is refused, and nobody would hear of it."""
    async with aiohttp.ClientSession(door.addresses.webhooks) as stranger:
        with capture_logs():
            for _ in range(STRANGER_LIMIT - 1):
                assert await post(stranger, ALERTMANAGER, raw()) == 401
            assert await alarms_in(services.store) == []
            for _ in range(50):
                assert await post(stranger, ALERTMANAGER, raw()) == 401
    [alarm] = await alarms_in(services.store)
    assert (alarm.name, alarm.severity, alarm.status) == ("AndonWebhookUnauthorised", "critical", "firing")
    for named in ("127.0.0.1", ALERTMANAGER, "listen.auth"):
        assert named in alarm.annotations["summary"]


class Timeline:
    """Monotonic time that is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def strangers_at(time: Timeline) -> tuple[Strangers, MemoryStore]:
    store = MemoryStore()
    return Strangers(Alarms(store, FakeClock()), monotonic=time), store


async def test_refusals_far_apart_are_no_alarm() -> None:
    """The window slides: one typing error an hour is nobody's broken token, as Alertmanager knocks again within it."""
    time = Timeline()
    strangers, store = await strangers_at(time)
    for _ in range(50):
        await strangers.knocked("192.0.2.7", ALERTMANAGER)
        time.now += STRANGER_WINDOW_SECONDS + 1
    assert await alarms_in(store) == []


async def test_it_is_over_after_a_quiet_window_and_a_webhook_that_was_taken() -> None:
    """One sender still welcome while another is refused ends nothing; nor does mere silence, but for a whole day."""
    time = Timeline()
    strangers, store = await strangers_at(time)
    for _ in range(STRANGER_LIMIT):
        await strangers.knocked("192.0.2.7", GRAFANA)
    assert not strangers.may_be_over
    time.now += STRANGER_WINDOW_SECONDS + 1
    assert [alarm.status for alarm in await alarms_in(store)] == ["firing"]
    assert strangers.may_be_over
    await strangers.welcomed(ALERTMANAGER)
    assert await alarms_in(store) == [], "what Alertmanager has right says nothing about Grafana's password"
    await strangers.welcomed(GRAFANA)
    assert [alarm.status for alarm in await alarms_in(store)] == ["resolved"]
    assert not strangers.may_be_over, "the next webhook must not pay for it"
    await strangers.knocked("192.0.2.7", GRAFANA)
    time.now += QUIET_SECONDS + 1
    await strangers.welcomed(ALERTMANAGER)
    assert [alarm.status for alarm in await alarms_in(store)] == ["firing", "resolved"]


@pytest.mark.parametrize(("path", "knocks"), [(GRAFANA, 1), (ALERTMANAGER, 2)])
async def test_wrong_credentials_are_heard_of_at_the_pace_at_which_senders_knock(path: str, knocks: int) -> None:
    """Grafana never sends again, so its first refusal is a lost alert; Alertmanager comes back in five minutes."""
    time = Timeline()
    strangers, store = await strangers_at(time)
    for _ in range(knocks):
        assert await alarms_in(store) == []
        time.now += 301
        await strangers.knocked("192.0.2.7", path)
    assert [alarm.status for alarm in await alarms_in(store)] == ["firing"]


async def test_a_crowd_of_strangers_costs_no_memory_and_is_named_in_few_words() -> None:
    """Any number of addresses: what is kept and what is said stay bounded."""
    strangers, store = await strangers_at(Timeline())
    for number in range(5_000):
        await strangers.knocked(f"2001:db8::{number:x}", ALERTMANAGER)
    [alarm] = await alarms_in(store)
    assert len(alarm.annotations["summary"]) < 400
