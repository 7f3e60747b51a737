"""Alertmanagers that can be silenced: twin and Alertmanager itself promise the same; the desk silences all of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bot.adapters.alertmanager_api import AlertmanagerApi
from bot.adapters.clock import wall_ms
from bot.adapters.desk import Order
from bot.adapters.desk_silences import MAX_MATCHERS, MAX_SILENCE_MS, Silencer, Silences, Wish
from bot.adapters.http_errors import Unwelcome
from bot.errors import InputError, SourceError
from bot.sandbox.children import until
from bot.testing import MemoryAlertmanager
from handlers.alertmanager_silences import Condition, read_id, read_refusal, read_silences
from policies.people import PeopleDocument
from tests.contract.test_alertmanager_contract import Bench, Real, twin
from tests.integration.door_twin import TwinServices

HOUR = 3_600_000
ORDER = Order(person="demo-oncall", id="op/demo-oncall/slack/1", via="slack:T1/U1")


def wish(*matchers: str, for_ms: int = HOUR, comment: str = "a release") -> Wish:
    return Wish(matchers=matchers, for_ms=for_ms, comment=comment)


@pytest.fixture(params=["twin", "alertmanager"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """Each in turn."""
    if request.param == "twin":
        made = twin()
        made.source.now = wall_ms()  # type: ignore[attr-defined]  # the twin's own clock
        yield made
        return
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        real = Real(tmp_path, session, stack)
        await real.start()
        api = AlertmanagerApi("a", f"http://{real.address}/", receiver="andon")
        stack.push_async_callback(api.close)
        yield Bench(api, real.fire, real.end, real.silence, real.start, real.stop)


async def test_a_silence_mutes_what_meets_all_of_it_and_names_who_and_why(bench: Bench) -> None:
    """The desk shows which alerts beforehand, silences them from now on, and lists the silence."""
    fired = (
        {"alertname": "VaRBreach", "symbol": "BTC"},
        {"alertname": "VaRBreach", "symbol": "ETH"},
        {"alertname": "Other"},
    )
    for labels in fired:
        await bench.fire(labels)
    source: Any = bench.source
    silences = Silences(TwinServices(), lambda: [source])
    wanted = wish('alertname="VaRBreach"', 'symbol=~"B.*|X"', 'job!="x"', 'team!~"y.+"')
    assert await silences.would(ORDER, wanted) == ["VaRBreach symbol=BTC"]
    told = await silences.silence(ORDER, wanted)
    assert await silences.silence(ORDER, wanted) == told  # told twice, it is the same silence
    assert told.startswith('silenced alertname="VaRBreach", symbol=~"B.*|X", job!="x", team!~"y.+" for 1h in a (')

    async def muted() -> list[str] | None:
        view = await bench.source.look()
        found = [held.alert.labels.get("symbol", "") for held in view.held.values() if held.muted_by]
        return found or None

    assert await until("it is muted", muted, within=10) == ["BTC"]
    (held,) = await source.silences()
    assert sorted(held.matchers) == sorted(wanted.matchers)
    assert held.by == "demo-oncall"
    assert held.comment.startswith("a release (slack:T1/U1, ")
    assert abs(held.ends_at - wall_ms() - HOUR) < 20_000


async def test_one_that_is_gone_is_an_error_and_never_a_silence(bench: Bench) -> None:
    """Whoever asked must know that alerts go on."""
    await bench.stop()
    source: Any = bench.source
    with pytest.raises(SourceError):
        await source.silences()
    with pytest.raises(SourceError):
        await source.silence([Condition("alertname", "=", "X")], for_ms=HOUR, by="demo-oncall", comment="x")


# --- the desk ---------------------------------------------------------------------------------------------------------


async def test_what_one_alertmanager_did_not_do_is_told() -> None:
    """It is silent in the other; with none, nothing was silenced and that is an error."""
    there, gone = MemoryAlertmanager("there"), MemoryAlertmanager("gone")
    gone.down = "no route to host"
    found: list[Silencer] = [there, gone]
    silences = Silences(TwinServices(), lambda: found)
    told = await silences.silence(ORDER, wish('alertname="X"'))
    assert told == 'silenced alertname="X" for 1h in there (silence-1); not in gone: no route to host'
    listed = await silences.in_force()
    assert listed[0].startswith('alertname="X" by demo-oncall')
    assert listed[1] == "Alertmanager gone cannot be asked: no route to host"
    with pytest.raises(SourceError, match="no route"):
        await silences.would(ORDER, wish('alertname="X"'))
    there.down = "also"
    with pytest.raises(SourceError, match="nothing was silenced"):
        await silences.silence(ORDER, wish('alertname="X"'))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (wish(), "match every alert"),
        (wish('a=~".*"', 'b!="x"'), "match every alert"),
        (wish("VaRBreach"), "VaRBreach"),
        (wish('a=~"("'), "RE2"),
        (wish(*(f'a{n}="x"' for n in range(MAX_MATCHERS + 1))), "at most 20"),
        (wish('a="x"', for_ms=0), "between 1s and 1d"),
        (wish('a="x"', for_ms=MAX_SILENCE_MS + 1), "between 1s and 1d"),
        (wish('a="x"', comment=" "), "say why"),
        (wish('a="x"', comment="x" * 501), "at most 500"),
    ],
)
async def test_a_silence_is_bounded_and_of_something(wrong: Wish, said: str) -> None:
    """Never of everything, never for ever, never without a reason; nothing was asked of anybody."""
    there = MemoryAlertmanager()
    silences = Silences(TwinServices(), lambda: [there])
    for order in (silences.would, silences.silence):
        with pytest.raises(InputError, match=said):
            await order(ORDER, wrong)
    assert (there.silenced, there.looks) == ([], 0)


async def test_whoever_may_only_look_silences_nothing() -> None:
    """Not even looks what it would."""
    viewer = PeopleDocument.model_validate({"people": [{"id": "demo-oncall", "roles": ["viewer"]}]})
    there = MemoryAlertmanager()
    silences = Silences(TwinServices(document=viewer), lambda: [there])
    for order in (silences.would, silences.silence):
        with pytest.raises(Unwelcome):
            await order(ORDER, wish('a="x"'))
    assert there.silenced == []


# --- answers that are none --------------------------------------------------------------------------------------------


async def test_a_refusal_is_told_in_alertmanagers_own_words() -> None:
    """And an answer that is no answer is an error, never a silence."""
    answers = [web.json_response({"code": 602, "message": "matchers are wrong"}, status=422), web.json_response({})]

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/api/v2/status":
            return web.json_response({})
        return answers.pop(0)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    api = AlertmanagerApi("a", f"http://{host}:{port}/")
    try:
        for said in ("matchers are wrong", "silenceID"):
            with pytest.raises(SourceError, match=said):
                await api.silence([Condition("a", "=", "x")], for_ms=HOUR, by="demo-oncall", comment="x")
    finally:
        await api.close()
        await runner.cleanup()


def test_odd_answers_are_read_or_refused_by_name() -> None:
    """Only what is in force is listed; what cannot be read is an error and not an empty list."""
    matcher = {"name": "a", "value": "x", "isRegex": False}
    sent = {"id": "s", "matchers": [matcher], "endsAt": "2025-01-17T10:00:00.5Z", "status": {"state": "active"}}
    over = {**sent, "status": {"state": "expired"}}
    (held,) = read_silences(json.dumps([sent, over]).encode())
    assert (held.matchers, held.ends_at, held.by) == (('a="x"',), 1_737_108_000_500, "")
    for odd in ({**sent, "matchers": [{}]}, {**sent, "endsAt": "soon"}, {**sent, "matchers": 3}):
        with pytest.raises(InputError):
            read_silences(json.dumps([odd]).encode())
    for body in (b"{}", b"<html>", b"", b"[" * 5_000):
        with pytest.raises(InputError):
            read_silences(body)
    with pytest.raises(InputError):
        read_id(b"[]")
    assert read_refusal(b'"bad matcher"') == "bad matcher"
    assert read_refusal(b"<html>") == "<html>"
