"""The evidence reader against a real Valkey and (slow) a real Prometheus: values, times, ways to be no evidence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from redis.asyncio import Redis

from bot.adapters.clock import wall_ms
from bot.adapters.connectors import Connectors
from bot.adapters.embedded import EmbeddedValkey
from bot.adapters.evidence import MAX_PARTS, READ_SECONDS, Evidence
from bot.adapters.evidence_history import Histories
from bot.core.alert import Alert
from bot.core.plan import EvidenceDecl, Plan
from bot.core.reading import Reading
from bot.engine.action_ports import ActionContext
from bot.sandbox.children import until
from policies.targets import TargetsDocument
from remediations.catalogue import CATALOGUE
from tests.acceptance.harness import services
from tests.contract.runbook_api import answer, raw_server, request_of

NOW = 1_767_225_600_000  # 2026-01-01T00:00:00Z
KEY = "metrics:var_pct:${labels.symbol}"


def alerts(*symbols: str) -> tuple[Alert, ...]:
    return tuple(
        Alert(fingerprint=s, status="firing", labels={"symbol": s, "alertname": "VaRBreach"}, starts_at=NOW)
        for s in symbols
    )


def hash_decl(query: str = KEY, **more: Any) -> EvidenceDecl:
    settings = {"field": "value", "at_field": "timestamp", "over": "alerts", "take": "max"} | more
    return EvidenceDecl(name="var", kind="redis_hash", component="redis", query=query, **settings)


def document(**urls: str) -> TargetsDocument:
    kinds = {"redis": "redis", "prometheus": "prometheus", "api": "http"}
    components = [
        {"name": name, "role": name, "connector": kinds[name], "url": url}
        | ({"allow": ["GET /api/var/*", "GET /api/all"]} if name == "api" else {})
        for name, url in urls.items()
    ]
    return TargetsDocument.model_validate({"systems": {"trading-core": {"components": components}}})


@asynccontextmanager
async def reader(**urls: str) -> AsyncIterator[Evidence]:
    connectors = Connectors(document(**urls), {})
    try:
        yield Evidence(connectors)
    finally:
        await connectors.close()


async def one(evidence: Evidence, decl: EvidenceDecl, *symbols: str, now: int = NOW) -> Reading:
    (reading,) = await evidence.read("trading-core", {decl.name: decl}, alerts(*symbols), now)
    assert (reading.value is None) == bool(reading.error)
    return reading


class Shop:
    """A real Valkey in the role of the trading system's Redis, and a reader over it."""

    def __init__(self, redis: Redis, evidence: Evidence) -> None:
        self.redis, self.evidence = redis, evidence

    async def put(self, symbol: str, value: object, at: object = NOW / 1_000) -> None:
        fields = {"value": str(value)} | ({} if at is None else {"timestamp": str(at)})
        await self.redis.hset(f"metrics:var_pct:{symbol}", mapping=fields)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    server = EmbeddedValkey(tmp_path)
    url = await server.start()
    redis = Redis.from_url(url)
    try:
        async with reader(redis=url) as evidence:
            yield Shop(redis, evidence)
    finally:
        await redis.aclose()
        await server.stop()


@pytest.mark.parametrize(
    ("at", "taken_at"),
    [
        (NOW / 1_000, NOW),
        (f"{NOW // 1_000}.25", NOW + 250),
        (NOW, NOW),
        (f"{NOW}.0", NOW),
        ("2026-01-01T00:00:00Z", NOW),
        ("2026-01-01T01:00:00.123456789+01:00", NOW + 123),
    ],
)
async def test_a_hash_is_read_with_its_own_time(shop: Shop, at: object, taken_at: int) -> None:
    """Epoch seconds, epoch milliseconds and ISO 8601 are told apart."""
    await shop.put("BTC-USD", 2.31, at)
    reading = await one(shop.evidence, hash_decl(), "BTC-USD")
    assert (reading.value, reading.taken_at) == (2.31, taken_at)


@pytest.mark.parametrize(
    ("value", "at", "said"),
    [
        (2.31, None, "no time of its own, so it cannot be proved fresh"),
        (2.31, "yesterday", "no time"),
        (2.31, "2026-01-01T00:00:00", "does not say its zone"),
        (2.31, "1767225600000000", "neither seconds nor milliseconds"),
        (2.31, NOW / 1_000 + 6, "6.0 s in the future"),
        (2.31, NOW / 1_000 - 61, "reads 2.31, but is 61.0 s old (at most 60 s)"),
        ("NaN", NOW, "no figure"),
        ("inf", NOW, "no figure"),
        ("1e999", NOW, "no figure"),
        ("", NOW, "empty"),
        ("x" * 300, NOW, "no figure and no short text"),
        ("n/a", NOW, "needs figures"),
    ],
)
async def test_what_is_no_evidence_says_why(shop: Shop, value: object, at: object, said: str) -> None:
    """Undated, stale, future, not a figure: an error in the reading, with the figures in it."""
    await shop.put("BTC-USD", value, at)
    reading = await one(shop.evidence, hash_decl(), "BTC-USD")
    assert said in reading.error


