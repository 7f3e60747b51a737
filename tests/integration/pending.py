"""An incident that waits for people, brought about on the doors' twin the way the engine does it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bot.core.alert import Alert
from bot.core.approval import Terms
from bot.core.events import AlertFired, ApprovalNeeded
from bot.core.incident import Incident
from bot.core.orders import PolicyArmed
from bot.core.plan import Page, Plan, Rung, Step
from bot.core.reading import Reading
from bot.core.words import SYSTEM_TARGET
from bot.engine.fold import Letter
from policies import approvals
from tests.integration.door_twin import SYSTEM, TwinServices

HALT = Step(
    id="1-trading.halt", action="trading.halt", component="risk-engine", arguments='{"reason":"VaR"}', risk="risky",
    direction="lowers", delivery="absolute", automatic=False, guard="evidence.var > 1.8", break_glass="demo-second",
)  # fmt: skip
PLAN = Plan(
    policy="var-breach", system=SYSTEM, policy_hash="a" * 64, mode="auto", steps=(HALT,),
    ladder=(Rung(after_ms=3_600_000, page=Page(service="cro", severity="critical"), until="resolved"),),
)  # fmt: skip
ACTING: tuple[Rung, ...] = (  # a ladder that also does something by itself
    Rung(after_ms=600_000, step=replace(HALT, id="r1-trading.halt", automatic=True), until="resolved"),
    *PLAN.ladder,
)


async def ask(
    services: TwinServices, *, requesters: tuple[str, ...] = (), changes: dict[str, Any] | None = None,
    ladder: tuple[Rung, ...] = PLAN.ladder,
) -> str:  # fmt: skip
    """Let an alert fire and its step ask people; returns the incident's id. `changes` are those of the step."""
    now, step = services.clock.now(), replace(HALT, **(changes or {}))
    plan = replace(PLAN, steps=(step,), ladder=ladder)
    armed = PolicyArmed(id="arm", at=now, by="demo-oncall", policy=plan.policy)
    await services.engine.tell(SYSTEM, SYSTEM_TARGET, armed)
    alert = Alert(fingerprint="f", status="firing", labels={"alertname": "VaRBreach"}, starts_at=1)
    fired = AlertFired(id="f-1", at=now, alert=alert, plan=plan)
    await services.engine.tell_all(SYSTEM, [Letter(fired, key="k")])
    incident = (await services.store.resolve_keys(SYSTEM, ["k"]))["k"]
    run = (await record(services, incident)).run
    asked = approvals.Asked(
        system=SYSTEM, incident=incident, episode=1, plan=plan, step=step, current=plan, arguments=step.arguments,
        arguments_current=step.arguments, pins='{"trading":true}', requesters=requesters, now=now,
    )  # fmt: skip
    terms: Terms = approvals.terms(asked, services.roster(), wanted='{"trading":false}', by_hand="curl -X POST …/halt")
    needed = ApprovalNeeded(
        id=f"{run}/outcome", at=now, episode=1, step=step.id, intent=run, why="VaR stays high after the cut",
        arguments=step.arguments, before='{"trading":true,"orders":3}', terms=terms,
        readings=(Reading(name="var", value=2.31, taken_at=now - 4_000, source="redis metrics:var_pct:BTC"),),
    )  # fmt: skip
    await services.engine.tell(SYSTEM, incident, needed)
    assert (await record(services, incident)).status == "awaiting_approval"
    return incident


async def record(services: TwinServices, incident: str) -> Incident:
    """The incident as stored."""
    found = (await services.store.load(SYSTEM, [incident]))[incident].record
    assert isinstance(found, Incident)
    return found
