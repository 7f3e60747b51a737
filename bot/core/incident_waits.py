"""What an incident waits for: evidence, diagnoses and the clock.

Rows of `incident_machine.TABLE`. Every wait is a durable timer; its token tells a current wait from one given up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bot.core.events import DiagnosisFound, EvidenceObserved, TimerFired
from bot.core.incident import StepResult
from bot.core.incident_draft import Draft
from bot.core.incident_end import RECHECK_MS, describe, escalate, in_midst, observe, park, resolve, seek_resolution
from bot.core.incident_ladder import AWAY_MS, rung_due
from bot.core.incident_moves import (
    FRESH_WINDOW_MS,
    LOOK_MS,
    MAX_RESULTS,
    RECHECKS_BEFORE_PARKING,
    TURN_MS,
    begin_soon,
    begin_step,
    end_verification,
    fail_step,
    next_step,
    release_turn,
)
from bot.core.record import Applied, Decision, Ignored


def found(draft: Draft, event: DiagnosisFound) -> Decision:
    if event.episode != draft.incident.episode:
        return Ignored("a finding of an earlier episode")
    if event.diagnosis not in draft.plan.diagnose:
        return Ignored("a finding the plan did not ask for")
    draft.change(findings={**draft.incident.findings, event.diagnosis: event.finding})
    if draft.incident.status == "diagnosing" and draft.incident.findings.keys() >= set(draft.plan.diagnose):
        begin_soon(draft)
    return Applied(event.finding)


def observed(draft: Draft, event: EvidenceObserved) -> Decision:
    timer = draft.incident.timers.get(f"{event.purpose}:again")
    if event.episode != draft.incident.episode or timer is None or timer.token != event.token:
        return Ignored("an observation nobody waits for any more")
    if event.purpose == "resolve":
        return _weigh_resolution(draft, event)
    if event.holds is not True:
        if "verify" in draft.incident.timers and draft.step.verify is not None:
            draft.arm("verify:again", draft.now + draft.step.verify.every_ms)  # after the answer, however slow it came
            return Applied(f"not yet: {event.why}")
        return _unverified(draft, event.why)
    draft.disarm("verify", "verify:again")
    verified = StepResult(step=draft.step.id, episode=event.episode, outcome="verified", at=draft.now, why=event.why)
    draft.change(results=(*draft.incident.results, verified)[-MAX_RESULTS:])
    draft.say("verified", event.why)
    end_verification(draft)
    next_step(draft)
    return Applied(f"verified: {event.why}")


def _weigh_resolution(draft: Draft, event: EvidenceObserved) -> Decision:
    draft.disarm("resolve:again")
    if draft.incident.firing or draft.incident.untracked:
        return Applied("an alert fires again, so the evidence of health does not count")
    if in_midst(draft):
        return Applied("a sequence is half done, so the evidence of health does not count")
    if event.holds is True:
        resolve(draft, f"no alert fires any more, and {event.why}")
        return Applied(event.why)
    draft.change(tries=draft.incident.tries + 1)
    draft.arm("resolve:again", draft.now + RECHECK_MS)
    if draft.incident.tries >= RECHECKS_BEFORE_PARKING and draft.incident.status != "parked":
        park(draft, f"the alerts are gone, but the evidence is not healthy: {event.why}", page=True)
    return Applied(f"the alerts are gone, but {event.why}")


def timer(draft: Draft, event: TimerFired) -> Decision:
    timer = draft.incident.timers.get(event.name)
    if timer is None or timer.token != event.token:
        return Ignored("a timer nobody waits for any more")
    draft.disarm(event.name)
    if event.name.startswith("rung:"):
        return rung_due(draft, int(event.name.partition(":")[2]), timer.due)
    paused = draft.incident.plan is not None and bool(draft.plan.steps) and bool(draft.step.pause_ms)
    if event.name == "retry" and (draft.incident.parent or paused) and draft.now - timer.due > AWAY_MS:
        return _fresh_window(draft)
    return _TIMERS[event.name](draft, event)


def _turn_over(draft: Draft, _: TimerFired) -> Decision:
    why = f"{draft.step.action} has had no outcome for {TURN_MS // 60_000} minutes ({draft.incident.why})"
    if draft.incident.run:
        lost = StepResult(
            step=draft.step.id, episode=draft.incident.episode, outcome="unknown", at=draft.now, why=why,
            intent=draft.incident.run,
        )  # fmt: skip
        draft.change(results=(*draft.incident.results, lost)[-MAX_RESULTS:])
    release_turn(draft, "unknown" if draft.incident.run else "none")
    park(draft, why, page=True)
    return Applied(why)


def _fresh_window(draft: Draft) -> Decision:
    """A step whose wait, or a rung's whose next try, came due while Andon was away: people are called before it."""
    why = f"Andon was away; {draft.step.action} is looked at again in {FRESH_WINDOW_MS // 1000} s"
    draft.page(draft.plan.page_on_park, f"{draft.plan.policy}: {why}", anew=True)
    draft.arm("retry", draft.now + FRESH_WINDOW_MS)
    return Applied(why)


