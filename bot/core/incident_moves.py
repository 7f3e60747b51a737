"""The moves an incident can make, apart from when it makes them.

`incident_machine` decides by its table which move an event causes; the moves here change the draft and collect the
effects. Everything is pure: the draft is folded from one frozen record into the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from bot.core.effects import RunDiagnosis, RunStep
from bot.core.events import (
    SlotGranted,
    SlotReleased,
    SlotRequested,
    StepReport,
    VerificationEnded,
)
from bot.core.ids import intent_id
from bot.core.incident import Incident, StepOutcome, StepResult
from bot.core.incident_draft import Draft
from bot.core.incident_end import describe, in_midst, is_errand, observe, park, resolve, seek_resolution
from bot.core.plan import Page, Step
from bot.core.words import SYSTEM_TARGET, JsonText, Millis, Severity, severity_rank, target_id

FRESH_WINDOW_MS: Millis = 120_000  # what a person gets before a rung that came due meanwhile acts
LOOK_MS: Millis = 10_000  # how long a look at a verification's evidence may take; a reading takes 2 s
TURN_MS: Millis = 300_000  # a step without an outcome for this long parks; a hung dispatcher must not hide an incident
DIAGNOSIS_MS: Millis = 10_000  # how long a plan waits for its diagnoses before it goes on without them
RECHECKS_BEFORE_PARKING = 4  # a minute of "the alert is gone but the evidence is not healthy" calls a human
GUARD_RETRY_MS: Millis = 5_000  # between looks at a guard that does not hold while the alert still fires
GUARD_RETRIES = 60  # five minutes of alert and evidence disagreeing calls a human
PATIENCE_MS: Millis = 300_000  # an alert that still fires this long after verified mitigation calls a human
MAX_RESULTS = 50  # step results kept in the record; the audit has all of them


Outcome = Literal["none", "done", "not_sent", "unknown"]


# --- the plan's course -------------------------------------------------------------------------------------------


def start_episode(draft: Draft) -> None:
    """Begin the plan from its first step, for a new episode. Diagnosis never delays a protective step."""
    incident, plan = draft.incident, draft.plan
    claimed = max((alert.severity for alert in incident.firing), key=severity_rank, default=incident.severity)
    draft.change(
        status="open", episode=incident.episode + 1, cursor=0, episode_at=draft.now, fence=0, run="", tries=0, level=0,
        findings={}, mitigated_at=None, resolved_at=None, acknowledged_by="", acknowledged_at=None, taken_by="",
        frozen=False, timers={}, severity=plan.severity or claimed, approval=None, granted=None, climbed=(),
        held_until=0, doubt="", readings=(),
        requesters=tuple(sorted({alert.injected_by for alert in incident.firing} - {""})),
    )  # fmt: skip
    arm_ladder(draft)
    if plan.page_on_open is not None:
        draft.page(_no_graver(plan.page_on_open, draft.incident.severity), f"{plan.policy}: {describe(draft)}")
    for name in plan.diagnose:
        draft.effects.append(
            RunDiagnosis(
                id=draft.fresh("diagnose"),
                incident=incident.id,
                episode=draft.incident.episode,
                plan=plan,
                diagnosis=name,
                alerts=draft.alerts(),
            )
        )
    if not plan.steps:
        park(draft, f"a person must look, no action is planned: {describe(draft)}", page=plan.page_on_open is None)
    elif plan.diagnose and plan.steps[0].direction != "lowers":
        draft.change(status="diagnosing", why="diagnosing before the first step")
        draft.arm("diagnosis", draft.now + DIAGNOSIS_MS)
    else:
        begin_soon(draft)


def _no_graver(page: Page, severity: Severity) -> Page:
    """A warning that pages because nothing else takes it pages as a warning."""
    if severity_rank(severity) >= severity_rank(page.severity):
        return page
    return Page(service=page.service, severity=severity)


def arm_ladder(draft: Draft) -> None:
    """Set the rungs not climbed yet in this episode.

    A relapse inside the hold takes the ladder up where it was: what came due meanwhile calls at once, and acts after a
    fresh window (law 9).
    """
    incident = draft.incident
    for number, rung in enumerate(draft.plan.ladder):
        due = incident.episode_at + rung.after_ms
        if number in incident.climbed:
            continue
        if rung.step is not None:
            soonest = due if due >= draft.now else draft.now + FRESH_WINDOW_MS
            draft.arm(f"rung:{number}", max(soonest, incident.held_until))
        else:
            draft.arm(f"rung:{number}", max(due, draft.now))


def begin_soon(draft: Draft) -> None:
    """Begin the current step, after the pause that the plan makes before it."""
    step = draft.step
    if not step.pause_ms:
        begin_step(draft)
        return
    draft.disarm("retry", "diagnosis", "resolve:again")
    draft.change(status="open", why=f"waits {step.pause_ms / 1_000:g} s before {step.action}", fence=0, run="")
    draft.arm("retry", draft.now + step.pause_ms)


def begin_step(draft: Draft) -> None:
    """Ask for the current step's turn. The system's own target answers first, then the component's."""
    step, incident, plan = draft.step, draft.incident, draft.plan
    if incident.taken_by:
        park(draft, f"{incident.taken_by} has it; {step.action} does not begin", page=False)
        return
    draft.change(status="acting", why=f"waiting for its turn to run {step.action}", fence=0, run="")
    draft.disarm("retry", "diagnosis", "resolve:again")
    draft.arm("turn", draft.now + TURN_MS)
    request = SlotRequested(
        id=draft.fresh("turn"),
        at=draft.now,
        incident=incident.id,
        episode=incident.episode,
        step=step.id,
        action=step.action,
        target=target_id(step.component) if step.component else SYSTEM_TARGET,
        policy=plan.policy,
        mode=plan.mode,
        severity=incident.severity,
        direction=step.direction,
        cooldown_ms=step.cooldown_ms,
        parent=incident.parent,
        approved=incident.granted is not None,
        ordered=bool(incident.ordered_by),
    )
    draft.tell(SYSTEM_TARGET, request)


