"""What people ask of an incident or of automation: past tense, frozen, each with the id of its request.

A part of `bot.core.events`, which lists every event. `by` is always a person's id in people.yaml (`configuration` for
what andon.yaml arms); who somebody is was settled at the door. A copy of a request changes nothing again
(`bot.core.requests`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bot.core.alert import Alert
from bot.core.plan import Plan
from bot.core.words import AggregateId, JsonText, Millis, Severity

BY_LEASE = "andon:lease"  # who orders what takes an action back once its lease is over; nobody's id has a colon


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAcked:
    """A person says: I have seen it. Stops paging."""

    kind: Literal["operator_acked"] = "operator_acked"
    id: str
    at: Millis
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorResolved:
    """A person closes the matter. `force` also dismisses alerts that still fire, until they fire anew."""

    kind: Literal["operator_resolved"] = "operator_resolved"
    id: str
    at: Millis
    by: str
    note: str = ""
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetFrozen:
    """Automation is off for this target (for the whole system on `target:*`) until lifted or `until`."""

    kind: Literal["target_frozen"] = "target_frozen"
    id: str
    at: Millis
    by: str
    reason: str
    until: Millis | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetUnfrozen:
    """The freeze is lifted by a person. Nothing that was denied meanwhile starts by itself.

    `seen`: the marks (`bot.core.lifts`) of all that stopped automation when they looked, of several targets at once
    where they lift several; nothing else is lifted. Empty: whatever is in force.
    """

    kind: Literal["target_unfrozen"] = "target_unfrozen"
    id: str
    at: Millis
    by: str
    seen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyArmed:
    """A policy may act. Folded by `target:*`."""

    kind: Literal["policy_armed"] = "policy_armed"
    id: str
    at: Millis
    by: str
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDisarmed:
    """A policy runs in shadow from now on. Folded by `target:*`."""

    kind: Literal["policy_disarmed"] = "policy_disarmed"
    id: str
    at: Millis
    by: str
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRenewed:
    """What an action did stays in force for another `for_ms`, counted from now. Folded by its component."""

    kind: Literal["lease_renewed"] = "lease_renewed"
    id: str
    at: Millis
    by: str
    action: str
    for_ms: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseEnded:
    """A person says: what this action did is taken back, or is meant to stay. Nobody is asked about it any more."""

    kind: Literal["lease_ended"] = "lease_ended"
    id: str
    at: Millis
    by: str
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTook:
    """A person says: I have it. Automation stands down on this incident, its pending approval is void."""

    kind: Literal["operator_took"] = "operator_took"
    id: str
    at: Millis
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorEscalated:
    """A person asks for more people: the next rung pages now."""

    kind: Literal["operator_escalated"] = "operator_escalated"
    id: str
    at: Millis
    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorHeld:
    """A person holds the ladder's own actions back for `for_ms`."""

    kind: Literal["operator_held"] = "operator_held"
    id: str
    at: Millis
    by: str
    for_ms: Millis
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalVoted:
    """A person's yes or no to a pending approval, bound to the digest they were shown.

    `refusal` says why this person may not decide (people.yaml, read at the click); "" when they may. A refused vote is
    folded all the same: it changes nothing, and stands in the audit.
    """

    kind: Literal["approval_voted"] = "approval_voted"
    id: str
    at: Millis
    by: str
    approval: str
    digest: str
    verdict: Literal["approve", "deny"]
    reason: str = ""
    break_glass: bool = False
    refusal: str = ""
    via: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOrdered:
    """A step of its own begins an incident of its own: ordered by a person, by a lease, or by a rung of `parent`'s
    ladder.

    Opens the incident it is sent to, under `key`, with `plan` (one step). `alerts` are the parent's at that time.
    """

    kind: Literal["step_ordered"] = "step_ordered"
    id: str
    at: Millis
    key: str
    plan: Plan
    severity: Severity
    by: str = ""
    via: str = ""
    reason: str = ""
    parent: AggregateId = ""
    parent_episode: int = 0
    acknowledged_by: str = ""
    requesters: tuple[str, ...] = ()
    left: JsonText = "{}"
    alerts: tuple[Alert, ...] = ()
