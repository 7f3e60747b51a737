"""Where no Alertmanager runs: the sandbox raises its own alerts and posts the same webhooks itself.

Hung onto `TradingCore.listen` and `Probe.listen` by `assembly` when a webhook URL is given. The rules are
`alert_rules` (deploy/prometheus's), the payload Alertmanager's v4 with its fingerprint, groupKey and year-1 end time,
the manners Alertmanager's too: one group for each alertname, a snapshot of the whole group on every change and every
repeat interval, 5xx and transport errors retried with growing pauses, 4xx not. `copies` 2 posts everything twice, as a
highly available pair may.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import aiohttp

from bot.core.words import Millis
from bot.sandbox.alert_rules import LATENCY_HIGH, LATENCY_US, SYSTEM, VAR_BREACH, Condition, LatencyHigh, var_breach
from bot.sandbox.model import Reading

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
    """One alert: since when it fires, and when it ended (None: it still fires)."""

    condition: Condition
    starts_at: Millis
    ends_at: Millis | None = None


class _Group:
    """The alerts of one rule, as they were last seen, and when they were last told."""

    def __init__(self, alertname: str) -> None:
        self.alertname = alertname
        self.tracked: dict[str, _Tracked] = {}
        self.changed = False
        self._posted_at: Millis | None = None

    @property
    def firing(self) -> list[str]:
        """Keys of the alerts that fire."""
        return [key for key, alert in self.tracked.items() if alert.ends_at is None]

    def see(self, found: Iterable[Condition], now: Millis) -> None:
        """What fires now; everything else has ended."""
        conditions = {condition.key: condition for condition in found}
        for key, condition in conditions.items():
            known = self.tracked.get(key)
            if known is None or known.ends_at is not None:
                self.tracked[key] = _Tracked(condition, now)
                self.changed = True
            else:
                self.tracked[key] = replace(known, condition=condition)  # its newest figure
        for key in self.firing:
            if key not in conditions:
                self.tracked[key] = replace(self.tracked[key], ends_at=now)
                self.changed = True
        if self.tracked and self._posted_at is not None and now - self._posted_at >= REPEAT_MS:
            self.changed = True

    def told(self, what: dict[str, _Tracked], now: Millis) -> None:
        """A snapshot was taken: alerts that it told to be over are forgotten."""
        self._posted_at = now
        for key, alert in what.items():
            if alert.ends_at is not None and self.tracked.get(key) == alert:
                del self.tracked[key]


class AlertPoster:
    """Evaluates the rules on every reading and posts the groups. `run` does the posting; give it a task of its own."""

    def __init__(
        self, url: str, now: Callable[[], Millis], *, token: str = "", copies: int = 1, generator_url: str = "",
        latency_us: float = LATENCY_US,
    ) -> None:  # fmt: skip
        self._url = url
        self._now = now
        self._headers = {"User-Agent": "Alertmanager/0.25.0 (andon sandbox)"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._copies = copies
        self._generator_url = generator_url
        self._groups = {name: _Group(name) for name in (VAR_BREACH, LATENCY_HIGH)}
        self._latency = LatencyHigh(latency_us)
        self._wake = asyncio.Event()
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
            "firing": [key for group in self._groups.values() for key in group.firing],
        }

    async def observe(self, readings: tuple[Reading, ...]) -> None:
        """Apply the VaR rule to new readings and wake the poster where an alert started, ended or is to be repeated."""
        self._see(VAR_BREACH, var_breach(readings))

    async def observe_latency(self, p99_us: float | None) -> None:
        """The same for the latency rule and a new measure."""
        found = self._latency.look(p99_us)
        if found is not None:
            self._see(LATENCY_HIGH, found)

    def _see(self, alertname: str, found: tuple[Condition, ...]) -> None:
        group = self._groups[alertname]
        group.see(found, self._now())
        if group.changed:
            self._wake.set()

    async def run(self) -> None:
        """Post every group whenever it changed, for ever."""
        async with aiohttp.ClientSession(timeout=POST_TIMEOUT, headers=self._headers) as session:
            while True:
                await self._wake.wait()
                self._wake.clear()
                for group in self._groups.values():
                    if group.changed and group.tracked:
                        await self._deliver(session, group)

    async def _deliver(self, session: aiohttp.ClientSession, group: _Group) -> None:
        """Post today's snapshot until it is taken or refused."""
        pause = FIRST_PAUSE
        while True:
            group.changed = False
            body, told = self._payload(group), dict(group.tracked)
            answers = [await self._post(session, body) for _ in range(self._copies)]
            if all(status < 500 and status != 0 for status in answers):
                break
            self._failures += 1
            await asyncio.sleep(pause)
            pause = min(pause * PAUSE_GROWTH, LONGEST_PAUSE)
        group.told(told, self._now())

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

    def _payload(self, group: _Group) -> dict[str, object]:
        """The group as it stands, in Alertmanager's webhook format 4."""
        alerts = [self._alert(alert) for _, alert in sorted(group.tracked.items())]
        return {
            "version": "4",
            "groupKey": f'{{}}:{{alertname="{group.alertname}", system="{SYSTEM}"}}',
            "truncatedAlerts": 0,
            "status": "firing" if group.firing else "resolved",
            "receiver": "andon",
            "groupLabels": {"alertname": group.alertname, "system": SYSTEM},
            "commonLabels": _common(alert["labels"] for alert in alerts),
            "commonAnnotations": _common(alert["annotations"] for alert in alerts),
            "externalURL": self._generator_url,
            "alerts": alerts,
        }

    def _alert(self, alert: _Tracked) -> dict[str, object]:
        return {
            "status": "firing" if alert.ends_at is None else "resolved",
            "labels": alert.condition.labels,
            "annotations": {name: getattr(alert.condition, name) for name in ("summary", "threshold", "value")},
            "startsAt": rfc3339(alert.starts_at),
            "endsAt": _NOT_ENDED if alert.ends_at is None else rfc3339(alert.ends_at),
            "generatorURL": self._generator_url,
            "fingerprint": fingerprint(alert.condition.labels),
        }


def _common(of: Iterable[object]) -> dict[str, str]:
    """What all of several label sets share."""
    sets = [dict(labels) for labels in of if isinstance(labels, dict)]
    first, *rest = sets or [{}]
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in rest)}
