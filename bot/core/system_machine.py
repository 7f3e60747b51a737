"""The machine of a system's own target `*`: what is true for all of the system's automation.

It answers every request for a turn first: frozen, shadow, suggest, or forward to the component. It also is the last to
be asked before anything is sent (`IntentDeclared`), so a freeze or a spent budget stops even what was granted before.

The laws of this file:

1. Nothing acts that is not armed; what is not armed runs in shadow. What a person disarmed, only a person arms again;
   what the configuration armed, it disarms when it lists it no more.
2. A freeze denies everything until a person lifts it; no timer ever does. Who names what they saw lifts nothing else.
3. Past the budget, automation only suggests; the reserve is for actions that lower exposure. A person lifts it.
4. A retry of one intent is charged once. What people approved or ordered is not charged, and an approval is used once.
5. A person's request counts once: its copy changes nothing, however late it comes.
6. While a replica finds that the store has forgotten what it acknowledged, nothing is declared. It goes on when every
   such replica has told the store again what its journal remembers, or when a person says so.

Called by `bot.engine.fold`. The state diagram is drawn from `TABLE`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bot.core.effects import PostMessage, Tell
from bot.core.events import IntentDeclared, MessageDelivered, SlotGranted, SlotRequested, TargetEvent, TimerFired
from bot.core.intents import IntentRecalled, WritesLost, WritesReconciled
from bot.core.lifts import unseen
from bot.core.orders import PolicyArmed, PolicyDisarmed, TargetFrozen, TargetUnfrozen
from bot.core.record import Applied, Decision, Denied, Ignored, Transition
from bot.core.requests import CONFIGURATION, take_once
from bot.core.target import MAX_LOOSE, MAX_RECENT, MAX_SPENT, Armed, Doubt, Target
from bot.core.target_moves import TargetDraft, freeze, lift, recall, remind, trip_page
from bot.core.target_pages import told
from bot.core.words import SYSTEM_TARGET, Disposition

SystemState: TypeAlias = Literal["active", "tripped", "doubted", "frozen"]


def state_of(target: Target) -> SystemState:
    """The one word for the system's automation; a freeze outranks a doubt, and both a spent budget."""
    if target.freeze is not None:
        return "frozen"
    if target.doubts:
        return "doubted"
    return "active" if target.tripped_at is None else "tripped"


def _requested(draft: TargetDraft, event: SlotRequested) -> Decision:
    if event.ordered:
        return _forward(draft, event)
    if event.mode == "shadow" or event.policy not in draft.target.armed:
        why = f"policy {event.policy} is {'in shadow mode' if event.mode == 'shadow' else 'not armed'}"
        return _answer(draft, event, "shadow", why)
    if event.mode == "suggest" and not event.approved:
        return _answer(draft, event, "suggest", f"policy {event.policy} only suggests")
    return _forward(draft, event)


def _requested_tripped(draft: TargetDraft, event: SlotRequested) -> Decision:
    by_itself = event.mode == "auto" and event.policy in draft.target.armed and not event.approved
    if by_itself and not event.ordered and event.direction != "lowers":
        until = f"`andon unfreeze {draft.target.system}`"
        return _answer(draft, event, "suggest", f"automation has used up its budget and only suggests until {until}")
    return _requested(draft, event)


def _requested_frozen(draft: TargetDraft, event: SlotRequested) -> Decision:
    draft.deny(event, _frozen_words(draft.target), frozen=True)
    return Applied("frozen")


def _requested_doubted(draft: TargetDraft, event: SlotRequested) -> Decision:
    draft.deny(event, f"{_doubted_words(draft.target)}; what asked meanwhile stays with a person", frozen=True)
    return Applied("the store's memory is in doubt")


