"""How the simulated trading-core came to where it is, asked as one asks Prometheus, where no Prometheus runs.

It keeps what `/metrics` would have shown of VaR and answers range queries for that alone: what Andon draws on decision
cards. https://prometheus.io/docs/prometheus/latest/querying/api/#range-queries
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from typing import Final

from aiohttp import web

from bot.core.words import Millis
from bot.sandbox.model import Reading

MAX_POINTS: Final = 20_000  # an hour of readings, five a second
MAX_STEPS: Final = 11_000  # of one answer, as Prometheus has it
LOOK_BACK_MS: Final[Millis] = 300_000  # an older reading is not shown, as Prometheus does by default

_SELECTOR: Final = re.compile(r'trading_var_pct(?:\{symbol="([^"\\]*)"\})?')


class History:
    """Readings of VaR, oldest first."""

    def __init__(self, now: Callable[[], Millis]) -> None:
        self._now = now
        self._kept: deque[tuple[Millis, dict[str, float]]] = deque(maxlen=MAX_POINTS)

    async def observe(self, readings: tuple[Reading, ...]) -> None:
        """Keep what is shown now."""
        self._kept.append((self._now(), {reading.symbol: reading.var_pct for reading in readings}))

    def routes(self) -> list[web.RouteDef]:
        """Prometheus's path."""
        return [web.get("/api/v1/query_range", self._query_range)]

    async def _query_range(self, request: web.Request) -> web.Response:
        """`query` (`trading_var_pct`, or that of one symbol), `start` and `end` in Unix seconds, `step` in seconds."""
        asked = request.query
        found = _SELECTOR.fullmatch(asked.get("query", "").strip())
        if found is None:
            return _refused("only trading_var_pct is kept here, whole or of one symbol")
        try:
            start, end = (int(float(asked[name]) * 1_000) for name in ("start", "end"))
            step = int(float(asked["step"]) * 1_000)
        except (KeyError, ValueError, OverflowError):
            return _refused("start, end and step are seconds")
        if step <= 0 or not 0 <= (end - start) // step <= MAX_STEPS:
            return _refused(f"from start to end there are at most {MAX_STEPS} steps")
        return web.json_response(
            {"status": "success", "data": {"resultType": "matrix", "result": self._series(found[1], start, end, step)}}
        )

    def _series(self, symbol: str | None, start: Millis, end: Millis, step: Millis) -> list[dict[str, object]]:
        """The newest reading at each step."""
        times = [at for at, _ in self._kept]
        values: dict[str, list[tuple[float, str]]] = {}
        for at in range(start, end + 1, step):
            index = bisect_right(times, at) - 1
            if index < 0 or at - times[index] > LOOK_BACK_MS:
                continue
            for name, var_pct in self._kept[index][1].items():
                if symbol in (None, name):
                    values.setdefault(name, []).append((at / 1_000, f"{var_pct:g}"))
        return [
            {"metric": {"__name__": "trading_var_pct", "symbol": name}, "values": points}
            for name, points in sorted(values.items())
        ]


def _refused(why: str) -> web.Response:
    return web.json_response({"status": "error", "errorType": "bad_data", "error": why}, status=400)
