"""The incident card: one message per incident, rendered anew from its record whenever that has changed. Pure.

What fires, what is known about it, what Andon did and saw, what comes next and when, who has it, and what a person can
do about it. `board` makes the view, sends the message and edits it in place; whether it looks different now is asked by
rendering it at `text.TIMELESS`. Its thread is the timeline (`timeline`), its questions are in `decision_card`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from bot.adapters.slack.cards.blocks import actions, button, context, header, link_button, message, section
from bot.adapters.slack.cards.phrases import QUIET_LABELS, ahead, reading_line, result_words, who_has_it
from bot.adapters.slack.cards.shapes import Block, Message, Ref
from bot.adapters.slack.cards.text import bold, code, coming, escape, joined, link, moment, short, web
from bot.core.incident import AlertState, Incident, Status, StepOutcome, StepResult
from bot.core.reading import Reading
from bot.core.words import Millis
from bot.engine import outlook

MAX_WHY: Final = 600  # characters; more of one reason is not read at 03:00, and the thread has it
MAX_ALERTS: Final = 5
MAX_LABELS: Final = 160  # characters of one alert's labels
MAX_SUMMARY: Final = 240
MAX_RESULTS: Final = 6  # of this episode
MAX_FINDINGS: Final = 4
MAX_READINGS: Final = 5
MAX_COMING: Final = 5
MAX_PART: Final = 1_500  # characters of one part of the card; all parts together stay far below what Slack takes
MAX_TITLE: Final = 40  # of the policy's name in the header
MAX_NOTICE: Final = 300  # of the notification

# The state as people say it, with a mark that only repeats it: whoever sees no colour misses nothing.
STATES: Final[Mapping[Status, tuple[str, str]]] = {
    "open": ("🔴", "working on it"),
    "diagnosing": ("🔴", "diagnosing"),
    "acting": ("🟠", "acting"),
    "verifying": ("🟠", "watching the effect"),
    "awaiting_approval": ("🟣", "NEEDS A DECISION"),
    "parked": ("🟣", "NEEDS A PERSON"),
    "mitigated": ("🔵", "mitigated, still watching"),
    "resolved": ("🟢", "resolved"),
    "closed": ("⚪", "closed"),
}
OUTCOMES: Final[Mapping[StepOutcome, str]] = {
    "succeeded": "✓ done",
    "verified": "✓ its effect is seen",
    "unneeded": "○ not needed",
    "shadowed": "○ only watched, not sent",
    "asked": "? people were asked",
    "not_sent": "✗ NOT sent",
    "unknown": "✗ UNKNOWN whether it took effect",
    "denied": "✗ not allowed now",
    "unverified": "✗ its effect is NOT seen",
    "branched": "→ the ladder's own action",
}
OVER: Final[frozenset[Status]] = frozenset({"resolved", "closed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CardView:
    """Everything the card shows. Links are the configuration's or Slack's own, never from labels.

    `pages`: service -> where the pager shows it. `decision`: link to the decision card. `readings`: the newest of each
    name. `parent_card`: link to the card of the incident that this is a branch of.
    """

    incident: Incident
    shard: str
    dashboard: str = ""
    pages: Mapping[str, str] = field(default_factory=dict)
    decision: str = ""
    readings: tuple[Reading, ...] = ()
    parent_card: str = ""


def render(view: CardView, now: Millis) -> Message:
    """The card as it is to be shown at `now`."""
    incident = view.incident
    blocks = [header(_title(view)), section(_headline(view), fields=[*_facts(view)])]
    parts = {
        "What fires": _alerts(incident),
        "What is known": joined(_known(view, now), MAX_PART),
        "What Andon did, newest first": _done(incident),
        "What comes next": _next(incident),
    }
    blocks += [section(f"*{name}*\n{words}") for name, words in parts.items() if words]
    blocks += [context(small) for small in (joined(_small_print(view), MAX_PART, gap="  ·  "),) if small]
    buttons = [*_buttons(view)]
    return message(notice(view), [*blocks, actions(buttons)] if buttons else blocks)


def state(incident: Incident) -> tuple[str, str]:
    """The mark and the words for how it stands."""
    if incident.status == "parked" and incident.taken_by:
        return "🟣", "in a person's hands"
    return STATES[incident.status]


def notice(view: CardView) -> str:
    """One line for notifications, screen readers and lists."""
    incident = view.incident
    mark, words = state(incident)
    head = f"{mark} {words}: {escape(_policy(incident))} on {escape(view.shard)}, {incident.severity}"
    return f"{head}. {short(incident.why, MAX_NOTICE)} ({escape(incident.id)})"


def _policy(incident: Incident) -> str:
    return incident.plan.policy if incident.plan is not None else "no policy"


def _title(view: CardView) -> str:
    mark, words = state(view.incident)
    return f"{mark} {words} · {_policy(view.incident)[:MAX_TITLE]} · {view.shard[:MAX_TITLE]}"


def _headline(view: CardView) -> str:
    """How it stands and why; what a person must do, first."""
    incident, lines = view.incident, []
    if incident.status == "awaiting_approval":
        lines.append(link(view.decision, "The question waits for your answer") if view.decision else "")
    lines.append(bold(incident.why, MAX_WHY) or "*no reason was recorded*")
    if incident.frozen:
        lines.append("Automation is *frozen* for its target.")
    if incident.doubt:
        lines.append(f"Goes on only with a person's yes: {short(incident.doubt, MAX_WHY)}")
    return joined(lines, MAX_PART)


def _facts(view: CardView) -> Iterator[str]:
    """Two columns: how grave, since when, who, what next."""
    incident = view.incident
    episode = f", episode {incident.episode}" if incident.episode > 1 else ""
    yield f"*Severity*\n{incident.severity}"
    yield f"*Since*\n{moment(incident.episode_at or incident.opened_at)}{episode}"
    yield f"*Who has it*\n{who_has_it(incident)}"
    if incident.status in OVER:
        ended = incident.closed_at or incident.resolved_at
        yield f"*Ended*\n{moment(ended)}" if ended is not None else "*Ended*\nyes"
        return
    rung = outlook.next_rung(incident)
    yield f"*Next rung*\n{short(rung.words, MAX_SUMMARY)}" if rung is not None else "*Next rung*\nnone is left"
    if incident.paged:
        yield f"*Paged*\n{joined(_paged(view), MAX_PART, gap=', ')}"
    target = incident.plan.mttr_target_ms if incident.plan is not None else 0
    if target and incident.mitigated_at is None:
        yield f"*To be mitigated*\n{coming(incident.episode_at + target)}"


def _paged(view: CardView) -> Iterator[str]:
    for service in view.incident.called:
        yield link(view.pages.get(service, ""), service[:MAX_TITLE])


def _alerts(incident: Incident) -> str:
    """Those that fire first; what was dismissed or is over is said so."""
    states = sorted(incident.alerts.values(), key=lambda each: (not each.firing, each.alert.fingerprint))
    hidden = max(0, len(states) - MAX_ALERTS) + incident.untracked
    return joined(map(_alert, states[:MAX_ALERTS]), MAX_PART, hidden=hidden)


def _alert(each: AlertState) -> str:
    alert = each.alert
    since = f"firing since {moment(alert.starts_at)}"
    if not each.firing or each.dismissed:
        since = f"{'dismissed' if each.dismissed else 'over'} since {moment(each.changed_at)}"
    labels = ", ".join(f"{name}={value}" for name, value in sorted(alert.labels.items()) if name not in QUIET_LABELS)
    said = alert.annotations
    figures = ", ".join(f"{name} {said[name]}" for name in ("value", "threshold") if name in said)
    told = [f"{bold(alert.name, MAX_LABELS) or '(unnamed)'} {since}"]
    told += [short(labels, MAX_LABELS)] if labels else []
    told += [short(figures, MAX_LABELS)] if figures else []
    told += [f"fired by hand by {escape(alert.injected_by)}"] if alert.injected_by else []
    lines = [" · ".join(told), *(short(said[name], MAX_SUMMARY) for name in ("summary", "fix") if said.get(name))]
    return "\n".join(lines)


def _known(view: CardView, now: Millis) -> Iterator[str]:
    """Readings, the condition that they are weighed by, and what diagnoses found."""
    incident = view.incident
    readings = view.readings or (incident.approval.readings if incident.approval is not None else ())
    for found in readings[:MAX_READINGS]:
        yield reading_line(found.name, found.value, found.taken_at, found.source, found.error, now)
    plan = incident.plan
    if plan is not None and incident.cursor < len(plan.steps):
        step = plan.steps[incident.cursor]
        wants = [f"{escape(step.action)} runs only if {code(step.guard, MAX_SUMMARY)}"] if step.guard else []
        wants += [f"then waits for {code(step.verify.until, MAX_SUMMARY)}"] if step.verify is not None else []
        yield ", ".join(wants)
    for name, found_out in sorted(incident.findings.items())[:MAX_FINDINGS]:
        yield f"{bold(name, MAX_LABELS)}: {short(found_out, MAX_WHY)}"


def _done(incident: Incident) -> str:
    """Each step of this episode: what became of it, what that changed, and why."""
    actions_by_id = {step.id: step.action for step in (incident.plan.steps if incident.plan is not None else ())}
    told = [each for each in reversed(incident.results) if each.episode == incident.episode]
    lines = (_result(each, actions_by_id.get(each.step, each.step)) for each in told[:MAX_RESULTS])
    return joined(lines, MAX_PART, hidden=max(0, len(told) - MAX_RESULTS))


def _result(result: StepResult, action: str) -> str:
    head = f"{moment(result.at)} {bold(action, MAX_LABELS)} {OUTCOMES[result.outcome]}"
    changed = result_words(result)
    why = f": {short(result.why, MAX_SUMMARY)}" if result.why else ""
    return head + (f", {changed}" if changed else "") + why


def _next(incident: Incident) -> str:
    """What it waits for, soonest first; or that it waits for a person."""
    coming_up = outlook.coming(incident)
    lines = []
    if incident.held_until and holdable(incident):
        lines.append(f"the ladder's own actions are held until {moment(incident.held_until)}")
    lines += [ahead(each) for each in coming_up[:MAX_COMING]]
    if not coming_up and incident.status != "closed":
        lines.append("*nothing: it waits for a person*")
    return joined(lines, MAX_PART, hidden=max(0, len(coming_up) - MAX_COMING))


def _small_print(view: CardView) -> Iterator[str]:
    incident, plan = view.incident, view.incident.plan
    row = f", row {plan.row}" if plan is not None and plan.row else ""
    yield f"{code(incident.id)}{short(row, MAX_LABELS)}"
    if plan is not None and plan.runbook and not web(plan.runbook):  # what is no web address has no button
        yield f"runbook: {code(plan.runbook, MAX_SUMMARY)}"
    if incident.parent:
        yield link(view.parent_card, f"begun by {incident.parent}")
    for branch in incident.branches[:MAX_COMING]:
        yield f"a rung's own action: {code(branch)}"
    if incident.ordered_by:
        yield f"ordered by {escape(incident.ordered_by)}"
    yield "the thread tells what happened, in order"


def _buttons(view: CardView) -> Iterator[Block]:
    incident, plan = view.incident, view.incident.plan
    ref = Ref(incident.id)
    if incident.status not in OVER:
        if not incident.taken_by:
            yield button("I have it", "take", ref, style="primary")
        if not incident.acknowledged_by:
            yield button("Seen, stop paging", "ack", ref)
        if holdable(incident):
            yield button("Hold the ladder's action", "hold", ref)
        yield button("Call the next people", "escalate", ref)
        yield button("Resolve", "resolve", ref)
    yield button("Details", "show", ref)
    links = (
        ("Runbook", plan.runbook if plan is not None else "", "runbook"),
        ("Dashboard", view.dashboard, "dashboard"),
    )
    for label, url, place in links:
        made = link_button(label, url, place)
        if made is not None:
            yield made


def holdable(incident: Incident) -> bool:
    """Whether a rung that runs something is still ahead."""
    ladder = incident.plan.ladder if incident.plan is not None else ()
    return any(rung.step is not None and f"rung:{number}" in incident.timers for number, rung in enumerate(ladder))
