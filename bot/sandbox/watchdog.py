"""The alert that always fires, where no Prometheus and no Alertmanager run: a sign that the way to Andon works.

The same alert as in deploy/prometheus, posted as deploy/alertmanager repeats it: every minute of the sandbox's clock.
Hung onto `TradingCore.listen` by `__main__` when asked for (`--watchdog`). A beat that is not taken is not tried again:
the next one comes soon enough, and a beat missed for long is exactly what Andon is to notice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import aiohttp

from bot.core.words import Millis
from bot.sandbox.alerts import POST_TIMEOUT, fingerprint, rfc3339
from bot.sandbox.model import Reading

EVERY_MS = 60_000  # deploy/alertmanager's repeat_interval for it, on the sandbox's clock
LABELS = {"alertname": "Watchdog", "severity": "none", "system": "trading-core"}


class Watchdog:
    """Notices on every reading whether a beat is due; `run` posts it. Give that a task of its own."""

    def __init__(self, url: str, now: Callable[[], Millis], *, token: str = "") -> None:
        self._url = url
        self._now = now
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._since = now()
        self._beaten_at: Millis | None = None
        self._due = asyncio.Event()

    async def observe(self, _: tuple[Reading, ...]) -> None:
        """Time has passed: is the next beat due?"""
        if self._beaten_at is None or self._now() - self._beaten_at >= EVERY_MS:
            self._beaten_at = self._now()
            self._due.set()

    async def run(self) -> None:
        """Post every beat that is due, for ever."""
        async with aiohttp.ClientSession(timeout=POST_TIMEOUT, headers=self._headers) as session:
            while True:
                await self._due.wait()
                self._due.clear()
                with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                    async with session.post(self._url, json=self.payload()) as response:
                        await response.read()

    def payload(self) -> dict[str, object]:
        """The group of this one alert, in Alertmanager's webhook format 4."""
        alert = {
            "status": "firing", "labels": LABELS, "annotations": {"summary": "the way to Andon works"},
            "startsAt": rfc3339(self._since), "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "",
            "fingerprint": fingerprint(LABELS),
        }  # fmt: skip
        return {
            "version": "4", "groupKey": '{}:{alertname="Watchdog", system="trading-core"}', "truncatedAlerts": 0,
            "status": "firing", "receiver": "andon", "commonLabels": LABELS, "commonAnnotations": {}, "externalURL": "",
            "groupLabels": {"alertname": "Watchdog", "system": "trading-core"}, "alerts": [alert],
        }  # fmt: skip
