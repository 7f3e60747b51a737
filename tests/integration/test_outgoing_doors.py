"""Where Andon's own requests can go (law 11), against real web servers, with a stand-in for DNS where names matter."""

from __future__ import annotations

import ast
import base64
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import ResolveResult
from pydantic import SecretStr

from bot.adapters import outgoing
from bot.adapters.alertmanager_api import AlertmanagerApi
from bot.adapters.connectors_breaker import Breaker
from bot.adapters.heartbeat import OutgoingHeartbeat
from bot.adapters.http_target import HttpConnector
from bot.adapters.second_route import WebhookPager
from bot.core.effects import PageOncall
from bot.errors import DeliveryError, NotSent, Rejected, SourceError, Unknown
from policies.destinations import Destination

ROOT = Path(__file__).parents[2]
ALLOW = ("GET /a", "GET /risk/*", "POST /a")


class Dns:
    """Stands in for the resolver: answers with the next of its addresses, and counts how often it was asked."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        self.asked.append(host)
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(
                hostname=host, host=address, port=port, proto=0, flags=0,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
            )
            for address in addresses
        ]  # fmt: skip


@asynccontextmanager
async def listening(answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> AsyncIterator[int]:
    """A server on loopback that answers everything with `answer`; its port."""
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def session(host: str, dns: Dns, *, allow_private: bool = False) -> aiohttp.ClientSession:
    to = Destination(host, allow_private)
    return outgoing.session(to, total_seconds=2.0, connect_seconds=1.0, limit=4, lookup=dns)


async def fine(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="{}")


async def test_a_name_that_turns_inward_is_not_followed() -> None:
    """DNS rebinding: well at the first question, inward at the second; each is judged, and the second is refused."""
    dns = Dns(("127.0.0.1",), ("169.254.169.254",), ("10.0.0.1",))
    async with listening(fine) as port:
        url = f"http://api.example.com:{port}/"
        async with session("api.example.com", dns, allow_private=True) as web_session, web_session.get(url) as answer:
            assert answer.status == 200
        async with session("api.example.com", dns, allow_private=True) as web_session:
            with pytest.raises(aiohttp.ClientConnectorError, match=r"leads to 169\.254\.169\.254, where no service"):
                await web_session.get(url)
        async with session("api.example.com", dns) as web_session:
            with pytest.raises(aiohttp.ClientConnectorError, match="say allow_private: true beside its url"):
                await web_session.get(url)


async def test_the_address_that_was_judged_is_the_one_connected_to() -> None:
    """One question a connection: what the name is answered with a moment later is never asked."""
    dns = Dns(("127.0.0.1",), ("169.254.169.254",))
    async with listening(fine) as port, session("api.example.com", dns, allow_private=True) as web_session:
        for _ in range(3):
            async with web_session.get(f"http://api.example.com:{port}/") as answer:
                assert answer.status == 200
    assert dns.asked == ["api.example.com"]


async def test_of_several_addresses_only_fit_ones_are_tried() -> None:
    """A metadata address hidden behind good ones is not the one that is fallen back to."""
    dns = Dns(("169.254.169.254", "fe80::1", "127.0.0.1"))
    async with (
        listening(fine) as port,
        session("risk.internal", dns) as web_session,
        web_session.get(f"http://risk.internal:{port}/") as answer,
    ):
        assert answer.status == 200
    only_bad = Dns(("169.254.169.254", "0.0.0.0"))
    async with session("risk.internal", only_bad) as web_session:
        with pytest.raises(aiohttp.ClientConnectorError, match="link-local"):
            await web_session.get("http://risk.internal/")


@pytest.mark.parametrize(
    "host",
    ["evil.example", "api.example.com.evil.example", "localhost", "169.254.169.254", "[fe80::1]", "0.0.0.0"],
)
async def test_a_session_reaches_its_own_host_only(host: str) -> None:
    """Whatever makes a URL for another host, by name or by number: no connection is opened."""
    async with listening(fine) as port, session("api.example.com", Dns(("127.0.0.1",))) as web_session:
        with pytest.raises((aiohttp.ClientConnectorError, aiohttp.InvalidURL)):
            await web_session.get(f"http://{host}:{port}/")


async def test_another_number_is_another_host() -> None:
    """A session for one address reaches no other one, also where both would be allowed by themselves."""
    async with listening(fine) as port, session("10.0.0.5", Dns(("127.0.0.1",))) as web_session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await web_session.get(f"http://127.0.0.1:{port}/")


async def test_no_client_follows_a_redirect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the four is answered 307 to another server: that one hears nothing, and it is an error by its name."""
    heard: list[str] = []

    async def other(request: web.BaseRequest) -> web.StreamResponse:
        heard.append(request.path)
        return web.Response(text="{}")

    async with listening(other) as elsewhere:

        async def away(_: web.BaseRequest) -> web.StreamResponse:
            return web.Response(status=307, headers={"Location": f"http://127.0.0.1:{elsewhere}/stolen"})

        async with listening(away) as port:
            url = f"http://127.0.0.1:{port}"
            # A proxy in the environment is not asked either.
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{elsewhere}")
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{elsewhere}")
            await _ask_all_four(url)
            # And the session itself refuses what a caller forgot to.
            async with session("127.0.0.1", Dns(())) as bare:
                with pytest.raises(aiohttp.ClientError, match="redirect"):
                    await bare.get(url)
    assert heard == []


