"""The simulated trading-core as a process: its API, its Valkey, its metrics, its ledger and its own webhooks."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from redis.asyncio import Redis

from bot.sandbox.alerts import fingerprint

Start = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start `python -m bot.sandbox` with more options; ended by SIGTERM, which must work."""
    processes: list[asyncio.subprocess.Process] = []

    async def go(*options: str) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot.sandbox", "--alone", "--valkey-dir", str(tmp_path / "valkey"), *options,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        processes.append(process)
        assert process.stdout is not None
        ready: dict[str, Any] = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
        return {**ready, "process": process}

    yield go
    for process in processes:
        if process.returncode is None:
            process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """One for the tests of its API: each looks at what it added to the ledger, and puts back what it changed."""
    folder = tmp_path_factory.mktemp("shared")
    ledger = folder / "ledger.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "bot.sandbox", "--alone", "--valkey-dir", str(folder), "--ledger", str(ledger)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        try:
            yield {**json.loads(process.stdout.readline()), "ledger": ledger}
        finally:
            process.terminate()
            assert process.wait(10) == 0


async def ledger_of(session: aiohttp.ClientSession) -> list[dict[str, Any]]:
    """All of it."""
    async with session.get("/ledger") as response:
        entries: list[dict[str, Any]] = await response.json()
        return entries


async def test_a_repeated_reduction_is_one_effect_and_two_requests(shared: dict[str, Any]) -> None:
    """The ledger tells requests from changes of state: the second equal reduction changes nothing."""
    body = {"kelly_fraction": 0.1, "reason": "VaR breach"}
    async with aiohttp.ClientSession(shared["url"]) as session:
        before = len(await ledger_of(session))
        for changed in (True, False):
            async with session.post("/api/risk/emergency-reduce", json=body, headers={"Idempotency-Key": "k1"}) as r:
                assert (r.status, await r.json()) == (200, {"kelly_fraction": 0.1, "changed": changed})
        async with session.get("/api/risk/status") as r:
            assert (await r.json())["kelly_fraction"] == 0.1
        everything = await ledger_of(session)
        written = [json.loads(line) for line in shared["ledger"].read_text().splitlines()]
        await (await session.post("/desk/restore")).read()
    entries = everything[before:]
    effects = [e for e in entries if e["kind"] == "effect"]
    assert [(e["what"], e["before"], e["after"], e["author"]) for e in effects] == [
        ("kelly_fraction", 0.25, 0.1, "api")
    ]
    posts = [e for e in entries if e["what"] == "POST /api/risk/emergency-reduce"]
    assert [(e["status"], e["key"]) for e in posts] == [(200, "k1"), (200, "k1")]
    assert written == everything


async def test_trading_is_stopped_once_and_the_desk_starts_it_again(shared: dict[str, Any]) -> None:
    """Whether trading is on is readable and dated, a second stop has no effect, and the reason is in the ledger."""
    async with aiohttp.ClientSession(shared["url"]) as session:
        before = len(await ledger_of(session))
        for body, changed in (({"reason": "VaR breach"}, True), (None, False)):
            async with session.post("/api/stop-trading", json=body) as r:
                assert (r.status, await r.json()) == (200, {"trading": "off", "changed": changed})
        async with session.get("/api/risk/status") as r:
            status = await r.json()
        await (await session.post("/desk/restore")).read()
        async with session.get("/health") as r:
            assert await r.json() == {"status": "healthy", "trading": "on"}
        async with session.post("/api/start-trading") as r:
            assert await r.json() == {"trading": "on", "changed": False}
        added = [e for e in (await ledger_of(session))[before:] if e["kind"] == "effect"]
    effects = [(e["what"], e["before"], e["after"], e["author"], e["reason"]) for e in added]
    assert (status["trading"], status["updated_at"] > 0) == ("off", True)
    assert effects == [
        ("trading", True, False, "api", "VaR breach"), ("trading", False, True, "desk", "back to normal, by hand"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        (b"[]", "body"),
        (b'{"kelly_fraction": "0.1", "reason": "x"}', "kelly_fraction"),
        (b'{"kelly_fraction": 1.5, "reason": "x"}', "kelly_fraction"),
        (b'{"kelly_fraction": true, "reason": "x"}', "kelly_fraction"),
        (b'{"kelly_fraction": 0.1, "reason": " "}', "reason"),
    ],
)
async def test_a_bad_reduction_is_refused_and_noted(shared: dict[str, Any], body: bytes, field: str) -> None:
    """What is refused has no effect, and the request is in the ledger all the same."""
    async with aiohttp.ClientSession(shared["url"]) as session:
        before = len(await ledger_of(session))
        async with session.post("/api/risk/emergency-reduce", data=body) as r:
            assert (r.status, (await r.json())["field"]) == (400, field)
        added = (await ledger_of(session))[before:]
    assert [(e["kind"], e["status"]) for e in added] == [("request", 400)]


