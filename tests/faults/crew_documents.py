"""What the crew's replicas are configured with: desks that take an order for each case, rungs that act, a cron line.

`work0`…: an order at once, at a desk of its own. `late`: a rung that pages and orders one second after the alert.
`clock`: an order for each fire of a cron line. `crew.py` writes it, once for each replica.
"""

from __future__ import annotations

import os
from typing import Any, Final

SYSTEM, ONCALL, SERVICE = "trading-core", "demo-oncall", "demo-pager"
ORDER: Final = "/api/router/pause"  # what the orders ask for; to the ledger each is a request of its own
DESKS: Final = ("desk-0", "desk-1", "desk-2")
Json = dict[str, Any]


def documents(port: int, store_url: str, sandbox_url: str) -> dict[str, Json]:
    """Each file's content, by name: a replica that listens on `port`, on this store and this trading system."""
    work = [f"work{number}" for number in range(len(DESKS))]
    acting = (*work, "late", "clock")
    desks = [
        {"name": name, "role": "desk", "connector": "http", "url": sandbox_url, "allow": [f"POST {ORDER}"]}
        for name in (*DESKS, "late", "clock")
    ]
    return {
        "andon": {
            "systems": [SYSTEM], "armed": list(acting), "listen": {"port": port}, "store": {"url": store_url},
            "routes": [{"match": [f'system="{SYSTEM}"'], "system": SYSTEM}],
            "budget": {"limit": 250, "within": "1s", "reserve": 3},
        },
        "people": {
            "people": [{"id": ONCALL, "os_uid": os.getuid()}],
            "rosters": {"approvers": [{"system": SYSTEM, "risk": "critical", "people": [ONCALL]}]},
        },
        "targets": {"systems": {SYSTEM: {"components": desks}}},
        "policies/crew": _policies(work, acting),
    }  # fmt: skip


def _policies(work: list[str], acting: tuple[str, ...]) -> Json:
    signed = {"by": ONCALL, "reason": "each case once", "until": "2099-01-01T00:00:00Z"}
    late = {"after": "1s", "run": "http.call", **_order("late"), "page": {"service": SERVICE, "severity": "error"}}
    labels = {"alertname": "Clock", "case": "clock"}
    return {
        "system": SYSTEM, "labels": ["case"],
        "schedules": [{"name": "every-five-minutes", "cron": "*/5 * * * *", "zone": "Etc/UTC", "labels": labels}],
        "policies": [
            *(_policy(name, plan=[{"action": "http.call", **_order(DESKS[n])}]) for n, name in enumerate(work)),
            _policy("late", ladder=[late]),
            _policy("clock", plan=[{"action": "http.call", **_order("clock")}], hold="1s", close="1s"),
        ],
        "pre_authorised": [{"action": "http.call", "policy": name, **signed} for name in acting],
    }  # fmt: skip


def _order(component: str) -> Json:
    return {"component": component, "with": {"path": ORDER, "body": {"reason": "${labels.case}"}}}


def _policy(name: str, **more: Any) -> Json:
    return {
        "name": name, "match": [f'alertname="{name.title()}"'], "group_by": ["case"], "mode": "auto",
        "channel": "#crew", **more,
    }  # fmt: skip
