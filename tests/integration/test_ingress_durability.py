"""The ingress promises with 2xx that alerts are durable, with 503 that they are not, and coalesces in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from bot.adapters.http_app import Listen
from bot.adapters.http_intake import Intake
from bot.core.effects import PageOncall
from bot.core.events import AlertsReceived
from bot.errors import StoreUnavailable
from tests.integration.door_twin import SYSTEM, Open, TwinServices, opened, raw, until, webhook

PATH = "/webhooks/alertmanager"


@pytest.fixture
async def services() -> TwinServices:
    return TwinServices()


@pytest.fixture
async def door(services: TwinServices) -> AsyncIterator[Open]:
    async with opened(services) as door:
        yield door


@pytest.fixture
async def sender(door: Open) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(door.addresses.webhooks) as session:
        yield session


async def test_two_hundred_means_stored(services: TwinServices, sender: aiohttp.ClientSession) -> None:
    """A webhook answered 200 is in the inbox of its shard, with its receiver unquoted and its times exact."""
    async with sender.post(PATH, data=raw(2, receiver="trading-core", truncatedAlerts=1)) as answer:
        assert answer.status == 200
    [entry] = await services.store.stored(SYSTEM)
    assert isinstance(entry, AlertsReceived)
    assert [alert.fingerprint for alert in entry.alerts] == [f"{0:016x}", f"{1:016x}"]
    assert entry.alerts[0].starts_at == 1_737_108_000_123
    assert entry.truncated == 1
    assert entry.at == services.clock.now()


async def test_what_the_sender_left_out_is_counted(services: TwinServices, sender: aiohttp.ClientSession) -> None:
    """Alerts that `max_alerts` cut away cannot be stored; they are told in a counter, not left out in silence."""
    async with sender.post(PATH, data=raw(2, truncatedAlerts=7)) as answer:
        assert answer.status == 200
    assert services.registry.get_sample_value("andon_alerts_truncated_total", {"source": "local"}) == 7


async def test_nothing_is_answered_before_the_write_returns(
    services: TwinServices, sender: aiohttp.ClientSession
) -> None:
    """While the append is under way the sender gets no answer; afterwards 200."""
    services.store.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        post = tasks.create_task(sender.post(PATH, data=raw()))
        await services.store.entered.wait()
        for _ in range(50):
            await asyncio.sleep(0)
        assert not post.done()
        services.store.gate.set()
        answer = await post
    assert answer.status == 200
    answer.close()


async def test_a_store_that_cannot_write_is_503_with_retry_after(
    services: TwinServices, sender: aiohttp.ClientSession
) -> None:
    """Alertmanager retries 5xx at once, so nothing is lost while the store is away; after that it works again."""
    services.store.down = "MISCONF disk full"
    async with sender.post(PATH, data=raw()) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "1"
        assert "disk full" in (await answer.json())["error"]
    services.store.down = ""
    async with sender.post(PATH, data=raw()) as answer:
        assert answer.status == 200
    assert len(await services.store.stored(SYSTEM)) == 1


async def test_concurrent_requests_share_writes(services: TwinServices, sender: aiohttp.ClientSession) -> None:
    """While one append is under way the others wait and go together: 40 requests, few appends, none lost."""
    services.store.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        posts = [tasks.create_task(sender.post(PATH, data=raw(1, groupKey=str(n)))) for n in range(40)]
        await services.store.entered.wait()
        services.store.gate.set()
    assert {post.result().status for post in posts} == {200}
    for post in posts:
        post.result().close()
    assert len(await services.store.stored(SYSTEM)) == 40
    assert sum(size for _, size in services.store.batches) == 40
    assert len(services.store.batches) <= 10


async def test_one_webhook_is_one_entry_for_each_shard(services: TwinServices, sender: aiohttp.ClientSession) -> None:
    """Alerts of several systems in one notification are split before the 2xx; the rest is `unrouted`."""
    body = webhook(3, receiver="everything")
    body["alerts"][1]["labels"]["system"] = "py-rt"
    async with sender.post(PATH, json=body) as answer:
        assert answer.status == 200
    assert sorted(services.store.batches) == [("py-rt", 1), ("unrouted", 1)]
    [unrouted] = await services.store.stored("unrouted")
    assert isinstance(unrouted, AlertsReceived)
    assert [alert.labels["symbol"] for alert in unrouted.alerts] == ["SYM0", "SYM2"]


async def test_when_one_shard_fails_the_sender_is_told_to_come_back(services: TwinServices) -> None:
    """A webhook for two shards of which one could not be written is not acknowledged."""

    class HalfDown(type(services.store)):  # type: ignore[misc]
        async def append(self, shard: str, entries: object) -> None:
            if shard == "py-rt":
                raise StoreUnavailable("py-rt's slot is away")
            await super().append(shard, entries)

    services.store = HalfDown()
    body = webhook(2, receiver="everything")
    body["alerts"][1]["labels"]["system"] = "py-rt"
    async with opened(services) as door, aiohttp.ClientSession(door.addresses.webhooks) as session:
        async with session.post(PATH, json=body) as answer:
            assert answer.status == 503
        assert len(await services.store.stored("unrouted")) == 1


async def test_a_full_intake_refuses_and_keeps_what_it_has(services: TwinServices) -> None:
    """Past its bound the intake refuses at once; what waits already is written; then there is room again."""
    entry = AlertsReceived(id="e", at=1, source="s", receiver="r", alerts=_alerts(3))
    services.store.gate.clear()
    async with Intake(services.store, services.registry, max_alerts=5) as intake, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(intake.store({SYSTEM: entry}))
        await services.store.entered.wait()
        with pytest.raises(StoreUnavailable, match="3 alerts wait"):
            await intake.store({SYSTEM: entry})
        services.store.gate.set()
        await first
        await intake.store({SYSTEM: entry})
    assert len(await services.store.stored(SYSTEM)) == 2


async def test_an_unforeseen_failure_of_the_store_is_not_a_success(services: TwinServices) -> None:
    """Whatever the store raises, the sender hears that nothing was stored, and the next write is tried."""

    class Broken(type(services.store)):  # type: ignore[misc]
        async def append(self, shard: str, entries: object) -> None:
            raise RuntimeError("a bug")

    entry = AlertsReceived(id="e", at=1, source="s", receiver="r", alerts=_alerts(1))
    async with Intake(Broken(), services.registry) as intake:
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="unforeseen"):
                await intake.store({SYSTEM: entry})


async def test_a_request_given_up_does_not_hold_up_the_others(services: TwinServices) -> None:
    """Cancelling one waiting request leaves its neighbours' writes and answers alone."""
    entry = AlertsReceived(id="e", at=1, source="s", receiver="r", alerts=_alerts(1))
    services.store.gate.clear()
    async with Intake(services.store, services.registry) as intake, asyncio.TaskGroup() as tasks:
        tasks.create_task(intake.store({SYSTEM: entry}))
        await services.store.entered.wait()
        given_up = tasks.create_task(intake.store({SYSTEM: entry}))
        patient = tasks.create_task(intake.store({SYSTEM: entry}))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.sleep(0)
        services.store.gate.set()
        await patient
    assert len(await services.store.stored(SYSTEM)) == 3