def live_decl(kind: Any, query: str, **more: Any) -> EvidenceDecl:
    return EvidenceDecl(name="live", kind=kind, component="redis", query=query, **more)


async def test_the_latest_entries_of_a_stream_are_counted(shop: Shop) -> None:
    """By the stream's own ids and the reading clock, over pages; a stream that is gone is not a quiet one."""
    rate = live_decl("redis_stream", "model.switch.log", within_ms=60_000)
    assert "has no stream 'model.switch.log'" in (await one(shop.evidence, rate)).error
    async with shop.redis.pipeline() as pipe:
        for at in [NOW - 60_001, *(NOW - 60_000 + number for number in range(1_003)), NOW]:
            pipe.xadd("model.switch.log", {"to": "lstm"}, id=f"{at}-1")
        await pipe.execute()
    reading = await one(shop.evidence, rate)
    assert (reading.value, reading.taken_at) == (1_004, NOW)
    assert (await one(shop.evidence, rate, now=NOW + 120_000)).value == 0
    assert "6.0 s in the future" in (await one(shop.evidence, rate, now=NOW - 6_000)).error


async def test_figures_of_a_redis_are_measured_now(shop: Shop) -> None:
    """Its latency and its primaries; what it has not, a replica or Sentinels, is an error and no zero."""
    p99 = await one(shop.evidence, live_decl("redis_state", "p99_us"))
    assert isinstance(p99.value, float)
    assert 1 < p99.value < 500_000
    assert p99.taken_at == NOW
    assert (await one(shop.evidence, live_decl("redis_state", "primaries"))).value == 1
    for figure in ("replica_p99_us", "replica_lag_bytes"):
        assert "it has no replica" in (await one(shop.evidence, live_decl("redis_state", figure))).error
    assert "no sentinels_agreeing" in (await one(shop.evidence, live_decl("redis_state", "sentinels_agreeing"))).error


async def test_the_worst_symbol_counts_and_the_oldest_time(shop: Shop) -> None:
    """`over: alerts` reads each distinct label set; `take` joins them; one old part makes the whole old."""
    for symbol, value, age in [("A", 1.9, 3), ("B", 2.4, 1), ("C", 0.5, 2)]:
        await shop.put(symbol, value, NOW / 1_000 - age)
    for take, value in [("max", 2.4), ("min", 0.5), ("sum", 4.8)]:
        reading = await one(shop.evidence, hash_decl(take=take), "A", "B", "C", "B")
        assert reading.value == pytest.approx(value)
        assert reading.taken_at == NOW - 3_000
        assert reading.source == "redis: metrics:var_pct:A and 2 more"  # as asked, no `${…}` left in it
    assert "3 values" in (await one(shop.evidence, hash_decl(take="only"), "A", "B", "C")).error
    assert (await one(shop.evidence, hash_decl(take="only"), "B", "B")).value == 2.4


async def test_one_missing_symbol_fails_the_whole(shop: Shop) -> None:
    """A maximum over those that answered would be no maximum."""
    await shop.put("A", 1.9)
    reading = await one(shop.evidence, hash_decl(), "A", "GONE")
    assert "metrics:var_pct:GONE" in reading.error


async def test_labels_are_values_and_nothing_else(shop: Shop) -> None:
    """Control characters, a missing or endless label, and too many label sets are refused without asking."""
    for symbol, said in [("A\r\nFLUSHALL", "control"), ("", "single value"), ("x" * 201, "longer")]:
        assert said in (await one(shop.evidence, hash_decl(), symbol)).error
    many = [f"S{number}" for number in range(MAX_PARTS + 1)]
    assert "at most" in (await one(shop.evidence, hash_decl(), *many)).error
    assert "no alert" in (await one(shop.evidence, hash_decl())).error
    assert "placeholder" in (await one(shop.evidence, hash_decl("k:${annotations.x}"), "A")).error


async def test_over_the_incident_only_common_labels_count(shop: Shop) -> None:
    """Without `over: alerts` a label on which the alerts differ has no value."""
    await shop.put("A", 1.9)
    decl = hash_decl(over="incident", take="only")
    assert (await one(shop.evidence, decl, "A", "A")).value == 1.9
    assert "single value" in (await one(shop.evidence, decl, "A", "B")).error


