"""The component's machine: one plan at a time may act on it, severe ones first, each under a fence.

The laws of this file:

1. At most one incident holds the slot; every grant has a higher fence than all before it.
2. An intent is recorded only for the holder of the current fence, unfrozen, before its deadline (law 2 of the design).
3. While an effect is being verified, lesser plans wait; a more severe plan that lowers exposure does not.
4. A cool-down delays, it never drops: the plan waits in the queue and is granted when the time is up.
5. A freeze denies everything, also what already waits. Lifting it starts nothing; no timer ever lifts it. Who names
   what they saw lifts nothing else.
6. The queue is bounded: when it is full, the least severe and latest plan is turned away, and told.
7. What an action did under a lease is asked about when its time is up, whatever the component's state; not undone.
8. A person's request counts once: its copy changes nothing, however late it comes.
9. An intent that only a journal remembers is kept, so that its step does not run as if for the first time.

The system's own target `*` (freeze, arming, budget) has its own machine in `bot.core.system_machine`.
Called by `bot.engine.fold`. The state diagram is drawn from `TABLE`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from bot.core import target_leases
from bot.core.effects import Tell
from bot.core.events import (
    IntentDeclared,
    MessageDelivered,
    SlotGranted,
    SlotQueued,
    SlotReleased,
    SlotRequested,
    TargetEvent,
    TimerFired,
    VerificationEnded,
)
from bot.core.intents import IntentRecalled
from bot.core.lifts import unseen
from bot.core.orders import LeaseEnded, LeaseRenewed, TargetFrozen, TargetUnfrozen
from bot.core.record import Applied, Decision, Denied, Ignored, Transition
from bot.core.requests import take_once
from bot.core.target import MAX_LOOSE, MAX_QUEUE, QUEUE, Slot, Target, Verifying
from bot.core.target_moves import TargetDraft, freeze, lift, recall, remind
from bot.core.target_pages import told
from bot.core.words import Millis, severity_rank

TargetState: TypeAlias = Literal["idle", "held", "verifying", "frozen"]


def state_of(target: Target) -> TargetState:
    """The one word for where a component stands; freeze outranks the rest."""
    if target.freeze is not None:
        return "frozen"
    if target.slot is not None:
        return "held"
    return "verifying" if target.verifying is not None else "idle"


# --- the queue ---------------------------------------------------------------------------------------------------


def _obstacle(target: Target, request: SlotRequested, now: Millis) -> tuple[str, Millis | None] | None:
    """Why this request must wait, and until when that is known; None when it may act now."""
    if target.slot is not None:
        return f"behind {target.slot.incident}, which is acting on {target.id.removeprefix('target:')}", None
    last = target.last_run.get(request.action)
    if last is not None and now < last + request.cooldown_ms:
        seconds = (last + request.cooldown_ms - now + 999) // 1000
        return f"{request.action} cools down for another {seconds} s", last + request.cooldown_ms
    verifying = target.verifying
    own = verifying is not None and verifying.incident in (request.incident, request.parent)
    if verifying is not None and not own and now < verifying.until:
        more_severe = severity_rank(request.severity) > severity_rank(verifying.severity)
        if not (more_severe and request.direction == "lowers"):
            return f"behind {verifying.incident}, whose effect is being verified", verifying.until
    return None


def _grant(draft: TargetDraft, request: SlotRequested) -> None:
    fence = draft.target.fence + 1
    slot = Slot(
        incident=request.incident, step=request.step, fence=fence, severity=request.severity, granted_at=draft.now
    )
    draft.change(fence=fence, slot=slot)
    _tell_grant(draft, request, fence)


def _tell_grant(draft: TargetDraft, request: SlotRequested, fence: int) -> None:
    granted = SlotGranted(
        id=draft.fresh("grant"), at=draft.now, episode=request.episode, step=request.step, fence=fence,
        disposition="act", left=target_leases.left_for(draft.target, request.action),
    )  # fmt: skip
    draft.effects.append(Tell(to=request.incident, event=granted))


def _serve_queue(draft: TargetDraft) -> None:
    """Grant the first waiting plan that may act; otherwise wake up when the first obstacle ends.

    Whoever now waits for a time that is known (a cool-down) is told, so that its own patience lasts until then.
    """
    draft.disarm(QUEUE)
    wake: list[Millis] = []
    for request in draft.target.queue:
        obstacle = _obstacle(draft.target, request, draft.now)
        if obstacle is None:
            draft.change(queue=tuple(other for other in draft.target.queue if other is not request))
            _grant(draft, request)
            return
        if obstacle[1] is not None:
            wake.append(obstacle[1])
            draft.effects.append(Tell(to=request.incident, event=_queued(draft, request, *obstacle)))
    if wake:
        draft.arm(QUEUE, min(wake))


def _queued(draft: TargetDraft, request: SlotRequested, why: str, until: Millis | None) -> SlotQueued:
    return SlotQueued(
        id=draft.fresh("queue"), at=draft.now, episode=request.episode, step=request.step,
        why=f"waits {why}" if why.startswith("behind") else f"waits: {why}", until=until,
    )  # fmt: skip


def _place(request: SlotRequested) -> tuple[int, Millis]:
    return (-severity_rank(request.severity), request.at)


# --- rows --------------------------------------------------------------------------------------------------------


def _requested(draft: TargetDraft, event: SlotRequested) -> Decision:
    slot = draft.target.slot
    if slot is not None and (slot.incident, slot.step) == (event.incident, event.step):
        if slot.intent is not None:
            return Ignored(f"acts already, under fence {slot.fence}")
        _tell_grant(draft, event, slot.fence)
        return Applied(f"holds the slot already, fence {slot.fence}")
    waiting = tuple(other for other in draft.target.queue if other.incident != event.incident)
    draft.change(queue=tuple(sorted((*waiting, event), key=_place)))
    if slot is None:
        _serve_queue(draft)
    if event not in draft.target.queue:
        return Applied(f"granted, fence {draft.target.fence}")
    if len(draft.target.queue) > MAX_QUEUE:
        *kept, last = draft.target.queue
        draft.change(queue=tuple(kept))
        draft.deny(last, f"{MAX_QUEUE} plans at least as severe wait for {draft.target.id} already")
        if last is event:
            return Applied("the queue is full")
    obstacle = _obstacle(draft.target, event, draft.now)
    assert obstacle is not None  # else it would have been served
    queued = _queued(draft, event, *obstacle)
    draft.effects.append(Tell(to=event.incident, event=queued))
    return Applied(queued.why)


def _requested_frozen(draft: TargetDraft, event: SlotRequested) -> Decision:
    draft.deny(event, _frozen_words(draft.target), frozen=True)
    return Applied("frozen")


def _released(draft: TargetDraft, event: SlotReleased) -> Decision:
    target = draft.target
    slot = target.slot
    holds = slot is not None and (slot.incident, slot.step) == (event.incident, event.step)
    if slot is None or not holds or event.fence not in (0, slot.fence):
        if event.fence:
            return Ignored(f"the turn under fence {event.fence} is over already")
        rest = tuple(other for other in target.queue if other.incident != event.incident)
        if len(rest) == len(target.queue):
            return Ignored("holds neither the slot nor a place in the queue")
        draft.change(queue=rest)
        return Applied(f"{event.incident} leaves the queue")
    draft.change(slot=None)
    if event.already:
        target_leases.taken_back(draft, event)
    if event.outcome == "not_sent":
        target_leases.not_taken_back(draft, event)
    if event.outcome == "unknown" and slot.intent is not None:  # whoever ran it may still come and ask
        draft.change(loose=(*target.loose, slot.intent)[-MAX_LOOSE:])
    if event.outcome in ("done", "unknown") and slot.intent is not None:  # without an intent nothing was sent
        draft.change(last_run={**target.last_run, event.action: draft.now})
        target_leases.took_effect(draft, event)
        if event.verifying_until is not None:
            draft.change(
                verifying=Verifying(incident=event.incident, severity=slot.severity, until=event.verifying_until)
            )
    if draft.target.freeze is None:
        _serve_queue(draft)
    return Applied(f"released by {event.incident}: {event.outcome}")


def _verification_ended(draft: TargetDraft, event: VerificationEnded) -> Decision:
    verifying = draft.target.verifying
    if verifying is None or verifying.incident != event.incident:
        return Ignored("its effect is not the one being verified")
    draft.change(verifying=None)
    if draft.target.freeze is None:
        _serve_queue(draft)
    return Applied("verification ended")


def _declared(draft: TargetDraft, event: IntentDeclared) -> Decision:
    slot = draft.target.slot
    if slot is None or slot.incident != event.incident or slot.step != event.step or slot.fence != event.fence:
        holder = "nobody" if slot is None else f"{slot.incident} (fence {slot.fence})"
        return Denied(f"the turn under fence {event.fence} is over; {holder} holds {draft.target.id} now")
    if slot.intent is not None and slot.intent.intent != event.intent:
        return Denied(f"another intent ({slot.intent.intent}) is declared under this fence")
    if slot.intent is not None and slot.intent.attempt >= event.attempt:
        return Denied(f"attempt {slot.intent.attempt} of this intent is already under way")
    if draft.now > event.deadline:
        return Denied("its deadline has passed")
    draft.change(slot=replace(slot, intent=event))
    return Applied(f"intent declared: {event.action}, attempt {event.attempt}")


def _declared_frozen(draft: TargetDraft, _: IntentDeclared) -> Decision:
    return Denied(_frozen_words(draft.target))


def _frozen(draft: TargetDraft, event: TargetFrozen) -> Decision:
    freeze(draft, event)
    for request in draft.target.queue:
        draft.deny(request, _frozen_words(draft.target), frozen=True)
    draft.change(queue=())
    draft.disarm(QUEUE)
    return Applied(f"frozen by {event.by}: {event.reason}")


def _unfrozen(draft: TargetDraft, event: TargetUnfrozen) -> Decision:
    refusal = unseen(draft.target, event)
    if refusal is not None:
        return refusal
    lift(draft)
    return Applied(f"unfrozen by {event.by}")


def _timer(draft: TargetDraft, event: TimerFired) -> Decision:
    if event.name.startswith(target_leases.PREFIX):
        return target_leases.over(draft, event)
    timer = draft.target.timers.get(event.name)
    if timer is None or timer.token != event.token:
        return Ignored("a timer nobody waits for any more")
    verifying = draft.target.verifying
    if verifying is not None and draft.now >= verifying.until:
        draft.change(verifying=None)
    _serve_queue(draft)
    return Applied("looked at the queue again")


def _timer_held(draft: TargetDraft, event: TimerFired) -> Decision:
    if event.name.startswith(target_leases.PREFIX):
        return target_leases.over(draft, event)
    return Ignored("the queue is looked at when the slot is given back")


def _timer_frozen(draft: TargetDraft, event: TimerFired) -> Decision:
    if event.name.startswith(target_leases.PREFIX):
        return target_leases.over(draft, event)
    return remind(draft, event)


def _frozen_words(target: Target) -> str:
    freeze = target.freeze
    assert freeze is not None  # only rows of the frozen state ask
    return f"{target.id.removeprefix('target:')} is frozen by {freeze.by}: {freeze.reason}"


# --- the table ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """How one (state, event) pair is folded, and every state it may lead to."""

    fold: Callable[..., Decision]
    to: frozenset[TargetState]


_ANY: tuple[TargetState, ...] = ("idle", "held", "verifying")

_ROWS: tuple[tuple[tuple[TargetState, ...], type, Callable[..., Decision], tuple[TargetState, ...]], ...] = (
    (("idle", "verifying"), SlotRequested, _requested, ("held",)),
    (("held",), SlotRequested, _requested, ()),
    (("frozen",), SlotRequested, _requested_frozen, ()),
    (("held",), SlotReleased, _released, ("idle", "verifying")),
    (("idle", "verifying", "frozen"), SlotReleased, _released, ()),
    (("held",), IntentDeclared, _declared, ()),
    (("idle", "verifying"), IntentDeclared, _declared, ()),
    (("frozen",), IntentDeclared, _declared_frozen, ()),
    (("verifying",), VerificationEnded, _verification_ended, ("idle", "held")),
    (("held", "frozen"), VerificationEnded, _verification_ended, ()),
    (_ANY, TargetFrozen, _frozen, ("frozen",)),
    (("frozen",), TargetFrozen, _frozen, ()),
    (("frozen",), TargetUnfrozen, _unfrozen, ("idle", "held", "verifying")),
    (("frozen",), TimerFired, _timer_frozen, ()),
    (("held",), TimerFired, _timer_held, ()),
    ((*_ANY, "frozen"), IntentRecalled, recall, ()),
    ((*_ANY, "frozen"), LeaseRenewed, target_leases.renewed, ()),
    ((*_ANY, "frozen"), LeaseEnded, target_leases.ended, ()),
    ((*_ANY, "frozen"), MessageDelivered, told, ()),
    (("idle",), TimerFired, _timer, ("held",)),
    (("verifying",), TimerFired, _timer, ("idle", "held")),
)

TABLE: Mapping[tuple[TargetState, type], Row] = {
    (state, event): Row(fold, frozenset({state, *further}))
    for states, event, fold, further in _ROWS
    for state in states
}


def step(target: Target, event: TargetEvent, now: Millis) -> Transition[Target]:
    """Fold one event into a component's target. Total: what the table does not list is ignored with a reason."""
    transition = _fold(target, event, now)
    if isinstance(event, TargetFrozen | TargetUnfrozen | LeaseRenewed | LeaseEnded):
        return take_once(target, event.id, transition)
    return transition


def _fold(target: Target, event: TargetEvent, now: Millis) -> Transition[Target]:
    state = state_of(target)
    row = TABLE.get((state, type(event)))
    if row is None:
        return Transition(target, (), Ignored(f"{event.kind} means nothing to a component that is {state}"))
    draft = TargetDraft(target, now)
    decision = row.fold(draft, event)
    if isinstance(decision, Applied):
        if state_of(draft.target) not in row.to:
            raise AssertionError(f"{state} + {event.kind} led to {state_of(draft.target)}, which is not in the table")
        return Transition(draft.target, tuple(draft.effects), decision)
    return Transition(target, (), decision)