def run_step(draft: Draft, grant: SlotGranted) -> None:
    """The turn is ours: hand the step to dispatch."""
    step, incident = draft.step, draft.incident
    doubt = incident.doubt if incident.granted is None else ""  # a yes answers it
    draft.arm("turn", draft.now + TURN_MS)
    run = intent_id(incident.id, incident.episode, step.id, draft.incident.counter, draft.plan.policy_hash)
    draft.change(fence=grant.fence, run=run, why=f"running {step.action}")
    draft.effects.append(
        RunStep(
            id=run,
            incident=incident.id,
            episode=incident.episode,
            plan=draft.plan,
            step=step,
            fence=grant.fence,
            disposition="suggest" if doubt and grant.disposition == "act" else grant.disposition,
            why=f"{doubt}; shall {step.action} go on" if doubt else grant.why,
            severity=incident.severity,
            alerts=draft.alerts(),
            approval=incident.granted,
            requesters=incident.requesters,
            ordered_by=incident.ordered_by,
            ordered_via=incident.ordered_via,
            committed=in_midst(draft),
            left=as_left(incident, step),
            leased=grant.left,
            until=draft.now + TURN_MS,
        )
    )
    draft.change(granted=None, doubt=doubt)  # the approval is this run's now, and nobody else's


def as_left(incident: Incident, step: Step) -> JsonText:
    """The step's component as this episode's last action on it left it; "{}" when none has acted."""
    components = {each.id: each.component for each in incident.plan.steps} if incident.plan is not None else {}
    for result in reversed(incident.results):
        same = result.episode == incident.episode and components.get(result.step) == step.component
        if same and result.outcome == "succeeded":
            return result.after
    return incident.left


def release_turn(
    draft: Draft, outcome: Outcome, verifying_until: Millis | None = None, *, already: bool = False
) -> None:
    """Give the turn back (or leave the queue), saying what became of the intent."""
    step = draft.step
    draft.disarm("turn")
    if step.component:
        released = SlotReleased(
            id=draft.fresh("release"),
            at=draft.now,
            incident=draft.incident.id,
            step=step.id,
            outcome=outcome,
            action=step.action,
            fence=draft.incident.fence,
            verifying_until=verifying_until,
            lease_ms=step.lease_ms,
            undo=step.undo,
            undo_plan=step.undo_plan if step.lease_ms else None,
            left=as_left(draft.incident, step) if step.lease_ms else "{}",
            already=already,
        )
        draft.tell(target_id(step.component), released)
    draft.change(fence=0, run="", granted=None)


