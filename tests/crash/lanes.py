"""The kinds of delivery and target that are tried, and a round's configuration: one component and one policy a lane.

Each lane is used once in a round, so what a target did for a lane it did for that lane's one intent. Written to disk by
`tests.crash.round`; the names of the kinds are the rows of the table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SYSTEM: Final = "crash"
ALERT: Final = "CrashTrial"
SIGNER: Final = "demo-oncall"


@dataclass(frozen=True, slots=True)
class Kind:
    """One delivery on one kind of target. `count`: lanes of it in a round; together at most dispatch.MAX_ACTIVITIES."""

    name: str
    words: str
    count: int
    step: Mapping[str, Any]
    posts: str


KINDS: Final = (
    Kind(
        "absolute", "absolute, plain target", 20,
        {"action": "risk.reduce_kelly", "with": {"kelly_fraction": 0.1, "reason": "lane ${labels.lane}"}},
        "/api/risk/emergency-reduce",
    ),
    Kind(
        "keyed", "keyed, target dedupes by key", 12,
        {"action": "crash.keyed", "with": {"order": "${labels.lane}"}}, "/keyed",
    ),
    Kind(
        "fenced", "keyed, target takes each fence once", 12,
        {"action": "crash.fenced", "with": {"order": "${labels.lane}"}}, "/fenced",
    ),
    Kind(
        "once", "once, plain target", 10,
        {"action": "http.call", "with": {"path": "/order", "body": {"order": "${labels.lane}"}}}, "/order",
    ),
    Kind(
        "shown", "once, plain target that shows what it did", 10,
        {"action": "crash.order", "with": {"order": "${labels.lane}"}}, "/order",
    ),
)  # fmt: skip
BY_NAME: Final = {kind.name: kind for kind in KINDS}
LANES: Final = tuple(f"{kind.name}-{number:02d}" for kind in KINDS for number in range(kind.count))


def kind_of(lane: str) -> Kind:
    """The kind a lane is of."""
    return BY_NAME[lane.partition("-")[0]]


def write_configuration(folder: Path, target: str, lanes: Sequence[str] = LANES) -> Path:
    """All that `andon serve` needs, in `folder`; the components' addresses begin with `target`. Returns andon.yaml."""
    policies = [_policy(lane) for lane in lanes]
    documents: dict[str, Any] = {
        "andon.yaml": {
            "systems": [SYSTEM],
            "routes": [{"receiver": "andon", "system": SYSTEM}],
            "armed": [policy["name"] for policy in policies],
            "budget": {"limit": 250, "within": "1s", "reserve": 0},
            "policies": ["policies.yaml"],
            "listen": {"host": "127.0.0.1", "port": 0},
        },
        "people.yaml": {
            "people": [{"id": SIGNER}, {"id": "demo-lead"}],
            "rosters": {"approvers": [{"system": SYSTEM, "risk": "risky", "people": [SIGNER, "demo-lead"]}]},
        },
        "targets.yaml": {"systems": {SYSTEM: {"components": [_component(lane, target) for lane in lanes]}}},
        "policies.yaml": {
            "system": SYSTEM,
            "labels": ["lane"],
            "oncall": {"service": "trading-oncall"},
            "policies": policies,
            "pre_authorised": [_signature(lane) for lane in lanes if kind_of(lane).step["action"] == "http.call"],
        },
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document))  # JSON is YAML
    return folder / "andon.yaml"


def webhook(lanes: Sequence[str], round_name: str) -> bytes:
    """Alertmanager's webhook (version 4) with one critical alert for each lane."""
    alerts = [
        {
            "status": "firing",
            "labels": {"alertname": ALERT, "severity": "critical", "system": SYSTEM, "lane": lane},
            "annotations": {"summary": f"{lane} of {round_name} needs its action"},
            "startsAt": "2026-01-05T10:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "fingerprint": f"{LANES.index(lane) + 1:016x}",
        }
        for lane in lanes
    ]
    body = {
        "version": "4", "groupKey": f"{{}}:{{{round_name}}}", "status": "firing", "receiver": "andon",
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "truncatedAlerts": 0,
        "externalURL": "http://alertmanager.example:9093", "alerts": alerts,
    }  # fmt: skip
    return json.dumps(body).encode()


def _policy(lane: str) -> dict[str, Any]:
    return {
        "name": lane,
        "match": [f'alertname="{ALERT}"', f'lane="{lane}"'],
        "group_by": ["lane"],
        "mode": "auto",
        "channel": "#crash",
        "plan": [{"component": lane, **kind_of(lane).step}],
    }


def _component(lane: str, target: str) -> dict[str, Any]:
    kind = kind_of(lane)
    return {
        "name": lane,
        "role": "risk",
        "connector": "http",
        "url": f"{target}/{lane}",
        "allow": [f"POST {kind.posts}", "GET /state"],
        "read": {"kelly_fraction": {"http": "/state", "json": "kelly_fraction"}},
        "floors": {"kelly_fraction": 0.05},
    }


def _signature(lane: str) -> dict[str, str]:
    return {
        "action": "http.call", "policy": lane, "by": SIGNER, "reason": "tried by the crash matrix",
        "until": "2100-01-01T00:00:00Z",
    }  # fmt: skip
