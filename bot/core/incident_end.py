"""How an incident comes to its end: it parks, looks for fresh evidence of health, resolves, and tells its family.

Used by the moves in `bot.core.incident_moves` and by the rows of `bot.core.incident_machine`. Pure, like all of them.
"""

from __future__ import annotations

from typing import Literal

from bot.core.approval import Settled
from bot.core.effects import ObserveEvidence, ResolvePage
from bot.core.events import BranchEnded, ParentResolved
from bot.core.ids import incident_id
from bot.core.incident import AGAIN, Incident, StepOutcome
from bot.core.incident_draft import Draft
from bot.core.plan import Page, Plan
from bot.core.words import AggregateId, Millis

RECHECK_MS: Millis = 15_000  # between looks at the evidence of an incident whose alerts are gone
MAX_SAID = 500  # characters of what Andon says about itself in a page; pagers show little more
_DONE: frozenset[StepOutcome] = frozenset({"succeeded", "verified", "unknown"})
_TELLING: frozenset[StepOutcome] = frozenset({"succeeded", "verified", "unneeded"})


def is_errand(incident: Incident) -> bool:
    """Whether the incident is one step's own, a branch or an order: it is over when the step is."""
    return bool(incident.parent or incident.ordered_by)


def in_midst(draft: Draft) -> bool:
    """Whether the current step belongs to a sequence of which one has taken effect: then it goes on to its end."""
    incident, steps = draft.incident, draft.plan.steps
    if incident.status in ("mitigated", "resolved", "closed"):  # it has come to its end
        return False
    number = steps[incident.cursor].sequence if steps else 0
    members = {step.id for step in steps if number and step.sequence == number}
    return any(r.step in members and r.episode == incident.episode and r.outcome in _DONE for r in incident.results)


def _unsettled(incident: Incident) -> bool:
    """Whether nobody knows what became of a step: a person finds out and says so, no alert's end does."""
    open_: dict[str, str] = {}  # step -> the intent of which nobody knows
    for result in incident.results:
        if result.episode != incident.episode:
            continue
        if result.outcome == "unknown":
            open_[result.step] = result.intent
        elif result.outcome in _TELLING or (result.outcome == "not_sent" and result.intent == open_.get(result.step)):
            open_.pop(result.step, None)
    return bool(open_)


def settle(draft: Draft, approval: str, why: str) -> None:
    """A question is over. Who answers it late is told how it ended."""
    draft.change(approval=None, settled=Settled(id=approval, why=why))


def _void(draft: Draft, why: str) -> None:
    """The question that still waits, if there is one, is over because of something else."""
    if draft.incident.approval is not None:
        settle(draft, draft.incident.approval.id, why)


def park(draft: Draft, why: str, *, page: bool) -> None:
    """Stop here and wait for a human, or for the problem to go away with evidence."""
    if draft.incident.parent_over:
        resolve(draft, draft.incident.parent_over)
        return
    draft.disarm("turn", "verify", "verify:again", "retry", "diagnosis", "approval", "patience")
    _void(draft, why)
    draft.change(status="parked", why=why, fence=0, run="", granted=None)
    draft.say("parked", why)
    half_done = in_midst(draft) and not draft.incident.paged  # then nothing but a person ends it
    if (page or half_done) and not draft.incident.acknowledged_by:  # who has seen it reads it in chat (law 8)
        draft.page(draft.plan.page_on_park, f"{draft.plan.policy}: {why}")
    seek_resolution(draft)


def next_call(incident: Incident, plan: Plan) -> tuple[Page, int | None]:
    """Who is called next when nobody decides, or when a person asks for more people, and of which rung (from 0) they
    are: the lowest above all that were called, or no rung and the on-call anew where none is left."""
    for number, rung in enumerate(plan.ladder):
        if rung.page is not None and f"rung:{number}" in incident.timers and number >= incident.level:
            return rung.page, number
    return plan.page_on_park, None


