"""Leases: what an action did is meant to last so long, and then people are asked (never undone by itself).

Used by `target_machine`. A lease begins when its action took effect, ends when its `undo` did or a person says so, and
is asked about again each time its length has passed. Asking is an errand: the `undo` is ordered as an incident of its
own, which waits for a yes; where there is none to order, people are paged. Pure.
"""

from __future__ import annotations

from dataclasses import replace

from bot.core.effects import PostMessage, Tell
from bot.core.events import ParentResolved, SlotReleased, TimerFired
from bot.core.ids import incident_id
from bot.core.orders import BY_LEASE, LeaseEnded, LeaseRenewed, StepOrdered
from bot.core.plan import Plan
from bot.core.record import Applied, Decision, Denied, Ignored
from bot.core.target import Lease, Target
from bot.core.target_moves import TargetDraft, name_of
from bot.core.words import AggregateId, JsonText

PREFIX = "lease:"  # of the timer of each lease; its action follows


def took_effect(draft: TargetDraft, event: SlotReleased) -> None:
    """An action was done: its lease begins, and the lease of what it takes back ends."""
    if event.outcome == "done":  # where nobody knows, people are still asked
        taken_back(draft, event)
    if not event.lease_ms:
        return
    earlier = draft.target.leases.get(event.action)
    if earlier is not None:
        _end(draft, event.action, earlier, f"{event.action} was done again")
    lease = Lease(
        incident=event.incident, since=draft.now, until=draft.now + event.lease_ms, for_ms=event.lease_ms,
        undo=event.undo, plan=event.undo_plan, left=event.left,
    )  # fmt: skip
    _keep(draft, event.action, lease)


def taken_back(draft: TargetDraft, event: SlotReleased) -> None:
    """What the action takes back is no longer in force: it did so, or found it so."""
    for action, lease in draft.target.leases.items():
        if lease.undo == event.action:
            _end(draft, action, lease, f"{event.action} took it back", done_by=event.incident)


def not_taken_back(draft: TargetDraft, event: SlotReleased) -> None:
    """The question was answered, and could not be carried out: it is asked again when the lease's length has passed."""
    for action, lease in draft.target.leases.items():
        if lease.errand and lease.errand == event.incident:
            _keep(draft, action, replace(lease, until=draft.now + lease.for_ms))


def left_for(target: Target, action: str) -> JsonText:
    """The component as it was left by what `action` takes back, or by its own last run; "{}" where no lease says."""
    leases = target.leases
    undone = (lease.left for lease in leases.values() if lease.undo == action)
    return next(undone, leases[action].left if action in leases else "{}")


def over(draft: TargetDraft, event: TimerFired) -> Decision:
    """Its time is up: ask, and ask again when as much time has passed once more."""
    timer, action = draft.target.timers.get(event.name), event.name.removeprefix(PREFIX)
    lease = draft.target.leases.get(action)
    if timer is None or timer.token != event.token or lease is None:
        return Ignored("a timer nobody waits for any more")
    where = name_of(draft.target).replace(":", "/")
    minutes = (draft.now - lease.since) // 60_000
    why = (
        f"{action} on {where} was meant to last until now ({minutes} min in force, since {lease.incident}): "
        f"`andon lease renew {where} {action} --for …` keeps it"
        + (f", `andon run {lease.undo}` takes it back" if lease.undo else "")
        + f", `andon lease end {where} {action}` stops asking"
    )
    draft.effects.append(
        PostMessage(id=draft.fresh("lease"), incident=lease.incident, channel="", topic="automation", text=why)
    )
    if lease.plan is None:
        draft.page(page_of(action, lease), "warning", why, incident=lease.incident)
        errand = ""
    else:
        errand = _order(draft, action, lease, lease.plan, why)
    patience = lease.plan.steps[0].approve_within_ms if lease.plan is not None else 0  # a question gets its time
    until = draft.now + max(lease.for_ms, 2 * patience)
    _keep(draft, action, replace(lease, until=until, asked=lease.asked + 1, errand=errand))
    return Applied(why)


def _order(draft: TargetDraft, action: str, lease: Lease, plan: Plan, why: str) -> AggregateId:
    """Ask in an incident of its own whether to take it back; an older question about the same lease is withdrawn."""
    _withdraw(draft, lease, "it is asked about anew")
    key = f"lease:{action}:{lease.since}:{lease.asked}"
    errand = incident_id(draft.target.system, f"{draft.target.id}/{key}", key)
    order = StepOrdered(
        id=draft.fresh("lease"), at=draft.now, key=f"{draft.target.id}/{key}", plan=plan, severity="warning",
        by=BY_LEASE, reason=why, left=lease.left,
    )  # fmt: skip
    draft.effects.append(Tell(to=errand, event=order))
    return errand


def renewed(draft: TargetDraft, event: LeaseRenewed) -> Decision:
    lease = draft.target.leases.get(event.action)
    if lease is None:
        return Denied(_none(draft, event.action))
    _unpage(draft, event.action, lease)
    _withdraw(draft, lease, f"{event.by} keeps {event.action} in force")
    asked = lease.asked if lease.plan is not None else 0  # its page is taken back
    kept = replace(lease, until=draft.now + event.for_ms, for_ms=event.for_ms, errand="", asked=asked)
    _keep(draft, event.action, kept)
    return Applied(f"{event.by} keeps {event.action} in force for another {event.for_ms // 1000} s")


def ended(draft: TargetDraft, event: LeaseEnded) -> Decision:
    lease = draft.target.leases.get(event.action)
    if lease is None:
        return Denied(_none(draft, event.action))
    _end(draft, event.action, lease, f"{event.by} ended the lease of {event.action}")
    return Applied(f"{event.by} ended the lease of {event.action}; nobody is asked about it any more")


def _keep(draft: TargetDraft, action: str, lease: Lease) -> None:
    draft.change(leases={**draft.target.leases, action: lease})
    draft.arm(f"{PREFIX}{action}", lease.until)


def _end(draft: TargetDraft, action: str, lease: Lease, why: str, done_by: AggregateId = "") -> None:
    _unpage(draft, action, lease)
    if lease.errand != done_by:
        _withdraw(draft, lease, why)
    draft.change(leases={name: kept for name, kept in draft.target.leases.items() if name != action})
    draft.disarm(f"{PREFIX}{action}")


def _withdraw(draft: TargetDraft, lease: Lease, why: str) -> None:
    """What was asked about this lease is not asked any more."""
    if lease.errand:
        over = ParentResolved(id=draft.fresh("lease"), at=draft.now, why=why)
        draft.effects.append(Tell(to=lease.errand, event=over))


def _unpage(draft: TargetDraft, action: str, lease: Lease) -> None:
    if is_paged(lease):
        draft.unpage(page_of(action, lease))


def is_paged(lease: Lease) -> bool:
    """Whether people were paged about its end."""
    return lease.asked > 0 and lease.plan is None


def page_of(action: str, lease: Lease) -> str:
    """The name of that page."""
    return f"lease:{action}:{lease.since}"


def _none(draft: TargetDraft, action: str) -> str:
    names = ", ".join(sorted(draft.target.leases)) or "none"
    return f"{action} has no lease on {name_of(draft.target)}; leases there: {names}"
