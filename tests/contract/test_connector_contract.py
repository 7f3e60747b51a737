"""What an HTTP connector says became of a request, against servers whose every byte is decided here."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from bot.adapters.connectors import Connectors
from bot.adapters.connectors_breaker import FAILURES, READ_ATTEMPTS
from bot.adapters.embedded import EmbeddedValkey
from bot.adapters.http_target import MAX_ANSWER, HttpConnector
from bot.engine.action_ports import ActionContext, CannotTell, Proceed
from bot.errors import ConfigError, NotSent, Rejected, TargetError, Unknown
from policies.targets import TargetsDocument
from remediations.reduce_kelly import ReduceKelly
from tests.contract.runbook_api import Script, answer, raw_server, request_of, targets

PATH = "/api/risk/emergency-reduce"
STATUS = "/api/risk/status"
NOW = 1_767_225_600_000  # 2026-01-01T00:00:00Z
SECRET = "hunter2-canary"


@asynccontextmanager
async def connector(url: str, **more: object) -> AsyncIterator[HttpConnector]:
    connectors = Connectors(targets(url, **more), {"TOKEN": SECRET}, send_seconds=0.3)
    try:
        yield connectors.http("trading-core", "risk-engine")
    finally:
        await connectors.close()


async def send(target: HttpConnector, method: str = "POST", path: str = PATH) -> int:
    return (await target.send(method, path, '{"a":1}', idempotency_key="int-1", fence=3)).status


def replying(*parts: bytes) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        for part in parts:
            writer.write(part)
        await writer.drain()
        writer.write_eof()
        await reader.read()

    return script


async def silence(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def hang_up_after_request(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await request_of(reader)


async def hang_up_at_once(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    return


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://no-such-host.invalid:80"])
async def test_no_connection_means_not_sent(url: str) -> None:
    """Refused, or a name that does not resolve: no byte of the request left."""
    async with connector(url) as target:
        with pytest.raises(NotSent):
            await send(target)


async def test_a_failed_tls_handshake_means_not_sent() -> None:
    """The target speaks no TLS: the request was never written."""
    async with raw_server(replying(answer(200))) as (url, connections):
        async with connector(url.replace("http:", "https:")) as target:
            with pytest.raises(NotSent):
                await send(target)
        assert connections == [1]


async def test_an_untrusted_certificate_means_not_sent(tmp_path: Path) -> None:
    """A handshake that ends at the certificate sends nothing, and no switch turns verification off."""
    if not (key := await _certificate(tmp_path)):
        missing = "openssl is missing; install it: apt-get install openssl"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(missing)
        pytest.skip(missing)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", key)
    got: list[bytes] = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.read(1))
        writer.close()

    server = await asyncio.start_server(keep, "127.0.0.1", 0, ssl=context)
    async with server, connector(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}") as target:
        with pytest.raises(NotSent):
            await send(target)
    assert b"P" not in got


@pytest.mark.parametrize(
    "script",
    [
        silence,
        hang_up_at_once,
        hang_up_after_request,
        replying(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
        replying(b"HTTP/1.1 200"),
        replying(b"garbage\r\n\r\n"),
        replying(answer(500)),
        replying(answer(501)),
        replying(answer(502)),
        replying(answer(503, b'{"applied": false}')),
        replying(answer(307, b"", b"Location: /elsewhere\r\n")),
        replying(answer(303, b"", b"Location: /elsewhere\r\n")),
    ],
)
async def test_anything_after_the_connection_stood_is_unknown(script: Script) -> None:
    """Silence, a reset, a torn answer, 5xx, a redirect: it may have been done. And it is asked once only."""
    async with raw_server(script) as (url, connections), connector(url) as target:
        with pytest.raises(Unknown):
            await send(target)
        assert connections == [1]


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 429])
async def test_4xx_is_a_refusal(status: int) -> None:
    """The target answered that it did not do it, and a person reads why, on one printable line."""
    async with raw_server(replying(answer(status, b"no:\n\x1b[31m limit"))) as (url, _), connector(url) as target:
        with pytest.raises(Rejected) as refusal:
            await send(target)
    assert str(refusal.value) == f"risk-engine answered {status} to POST {PATH}: no:  [31m limit"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
async def test_a_send_is_one_request_whatever_the_method(method: str) -> None:
    """aiohttp repeats idempotent methods once when the connection breaks; a send must not be."""
    served: list[bytes] = []

    async def one_then_hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(await request_of(reader))
        if len(served) == 1:
            writer.write(answer(200))
            await writer.drain()
            served.append(await request_of(reader))

    async with raw_server(one_then_hang_up) as (url, _), connector(url, allow=[f"{method} /x"], read=False) as target:
        assert await send(target, method, "/x") == 200
        with pytest.raises(Unknown):
            await send(target, method, "/x")
    assert len(served) == 2


async def test_only_what_is_allowed_leaves() -> None:
    """Method and path must be listed exactly; everything else is refused before a connection is opened."""
    async with raw_server(replying(answer(200))) as (url, connections), connector(url) as target:
        for method, path in [
            ("POST", "/api/start-trading"),
            ("DELETE", PATH),
            ("POST", PATH + "?x=1"),
            ("POST", "//h"),
        ]:
            with pytest.raises(NotSent, match="allow list"):
                await send(target, method, path)
        with pytest.raises(NotSent, match="allow list"):
            await target.read("/api/other")
        assert connections == []


async def test_a_starred_segment_of_a_get_stands_for_one_segment() -> None:
    """`GET /api/var/*` lets any one symbol be read, and nothing that leaves that place."""
    allow = ["GET /api/var/*"]
    async with raw_server(replying(answer(200))) as (url, _), connector(url, allow=allow, read=False) as target:
        assert (await target.read("/api/var/BTC-USD")).status == 200
        for path in ("/api/var", "/api/var/", "/api/var/..", "/api/var/a/b", "/api/other/a"):
            with pytest.raises(NotSent, match="allow list"):
                await target.read(path)


async def test_reads_are_repeated_and_bounded() -> None:
    """A read that is not answered is asked again, a few times; a refusal is not."""
    async with raw_server(hang_up_after_request) as (url, connections), connector(url) as target:
        with pytest.raises(Unknown):
            await target.read(STATUS)
        assert len(connections) == READ_ATTEMPTS
    async with raw_server(replying(answer(404))) as (url, connections), connector(url) as target:
        with pytest.raises(Rejected):
            await target.read(STATUS)
        assert len(connections) == 1


async def test_a_redirect_is_not_followed() -> None:
    """Whoever answers with a redirect does not choose where Andon goes; on one connection this would be easy."""
    asked: list[bytes] = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked.append((await request_of(reader)).split()[1])
            writer.write(answer(302, b"", b"Location: /elsewhere\r\n") if asked[-1] != b"/elsewhere" else answer(200))

    async with raw_server(elsewhere) as (url, _), connector(url) as target:
        with pytest.raises(Unknown, match="302"):
            await target.read(STATUS)
    assert set(asked) == {STATUS.encode()}


async def test_an_answer_is_bounded() -> None:
    """A read of an endless answer ends, and is no reading; a send was answered 2xx and counts."""
    endless = answer(200, b"x" * (MAX_ANSWER + 10))
    async with raw_server(replying(endless)) as (url, _), connector(url) as target:
        with pytest.raises(Rejected, match="more than"):
            await target.read(STATUS)
        assert await send(target) == 200


async def test_the_breaker_opens_and_says_so() -> None:
    """After failures in a row nothing is asked any more, and what was not asked was provably not sent."""
    async with raw_server(hang_up_after_request) as (url, connections), connector(url) as target:
        for _ in range(FAILURES):
            with pytest.raises(Unknown):
                await send(target)
        with pytest.raises(NotSent, match="in a row"):
            await send(target)
        with pytest.raises(NotSent, match="in a row"):
            await target.read(STATUS)
        assert len(connections) == FAILURES


async def test_refusals_do_not_open_the_breaker() -> None:
    """A target that answers is alive."""
    async with raw_server(replying(answer(422))) as (url, connections), connector(url) as target:
        for _ in range(FAILURES + 2):
            with pytest.raises(Rejected):
                await send(target)
        assert len(connections) == FAILURES + 2


async def test_proxies_from_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would see the credentials, and its errors would prove nothing about the target."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with raw_server(replying(answer(200))) as (url, _), connector(url) as target:
        assert await send(target) == 200


async def test_credentials_go_in_the_header_and_nowhere_else(caplog: pytest.LogCaptureFixture) -> None:
    """The secret reaches the target; no error, repr or log line has it."""
    seen: list[bytes] = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await request_of(reader))
        writer.write(answer(500))
        await writer.drain()

    async with raw_server(keep) as (url, _), connector(url, credentials="env:TOKEN") as target:
        with pytest.raises(Unknown) as failure:
            await target.read(STATUS)
        assert f"Authorization: Bearer {SECRET}".encode() in seen[0]
        assert SECRET not in f"{failure.value!r} {target!r} {vars(target)['_breaker']!r} {caplog.text}"


def test_a_missing_credential_stops_the_start(tmp_path: Path) -> None:
    """It is found before the first alert, and named without its value."""
    with pytest.raises(ConfigError, match="NOWHERE"):
        Connectors(targets("http://127.0.0.1:1", credentials="env:NOWHERE"), {})
    with pytest.raises(ConfigError, match="cannot be read"):
        Connectors(targets("http://127.0.0.1:1", credentials=f"file:{tmp_path}/none"), {})
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigError, match="empty"):
        Connectors(targets("http://127.0.0.1:1", credentials=f"file:{tmp_path}/empty"), {})


async def test_a_field_that_cannot_be_read_is_a_reading_with_an_error() -> None:
    """`read_field` never raises: no entry, no answer, no such field, no JSON."""
    async with raw_server(replying(answer(200, b'{"other": 1}'))) as (url, _):
        for document, said in [
            (targets(url), "nothing at"),
            (targets(url, read=False), "does not say where"),
            (targets("http://127.0.0.1:1"), "cannot be reached"),
        ]:
            connectors = Connectors(document, {})
            reading = await connectors.read_field("trading-core", "risk-engine", "kelly_fraction", NOW)
            assert (reading.value, said in reading.error) == (None, True), reading
            await connectors.close()


def reading(url: str, connector: str, read: dict[str, dict[str, str]]) -> Connectors:
    """Connectors to one risk engine whose state is read as told."""
    component: dict[str, object] = {
        "name": "risk-engine",
        "role": "risk",
        "connector": connector,
        "url": url,
        "read": read,
    }
    components = [component]
    if connector == "redis":  # the engine itself takes orders over HTTP all the same
        component |= {"connector": "http", "url": "http://127.0.0.1:1"}
        component["read"] = {name: {**each, "component": "redis"} for name, each in read.items()}
        components.append({"name": "redis", "role": "store", "connector": "redis", "url": url})
    component["allow"] = [f"GET {STATUS}"]
    return Connectors(TargetsDocument.model_validate({"systems": {"trading-core": {"components": components}}}), {})


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (NOW - 10_000, ""),
        (NOW - 10_001, "10.0 s old (at most 10 s)"),
        ((NOW - 600_000) / 1_000, "600.0 s old"),
        (NOW + 60_000, "in the future"),
        (None, "no field 'timestamp'"),
        ("yesterday", "no time"),
    ],
)
async def test_a_field_in_a_hash_is_as_good_as_its_date(tmp_path: Path, at: object, said: str) -> None:
    """A Kelly written long ago may be lower than the one in force was cut to since: "lowering" to it would raise."""
    server = EmbeddedValkey(tmp_path)
    url = await server.start()
    fields = {"kelly": "0.25"} | ({} if at is None else {"timestamp": str(at)})
    async with Redis.from_url(url) as redis:
        await redis.hset("risk", mapping=fields)
    read = {"kelly_fraction": {"redis_hash": "risk", "field": "kelly", "at_field": "timestamp"}}
    connectors = reading(url, "redis", read)
    try:
        found = await connectors.read_field("trading-core", "risk-engine", "kelly_fraction", NOW)
        assert (found.value, said in found.error) == (None if said else 0.25, True), found
        context = ActionContext(system="trading-core", component="risk-engine", targets=connectors, now=NOW)
        inspected = await ReduceKelly().inspect(context, '{"kelly_fraction":0.1,"reason":"VaR breach"}')
        assert isinstance(inspected, CannotTell if said else Proceed)
    finally:
        await connectors.close()
        await server.stop()


@pytest.mark.parametrize(
    ("dated", "at", "said"),
    [({}, 0, ""), ({"at_json": "at"}, NOW, ""), ({"at_json": "at", "max_age": "5s"}, NOW - 6_000, "6.0 s old")],
)
async def test_a_document_that_dates_itself_is_refused_when_it_is_old(
    dated: dict[str, str], at: int, said: str
) -> None:
    """Where the answer has a time it counts; without one the component was asked live."""
    read = {"kelly_fraction": {"http": STATUS, "json": "kelly", **dated}}
    body = f'{{"kelly": 0.25, "at": {at}}}'.encode()
    async with raw_server(replying(answer(200, body))) as (url, _):
        connectors = reading(url, "http", read)
        found = await connectors.read_field("trading-core", "risk-engine", "kelly_fraction", NOW)
        assert (found.value, said in found.error) == (None if said else 0.25, True), found
        await connectors.close()


def test_a_component_is_reached_only_the_way_it_is_listed() -> None:
    """Asking an HTTP component for Redis is an error of the configuration's reader, not a crash."""
    connectors = Connectors(targets("http://127.0.0.1:1"), {})
    with pytest.raises(TargetError, match="not redis"):
        connectors.redis("trading-core", "risk-engine")
    with pytest.raises(TargetError, match="no component"):
        connectors.http("trading-core", "gone")


async def _certificate(folder: Path) -> Path | None:
    """A self-signed certificate; None where openssl is missing."""
    key = folder / "key.pem"
    command = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -keyout {key} -out {folder / 'cert.pem'}"
    try:
        process = await asyncio.create_subprocess_exec("openssl", *command.split(), stderr=asyncio.subprocess.DEVNULL)
    except FileNotFoundError:
        return None
    return key if await process.wait() == 0 else None
