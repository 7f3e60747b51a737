"""The decision card: everything a person must see before they say yes or no, as data.

Made from the incident's pending question, the pinned policy and people.yaml as it is now. Told by `http_api` (one
incident, all that waits); `bot.console_decision` puts it into words. Who may decide is asked anew at the click
(`http_decisions`) and once more before sending; here it only says what to expect.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, TypeAlias

from bot.adapters.http_services import Services
from bot.core.approval import PendingApproval, Terms
from bot.core.incident import Incident
from bot.core.incident_end import next_call
from bot.core.plan import Plan, Step
from policies import approvals
from policies.people import PeopleDocument

Card: TypeAlias = dict[str, Any]


def card(services: Services, shard: str, incident: Incident, caller: str) -> Card | None:
    """What waits for a decision on this incident, and what `caller` ("" for nobody known) may do about it."""
    asked = incident.approval
    if asked is None or incident.plan is None:
        return None
    step = step_of(incident.plan, asked)
    people, terms = services.roster(), asked.terms
    voted = [vote.by for vote in asked.votes]
    return {
        "system": shard,
        "incident": incident.id,
        "severity": incident.severity,
        "approval": asked.id,
        "digest": terms.digest,
        "policy": incident.plan.policy,
        "policy_hash": terms.policy_hash,
        "policy_changed": terms.policy_hash != terms.current_hash,
        "action": step.action,
        "component": step.component,
        "risk": step.risk,
        "direction": step.direction,
        "delivery": step.delivery,
        "why": asked.why,
        "arguments": asked.arguments,
        "before": asked.before,
        "wanted": terms.wanted,
        "pins": terms.pins,
        "guard": step.guard,
        "guard_untold": terms.blind,
        "verify": step.verify.until if step.verify is not None else "",
        "readings": [asdict(reading) for reading in asked.readings],
        "findings": dict(incident.findings),
        "votes": [asdict(vote) for vote in asked.votes],
        "quorum": terms.quorum,
        "missing": max(0, terms.quorum - len(voted)),
        "may_still_vote": [one for one in _able(people, shard, step, terms.requesters) if one not in voted],
        "requesters": list(terms.requesters),
        "break_glass": _glass(people, shard, step),
        "asked_at": terms.asked_at,
        "expires_at": terms.expires_at,
        "silence": f"nothing is sent and {next_call(incident, incident.plan)[0].service} is paged",
        "by_hand": terms.by_hand,
        "you": _you(people, shard, step, asked, caller),
    }


def step_of(plan: Plan, asked: PendingApproval) -> Step:
    """The plan's step that the question is about, as strict as the question is."""
    return strict(next(each for each in plan.steps if each.id == asked.step), asked.terms)


def strict(step: Step, terms: Terms) -> Step:
    """The step with the risk and the broken glass that people were asked about."""
    return replace(step, risk=terms.risk, break_glass=terms.break_glass)


def _able(people: PeopleDocument, shard: str, step: Step, requesters: tuple[str, ...]) -> list[str]:
    return [person for person in people.approvers(shard, step.risk) if person not in requesters]


def _glass(people: PeopleDocument, shard: str, step: Step) -> str:
    """Who may decide alone here with a typed reason, or ""."""
    person = step.break_glass
    return person if person and people.may_break_glass(shard, person) else ""


def _you(people: PeopleDocument, shard: str, step: Step, asked: PendingApproval, caller: str) -> Card:
    """What the caller may do; `not_approve` and `not_deny` say why not, "" when they may."""
    if not caller:
        stranger = "you are nobody in people.yaml, so you may look but not decide"
        return {"person": None, "not_approve": stranger, "not_deny": stranger, "may_break_glass": False}
    requesters = asked.terms.requesters
    said_yes = any(vote.by == caller for vote in asked.votes)
    not_approve = (
        "you have said yes already" if said_yes else approvals.refusal(people, shard, step, caller, requesters)
    )
    return {
        "person": caller,
        "not_approve": not_approve,
        "not_deny": approvals.refusal(people, shard, step, caller, requesters, deny=True),
        "may_break_glass": _glass(people, shard, step) == caller,
    }
