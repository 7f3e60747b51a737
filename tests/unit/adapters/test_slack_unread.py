"""What Slack sent and nobody could read: counted, told to whoever clicked, and an alarm that ends by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from bot.adapters.slack.line.api import SlackApi
from bot.adapters.slack.line.incoming import PayloadError
from bot.adapters.slack.line.unread import FEW, LOOK_S, MAX_WAITING, NAME, QUIET_S, WITHIN_S, WORDS, Unread
from bot.core.events import AlertsReceived
from bot.engine.alarms import Alarms
from bot.errors import DeliveryError
from bot.testing.store import MemoryStore
from tests.contract.store_records import SHARD
from tests.unit.adapters.slack_wall import LoopClock

pytestmark = pytest.mark.looptime

HOOK = "https://hooks.slack.com/actions/T1/2/3"
CLICK = {"type": "block_actions", "response_url": HOOK}
ODD = PayloadError("container", "is not an object")


class Told(SlackApi):
    """Slack, as far as it is told something at an address."""

    def __init__(self) -> None:
        super().__init__("https://slack.com/api/", SecretStr("xoxb-none"))
        self.told: list[tuple[str, Any]] = []
        self.away = False

    async def send(self, doing: str, url: str, *, seconds: float, **what: Any) -> None:
        if self.away:
            raise DeliveryError("away")
        self.told.append((url, what["json"]))


class Bench:
    """One `Unread` that runs, with its alarms and its counter."""

    def __init__(self) -> None:
        self.api, self.store, self.registry = Told(), MemoryStore(), CollectorRegistry()
        self.firings: set[int] = set()  # when they began
        self.unread = Unread(self.api, Alarms(self.store, LoopClock()), SHARD, self.registry)

    async def alarms(self) -> list[tuple[str, str]]:
        """(status, summary) since this was asked last; what lasts is said again every five minutes."""
        entries = [delivery.entry for delivery in await self.store.read_inbox(SHARD, 1_000, 0)]
        alerts = [alert for entry in entries if isinstance(entry, AlertsReceived) for alert in entry.alerts]
        assert {alert.name for alert in alerts} <= {NAME}
        self.firings |= {alert.starts_at for alert in alerts if alert.status == "firing"}
        return [(alert.status, alert.annotations.get("summary", "")) for alert in alerts]

    def counted(self, kind: str) -> float | None:
        return self.registry.get_sample_value("andon_slack_payloads_refused_total", {"kind": kind})


@asynccontextmanager
async def running() -> AsyncIterator[Bench]:
    bench = Bench()
    task = asyncio.ensure_future(bench.unread.run())  # noqa: TID251  # cancelled below
    try:
        yield bench
    finally:
        task.cancel()
        await bench.api.close()


async def test_a_few_refusals_within_minutes_page_once_and_a_quiet_time_ends_it() -> None:
    """People who click in vain click again: that is what Andon must not keep to itself."""
    async with running() as bench:
        for _ in range(FEW - 1):
            bench.unread.noted(CLICK, ODD)
        await asyncio.sleep(LOOK_S)
        assert await bench.alarms() == []
        for _ in range(5):
            bench.unread.noted(CLICK, ODD)
        await asyncio.sleep(1)
        ((status, summary),) = await bench.alarms()
        assert status == "firing"
        assert "container is not an object" in summary
        assert "andon approve" in summary
        await asyncio.sleep(QUIET_S / 2)
        bench.unread.noted(CLICK, ODD)
        await asyncio.sleep(QUIET_S / 2 + 2 * LOOK_S)
        assert {each for each, _ in await bench.alarms()} == {"firing"}
        await asyncio.sleep(QUIET_S)
        assert [each for each, _ in await bench.alarms()][-1] == "resolved"
        assert len(bench.firings) == 1


async def test_slips_hours_apart_page_nobody() -> None:
    """One that comes now and then is in the log and in the count."""
    async with running() as bench:
        for _ in range(4 * FEW):
            bench.unread.noted(CLICK, ODD)
            await asyncio.sleep(WITHIN_S / (FEW - 1) + 1)
        assert "firing" not in [status for status, _ in await bench.alarms()]
        assert bench.counted("click") == 4 * FEW


async def test_an_alarm_of_the_process_before_ends_too() -> None:
    """Else nobody would ever take it back."""
    async with running() as bench:
        await asyncio.sleep(QUIET_S + 2 * LOOK_S)
        assert [each for each, _ in await bench.alarms()] == ["resolved"]


async def test_whoever_clicked_is_told_at_slack_and_nowhere_else() -> None:
    """The address comes from the payload that could not be read: whatever else it names, nothing is sent there."""
    elsewhere: list[object] = [
        None, 7, [HOOK], {"url": HOOK}, "", "x", "http://hooks.slack.com/x", "https://hooks.slack.com.evil.example/x",
        "https://evil.example/x", "https://127.0.0.1/x", "https://169.254.169.254/x", "https://u:p@hooks.slack.com/x",
        "https://hooks.slack.com@evil.example/x", "file:///etc/passwd", "https://[::1]/", f"{HOOK}/{'x' * 4_000}",
    ]  # fmt: skip
    async with running() as bench:
        for address in [*elsewhere, HOOK]:
            bench.unread.noted({**CLICK, "response_url": address}, ODD)
            await asyncio.sleep(1)
        assert bench.api.told == [(HOOK, {"text": WORDS, "response_type": "ephemeral", "replace_original": False})]


async def test_whoever_sent_a_form_reads_it_there() -> None:
    """An acknowledgement without words closes it, as if all were well."""
    async with running() as bench:
        answer = bench.unread.noted({"type": "view_submission"}, ODD)
        assert answer is not None
        assert answer["response_action"] == "update"
        assert WORDS in str(answer["view"])
        assert bench.unread.noted(CLICK, ODD) is None


async def test_a_crowd_and_a_slack_that_is_away_stop_nothing() -> None:
    """Who is too many to be told is counted; the alarm does not wait for them."""
    async with running() as bench:
        for _ in range(10 * MAX_WAITING):
            bench.unread.noted(CLICK, ODD)
        await asyncio.sleep(1)
        assert len(bench.api.told) == MAX_WAITING
        bench.api.away = True
        bench.unread.noted(CLICK, ODD)
        await asyncio.sleep(1)
        bench.api.away = False
        bench.unread.noted(CLICK, ODD)
        await asyncio.sleep(1)
        assert len(bench.api.told) == MAX_WAITING + 1
        assert [status for status, _ in await bench.alarms()] == ["firing"]


async def test_whatever_is_refused_is_counted_under_one_of_six_names() -> None:
    """A label that somebody's payload chooses would grow without end."""
    async with running() as bench:
        odd: list[object] = [None, 7, [], {}, {"type": None}, {"type": ["x"]}, {"type": "x" * 500}, {"command": 5}]
        for payload in [*odd, {"type": "event_callback"}, {"type": "message_action"}]:
            bench.unread.noted(payload, ODD)
        kinds = ("click", "form", "command", "shortcut", "event", "other")
        assert [bench.counted(kind) for kind in kinds] == [0, 0, 1, 1, 1, 7]
        (family,) = bench.registry.collect()
        assert {sample.labels["kind"] for sample in family.samples} == set(kinds)