async def test_stopping_finishes_what_is_under_way(services: TwinServices) -> None:
    """A request whose write is under way when the process is asked to stop is stored and answered 200."""
    services.store.gate.clear()
    async with opened(services) as door, aiohttp.ClientSession(door.addresses.webhooks) as session:
        async with asyncio.TaskGroup() as tasks:
            post = tasks.create_task(session.post(PATH, data=raw()))
            await services.store.entered.wait()
            door.stop.set()
            await until(lambda: door.doors.health.draining)
            services.store.gate.set()
            answer = await post
            assert answer.status == 200
            answer.close()
        await door.served
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.post(PATH, data=raw())
    assert len(await services.store.stored(SYSTEM)) == 1


async def test_a_cancelled_server_flushes_too(services: TwinServices) -> None:
    """Cancelling the task that serves is a stop in order as well: nothing that was taken in is dropped."""
    services.store.gate.clear()
    async with opened(services, Listen(port=0)) as door, aiohttp.ClientSession(door.addresses.webhooks) as session:
        async with asyncio.TaskGroup() as tasks:
            post = tasks.create_task(session.post(PATH, data=raw()))
            await services.store.entered.wait()
            door.served.cancel()
            await until(lambda: door.doors.health.draining)
            services.store.gate.set()
            answer = await post
            assert answer.status == 200
            answer.close()
        await asyncio.wait([door.served])
        assert door.served.cancelled()


def _alerts(count: int) -> tuple:  # type: ignore[type-arg]
    from handlers.alertmanager import parse

    return parse(raw(count)).alerts


async def test_a_refused_webhook_of_a_known_sender_pages_once(
    services: TwinServices, sender: aiohttp.ClientSession
) -> None:
    """Alertmanager never sends a 4xx again, so its alerts would be lost in silence; ten of them are one page."""
    for _ in range(10):
        async with sender.post(PATH, data=b'{"version": "4", "alerts": 7}') as answer:
            assert answer.status == 400
    pages = [delivery.effect for delivery in await services.store.read_outbox("unrouted", 99, 0)]
    assert [page.dedup_key for page in pages if isinstance(page, PageOncall)] == ["webhook-rejected:local"]
