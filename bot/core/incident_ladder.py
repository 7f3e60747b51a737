"""The ladder: what each rung does when its time has come, and what is left of it after Andon itself was away.

Called by `incident_waits` for timers named ``rung:<n>``. A rung pages, says something in a channel, and runs a step of
its own as a branch (`StepOrdered`), all at once. Rungs that came due while Andon was away are one call to people, and
their actions begin anew only after a fresh window in which a person can still say no (law 9).
"""

from __future__ import annotations

from dataclasses import replace

from bot.core.incident_draft import Draft
from bot.core.incident_end import branch_id, describe
from bot.core.incident_moves import FRESH_WINDOW_MS, as_left
from bot.core.orders import StepOrdered
from bot.core.plan import Page, Plan, Rung
from bot.core.record import Applied, Decision
from bot.core.words import Millis

AWAY_MS: Millis = 60_000  # a rung this late was not delayed, Andon was away; a loaded store delays by a second at most


def rung_due(draft: Draft, number: int, due: Millis) -> Decision:
    """Climb to rung `number` (from 0), which was due at `due`."""
    if draft.now - due > AWAY_MS:
        return _collapse(draft, number, due)
    rung = draft.plan.ladder[number]
    reason = _stopped(draft, rung)
    if reason or not _is_held(draft, rung):
        draft.change(climbed=(*draft.incident.climbed, number))
    if reason:
        return Applied(f"rung {number + 1} is not climbed: {reason}")
    return Applied(f"level {number + 1}: {', '.join(_climb(draft, number, '')) or 'nothing to do'}")


def _is_held(draft: Draft, rung: Rung) -> bool:
    """Whether a person holds back what this rung does by itself; whom it calls is called all the same."""
    return rung.step is not None and draft.now < draft.incident.held_until


def _stopped(draft: Draft, rung: Rung) -> str:
    """Why this rung has nothing to do any more, or ""."""
    incident = draft.incident
    if rung.until == "resolved":
        return ""
    if incident.taken_by:
        return f"{incident.taken_by} has it"
    if incident.acknowledged_by and rung.until == "acked":
        return f"acknowledged by {incident.acknowledged_by}"
    return "mitigated" if incident.status == "mitigated" else ""


def _climb(draft: Draft, number: int, prefix: str) -> list[str]:
    """Do everything the rung says; returns what was done."""
    rung, done = draft.plan.ladder[number], []
    words = f"{prefix}{draft.plan.policy}: {draft.incident.why} ({describe(draft)})"
    called = number < draft.incident.level  # by a person who escalated
    draft.change(level=max(draft.incident.level, number + 1))
    seen = draft.incident.acknowledged_by and rung.until != "resolved"  # an ack stops paging, not what the rung does
    if rung.page is not None and not called and not seen:
        draft.page(rung.page, words)
        done.append(f"paged {rung.page.service}")
    if rung.notify and not called:
        draft.say("escalated", words, channel=rung.notify)
        done.append(f"told {rung.notify}")
    if rung.step is not None and _is_held(draft, rung):
        draft.arm(f"rung:{number}", draft.incident.held_until)
        done.append(f"holds {rung.step.action} back")
    elif rung.step is not None:
        _branch(draft, number)
        done.append(f"runs {rung.step.action}")
    return done


def _branch(draft: Draft, number: int) -> None:
    """Begin the rung's own step, in an incident of its own, with this incident's policy, evidence and alerts."""
    incident, plan = draft.incident, draft.plan
    step = plan.ladder[number].step
    assert step is not None  # only rungs with a step get here
    branch = branch_id(incident, number)
    if branch in incident.branches:
        return
    minutes = (draft.now - incident.episode_at) / 60_000
    order = StepOrdered(
        id=draft.fresh("branch"), at=draft.now, key=f"{incident.key}/rung:{number + 1}/{branch}",
        plan=replace(plan, steps=(step,), ladder=(), diagnose=(), page_on_open=None, call_all=_everybody(plan)),
        severity=incident.severity,
        reason=f"rung {number + 1} of {incident.id}, {minutes:.1f} minutes after it began", parent=incident.id,
        parent_episode=incident.episode, acknowledged_by=incident.acknowledged_by, requesters=incident.requesters,
        left=as_left(incident, step), alerts=draft.alerts(),
    )  # fmt: skip
    draft.change(branches=(*incident.branches, branch))
    draft.tell(branch, order)


def _everybody(plan: Plan) -> tuple[Page, ...]:
    """Whom the ladder knows; a branch has no ladder of its own."""
    return tuple(dict.fromkeys(rung.page for rung in plan.ladder if rung.page is not None))


def _collapse(draft: Draft, number: int, due: Millis) -> Decision:
    """Rungs that came due while Andon was away: one call, to the highest; what acts waits for a fresh window."""
    timers, ladder = draft.incident.timers, draft.plan.ladder
    ahead = {n: timers[f"rung:{n}"].due for n in range(len(ladder)) if f"rung:{n}" in timers}
    dues = {number: due, **{n: was_due for n, was_due in ahead.items() if was_due <= draft.now}}
    draft.disarm(*(f"rung:{n}" for n in dues))
    # Whatever would act before the window is over waits for its end, in order and as far apart as it was.
    soon = {**dues, **{n: was_due for n, was_due in ahead.items() if was_due < draft.now + FRESH_WINDOW_MS}}
    acting = {n: was_due for n, was_due in soon.items() if ladder[n].step is not None}
    for n, was_due in acting.items():
        draft.arm(f"rung:{n}", draft.now + FRESH_WINDOW_MS + was_due - min(acting.values()))
    draft.change(climbed=(*draft.incident.climbed, *(n for n in dues if n not in acting)))
    late = f"{len(dues)} {'rung' if len(dues) == 1 else 'rungs'} came due while Andon was away"
    calls = [n for n in dues if not _stopped(draft, draft.plan.ladder[n])]
    talking = [n for n in calls if draft.plan.ladder[n].page is not None or draft.plan.ladder[n].notify]
    if not talking:
        return Applied(f"{late}; nobody is left to be called")
    top = max(talking)
    rung, words = draft.plan.ladder[top], f"({late}) {draft.plan.policy}: {draft.incident.why} ({describe(draft)})"
    draft.change(level=max(draft.incident.level, top + 1))
    if rung.page is not None:
        draft.page(rung.page, words)
    if rung.notify:
        draft.say("escalated", words, channel=rung.notify)
    return Applied(f"{late}; level {top + 1}")