def _answer(draft: TargetDraft, event: SlotRequested, disposition: Disposition, why: str) -> Decision:
    granted = SlotGranted(
        id=draft.fresh("grant"), at=draft.now, episode=event.episode, step=event.step, fence=0,
        disposition=disposition, why=why,
    )  # fmt: skip
    draft.effects.append(Tell(to=event.incident, event=granted))
    return Applied(f"{disposition}: {why}" if why else disposition)


def _forward(draft: TargetDraft, event: SlotRequested) -> Decision:
    if event.target == SYSTEM_TARGET:
        return _answer(draft, event, "act", "")
    draft.effects.append(Tell(to=event.target, event=event))
    return Applied(f"may act; {event.target} decides when")


def _declared(draft: TargetDraft, event: IntentDeclared) -> Decision:
    target = draft.target
    if not event.ordered and event.policy not in target.armed:
        return Denied(f"policy {event.policy} was disarmed meanwhile")
    if draft.now > event.deadline:
        return Denied("its deadline has passed")
    before = (*target.loose, *target.recalled)
    if any(intent.intent == event.intent and intent.attempt >= event.attempt for intent in before):
        return Denied(f"attempt {event.attempt} of this intent was declared before")
    refusal = _charge(draft, event)
    if refusal is not None:
        return refusal
    if event.target == SYSTEM_TARGET:
        others = tuple(intent for intent in target.loose if intent.intent != event.intent)
        draft.change(loose=(*others, event)[-MAX_LOOSE:])
    else:
        draft.effects.append(Tell(to=event.target, event=event))
    if event.ordered or event.approval:
        return Applied("people said yes, so it needs no budget")
    return Applied(f"within budget: {len(draft.target.recent)} of {event.budget.limit}")


def _charge(draft: TargetDraft, event: IntentDeclared) -> Decision | None:
    """Use up the approval, or one action of the budget; a refusal when there is none left to use.

    A later attempt is of an intent that was charged, unless only a journal remembers the first: that may never have
    come here, or have been refused, or be forgotten with its charge. So is the same attempt once more, of a worker that
    slept while another took its place: the component refuses it.
    """
    target = draft.target
    if event.approval:
        if event.attempt > 1:  # used up by the first, or as it was recalled
            return None
        if event.approval in target.spent:
            return Denied("this approval has been used already")
        draft.change(spent=(*target.spent, event.approval)[-MAX_SPENT:])
        return None
    if event.ordered or event.intent in target.charged:
        return None
    names = ("",) * (len(target.recent) - len(target.charged)) + target.charged
    since = draft.now - event.budget.within_ms
    recent = [(at, name) for at, name in zip(target.recent, names, strict=True) if at > since]
    allowed = event.budget.limit if event.direction == "lowers" else event.budget.limit - event.budget.reserve
    if len(recent) >= min(allowed, MAX_RECENT):
        return _trip(draft, event, len(recent))
    kept = [*recent, (draft.now, event.intent)][-MAX_RECENT:]
    draft.change(recent=tuple(at for at, _ in kept), charged=tuple(name for _, name in kept))
    return None


def _trip(draft: TargetDraft, event: IntentDeclared, used: int) -> Decision:
    """Refuse, and say once to everybody that automation has gone quiet."""
    minutes = event.budget.within_ms // 60_000
    unfreeze = f"`andon unfreeze {draft.target.system}`"
    why = f"{used} automatic actions in {minutes} minutes: automation only suggests until a person says {unfreeze}"
    if draft.target.tripped_at is not None:
        return Denied(why)
    draft.change(tripped_at=draft.now)
    draft.effects.append(
        PostMessage(id=draft.fresh("trip"), incident=event.incident, channel="", topic="automation", text=why)
    )
    draft.page(trip_page(draft.now), "critical", f"{draft.target.system}: {why}", incident=event.incident)
    return Denied(why)


def _declared_frozen(draft: TargetDraft, _: IntentDeclared) -> Decision:
    return Denied(_frozen_words(draft.target))