def escalate(draft: Draft, why: str) -> str:
    """Call the next people now. Returns who was called."""
    page, number = next_call(draft.incident, draft.plan)
    if number is not None:
        draft.change(level=number + 1)
        if draft.plan.ladder[number].step is None:  # what it does by itself waits for its time
            draft.disarm(f"rung:{number}")
            draft.change(climbed=(*draft.incident.climbed, number))
    draft.page(page, f"{draft.plan.policy}: {why}", anew=True)
    draft.say("escalated", f"{why}; paged {page.service}")
    return page.service


def observe(draft: Draft, purpose: Literal["verify", "resolve"], condition: str, again: Millis) -> None:
    """Ask for fresh evidence now, and again at `again` unless the answer settles it."""
    token = draft.arm(f"{purpose}:again", again)
    draft.effects.append(
        ObserveEvidence(
            id=token,
            incident=draft.incident.id,
            episode=draft.incident.episode,
            purpose=purpose,
            token=token,
            condition=condition,
            evidence=draft.plan.evidence,
            system=draft.incident.system,
            alerts=draft.alerts(),
        )
    )


def seek_resolution(draft: Draft) -> None:
    """When no alert fires any more: resolve on fresh evidence of health, or at once where none is declared."""
    incident = draft.incident
    if incident.firing or incident.untracked or is_errand(incident) or _unsettled(incident) or in_midst(draft):
        return
    if draft.plan.healthy:
        observe(draft, "resolve", draft.plan.healthy, draft.now + RECHECK_MS)
    else:
        resolve(draft, "no alert fires any more")


def resolve(draft: Draft, why: str) -> None:
    """The problem is over; hold for a relapse, then close. A pending approval is void, and branches begin nothing."""
    plan, incident = draft.plan, draft.incident
    _void(draft, why)
    draft.change(
        status="resolved", resumes=incident.status, why=why, resolved_at=draft.now, timers={}, tries=0, granted=None
    )
    if not is_errand(incident):
        draft.arm("hold", draft.now + plan.hold_ms)
    draft.arm("close", draft.now + max(plan.close_ms, plan.hold_ms))
    tell_family(draft, why)
    draft.say("resolved", why)
    for service, key in incident.paged.items():
        take_back(draft, service.partition(AGAIN)[0], key)
    draft.change(paged={})


def take_back(draft: Draft, service: str, key: str) -> None:
    """Take back the page with this key."""
    made = draft.fresh("unpage")
    draft.effects.append(ResolvePage(id=made, incident=draft.incident.id, service=service, dedup_key=key))


def branch_id(incident: Incident, number: int) -> AggregateId:
    """The incident in which rung `number`'s own step runs, in this episode."""
    return incident_id(incident.system, f"{incident.key}/rung:{number}", f"{incident.id}/{incident.episode}")


def tell_family(draft: Draft, why: str) -> None:
    """A branch tells its incident what became of it; an incident tells its branches that it is over."""
    incident = draft.incident
    if incident.parent:
        outcome = incident.results[-1].outcome if incident.results else "not begun"
        ended = BranchEnded(
            id=draft.fresh("ended"), at=draft.now, branch=incident.id, episode=incident.parent_episode,
            step=draft.plan.steps[0].id, outcome=outcome, why=incident.results[-1].why if incident.results else why,
        )  # fmt: skip
        draft.tell(incident.parent, ended)
    for branch in incident.branches:
        draft.tell(branch, ParentResolved(id=draft.fresh("over"), at=draft.now, why=why))
    draft.change(branches=())


def describe(draft: Draft) -> str:
    """What fires, in a few words: alert names, how many, and in full what Andon says about itself: it has the fix."""
    firing = draft.incident.firing
    names = sorted({alert.name for alert in firing})
    said = next((alert.annotations.get("summary", "") for alert in firing if alert.labels.get("andon") == "self"), "")
    return f"{', '.join(names[:5]) or 'no alert'} ({len(firing)} firing)" + (f": {said[:MAX_SAID]}" if said else "")