async def test_a_fault_shows_at_once_in_valkey_and_metrics(start: Start) -> None:
    """Evidence read right after the fault is already the faulty one, dated by the sandbox's (scaled) clock."""
    sandbox = await start("--clock", "20@1000000000000")
    client: Redis = Redis.from_url(sandbox["valkey_url"], decode_responses=True)
    async with aiohttp.ClientSession(sandbox["url"]) as session, client:
        async with session.post("/faults/var", json={"symbol": "BTC-USD", "var_pct": 2.4}) as r:
            assert r.status == 200
        fields = await client.hgetall("metrics:var_pct:BTC-USD")
        position = await client.hgetall("metrics:position_size_usd:ETH-USD")
        async with session.get("/metrics") as r:
            metrics = await r.text()
    assert 2.3 < float(fields["value"]) < 2.5
    assert int(fields["timestamp"]) > 10 * 1_000_000_000_000, "twenty times as far from the anchor as real time is"
    assert float(position["value"]) > 0
    assert 'trading_var_pct{symbol="BTC-USD"} 2.' in metrics
    assert "trading_kelly_fraction 0.25" in metrics


async def test_it_stops_when_its_parent_is_gone(start: Start) -> None:
    """No orphan: a closed standard input ends the sandbox and its Valkey."""
    sandbox = await start("--with-parent")
    process: asyncio.subprocess.Process = sandbox["process"]
    assert process.stdin is not None
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 10) == 0
    assert not Path(f"/proc/{sandbox['valkey_pid']}").exists()


class _Webhooks:
    """A receiver that fails as told before it accepts, and remembers what it accepted."""

    def __init__(self, *failures: int) -> None:
        self.failures = list(failures)
        self.seen: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()

    async def take(self, request: web.Request) -> web.Response:
        if self.failures:
            return web.Response(status=self.failures.pop(0))
        self.seen.put_nowait((request.headers.get("Authorization", ""), await request.json()))
        return web.Response()

    async def next(self) -> tuple[str, dict[str, Any]]:
        return await asyncio.wait_for(self.seen.get(), 10)


@pytest.fixture
async def receiving() -> AsyncIterator[Callable[[_Webhooks], Awaitable[str]]]:
    runners: list[web.AppRunner] = []

    async def listen(webhooks: _Webhooks) -> str:
        app = web.Application()
        app.router.add_post("/hook", webhooks.take)
        runner = web.AppRunner(app)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}/hook"

    yield listen
    for runner in runners:
        await runner.cleanup()


async def test_it_posts_alertmanagers_webhooks_itself(
    start: Start, receiving: Callable[[_Webhooks], Awaitable[str]], tmp_path: Path
) -> None:
    """Firing, then resolved once Kelly is cut; a 503 is retried; startsAt and fingerprint stay; it says who posts."""
    webhooks = _Webhooks(503)
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    url = await receiving(webhooks)
    sandbox = await start("--webhook", url, "--webhook-token-file", str(token), "--response-ms", "500")
    assert sandbox["alerts"] == "sandbox"
    async with aiohttp.ClientSession(sandbox["url"]) as session:
        await (await session.post("/faults/var", json={"symbol": "BTC-USD", "var_pct": 2.4})).read()
        authorization, firing = await webhooks.next()
        reduce = {"kelly_fraction": 0.1, "reason": "VaR breach"}
        await (await session.post("/api/risk/emergency-reduce", json=reduce)).read()
        _, resolved = await webhooks.next()
        async with session.get("/alerts") as r:
            assert (await r.json())["by"] == "sandbox"
    assert authorization == "Bearer s3cret"
    assert (firing["version"], firing["status"], resolved["status"]) == ("4", "firing", "resolved")
    (before,), (after,) = firing["alerts"], resolved["alerts"]
    assert before["labels"]["symbol"] == "BTC-USD"
    assert before["endsAt"] == "0001-01-01T00:00:00Z" != after["endsAt"]
    assert before["startsAt"] == after["startsAt"]
    assert before["fingerprint"] == after["fingerprint"] == fingerprint(before["labels"])


async def test_two_copies_are_posted_as_by_a_pair(
    start: Start, receiving: Callable[[_Webhooks], Awaitable[str]]
) -> None:
    """`--copies 2` delivers the same snapshot twice, which is what Andon must make one of."""
    webhooks = _Webhooks()
    sandbox = await start("--webhook", await receiving(webhooks), "--copies", "2")
    async with aiohttp.ClientSession(sandbox["url"]) as session:
        await (await session.post("/faults/var", json={"symbol": "SOL-USD", "var_pct": 2.4})).read()
    assert (await webhooks.next())[1] == (await webhooks.next())[1]


def test_the_fingerprint_is_prometheus_own() -> None:
    """The empty label set hashes to the offset basis; a real alert's value is compared in the acceptance tests."""
    assert fingerprint({}) == "cbf29ce484222325"


async def test_the_watchdog_beats_at_once_and_every_minute(
    start: Start, receiving: Callable[[_Webhooks], Awaitable[str]]
) -> None:
    """With --watchdog the alert that always fires comes as deploy/ would send it; on a clock 600 times as fast."""
    webhooks = _Webhooks()
    await start("--webhook", await receiving(webhooks), "--watchdog", "--clock", "600@1767225600000")
    (_, first), (_, second) = await webhooks.next(), await webhooks.next()
    assert first == second
    (alert,) = first["alerts"]
    assert (alert["status"], alert["labels"]) == (
        "firing",
        {"alertname": "Watchdog", "severity": "none", "system": "trading-core"},
    )
    assert alert["fingerprint"] == fingerprint(alert["labels"])