async def _ask_all_four(url: str) -> None:
    target = HttpConnector("risk", url, allow=ALLOW, breaker=Breaker("risk"))
    with pytest.raises(Unknown, match="307"):
        await target.read("/a")
    with pytest.raises(Unknown, match="307"):
        await target.send("POST", "/a", "{}", idempotency_key="k", fence=1)
    await target.close()
    api = AlertmanagerApi("main", url)
    with pytest.raises(SourceError, match="307"):
        await api.look()
    await api.close()
    pager = WebhookPager(url)
    with pytest.raises(DeliveryError, match="307"):
        await pager.page(PageOncall(id="e", incident="i", service="s", severity="critical", dedup_key="k", summary="x"))
    await pager.close()

    async def well() -> str:
        return ""

    beat = OutgoingHeartbeat(url, 60.0, well)
    async with outgoing.session(Destination.of(url), total_seconds=2, connect_seconds=1, limit=1) as one:
        assert await beat._call(one) == "not taken: HTTP 307"


async def test_an_answer_is_not_unpacked() -> None:
    """Ten megabytes of zeros in ten kilobytes stay ten kilobytes: a bound on an answer is one."""

    async def bomb(_: web.BaseRequest) -> web.StreamResponse:
        packed = gzip.compress(bytes(10_000_000))
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    async with listening(bomb) as port:
        target = HttpConnector("risk", f"http://127.0.0.1:{port}", allow=ALLOW, breaker=Breaker("risk"))
        reply = await target.read("/a")
        await target.close()
    assert len(reply.body) < 20_000


@pytest.mark.parametrize(
    "path",
    ["//evil.example/x", "/risk/..", "/risk/.", "/risk/a/b", "/risk//", "@evil.example/", "http://evil.example/",
     "/risk/a?b", "/risk/a#b", "/risk/\\evil", "/risk/a b", "/risk/a\r\nHost: evil", ""],
)  # fmt: skip
async def test_a_path_cannot_become_an_address(path: str) -> None:
    """Whatever a label's value was made into: it names a path of the component's own host, or nothing is sent."""
    heard: list[str] = []

    async def note(request: web.BaseRequest) -> web.StreamResponse:
        heard.append(request.path)
        return web.Response(text="{}")

    async with listening(note) as port:
        target = HttpConnector("risk", f"http://127.0.0.1:{port}", allow=ALLOW, breaker=Breaker("risk"))
        with pytest.raises(NotSent):
            await target.read(path)
        with pytest.raises(NotSent):
            await target.send("POST", path, "{}", idempotency_key="k", fence=1)
        await target.close()
    assert heard == []


def test_every_client_of_the_product_takes_the_one_door() -> None:
    """Only `outgoing` makes sessions to the outside; the CLI talks to Andon itself, the demo to its own parts."""
    makers = {
        str(file.relative_to(ROOT))
        for room in ("bot", "handlers", "policies", "remediations")
        for file in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in ("ClientSession", "TCPConnector", "urlopen", "create_connection", "open_connection")
    }
    inside = {file for file in makers if file.startswith(("bot/sandbox/", "bot/demo/"))}
    assert makers - inside == {"bot/adapters/outgoing.py", "bot/client.py"}


@pytest.mark.parametrize("username", ["", "andon"])
async def test_what_a_target_repeats_of_our_credentials_is_not_passed_on(username: str) -> None:
    """A server that quotes the request in its refusal: the words reach a person, and the credential does not."""
    secret = 'canary"\\words'

    async def parrot(request: web.BaseRequest) -> web.StreamResponse:
        said = {"why": "not now", "sent": request.headers["Authorization"], "password": secret}
        return web.json_response(said, status=422)

    async with listening(parrot) as port:
        target = HttpConnector(
            "risk", f"http://127.0.0.1:{port}", allow=ALLOW, breaker=Breaker("risk"), credentials=SecretStr(secret),
            username=username,
        )  # fmt: skip
        with pytest.raises(Rejected, match="not now") as refused:
            await target.send("POST", "/a", "{}", idempotency_key="k", fence=1)
        await target.close()
    pair = base64.b64encode(f"andon:{secret}".encode()).decode()
    assert not any(form in str(refused.value) for form in (secret, "canary", pair))
