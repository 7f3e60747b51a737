"""The small closed vocabularies every room shares, and how their values compare.

Times are integers: milliseconds since the Unix epoch (`Millis`). Durations are integers in milliseconds too,
in names that end in `_ms`. JSON that the core carries but does not read is canonical text (`JsonText`).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

Millis: TypeAlias = int
JsonText: TypeAlias = str
AggregateId: TypeAlias = str  # "inc-…" for an incident, "target:<component>" or "target:*" for a target

Severity: TypeAlias = Literal["critical", "error", "warning", "info"]
Risk: TypeAlias = Literal["read", "safe", "risky", "critical"]
Direction: TypeAlias = Literal["lowers", "neutral", "raises"]
Delivery: TypeAlias = Literal["absolute", "keyed", "once"]
Mode: TypeAlias = Literal["shadow", "suggest", "auto"]
Disposition: TypeAlias = Literal["act", "suggest", "shadow"]
OnFailure: TypeAlias = Literal["continue", "stop", "escalate", "ask"]
OnNoEvidence: TypeAlias = Literal["act", "ask"]

SYSTEM_TARGET: AggregateId = "target:*"

_SEVERITY_RANK: dict[Severity, int] = {"critical": 3, "error": 2, "warning": 1, "info": 0}
_RISK_RANK: dict[Risk, int] = {"read": 0, "safe": 1, "risky": 2, "critical": 3}
# Label values seen in the wild, mapped to the four severities PagerDuty knows:
# https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
_SEVERITY_WORDS: dict[str, Severity] = {
    "critical": "critical", "page": "critical", "emergency": "critical", "p0": "critical", "fatal": "critical",
    "error": "error", "high": "error", "major": "error", "p1": "error",
    "warning": "warning", "warn": "warning", "minor": "warning", "p2": "warning",
    "info": "info", "none": "info", "low": "info", "notice": "info", "p3": "info",
}  # fmt: skip


def severity_rank(severity: Severity) -> int:
    """3 for critical down to 0 for info."""
    return _SEVERITY_RANK[severity]


def risk_rank(risk: Risk) -> int:
    """0 for read up to 3 for critical."""
    return _RISK_RANK[risk]


def severity_of(labels: dict[str, str]) -> Severity:
    """The severity an alert's labels claim; what is not understood counts as a warning."""
    return _SEVERITY_WORDS.get(labels.get("severity", "").strip().lower(), "warning")


def target_id(component: str) -> AggregateId:
    """The aggregate id of a component (`risk-engine` -> `target:risk-engine`)."""
    return f"target:{component}"
