"""Alertmanager webhooks as ready-made bytes, so that the load generator spends its time on sockets alone.

Every request differs from the next in one eight-digit number (label `seq`, fingerprint, start time), patched into a
template by concatenation. The shape is what Alertmanager 0.25 posts. Used by `tests.bench.load`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

MARK = "00000000"  # replaced by the running number; eight digits keep every Content-Length constant
RECEIVER = "andon"


@dataclass(frozen=True, slots=True)
class Shape:
    """What one webhook holds.

    `alerts` in one webhook; `lanes`: the label `lane` runs through this many values (a policy may choose by it).
    """

    alerts: int = 1
    lanes: int = 1
    alertname: str = "BenchAlert"
    severity: str = "warning"


def _alert(shape: Shape, position: int, seq: str, lane: int) -> dict[str, object]:
    return {
        "status": "firing",
        "labels": {
            "alertname": shape.alertname,
            "severity": shape.severity,
            "system": "bench",
            "symbol": f"SYM-{seq}-{position:02d}",
            "seq": seq,
            "lane": f"{lane:05d}",
            "instance": "risk-engine-0.trading.example:9102",
            "job": "trading-core",
        },
        "annotations": {
            "summary": "VaR of the symbol is above 90 % of its limit",
            "description": "var_pct 1.93 > 1.80 for one minute; the limit is 2.0",
            "runbook_url": "https://runbooks.example/var-breach",
        },
        "startsAt": "2026-01-05T10:00:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example:9090/graph?g0.expr=var_pct+%3E+1.8&g0.tab=1",
        "fingerprint": f"{0xA0000000 + position:08x}{seq}",  # never eight zeros: those are the mark
    }


def webhook(shape: Shape, lane: int = 0, seq: str = MARK) -> bytes:
    """One webhook body (version 4) with `seq` in its labels."""
    alerts = [_alert(shape, position, seq, lane) for position in range(shape.alerts)]
    body = {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{shape.alertname}",seq="{seq}"}}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": RECEIVER,
        "groupLabels": {"alertname": shape.alertname},
        "commonLabels": {"alertname": shape.alertname, "severity": shape.severity, "system": "bench"},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example:9093",
        "alerts": alerts,
    }
    return json.dumps(body, separators=(",", ":")).encode()


class Requests:
    """Numbered HTTP/1.1 requests: `make(7)` is the bytes of request number 7."""

    def __init__(self, shape: Shape, path: str, headers: Sequence[str], first: int = 0) -> None:
        self._first = first
        self._lanes = [self._pieces(shape, lane, path, headers) for lane in range(shape.lanes)]

    def _pieces(self, shape: Shape, lane: int, path: str, headers: Sequence[str]) -> list[bytes]:
        body = webhook(shape, lane)
        head = [
            f"POST {path} HTTP/1.1",
            "Host: 127.0.0.1",
            "User-Agent: Alertmanager/0.25.0",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *headers,
        ]
        return ("\r\n".join(head).encode() + b"\r\n\r\n" + body).split(MARK.encode())

    def make(self, number: int) -> bytes:
        """The whole request, ready for the socket."""
        return (b"%08d" % (self._first + number)).join(self._lanes[number % len(self._lanes)])