def _try_again(draft: Draft, _: TimerFired) -> Decision:
    begin_step(draft)
    return Applied("looking at the guard again")


def _undiagnosed(draft: Draft, _: TimerFired) -> Decision:
    begin_soon(draft)
    return Applied("going on without the diagnosis")


def _verification_over(draft: Draft, _: TimerFired) -> Decision:
    """Time is up. One last look decides: Andon itself may have been away, and the effect there all the while."""
    verify = draft.step.verify
    assert verify is not None  # only a step with a verification arms this timer
    observe(draft, "verify", verify.until, draft.now + LOOK_MS)
    return Applied("time is up; one last look at the evidence")


def _unverified(draft: Draft, seen: str) -> Decision:
    verify = draft.step.verify
    assert verify is not None  # only a step with a verification gets here
    why = f"{draft.step.action} was done, but {verify.until} did not come true in time ({seen})"
    draft.disarm("verify:again")
    unverified = StepResult(
        step=draft.step.id, episode=draft.incident.episode, outcome="unverified", at=draft.now, why=why
    )
    draft.change(results=(*draft.incident.results, unverified)[-MAX_RESULTS:])
    end_verification(draft)
    fail_step(draft, why)
    return Applied(why)


def _verify_again(draft: Draft, _: TimerFired) -> Decision:
    verify = draft.step.verify
    assert verify is not None  # only a step with a verification arms this timer
    if "verify" not in draft.incident.timers:
        return _unverified(draft, "the last look had no answer")
    observe(draft, "verify", verify.until, draft.now + verify.every_ms + LOOK_MS)
    return Applied("looking at the evidence again")


def _resolve_again(draft: Draft, _: TimerFired) -> Decision:
    seek_resolution(draft)
    return Applied("looking for evidence of health again")


def _silence_is_not_approval(draft: Draft, _: TimerFired) -> Decision:
    asked = draft.incident.approval
    why = f"nobody decided on {draft.step.action} in time: {draft.incident.why}"
    if asked is not None and asked.terms.by_hand:
        why += f"; by hand: {asked.terms.by_hand}"
    escalate(draft, why)
    park(draft, why, page=False)
    return Applied(why)


def _patience_over(draft: Draft, _: TimerFired) -> Decision:
    if not draft.incident.firing and not draft.incident.untracked:
        seek_resolution(draft)
        return Applied("no alert fires any more")
    why = f"the plan is done, yet it still fires: {describe(draft)}"
    park(draft, why, page=True)
    return Applied(why)


def _hold_over(draft: Draft, _: TimerFired) -> Decision:
    return Applied("the hold is over; a new firing begins a new episode")


def _close(draft: Draft, _: TimerFired) -> Decision:
    draft.change(status="closed", closed_at=draft.now, timers={})
    return Applied("closed")


# Timer name -> what its coming due means. Rungs are climbed in `bot.core.incident_ladder`.
_TIMERS: Mapping[str, Callable[[Draft, TimerFired], Decision]] = {
    "turn": _turn_over,
    "retry": _try_again,
    "diagnosis": _undiagnosed,
    "verify": _verification_over,
    "verify:again": _verify_again,
    "resolve:again": _resolve_again,
    "approval": _silence_is_not_approval,
    "patience": _patience_over,
    "hold": _hold_over,
    "close": _close,
}
