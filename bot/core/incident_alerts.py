"""What the world and people tell an incident: alerts, acknowledgements, resolutions, deliveries.

Rows of `incident_machine.TABLE`. A firing is identified by (fingerprint, startsAt): an older one is stale; the same one
again after a resolve is taken as firing (never dropped), and inside the hold it joins the episode without acting again.
Only who said that an alert fires can say that it ended; what Andon raised is taken over by nobody else.
"""

from __future__ import annotations

from dataclasses import replace

from bot.core.alert import ANDON
from bot.core.events import AlertFired, AlertResolved, MessageDelivered
from bot.core.incident import MAX_ALERTS, MAX_REQUESTERS, AlertState
from bot.core.incident_draft import Draft
from bot.core.incident_end import RECHECK_MS, describe, park, resolve, seek_resolution, take_back
from bot.core.incident_moves import (
    PATIENCE_MS,
    RECHECKS_BEFORE_PARKING,
    arm_ladder,
    end_verification,
    release_turn,
    start_episode,
)
from bot.core.orders import OperatorAcked, OperatorResolved
from bot.core.record import Applied, Decision, Denied, Ignored
from bot.core.words import severity_rank


def alert_fired(draft: Draft, event: AlertFired) -> Decision:
    alert, incident = event.alert, draft.incident
    known = incident.alerts.get(alert.fingerprint)
    if known is not None:
        if known.alert.own and not alert.own:
            return Ignored(f"{known.alert.name} is Andon's own; {alert.source} cannot tell it")
        # Of Andon's own, an older firing after an end is what another replica, which never ended it, still says.
        repeated = alert.source == ANDON and not known.firing
        if alert.starts_at < known.alert.starts_at and not repeated:
            return Ignored("stale: this firing is older than the one already known")
        if alert.starts_at <= known.alert.starts_at and known.dismissed:
            return Ignored("dismissed by a person until it fires anew")
        if alert.starts_at == known.alert.starts_at and known.firing:
            return Ignored("a copy of a known firing")
    elif not _make_room(draft):
        if incident.untracked:
            return Ignored("more alerts than are tracked one by one; the incident waits for a human to resolve it")
        draft.change(untracked=1)
        return _go_on(draft, event, f"alert number {MAX_ALERTS + 1}: further ones are not tracked one by one")
    state = AlertState(alert=alert, firing=True, changed_at=draft.now)
    draft.change(alerts={**draft.incident.alerts, alert.fingerprint: state})
    if alert.injected_by and alert.injected_by not in draft.incident.requesters:
        draft.change(requesters=(*draft.incident.requesters, alert.injected_by)[:MAX_REQUESTERS])
    if incident.episode == 0:
        return _open(draft, event)
    return _go_on(draft, event, f"{alert.name} fires too")


def _make_room(draft: Draft) -> bool:
    """Whether one more alert can be tracked; when full, the one that ended first is forgotten for it."""
    alerts = draft.incident.alerts
    if len(alerts) < MAX_ALERTS:
        return True
    ended = [(state.changed_at, fingerprint) for fingerprint, state in alerts.items() if not state.firing]
    if not ended:
        return False
    _, forgotten = min(ended)
    draft.change(alerts={fingerprint: state for fingerprint, state in alerts.items() if fingerprint != forgotten})
    return True


def _go_on(draft: Draft, event: AlertFired, why: str) -> Decision:
    """One more alert in an incident that is open already: it may be graver, and it may end the quiet."""
    incident = draft.incident
    if draft.plan.severity is None and severity_rank(event.alert.severity) > severity_rank(incident.severity):
        draft.change(severity=event.alert.severity)
        if incident.status == "parked" and event.alert.severity == "critical":
            draft.page(draft.plan.page_on_park, f"{draft.plan.policy} is critical now: {describe(draft)}")
    if incident.status == "resolved":
        return _relapse(draft)
    if incident.status == "mitigated" and "patience" not in incident.timers:
        draft.arm("patience", draft.now + PATIENCE_MS)
    return Applied(why)


