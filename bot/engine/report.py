"""The account of one incident: from its record and its audit chain to a `Report`. Pure.

Asked for by the API (`GET /api/v1/incidents/{id}/report`), also for archived incidents. Everything is read from the
audit, link by link, so the report says nothing that cannot be verified; the record adds the plan and the alerts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from bot.core.audit import AuditEntry, verify
from bot.core.incident import Incident
from bot.core.plan import Plan, Step
from bot.core.words import AggregateId, Millis
from bot.engine.report_chain import Link, events_of, read_link
from bot.engine.report_form import (
    AlertSeen,
    BranchTaken,
    DecisionTaken,
    EffectMade,
    EvidenceRead,
    Moment,
    Report,
    Said,
)
from bot.engine.report_times import episodes
from bot.engine.report_words import effect_words, event_words, who_did

# Events that decide something whatever became of them; any other event that was refused is a decision too.
_DECIDING: Final = frozenset({
    "slot_granted", "slot_denied", "approval_needed", "approval_voted", "step_ordered", "step_shadowed",
    "operator_acked", "operator_took", "operator_escalated", "operator_held", "operator_resolved",
})  # fmt: skip
_OUTCOMES: Final[Mapping[str, str]] = {
    "step_succeeded": "done", "step_not_sent": "not sent", "step_unknown": "unknown", "step_shadowed": "shadowed",
    "step_unneeded": "not needed",
}  # fmt: skip


def build(
    record: Incident,
    chain: Sequence[AuditEntry],
    *,
    version: int,
    head: str,
    now: Millis,
    branches: Sequence[Incident] = (),
    attempts: Mapping[str, int] | None = None,
    archived: bool = False,
) -> Report:
    """The report. `branches`: the incidents its ladder began; `attempts`: how often each intent was tried."""
    links = [read_link(entry) for entry in chain]
    plan = record.plan
    return Report(
        incident=record.id,
        system=record.system,
        policy=plan.policy if plan else "",
        policy_hash=plan.policy_hash if plan else "",
        row=plan.row if plan else "",
        mode=plan.mode if plan else "",
        runbook=plan.runbook if plan else "",
        severity=record.severity,
        status=record.status,
        why=record.why,
        group=dict(record.group),
        opened_at=record.opened_at,
        closed_at=record.closed_at,
        told_at=now,
        archived=archived,
        parent=record.parent,
        ordered_by=record.ordered_by,
        taken_by=record.taken_by,
        episodes=tuple(episodes(links, plan.mttr_target_ms if plan else 0, now)),
        alerts=tuple(_alerts(record)),
        untracked_alerts=record.untracked,
        decisions=tuple(_decisions(links)),
        evidence=tuple(_evidence(links)),
        effects=tuple(_effects(links, plan, attempts or {})),
        branches=tuple(_branch(branch) for branch in branches),
        said=tuple(_said(links)),
        timeline=tuple(_timeline(links)),
        audit_links=len(chain),
        audit_head=head,
        audit_problems=verify(chain, head, version),
    )


def branches_of(record: Incident, chain: Sequence[AuditEntry]) -> tuple[AggregateId, ...]:
    """Every branch its ladder began, in any episode: those it has now, and those that told it how they ended."""
    ended = (str(event.get("branch", "")) for _, _, event in events_of([read_link(entry) for entry in chain]))
    return tuple(dict.fromkeys(branch for branch in (*record.branches, *ended) if branch))


def attempts_in(chain: Sequence[AuditEntry], incident: AggregateId) -> dict[str, int]:
    """The highest attempt of each intent that `incident` declared, from the chain of the target it acted on."""
    found: dict[str, int] = {}
    for link in (read_link(entry) for entry in chain if incident in entry.body):
        for line in link.events:
            event = line.get("event") or {}
            if event.get("kind") == "intent_declared" and event.get("incident") == incident:
                intent, attempt = str(event.get("intent", "")), event.get("attempt")
                if isinstance(attempt, int) and line.get("decision") == "applied":
                    found[intent] = max(found.get(intent, 0), attempt)
    return found


def _timeline(links: Sequence[Link]) -> Iterator[Moment]:
    for link in links:
        for line in link.events:
            event = line.get("event") or {}
            yield Moment(
                at=link.at, kind=str(event.get("kind", "")), who=who_did(event), what=event_words(event),
                decision=str(line.get("decision", "")), why=str(line.get("why", "")),
            )  # fmt: skip
        for effect in link.effects:
            yield Moment(at=link.at, kind=str(effect.get("kind", "")), who="", what=effect_words(effect))


def _decisions(links: Sequence[Link]) -> Iterator[DecisionTaken]:
    for at, line, event in events_of(links):
        refused = line.get("decision") == "denied"
        kind = str(event.get("kind", ""))
        if not refused and kind not in _DECIDING:
            continue
        if refused:
            verdict = "refused"
        elif kind == "slot_granted":
            verdict = str(event.get("disposition", ""))
        elif kind == "approval_voted":
            verdict = "yes" if event.get("verdict") == "approve" else "no"
        else:
            verdict = {"slot_denied": "no turn", "approval_needed": "asked", "step_shadowed": "shadow"}.get(
                kind, "done"
            )
        reasons = dict.fromkeys(str(text) for text in (event.get("why"), line.get("why")) if text)
        yield DecisionTaken(
            at=at, who=who_did(event), what=event_words(event), verdict=verdict, reason="; ".join(reasons)
        )


def _evidence(links: Sequence[Link]) -> Iterator[EvidenceRead]:
    for at, _, event in events_of(links):
        for reading in event.get("readings") or ():
            taken = reading.get("taken_at")
            learned = event.get("at")  # the commit may be later
            yield EvidenceRead(
                at=at,
                name=str(reading.get("name", "")),
                value=reading.get("value"),
                age_ms=max(0, (learned if isinstance(learned, int) else at) - taken) if taken is not None else None,
                source=str(reading.get("source", "")),
                error=str(reading.get("error", "")),
                used_for=event_words(event),
            )


def _effects(links: Sequence[Link], plan: Plan | None, attempts: Mapping[str, int]) -> Iterator[EffectMade]:
    steps = {step.id: step for step in _steps(plan)}
    for at, line, event in events_of(links):
        outcome = _OUTCOMES.get(str(event.get("kind", "")))
        if outcome is None or line.get("decision") == "denied":
            continue
        step, intent = steps.get(str(event.get("step", ""))), str(event.get("intent") or "")
        yield EffectMade(
            at=at,
            episode=int(event.get("episode") or 0),
            step=str(event.get("step", "")),
            action=step.action if step else "",
            component=step.component if step else "",
            outcome=outcome,
            why=str(event.get("why") or line.get("why", "")),
            arguments=str(event.get("arguments") or "{}"),
            before=str(event.get("before") or "{}"),
            after=str(event.get("after") or "{}"),
            intent=intent,
            attempt=attempts.get(intent, 0),
        )


def _steps(plan: Plan | None) -> Iterator[Step]:
    if plan is not None:
        yield from plan.steps
        yield from (rung.step for rung in plan.ladder if rung.step is not None)


def _branch(branch: Incident) -> BranchTaken:
    return BranchTaken(
        incident=branch.id,
        action=branch.plan.steps[0].action if branch.plan and branch.plan.steps else "",
        status=branch.status,
        why=branch.results[-1].why if branch.results else branch.why,
        opened_at=branch.opened_at,
    )


def _said(links: Sequence[Link]) -> Iterator[Said]:
    """Pages and messages. The chain tells of every page's delivery, and of a message only when it was not taken."""
    answers: dict[str, str] = {}
    for _, _, event in events_of(links):
        if event.get("kind") == "message_delivered":
            answers[str(event.get("id", "")).removesuffix("/delivered")] = event_words(event)
    kinds = {"page_oncall": "page", "resolve_page": "page taken back", "post_message": "message"}
    for link in links:
        for effect in link.effects:
            kind = kinds.get(str(effect.get("kind", "")))
            if kind is not None:
                yield Said(
                    at=link.at,
                    kind=kind,
                    to=str(effect.get("service") or effect.get("channel") or ""),
                    severity=str(effect.get("severity", "")),
                    text=str(effect.get("summary") or effect.get("text") or ""),
                    taken=answers.get(str(effect.get("id", "")), ""),
                )


def _alerts(record: Incident) -> Iterator[AlertSeen]:
    for _, state in sorted(record.alerts.items()):
        alert = state.alert
        yield AlertSeen(
            name=alert.name, labels=dict(alert.labels), annotations=dict(alert.annotations), source=alert.source,
            state="dismissed" if state.dismissed else "firing" if state.firing else "resolved",
            starts_at=alert.starts_at, changed_at=state.changed_at,
        )  # fmt: skip
