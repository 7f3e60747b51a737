"""The sandbox's own history, asked as Andon asks Prometheus."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from bot.sandbox.history import LOOK_BACK_MS, History
from bot.sandbox.model import Reading

START = 1_700_000_000_000


async def _history(*points: tuple[int, float]) -> tuple[History, web.Application]:
    now = [START]
    history, app = History(lambda: now[0]), web.Application()
    app.add_routes(history.routes())
    for at, var_pct in points:
        now[0] = START + at
        await history.observe((Reading("BTC-USD", var_pct, 1.0), Reading("ETH-USD", 1.0, 1.0)))
    return history, app


async def _ask(app: web.Application, query: str, start: int, end: int, step: float) -> tuple[int, dict[str, object]]:
    async with TestClient(TestServer(app)) as client:
        asked = {"query": query, "start": f"{start / 1e3:.3f}", "end": f"{end / 1e3:.3f}", "step": f"{step:g}"}
        response = await client.get("/api/v1/query_range", params=asked)
        return response.status, await response.json()


async def test_each_step_shows_the_newest_reading_until_it_is_too_old() -> None:
    """Nothing before the first; nothing once the last is over five minutes old."""
    _, app = await _history((0, 1.1), (10_000, 2.4))
    end = START + LOOK_BACK_MS + 15_000
    status, told = await _ask(app, 'trading_var_pct{symbol="BTC-USD"}', START - 5_000, end, 5.0)
    assert status == 200
    ((series,),) = (told["data"]["result"],)  # type: ignore[index]
    assert series["metric"] == {"__name__": "trading_var_pct", "symbol": "BTC-USD"}
    values = [(round(at * 1_000) - START, float(value)) for at, value in series["values"]]
    assert values[:4] == [(0, 1.1), (5_000, 1.1), (10_000, 2.4), (15_000, 2.4)]
    assert values[-1] == (LOOK_BACK_MS + 10_000, 2.4)


async def test_without_a_symbol_every_symbol_is_told() -> None:
    """One series each."""
    _, app = await _history((0, 1.1))
    _, told = await _ask(app, "trading_var_pct", START, START, 1.0)
    assert [each["metric"]["symbol"] for each in told["data"]["result"]] == ["BTC-USD", "ETH-USD"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("query", "end", "step", "why"),
    [
        ("sum(increase(model_switch_total[1m]))", START, 1.0, "only trading_var_pct"),
        ("trading_var_pct", START, 0.0, "steps"),
        ("trading_var_pct", START - 1, 1.0, "steps"),
        ("trading_var_pct", START + 10**9, 0.001, "steps"),
    ],
)
async def test_what_is_not_kept_is_refused_as_prometheus_refuses(query: str, end: int, step: float, why: str) -> None:
    """400 with the reason; whoever draws shows no picture then."""
    _, app = await _history((0, 1.1))
    status, told = await _ask(app, query, START, end, step)
    assert (status, told["status"]) == (400, "error")
    assert why in str(told["error"])