def _open(draft: Draft, event: AlertFired) -> Decision:
    if event.plan is None:
        return Ignored("no plan is attached, so nothing can be opened")
    draft.change(plan=event.plan, opened_at=draft.now)
    draft.say("opened", f"{event.plan.policy}: {describe(draft)}")
    start_episode(draft)
    return Applied(f"opened by policy {event.plan.policy}")


def _relapse(draft: Draft) -> Decision:
    """Firing again after a resolve: inside the hold it is the same episode, afterwards a new one."""
    incident = draft.incident
    hold = incident.timers.get("hold")
    if hold is None or hold.due <= draft.now:  # its timer may come late; the clock decides
        start_episode(draft)
        draft.say("reopened", f"episode {draft.incident.episode}: {describe(draft)}")
        return Applied(f"episode {draft.incident.episode} begins")
    # An acknowledgement was of what has ended; who comes back is called anew.
    draft.change(timers={}, resolved_at=None, acknowledged_by="", acknowledged_at=None, taken_by="")
    arm_ladder(draft)
    draft.say("reopened", f"fires again within the hold: {describe(draft)}")
    if incident.resumes == "mitigated":
        draft.change(status="mitigated", why="fires again after mitigation; watching")
        draft.arm("patience", draft.now + RECHECK_MS * RECHECKS_BEFORE_PARKING)
    else:
        park(draft, "the alert came back within the hold; the plan is not run twice for one episode", page=True)
    return Applied("fires again inside the hold; joins the episode")


def alert_resolved(draft: Draft, event: AlertResolved) -> Decision:
    alert, incident = event.alert, draft.incident
    known = incident.alerts.get(alert.fingerprint)
    if known is None:
        return Ignored("resolved, but never seen firing here")
    if alert.source != known.alert.source:
        return Ignored(f"{known.alert.source} told that it fires, so {alert.source} cannot end it")
    if alert.starts_at < known.alert.starts_at:
        return Ignored("stale: an older firing's end")
    if not known.firing:
        return Ignored("a copy of a known end")
    same = alert.starts_at == known.alert.starts_at  # a newer firing was dismissed by nobody
    ended = AlertState(alert=alert, firing=False, changed_at=draft.now, dismissed=known.dismissed and same)
    draft.change(alerts={**incident.alerts, alert.fingerprint: ended})
    if draft.incident.firing:
        return Applied(f"{alert.name} ended; {len(draft.incident.firing)} still fire")
    if incident.status in ("mitigated", "parked", "awaiting_approval") or "retry" in incident.timers:
        seek_resolution(draft)
    return Applied("the last alert ended")


def acked(draft: Draft, event: OperatorAcked) -> Decision:
    if draft.incident.acknowledged_by:
        return Ignored(f"already acknowledged by {draft.incident.acknowledged_by}")
    draft.change(acknowledged_by=event.by, acknowledged_at=draft.now)
    return Applied(f"acknowledged by {event.by}")


def resolved_by_hand(draft: Draft, event: OperatorResolved) -> Decision:
    incident = draft.incident
    if incident.run:
        return Denied(f"{draft.step.action} is under way; its outcome comes within seconds, resolve it then")
    if (incident.firing or incident.untracked) and not event.force:
        return Denied(f"{describe(draft)}: fix or silence it first, or say --force to dismiss what fires")
    dismissed = {
        fingerprint: replace(state, dismissed=state.dismissed or state.firing)
        for fingerprint, state in incident.alerts.items()
    }
    draft.change(alerts=dismissed, untracked=0)
    if incident.status == "acting":
        release_turn(draft, "none")
    if incident.status == "verifying":
        end_verification(draft)
    resolve(draft, f"resolved by {event.by}" + (f": {event.note}" if event.note else ""))
    return Applied(f"resolved by {event.by}")


def told(draft: Draft, event: MessageDelivered) -> Decision:
    if event.error:
        return Applied(f"{event.channel} did not take a message: {event.error}")
    ours = event.page.startswith(f"{draft.incident.id}:")  # what automation says of itself is not the incident's
    if ours and event.page not in draft.incident.paged.values():
        # Who had it in hand died or was slow, and somebody else took it back meanwhile: now it is open again.
        take_back(draft, event.service, event.page)
        return Applied(f"{event.channel} took a page that was over by then: {event.reference}; it is taken back")
    return Applied(f"{event.channel} took a message: {event.reference}")