def _declared_doubted(draft: TargetDraft, _: IntentDeclared) -> Decision:
    return Denied(_doubted_words(draft.target))


def _armed(draft: TargetDraft, event: PolicyArmed) -> Decision:
    if event.policy in draft.target.armed:
        return Ignored(f"armed already by {draft.target.armed[event.policy].by}")
    disarmed = draft.target.disarmed.get(event.policy)
    if disarmed is not None and event.by == CONFIGURATION:
        return Ignored(f"disarmed by {disarmed.by}; only a person arms it again")
    draft.change(
        armed={**draft.target.armed, event.policy: Armed(by=event.by, at=draft.now)},
        disarmed={name: by for name, by in draft.target.disarmed.items() if name != event.policy},
    )
    return Applied(f"armed by {event.by}")


def _disarmed(draft: TargetDraft, event: PolicyDisarmed) -> Decision:
    armed = draft.target.armed.get(event.policy)
    if armed is None:
        return Ignored("not armed")
    if event.by == CONFIGURATION and armed.by != CONFIGURATION:
        return Ignored(f"armed by {armed.by}; the configuration takes back only what it armed itself")
    draft.change(armed={name: kept for name, kept in draft.target.armed.items() if name != event.policy})
    if event.by != CONFIGURATION:
        draft.change(disarmed={**draft.target.disarmed, event.policy: Armed(by=event.by, at=draft.now)})
    return Applied(f"disarmed by {event.by}")


def _frozen(draft: TargetDraft, event: TargetFrozen) -> Decision:
    freeze(draft, event)
    return Applied(f"automation frozen by {event.by}: {event.reason}")


def _unfrozen(draft: TargetDraft, event: TargetUnfrozen) -> Decision:
    refusal = unseen(draft.target, event)
    if refusal is not None:
        return refusal
    lift(draft)
    if draft.target.tripped_at is not None:
        draft.unpage(trip_page(draft.target.tripped_at))
    draft.change(tripped_at=None, recent=(), charged=(), doubts={})
    return Applied(f"automation unfrozen by {event.by}")


def _lost(draft: TargetDraft, event: WritesLost) -> Decision:
    """Stop, and wake somebody: what was acknowledged to a sender, a person or a worker may be gone."""
    doubts, system = draft.target.doubts, draft.target.system
    found = {event.by: Doubt(since=draft.now, why=event.why)}
    found |= {other: Doubt(since=draft.now, why=f"{event.why}, says {event.by}") for other in event.others}
    new = {by: doubt for by, doubt in found.items() if by not in doubts}
    if not new:
        return Ignored(f"{event.by} is in doubt already")
    draft.change(doubts={**doubts, **new})
    if not doubts:  # who finds the same meanwhile makes no second page
        who = ", ".join(sorted(new))
        why = (
            f"{system}: {event.why}; automation is stopped until the journals of {who} are compared with it, or "
            f"`andon unfreeze {system}`"
        )
        draft.page(f"writes-lost:{event.by}:{draft.now}", "critical", why)
    return Applied(f"automation is stopped: {event.why}")


def _reconciled(draft: TargetDraft, event: WritesReconciled) -> Decision:
    if event.by not in draft.target.doubts:
        return Ignored(f"{event.by} is not in doubt")
    draft.change(doubts={by: doubt for by, doubt in draft.target.doubts.items() if by != event.by})
    goes_on = "automation goes on" if not draft.target.doubts else "another replica still compares"
    draft.effects.append(
        PostMessage(
            id=draft.fresh("reconciled"), incident=draft.target.id, channel="", topic="automation",
            text=f"{draft.target.system}: {event.by} has reconciled the store with its journal: {event.why}; {goes_on}",
        )
    )  # fmt: skip
    return Applied(f"reconciled by {event.by}: {event.why}; {goes_on}")


