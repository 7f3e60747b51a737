"""For any record: every kind of event it could be told now, current, copied, stale and absurd ones alike.

Used by `test_tables` to walk every reachable corner of the machines breadth first.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace

from bot.core import lifts
from bot.core.approval import Terms
from bot.core.events import (
    AlertFired,
    AlertResolved,
    ApprovalNeeded,
    BranchEnded,
    Budget,
    DiagnosisFound,
    Event,
    EvidenceObserved,
    IntentDeclared,
    MessageDelivered,
    ParentResolved,
    SlotDenied,
    SlotGranted,
    SlotQueued,
    SlotReleased,
    SlotRequested,
    StepNotSent,
    StepShadowed,
    StepSucceeded,
    StepUnknown,
    StepUnneeded,
    TimerFired,
    VerificationEnded,
)
from bot.core.incident import Incident
from bot.core.incident_moves import (
    GUARD_RETRIES,
    RECHECKS_BEFORE_PARKING,
)
from bot.core.intents import IntentRecalled, WritesLost, WritesReconciled
from bot.core.orders import (
    ApprovalVoted,
    LeaseEnded,
    LeaseRenewed,
    OperatorAcked,
    OperatorEscalated,
    OperatorHeld,
    OperatorResolved,
    OperatorTook,
    PolicyArmed,
    PolicyDisarmed,
    StepOrdered,
    TargetFrozen,
    TargetUnfrozen,
)
from bot.core.plan import Plan
from bot.core.record import Timer
from bot.core.target import Target
from bot.core.words import SYSTEM_TARGET, Millis
from tests.unit.core.builders import MINUTE, START, alert, ended, fired

REPORTS = (StepSucceeded, StepShadowed, ApprovalNeeded, StepNotSent, StepUnknown)
RISK_ENGINE = "target:risk-engine"


def incident_events(incident: Incident, plan: Plan) -> Iterator[tuple[Event, Millis]]:
    """Events for an incident, each with the time it is folded at."""
    now = _now(incident.timers)
    for fingerprint in ("a", "b"):
        known = incident.alerts.get(fingerprint)
        starts = START if known is None else known.alert.starts_at
        yield fired(alert(fingerprint, starts=starts), plan), now
        yield fired(alert(fingerprint, starts=starts + 1), plan), now
        yield fired(alert(fingerprint, starts=starts - 1), plan), now
        yield ended(alert(fingerprint, starts=starts)), now
        yield ended(alert(fingerprint, starts=starts - 1)), now
    yield OperatorAcked(id=fresh("ack", incident), at=now, by="demo-oncall"), now
    for force in (True, False):
        yield OperatorResolved(id=fresh("resolve", incident), at=now, by="demo-oncall", force=force), now
    yield OperatorTook(id=fresh("take", incident), at=now, by="demo-oncall"), now
    yield OperatorEscalated(id=fresh("escalate", incident), at=now, by="demo-oncall"), now
    yield OperatorHeld(id=fresh("hold", incident), at=now, by="demo-oncall", for_ms=30 * MINUTE), now
    yield from _votes(incident, now)
    for by, parent in (("demo-oncall", ""), ("", "inc-parent")):
        yield StepOrdered(
            id="order", at=now, key="order", plan=replace(plan, steps=plan.steps[:1]), severity="critical", by=by,
            reason="as told", parent=parent, parent_episode=1,
        ), now  # fmt: skip
    yield BranchEnded(
        id="end", at=now, branch="inc-branch", episode=1, step="halt", outcome="verified", why="as told"
    ), now  # fmt: skip
    yield ParentResolved(id="over", at=now, why="as told"), now
    for error in ("", "no route"):
        yield MessageDelivered(id="told", at=now, channel="chat", reference="1", error=error), now
    for page in ("inc-1:trading-oncall:1.1", f"{incident.id}:trading-oncall:1.1", *incident.paged.values()):
        yield MessageDelivered(id="paged", at=now, channel="pager", reference="1", page=page, service="s"), now
    for name in ("var_pattern", "unasked"):
        yield DiagnosisFound(id="found", at=now, episode=incident.episode, diagnosis=name, finding="a spike"), now
    yield from _timers(incident.timers)
    yield from _about_steps(incident, now)
    yield from _observations(incident, now)


def _votes(incident: Incident, now: Millis) -> Iterator[tuple[Event, Millis]]:
    asked = incident.approval or incident.granted
    known = (asked.id, asked.terms.digest) if asked is not None else ("dec-none", "d")
    for approval, digest in {known, ("dec-old", known[1]), (known[0], "other")}:
        for verdict in ("approve", "deny"):
            for by, refusal in (("demo-approver", ""), ("demo-other", ""), ("demo-other", "may not")):
                yield ApprovalVoted(
                    id=fresh(f"{by}/{verdict}", incident), at=now, by=by, approval=approval, digest=digest,
                    verdict=verdict, refusal=refusal,
                ), now  # type: ignore[arg-type]  # fmt: skip


def terms(**changes: object) -> Terms:
    """Two must say yes, and two may."""
    usual = Terms(
        digest="d", pins="{}", wanted="{}", policy_hash="h", current_hash="h", quorum=2, asked_at=START,
        expires_at=START + 60 * MINUTE, eligible=("demo-approver", "demo-other"), by_hand="curl risk-engine",
    )  # fmt: skip
    return replace(usual, **changes)  # type: ignore[arg-type]  # the fields are Terms' own


def fresh(what: str, record: Incident | Target) -> str:
    """An id that no request had before on the way to this record."""
    return f"{what}/{len(record.heard)}"


def _about_steps(incident: Incident, now: Millis) -> Iterator[tuple[Event, Millis]]:
    for name in ("cut", "halt"):
        for episode in (incident.episode, incident.episode - 1):
            for fence in (0, incident.fence + 1):
                yield SlotGranted(id="g", at=now, episode=episode, step=name, fence=fence, disposition="act"), now
            yield SlotQueued(id="q", at=now, episode=episode, step=name, why="behind inc-9"), now
            yield SlotDenied(id="d", at=now, episode=episode, step=name, why="frozen", frozen=True), now
    for intent in {incident.run or "int-none", "int-old"}:
        about = {"id": "o", "at": now, "episode": incident.episode, "step": "cut", "why": "as told", "intent": intent}
        for kind in REPORTS:
            yield kind(**about), now  # type: ignore[arg-type]
        yield ApprovalNeeded(**about, terms=terms()), now  # type: ignore[arg-type]
        yield ApprovalNeeded(**about, terms=terms(eligible=("demo-approver",))), now  # type: ignore[arg-type]
        for already in (True, False):
            yield StepUnneeded(**about, already=already), now  # type: ignore[arg-type]


def _observations(incident: Incident, now: Millis) -> Iterator[tuple[Event, Millis]]:
    for purpose in ("verify", "resolve"):
        timer = incident.timers.get(f"{purpose}:again")
        for token in {"stale", timer.token if timer else "none"}:
            for holds in (True, False, None):
                yield EvidenceObserved(
                    id="e", at=now, episode=incident.episode, purpose=purpose, token=token, holds=holds, why="as seen"
                ), now  # type: ignore[arg-type]  # fmt: skip


def _timers(timers: dict[str, Timer]) -> Iterator[tuple[Event, Millis]]:
    for name, timer in timers.items():
        yield TimerFired(id=f"t/{timer.token}", at=timer.due, name=name, token=timer.token), timer.due
        yield TimerFired(id="t/stale", at=timer.due, name=name, token="stale"), timer.due
    yield TimerFired(id="t/none", at=START, name="no-such-timer", token="none"), START


def _now(timers: dict[str, Timer]) -> Millis:
    return min((timer.due for timer in timers.values()), default=START + 1) - 1


# Where the machine asks how often it has looked already, and what is too often there. Elsewhere it only counts.
TOO_OFTEN: Mapping[str, int] = {
    "open": RECHECKS_BEFORE_PARKING - 1, "acting": GUARD_RETRIES, "awaiting_approval": RECHECKS_BEFORE_PARKING - 1,
    "mitigated": RECHECKS_BEFORE_PARKING - 1,
}  # fmt: skip


def incident_corner(incident: Incident, *, episodes: int = 2) -> Hashable:
    """What makes two incidents alike for the machine; everything it never branches on is left out.

    From the episode of number `episodes` on, all are alike: the machine only compares an event's with the incident's.
    """
    plan = incident.plan
    over = incident.status in ("resolved", "closed")
    tries = incident.tries >= TOO_OFTEN.get(incident.status, incident.tries + 1)
    failed = any(r.episode == incident.episode and r.outcome in ("not_sent", "unverified") for r in incident.results)
    return (
        plan.policy_hash if plan else "", incident.status, min(incident.episode, episodes), incident.cursor,
        bool(incident.run), bool(incident.fence), tries, over and incident.resumes == "mitigated", not over and failed,
        tuple(sorted({name.partition(":")[0] if "rung" in name else name for name in incident.timers})),
        bool(incident.firing), bool(incident.untracked), incident.approval and len(incident.approval.votes),
        incident.granted is not None, bool(incident.taken_by), bool(incident.parent), bool(incident.ordered_by),
    )  # fmt: skip


def request(incident: str, *, severity: str = "critical", cooldown: Millis = 0, name: str = "cut") -> SlotRequested:
    return SlotRequested(
        id=f"{incident}/turn", at=START, incident=incident, episode=1, step=name, action="risk.reduce_kelly",
        target=RISK_ENGINE, policy="var-breach", mode="auto", severity=severity, direction="lowers",
        cooldown_ms=cooldown,
    )  # type: ignore[arg-type]  # fmt: skip


def target_events(target: Target) -> Iterator[tuple[Event, Millis]]:
    """Events for a component or for `*`, each with the time it is folded at."""
    now = _now(target.timers)
    for incident, severity in (("inc-1", "critical"), ("inc-2", "warning")):
        for cooldown in (0, MINUTE):
            yield request(incident, severity=severity, cooldown=cooldown), now
        fences = {0, target.fence, target.fence - 1}
        for fence in fences:
            for outcome in ("none", "done", "unknown"):
                for until in (None, now + MINUTE):
                    yield SlotReleased(
                        id="r", at=now, incident=incident, step="cut", outcome=outcome, action="risk.reduce_kelly",
                        fence=fence, verifying_until=until, lease_ms=MINUTE if until else 0, undo="risk.restore_kelly",
                    ), now  # type: ignore[arg-type]  # fmt: skip
            for attempt in (1, 2):
                for direction in ("lowers", "neutral"):
                    yield _intent(incident, fence, attempt, direction, now), now
        yield VerificationEnded(id="v", at=now, incident=incident), now
        recalled = _intent(incident, target.fence, 2, "lowers", now)
        yield IntentRecalled(id="c", at=now, by="r1", intent=recalled, outcome="open"), now
    for replica in ("r1", "r2"):
        yield WritesLost(id="l", at=now, by=replica, why="the store has forgotten something"), now
        yield WritesReconciled(id="b", at=now, by=replica, why="nothing was missing"), now
    for until in (None, now + MINUTE):
        yield TargetFrozen(id=fresh("freeze", target), at=now, by="demo-oncall", reason="maintenance", until=until), now
    for seen in ((), ("of another",), (*lifts.marks(target), "of another")):
        yield TargetUnfrozen(id=fresh("unfreeze", target), at=now, by="demo-oncall", seen=seen), now
    yield (
        LeaseRenewed(id=fresh("renew", target), at=now, by="demo-oncall", action="risk.reduce_kelly", for_ms=MINUTE),
        now,
    )
    yield LeaseEnded(id=fresh("end", target), at=now, by="demo-oncall", action="risk.reduce_kelly"), now
    yield PolicyArmed(id=fresh("arm", target), at=now, by="demo-oncall", policy="var-breach"), now
    yield PolicyDisarmed(id=fresh("disarm", target), at=now, by="demo-oncall", policy="var-breach"), now
    component = "" if target.id == SYSTEM_TARGET else "risk-engine:"
    for name in ("freeze:1", "automation-tripped:1", "lease:risk.reduce_kelly:1", "writes-lost:r1:1"):
        page = f"{target.system}:{component}{name}"
        yield MessageDelivered(id="paged", at=now, channel="pager", reference="1", page=page, service="s"), now
    yield from _timers(target.timers)


def _intent(incident: str, fence: int, attempt: int, direction: str, now: Millis) -> IntentDeclared:
    return IntentDeclared(
        id=f"i/{attempt}", at=now, intent=f"int-{incident}", incident=incident, episode=1, step="cut",
        action="risk.reduce_kelly", target=RISK_ENGINE, policy="var-breach", policy_hash="h", arguments="{}",
        before="{}", direction=direction, delivery="absolute", fence=fence, attempt=attempt, deadline=now + 1,
        budget=Budget(limit=2, within_ms=MINUTE, reserve=1),
    )  # type: ignore[arg-type]  # fmt: skip


def target_corner(target: Target) -> Hashable:
    """What makes two targets alike for their machines."""
    slot = target.slot
    return (
        target.id, (slot.incident, slot.intent and slot.intent.attempt) if slot else None,
        tuple((waiting.incident, waiting.cooldown_ms) for waiting in target.queue),
        target.verifying and target.verifying.incident, target.freeze and target.freeze.until is None,
        bool(target.last_run), tuple((lease.asked > 0) for lease in target.leases.values()),
        min(len(target.recent), 3), target.tripped_at is None, tuple(target.armed), tuple(sorted(target.doubts)),
        bool(target.loose), bool(target.recalled),
        tuple(target.timers),
    )  # fmt: skip


ALIEN_TO_INCIDENTS: tuple[Event, ...] = (
    request("inc-1"),
    SlotReleased(id="r", at=START, incident="inc-1", step="cut", outcome="none"),
    TargetUnfrozen(id="u", at=START, by="demo-oncall"),
    PolicyArmed(id="a", at=START, by="demo-oncall", policy="var-breach"),
)
ALIEN_TO_TARGETS: tuple[Event, ...] = (
    AlertFired(id="x", at=START, alert=alert()),
    AlertResolved(id="x", at=START, alert=alert()),
    OperatorAcked(id="x", at=START, by="demo-oncall"),
    StepSucceeded(id="x", at=START, episode=1, step="cut", why="as told"),
)