def record(draft: Draft, outcome: StepOutcome, report: StepReport, restore: str = "{}") -> None:
    """Keep what became of a step, newest last."""
    result = StepResult(
        step=report.step, episode=report.episode, outcome=outcome, at=draft.now, why=report.why, intent=report.intent,
        arguments=report.arguments, before=report.before, after=report.after, restore=restore,
    )  # fmt: skip
    draft.change(results=(*draft.incident.results, result)[-MAX_RESULTS:])


def settle_step(draft: Draft, outcome: Outcome) -> None:
    """The step took (or already had: "none") its effect: verify it where the plan says how, else go on."""
    verify, already = draft.step.verify, outcome == "none"
    if verify is None:
        release_turn(draft, outcome, already=already)
        next_step(draft)
        return
    deadline = draft.now + verify.within_ms
    release_turn(draft, outcome, verifying_until=deadline, already=already)
    draft.change(status="verifying", why=f"waiting for {verify.until}")
    draft.arm("verify", deadline)
    observe(draft, "verify", verify.until, draft.now + verify.every_ms + LOOK_MS)


def next_step(draft: Draft) -> None:
    """Go on to the next step, or declare the problem mitigated when the plan is done and nothing in it failed."""
    draft.disarm("verify", "verify:again", "turn", "retry")
    draft.change(tries=0)
    if draft.incident.cursor + 1 < len(draft.plan.steps):
        draft.change(cursor=draft.incident.cursor + 1)
        begin_soon(draft)
        return
    failure = unmended_failure(draft)
    if failure is not None:
        park(draft, failure.why, page=True)
        return
    if is_errand(draft.incident):
        resolve(draft, "its step is done")
        return
    verified = any(r.outcome == "verified" and r.episode == draft.incident.episode for r in draft.incident.results)
    draft.change(status="mitigated", why="the plan is done", mitigated_at=draft.now)
    draft.say("mitigated", "the plan is done and its effect is verified" if verified else "the plan is done")
    draft.arm("patience", draft.now + max(PATIENCE_MS, draft.plan.hold_ms))
    seek_resolution(draft)


def fail_step(draft: Draft, why: str) -> None:
    """The step did not do its job: the policy says whether to go on, stop, or stop and call a human."""
    rest = draft.plan.steps[draft.incident.cursor + 1 :]
    if draft.step.on_failure == "continue":
        next_step(draft)
    elif draft.step.on_failure == "ask" and rest:
        failed = f"{draft.step.action} on {draft.step.component}" if draft.step.component else draft.step.action
        draft.disarm("verify", "verify:again", "turn", "retry")
        draft.change(tries=0, cursor=draft.incident.cursor + 1, doubt=f"{failed} failed ({why})")
        begin_soon(draft)
    else:
        page = draft.step.on_failure in ("escalate", "ask") or draft.incident.severity == "critical"
        park(draft, why, page=page)


def unmended_failure(draft: Draft) -> StepResult | None:
    """The latest failure of this episode that nothing has mended since.

    A later step's verified effect mends it, whichever step that is; but within a sequence every component counts for
    itself: that one service is well again says nothing about the other.
    """
    steps = {step.id: step for step in draft.plan.steps}
    failures: list[StepResult] = []
    for result in draft.incident.results:
        if result.episode != draft.incident.episode:
            continue
        if result.outcome in ("not_sent", "unverified"):
            failures.append(result)
        elif result.outcome == "verified":
            failures = [failed for failed in failures if not _mends(steps, result, failed)]
    return failures[-1] if failures else None


def _mends(steps: Mapping[str, Step], verified: StepResult, failed: StepResult) -> bool:
    ours, other = steps.get(verified.step), steps.get(failed.step)
    if other is None or ours is None or not other.sequence:
        return True
    return ours.component == other.component


def end_verification(draft: Draft) -> None:
    """Tell the target that lesser plans may go on."""
    if draft.step.component:
        ended = VerificationEnded(id=draft.fresh("verified"), at=draft.now, incident=draft.incident.id)
        draft.tell(target_id(draft.step.component), ended)