def _recalled(draft: TargetDraft, event: IntentRecalled) -> Decision:
    """What it used up is used up; the component keeps the intent itself."""
    intent = event.intent
    if intent.approval and intent.approval not in draft.target.spent:
        draft.change(spent=(*draft.target.spent, intent.approval)[-MAX_SPENT:])
    if intent.target != SYSTEM_TARGET:
        draft.effects.append(Tell(to=intent.target, event=event))
        return Applied(f"{event.by} remembers an intent of {intent.target}")
    return recall(draft, event)


def _doubted_words(target: Target) -> str:
    by, doubt = min(target.doubts.items(), key=lambda item: item[1].since)
    return (
        f"automation for {target.system} is stopped since {by} found that {doubt.why}; it goes on by itself once its "
        f"journal is compared, or with `andon unfreeze {target.system}`"
    )


def _frozen_words(target: Target) -> str:
    freeze = target.freeze
    assert freeze is not None  # only rows of the frozen state ask
    return f"automation for {target.system} is frozen by {freeze.by}: {freeze.reason}"


@dataclass(frozen=True, slots=True)
class Row:
    """How one (state, event) pair is folded, and every state it may lead to."""

    fold: Callable[..., Decision]
    to: frozenset[SystemState]


_ANY: tuple[SystemState, ...] = ("active", "tripped", "doubted", "frozen")
_MOVING: tuple[SystemState, ...] = ("active", "tripped")

_ROWS: tuple[tuple[tuple[SystemState, ...], type, Callable[..., Decision], tuple[SystemState, ...]], ...] = (
    (("active",), SlotRequested, _requested, ()),
    (("tripped",), SlotRequested, _requested_tripped, ()),
    (("frozen",), SlotRequested, _requested_frozen, ()),
    (("doubted",), SlotRequested, _requested_doubted, ()),
    (_MOVING, IntentDeclared, _declared, ("tripped",)),
    (("frozen",), IntentDeclared, _declared_frozen, ()),
    (("doubted",), IntentDeclared, _declared_doubted, ()),
    (_ANY, IntentRecalled, _recalled, ()),
    (_MOVING, WritesLost, _lost, ("doubted",)),
    (("doubted", "frozen"), WritesLost, _lost, ()),
    (("doubted",), WritesReconciled, _reconciled, _MOVING),
    (("frozen",), WritesReconciled, _reconciled, ()),
    (_ANY, PolicyArmed, _armed, ()),
    (_ANY, PolicyDisarmed, _disarmed, ()),
    (_ANY, TargetFrozen, _frozen, ("frozen",)),
    (("tripped", "doubted", "frozen"), TargetUnfrozen, _unfrozen, ("active",)),
    (("frozen",), TimerFired, remind, ()),
    (_ANY, MessageDelivered, told, ()),
)

TABLE: Mapping[tuple[SystemState, type], Row] = {
    (state, event): Row(fold, frozenset({state, *further}))
    for states, event, fold, further in _ROWS
    for state in states
}


def step(target: Target, event: TargetEvent, now: int) -> Transition[Target]:
    """Fold one event into `target:*`. Total. A refused intent keeps what the refusal changed (the trip)."""
    transition = _fold(target, event, now)
    if isinstance(event, TargetFrozen | TargetUnfrozen | PolicyArmed | PolicyDisarmed) and event.by != CONFIGURATION:
        return take_once(target, event.id, transition)
    return transition


def _fold(target: Target, event: TargetEvent, now: int) -> Transition[Target]:
    state = state_of(target)
    row = TABLE.get((state, type(event)))
    if row is None:
        return Transition(target, (), Ignored(f"{event.kind} means nothing to automation that is {state}"))
    draft = TargetDraft(target, now)
    decision = row.fold(draft, event)
    if state_of(draft.target) not in row.to:
        raise AssertionError(f"{state} + {event.kind} led to {state_of(draft.target)}, which is not in the table")
    return Transition(draft.target, tuple(draft.effects), decision)
