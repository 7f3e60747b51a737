"""Where no Alertmanager runs: the sandbox raises its own VaRBreach alert and posts the same webhooks itself.

Hung onto `TradingCore.listen` by `__main__` when a webhook URL is given. The rule is deploy/prometheus's (VaR over
1.8 % fires, otherwise resolved), the payload Alertmanager's v4 with its fingerprint, groupKey and year-1 end time, the
manners Alertmanager's too: a snapshot of the whole group on every change and every repeat interval, 5xx and transport
errors retried with growing pauses, 4xx not. `copies` 2 posts everything twice, as a highly available pair may.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import aiohttp

from bot.core.words import Millis
from bot.sandbox.model import Reading

THRESHOLD_PCT = 1.8  # 90 % of the 2.0 % limit; the same number as in deploy/prometheus/rules/trading-core.yml
REPEAT_MS = 300_000  # deploy/alertmanager's repeat_interval, on the sandbox's clock
FIRST_PAUSE = 0.4  # seconds of real time before the first retry; Alertmanager's is 0.35 to 0.41
PAUSE_GROWTH = 1.5
LONGEST_PAUSE = 3.0  # Alertmanager goes up to 60; a demo cannot wait so long
POST_TIMEOUT = aiohttp.ClientTimeout(total=5)

_OFFSET, _PRIME, _MASK, _SEPARATOR = 0xCBF29CE484222325, 0x100000001B3, 0xFFFFFFFFFFFFFFFF, 0xFF
_NOT_ENDED = "0001-01-01T00:00:00Z"


def fingerprint(labels: dict[str, str]) -> str:
    """Prometheus's label-set hash: FNV-1a over sorted names and values, each followed by 0xff.

    https://github.com/prometheus/common/blob/main/model/signature.go
    """
    total = _OFFSET
    for part in (part for name in sorted(labels) for part in (name, labels[name])):
        for byte in (*part.encode(), _SEPARATOR):
            total = ((total ^ byte) * _PRIME) & _MASK
    return f"{total:016x}"


def rfc3339(at: Millis) -> str:
    """Milliseconds as Alertmanager writes times (UTC, Z)."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class _Tracked:
    """One symbol's alert: since when it fires, and when it ended (None: it still fires)."""

    reading: Reading
    starts_at: Millis
    ends_at: Millis | None = None


class AlertPoster:
    """Evaluates the rule on every reading and posts the group. `run` does the posting; give it a task of its own."""

    def __init__(
        self, url: str, now: Callable[[], Millis], *, token: str = "", copies: int = 1, generator_url: str = ""
    ) -> None:
        self._url = url
        self._now = now
        self._headers = {"User-Agent": "Alertmanager/0.25.0 (andon sandbox)"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._copies = copies
        self._generator_url = generator_url
        self._tracked: dict[str, _Tracked] = {}
        self._changed = asyncio.Event()
        self._posted_at: Millis | None = None
        self._posts = 0
        self._failures = 0
        self._last = ""

    def status(self) -> dict[str, object]:
        """For `GET /alerts`: that the sandbox posts by itself, where to, and how that went."""
        return {
            "by": "sandbox",
            "url": self._url,
            "copies": self._copies,
            "posts": self._posts,
            "failures": self._failures,
            "last": self._last,
            "firing": [name for name, alert in self._tracked.items() if alert.ends_at is None],
        }

    async def observe(self, readings: tuple[Reading, ...]) -> None:
        """Apply the rule to new readings and wake the poster if an alert started or ended, or is due to be repeated."""
        now = self._now()
        for reading in readings:
            known = self._tracked.get(reading.symbol)
            fires = reading.var_pct > THRESHOLD_PCT
            if fires and (known is None or known.ends_at is not None):
                self._tracked[reading.symbol] = _Tracked(reading, now)
                self._changed.set()
            elif known is not None and known.ends_at is None:
                if not fires:
                    self._changed.set()
                self._tracked[reading.symbol] = replace(known, reading=reading, ends_at=None if fires else now)
        if self._tracked and self._posted_at is not None and now - self._posted_at >= REPEAT_MS:
            self._changed.set()

    async def run(self) -> None:
        """Post the group whenever it changed, for ever."""
        async with aiohttp.ClientSession(timeout=POST_TIMEOUT, headers=self._headers) as session:
            while True:
                await self._changed.wait()
                self._changed.clear()
                if self._tracked:
                    await self._deliver(session)

    async def _deliver(self, session: aiohttp.ClientSession) -> None:
        """Post today's snapshot until it is taken or refused, then forget the alerts it told to be over."""
        pause = FIRST_PAUSE
        while True:
            body = self.payload()
            told = dict(self._tracked)
            answers = [await self._post(session, body) for _ in range(self._copies)]
            if all(status < 500 and status != 0 for status in answers):
                break
            self._failures += 1
            await asyncio.sleep(pause)
            pause = min(pause * PAUSE_GROWTH, LONGEST_PAUSE)
        self._posted_at = self._now()
        for name, alert in told.items():
            if alert.ends_at is not None and self._tracked.get(name) == alert:
                del self._tracked[name]

    async def _post(self, session: aiohttp.ClientSession, body: dict[str, object]) -> int:
        """One webhook; the HTTP status, or 0 when there was none."""
        try:
            async with session.post(self._url, json=body) as response:
                self._posts += 1
                self._last = f"HTTP {response.status}"
                return response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as problem:
            self._last = f"{type(problem).__name__}: {problem}"
            return 0

    def payload(self) -> dict[str, object]:
        """The group as it stands, in Alertmanager's webhook format 4."""
        alerts = [self._alert(alert) for _, alert in sorted(self._tracked.items())]
        labels = [alert["labels"] for alert in alerts]
        annotations = [alert["annotations"] for alert in alerts]
        firing = any(alert.ends_at is None for alert in self._tracked.values())
        return {
            "version": "4",
            "groupKey": '{}:{alertname="VaRBreach", system="trading-core"}',
            "truncatedAlerts": 0,
            "status": "firing" if firing else "resolved",
            "receiver": "andon",
            "groupLabels": {"alertname": "VaRBreach", "system": "trading-core"},
            "commonLabels": _common(labels),
            "commonAnnotations": _common(annotations),
            "externalURL": self._generator_url,
            "alerts": alerts,
        }

    def _alert(self, alert: _Tracked) -> dict[str, object]:
        symbol = alert.reading.symbol
        labels = {
            "alertname": "VaRBreach",
            "instance": "sandbox",
            "job": "trading-core",
            "severity": "critical",
            "symbol": symbol,
            "system": "trading-core",
        }
        return {
            "status": "firing" if alert.ends_at is None else "resolved",
            "labels": labels,
            "annotations": {"summary": f"VaR of {symbol} is over {THRESHOLD_PCT} % (90 % of the 2.0 % limit)"},
            "startsAt": rfc3339(alert.starts_at),
            "endsAt": _NOT_ENDED if alert.ends_at is None else rfc3339(alert.ends_at),
            "generatorURL": self._generator_url,
            "fingerprint": fingerprint(labels),
        }


def _common(of: list[object]) -> dict[str, str]:
    """What all of several label sets share."""
    sets = [dict(labels) for labels in of if isinstance(labels, dict)]
    first, *rest = sets or [{}]
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in rest)}