async def test_a_wrong_type_and_an_unknown_component_are_errors(shop: Shop) -> None:
    """What is no hash, and what is not listed, come back as readings."""
    await shop.redis.set("metrics:var_pct:A", "1")
    assert "refused to read" in (await one(shop.evidence, hash_decl(), "A")).error
    lost = EvidenceDecl(name="x", kind="promql", component="prometheus", query="up")
    assert "no component" in (await one(shop.evidence, lost, "A")).error


async def test_a_redis_that_is_away_or_mute_is_an_error_in_time() -> None:
    """Refused and silent servers end as readings, within the reader's bound."""
    async with reader(redis="redis://127.0.0.1:1/0") as evidence:
        assert "cannot be read" in (await one(evidence, hash_decl(), "A")).error

    async def mute(stream: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await stream.read()

    async with raw_server(mute) as (url, _), reader(redis=url.replace("http", "redis")) as evidence:
        async with asyncio.timeout(READ_SECONDS + 0.5):
            assert (await one(evidence, hash_decl(), "A")).error


async def test_an_http_document_is_read_by_path(shop: Shop) -> None:
    """A dotted path finds value and time; label text stays inside its path segment."""
    paths: list[str] = []

    async def serve(stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            paths.append((await request_of(stream)).split()[1].decode())
            writer.write(
                answer(200, b'{"risk": [{"BTC.USD": {"var": 2.5, "ok": true, "nan": NaN}}], "at": 1767225600}')
            )

    def decl(field: str) -> EvidenceDecl:
        return EvidenceDecl(
            name="v", kind="http", component="api", query="/api/var/${labels.symbol}", field=field, at_field="at"
        )

    good = b'{"risk": [{"BTC.USD": {"var": 2.5, "ok": true}}], "at": 1767225600}'

    async def serve_good(stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            paths.append((await request_of(stream)).split()[1].decode())
            writer.write(answer(200, good))

    async with raw_server(serve_good) as (url, _), reader(api=url) as evidence:
        reading = await one(evidence, decl("risk.0.BTC.USD.var"), "BTC/../x?y#z")
        assert (reading.value, reading.taken_at) == (2.5, NOW)
        assert paths == ["/api/var/BTC%2F..%2Fx%3Fy%23z"]
        assert (await one(evidence, decl("risk.0.BTC.USD.ok"), "A")).value is True
        assert "nothing at" in (await one(evidence, decl("risk.7.x"), "A")).error
        assert "single value" in (await one(evidence, decl("risk"), "A")).error
        assert "leave the path" in (await one(evidence, decl("at"), "..")).error
    async with raw_server(serve) as (url, _), reader(api=url) as evidence:
        assert "not JSON" in (await one(evidence, decl("at"), "A")).error


async def test_the_var_diagnosis_names_the_symbol_and_the_runbook_s_fix(shop: Shop) -> None:
    """Row T2: one symbol high and all high are told apart, with figures; unreadable ones are counted."""
    for symbol, var, position in [("BTC-USD", 2.4, 410_000), ("ETH-USD", 1.2, 260_000)]:
        await shop.put(symbol, var)
        await shop.redis.hset(f"metrics:position_size_usd:{symbol}", mapping={"value": position, "timestamp": NOW})
    look = CATALOGUE.diagnosis("risk.var_pattern")
    assert look is not None

    async def finding(*symbols: str) -> str:
        context = ActionContext(
            system="trading-core", component="", targets=Connectors(document(), {}), now=NOW, alerts=alerts(*symbols),
            declared={"var": hash_decl()}, evidence=shop.evidence,
        )  # fmt: skip
        return (await look.look(context)).summary

    found = await finding("BTC-USD", "ETH-USD")
    assert found.startswith("1 of 2 symbols are high: BTC-USD (VaR 2.40 %, position $410,000), ETH-USD (VaR 1.20 %")
    assert found.endswith("a single symbol has high VaR: BTC-USD at 2.40 %, next is 1.20 %")
    await shop.put("ETH-USD", 2.1)
    assert "all symbols are elevated: 2 of 2, the lowest at 2.10 %" in await finding("BTC-USD", "ETH-USD")
    assert "1 more not read" in await finding("BTC-USD", "GONE")


# --- Prometheus ----------------------------------------------------------------------------------------------------


def promql(query: str, **more: Any) -> EvidenceDecl:
    return EvidenceDecl(name="p", kind="promql", component="prometheus", query=query, **more)


@pytest.fixture(scope="module")
def exporter_text() -> str:
    return (
        'var_pct{symbol="BTC-USD"} 2.5\nvar_pct{symbol="ETH-USD"} 1.5\nodd{symbol="a\\"b"} 7\n'
        f"nothing NaN\nold_thing 3 {wall_ms() - 120_000}\n"
    )


@pytest.fixture
async def prometheus(tmp_path: Path, exporter_text: str) -> AsyncIterator[Evidence]:
    """A real Prometheus that scrapes a small exporter; ready once it has scraped it."""

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(text=exporter_text)

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
        f"scrape_configs: [{{job_name: t, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    )
    async with aiohttp.ClientSession() as session, AsyncExitStack() as floor:
        floor.push_async_callback(runner.cleanup)
        served = await services.prometheus(floor, session, config, tmp_path)
        async with reader(prometheus=f"http://{served.address}") as evidence:

            async def scraped() -> bool:
                return not (await one(evidence, promql("sum(var_pct)"), now=wall_ms())).error

            await until("Prometheus has scraped", scraped, within=10.0)
            yield evidence


@pytest.mark.slow
async def test_prometheus_is_asked_and_dated_by_its_samples(prometheus: Evidence) -> None:
    """Values, joins, quoting, and every way an answer is no evidence, on a real Prometheus."""

    async def ask(query: str, *symbols: str, **more: Any) -> Reading:
        return await one(prometheus, promql(query, **more), *symbols, now=wall_ms())

    reading = await ask("max by (job) (var_pct)")
    assert reading.value == 2.5
    assert reading.taken_at is not None
    assert 0 <= wall_ms() - reading.taken_at < 5_000
    assert (await ask("var_pct", take="sum")).value == 4.0
    assert "2 values" in (await ask("var_pct")).error
    by_symbol = 'var_pct{symbol="${labels.symbol}"}'
    assert (await ask(by_symbol, "BTC-USD", "ETH-USD", over="alerts", take="min")).value == 1.5
    assert (await ask('odd{symbol=~"${labels.symbol}"}', 'a"b')).value == 7
    assert "no series" in (await ask('var_pct{symbol=~"${labels.symbol}"}', "BTC.*")).error
    assert "no series" in (await ask(by_symbol, '"} or var_pct{symbol!="')).error
    assert "quoted string" in (await ask("var_pct > ${labels.symbol}", "0")).error
    assert "no series" in (await ask("absent_metric")).error
    assert "no figure" in (await ask("nothing")).error
    assert "s old (at most 60 s)" in (await ask("old_thing")).error
    assert "s old (at most 60 s)" in (await ask("var_pct + on () group_left old_thing", take="max")).error
    assert "cannot be proved fresh" in (await ask("vector(1)")).error
    assert "answered 400" in (await ask("var_pct[")).error
    assert "answers with a" in (await ask("var_pct[5m]")).error


async def test_what_was_taken_while_it_was_read_is_not_from_the_future(shop: Shop) -> None:
    """A look may take a while; what is told in it is as young as it says."""
    await shop.put("BTC-USD", 2.31, NOW / 1_000 + 9)
    assert "9.0 s in the future" in (await one(shop.evidence, hash_decl(), "BTC-USD")).error
    late = Evidence(shop.evidence._connectors, clock=lambda: NOW + 10_000)
    assert (await one(late, hash_decl(), "BTC-USD")).value == 2.31


@pytest.mark.slow
async def test_the_last_hour_of_a_figure_is_read_for_its_picture(prometheus: Evidence) -> None:
    """The series with their labels, and the limit the guard names; what asks no Prometheus has no history."""
    histories, now = Histories(prometheus._connectors), wall_ms()
    decl = promql('var_pct{symbol="BTC-USD"}')
    plan = Plan(
        policy="p", system="trading-core", policy_hash="", mode="auto",
        evidence={"v": hash_decl(), "p": decl},
    )  # fmt: skip
    found = await histories.read(plan, "evidence.p > 1.8", (), now)
    assert found is not None
    assert (found.name, found.limit, found.since) == ("p", 1.8, now - 3_600_000)
    assert "symbol=BTC-USD" in found.lines[0].name
    assert found.lines[0].points[-1][1] == 2.5
    assert await histories.read(replace(plan, evidence={"v": hash_decl()}), "", (), now) is None
    drawn = hash_decl(history='var_pct{symbol="${labels.symbol}"}', history_from="prometheus")
    pair = await histories.read(replace(plan, evidence={"v": drawn}), "", alerts("BTC-USD", "ETH-USD"), now)
    assert pair is not None
    assert [line.points[-1][1] for line in pair.lines] == [2.5, 1.5]
