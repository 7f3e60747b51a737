"""A closed incident with a real chain, as retention hands it to an archive."""

from __future__ import annotations

from bot.core.alert import Alert
from bot.core.audit import AuditEntry, link
from bot.core.incident import AlertState, Incident
from bot.core.plan import Plan
from bot.engine.ports import Archived

SYSTEM = "trading-core"
CLOSED_AT = 1_700_000_000_000  # 2023-11-14


def closed(name: str = "inc-aaaaaaaaaa", *, links: int = 3, why: str = "healthy again") -> Archived:
    alert = Alert(
        fingerprint="f", status="resolved", labels={"alertname": "VaRBreach", "note": "日本 \x01 \"'"}, starts_at=1
    )
    incident = Incident(
        id=name, key=f"key-of-{name}", system=SYSTEM, status="closed", why=why, opened_at=CLOSED_AT - 60_000,
        closed_at=CLOSED_AT, plan=Plan(policy="var-breach", system=SYSTEM, policy_hash="h1", mode="auto"),
        alerts={"f": AlertState(alert=alert, firing=False, changed_at=2)},
    )  # fmt: skip
    chain: list[AuditEntry] = []
    for seq in range(1, links + 1):
        chain.append(link(chain[-1].hash if chain else "", seq, f'{{"why":"{why} {seq}"}}'))
    return Archived(incident=incident, version=links, head=chain[-1].hash, audit=tuple(chain))
