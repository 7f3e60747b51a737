"""What `/andon …` answers: each verb's facts as a message, what came of an order, and what was wrong with one. Pure.

`commands` gathers the facts (`overview.look`, `http_questions.find_story`, the desk's outcomes) and sends what this
renders, to the caller alone unless they ask for everybody. The words of one line are in `lines`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from bot.adapters.desk import Outcome
from bot.adapters.http_cards import Card
from bot.adapters.slack.cards import lines
from bot.adapters.slack.cards.blocks import context, header, message, section
from bot.adapters.slack.cards.list_buttons import deciding, ordering
from bot.adapters.slack.cards.overview import Overview
from bot.adapters.slack.cards.phrases import ahead, result_words
from bot.adapters.slack.cards.shapes import Block, Message
from bot.adapters.slack.cards.text import bold, clip, clock, code, escape, joined, moment, short, span
from bot.core.incident import Incident
from bot.core.record import Applied, Denied, Ignored
from bot.core.words import SYSTEM_TARGET, Millis
from bot.engine import outlook
from bot.engine.report_form import EpisodeTimes, Report

MAX_PARAGRAPH: Final = 2_900  # characters; a section takes 3,000
MAX_LISTED: Final = 20  # incidents in one answer
MAX_RESULTS: Final = 8  # steps' outcomes shown of one incident, the newest
MAX_ALERTS: Final = 6
MAX_COMING: Final = 6
MAX_MOMENTS: Final = 20  # of a report's timeline, the newest; `andon report` has all of it
MAX_OUTCOMES: Final = 20
_GOOD: Final = frozenset({"succeeded", "verified", "unneeded"})


def status(view: Overview) -> Message:
    """Is it well, what may act, what is frozen, what waits."""
    unwell = [
        f"*{escape(check.name)} is not well*: {short(check.detail, 300)}" for check in view.checks if not check.ok
    ]
    frozen = [lines.freeze(*each) for system in view.systems for each in system.frozen]
    waiting = [
        f"{bold(card['incident'])} {escape(card['action'])} until {clock(card['expires_at'])}"
        for card in view.decisions
    ]
    blocks = [
        header(f"Andon is {'NOT well' if unwell else 'well'}"),
        *_part("", unwell),
        *_part("Systems", (lines.system(each, view) for each in view.systems)),
        *_part("Frozen", frozen),
        *_part("Waits for a decision", waiting),
        *_part("Armed", lines.policies(view), "no policy: all of them only watch"),
        context(f"as of {moment(view.now)}, replica {escape(view.replica)}, you are {escape(view.person)}"),
    ]
    told = f"Andon is {'not well' if unwell else 'well'}; {len(view.incidents)} open, {len(waiting)} to be decided"
    return message(told, blocks)


def incidents(view: Overview, system: str = "") -> Message:
    """What is open; of one system where one is named."""
    found = [each for each in view.incidents if system in ("", each.system)]
    where = f" on {system}" if system else ""
    if not found:
        return message(f"No incident is open{escape(where)}.", [section(f"No incident is open{escape(where)}.")])
    told = f"{len(found)} incident{'s' if len(found) > 1 else ''} open{where}"
    shown = [section(lines.incident(each, view.now)) for each in found[:MAX_LISTED]]
    rest = [context(f"and {len(found) - MAX_LISTED} more")] if len(found) > MAX_LISTED else []
    return message(escape(told), [header(told), *shown, *rest, context("`/andon show INCIDENT` tells one of them")])


def show(
    incident: Incident,
    card: Card | None,
    now: Millis,
    *,
    archived: bool = False,
    editable: bool = False,
    aloud: bool = False,
) -> Message:
    """One incident: how it stands, what was done, what fires, what comes next. `card` is what waits for a decision.

    `editable`: a safer value than the proposed one may be asked for. `aloud`: for everybody, who would find the buttons
    of one of them, long after they have become wrong: it says where there are some instead.
    """
    plan = incident.plan
    title = f"{incident.id} {incident.status.replace('_', ' ').upper()}"
    nothing = "*nothing: it waits for a person*" if incident.status != "closed" else ""
    facts = [lines.incident(incident, now)]
    facts += ["_read back from the archive_"] if archived else []
    facts += [f"runbook: {escape(plan.runbook)}"] if plan is not None and plan.runbook else []
    blocks = [
        header(title),
        section("\n".join(facts)),
        *_question(card, editable, aloud),
        *_part("Done", _results(incident)),
        *_part("Found", (f"{bold(name)}: {short(what, 500)}" for name, what in sorted(incident.findings.items()))),
        *_part("Alerts", _alerts(incident)),
        *_part("Next", (ahead(each) for each in outlook.coming(incident)[:MAX_COMING]), nothing),
    ]
    if incident.status != "closed":
        blocks.append(_where_to_act(incident, card) if aloud else ordering(incident, "answer"))
    return message(f"{escape(title)}: {short(incident.why, 500)}", blocks)


def _question(card: Card | None, editable: bool, aloud: bool) -> list[Block]:
    """What waits for a decision, and what the caller may say to it right here."""
    if card is None:
        return []
    asked = _part("Waits for a decision", [lines.decision(card)])
    return asked if aloud else [*asked, deciding(card, "answer", editable=editable)]


def _where_to_act(incident: Incident, card: Card | None) -> Block:
    """In the place of buttons."""
    own = f"{code(f'/andon show {incident.id}')} gives you buttons of your own"
    if card is None:
        return context(f"to act: the incident's card, or {own}")
    return context(f"to decide: the decision's card, or {code(f'/andon approve {incident.id}')}", f"to act: {own}")


def _results(incident: Incident) -> Iterator[str]:
    steps = {step.id: step.action for step in (incident.plan.steps if incident.plan else ())}
    for result in incident.results[-MAX_RESULTS:]:
        outcome = result.outcome.replace("_", " ")
        shown = outcome if result.outcome in _GOOD else f"*{outcome}*"
        name = bold(steps.get(result.step, result.step))
        changed = result_words(result)
        yield f"{clock(result.at)} {name} {shown}{changed and f', {changed}'}: {short(result.why, 300)}"


def _alerts(incident: Incident) -> Iterator[str]:
    states = sorted(incident.alerts.values(), key=lambda s: (not s.firing, s.alert.fingerprint))
    for state in states[:MAX_ALERTS]:
        word = "dismissed" if state.dismissed else "firing" if state.firing else "resolved"
        labels = ", ".join(f"{k}={v}" for k, v in sorted(state.alert.labels.items()) if k != "alertname")
        name = bold(state.alert.labels.get("alertname", "(unnamed)"))
        yield f"{word} {name} {short(labels, 300)} since {moment(state.alert.starts_at)}"
    rest = len(states) - MAX_ALERTS + incident.untracked
    if rest > 0:
        yield f"and {rest} more"


def oncall(view: Overview, service: str = "") -> Message:
    """Who answers when a service is paged, and what the caller answers for."""
    every = [c.service for c in view.people.contacts]
    if service and service not in every:
        fix = f"there are: {', '.join(every) or 'none'} (people.yaml, contacts:)"
        return wrong(f"no service {service!r} is ever paged", fix)
    told = [line for line in lines.contacts(view) if not service or line.startswith(bold(service) + " ")]
    mine = lines.contacts(view, only=view.person) if view.person and not service else ()
    blocks = [
        *_part("Who answers when it is paged", told, "nobody: people.yaml has no contacts:"),
        *_part("You are called for", mine),
        *_part("Next rungs", lines.rungs(view.incidents)),
    ]
    return message("Who is on call", blocks)


def report(found: Report) -> Message:
    """The account of one incident, in short: how long it took, what was decided and done, what the audit says."""
    policy = f"{found.system} / {found.policy}" + (f" ({found.row})" if found.row else "")
    head = f"{escape(policy)} · {found.severity} · {escape(found.status)} · opened {moment(found.opened_at)}"
    decided = (
        f"{clock(d.at)} {escape(d.who) or 'automation'}: {escape(d.what)}, *{escape(d.verdict)}*"
        + (f" ({short(d.reason, 200)})" if d.reason else "")
        for d in found.decisions[-MAX_RESULTS:]
    )
    done = (f"{clock(e.at)} {bold(e.action)} {escape(e.outcome)}: {short(e.why, 200)}" for e in found.effects)
    audit = (
        f"*the audit does not hold*: {short('; '.join(found.audit_problems), 500)}"
        if found.audit_problems
        else f"the audit of {found.audit_links} links holds, head {code(found.audit_head[:12])}"
    )
    blocks = [
        header(f"Report of {found.incident}"),
        section(f"{head}\n{short(found.why, 500)}"),
        *_part("Times", map(_episode, found.episodes)),
        *_part("Decided", decided),
        *_part("Done", list(done)[-MAX_RESULTS:]),
        *_part("Timeline", _timeline(found)),
        context(audit, f"all of it: {code(f'andon report {found.incident}')}"),
    ]
    return message(f"Report of {escape(found.incident)}: {short(found.why, 500)}", blocks)


def _episode(times: EpisodeTimes) -> str:
    def told(what: str, took: Millis | None) -> str:
        return f"{what} after {span(took)}" if took is not None else f"not {what} yet"

    parts = [
        told("acknowledged", times.to_acknowledge), told("mitigated", times.to_mitigate),
        told("resolved", times.to_resolve),
    ]  # fmt: skip
    target = f", target {span(times.target)} *{times.verdict}*" if times.target else ""
    return f"episode {times.number} began {moment(times.began_at)}: {', '.join(parts)}{target}"


def _timeline(found: Report) -> Iterator[str]:
    left = len(found.timeline) - MAX_MOMENTS
    if left > 0:
        yield f"{left} earlier moments are left out"
    for each in found.timeline[-MAX_MOMENTS:]:
        yield f"{clock(each.at)} {short(each.what, 200)}" + (f": {short(each.why, 200)}" if each.why else "")


def handoff(view: Overview, since: Millis, recent: Sequence[Incident], silenced: Sequence[str] = ()) -> Message:
    """For whoever takes the shift over: what is open, what waits, what is frozen or silent, what happened meanwhile."""
    open_now = {each.id for each in view.incidents}
    over = [f"{bold(i.id)} {escape(_policy(i))}: {short(i.why, 200)}" for i in recent if i.id not in open_now]
    frozen = [lines.freeze(*each) for system in view.systems for each in system.frozen]
    leases = [line for system in view.systems for line in lines.leases(system)]
    armings = [line for system in view.systems for line in lines.armings(system, since)]
    done = [line for incident in recent for line in _done_since(incident, since)]
    blocks = [
        header("Handoff"),
        *_part("Open", (lines.incident(each, view.now) for each in view.incidents[:MAX_LISTED]), "nothing"),
        *_part("Waits for a decision", (lines.decision(card) for card in view.decisions), "nothing"),
        *_part("Next rungs", lines.rungs(view.incidents)),
        *_part("Frozen", frozen, "nothing"),
        *_part("In force for a time", leases, "nothing"),
        *_part("Silenced", (escape(each) for each in silenced), "nothing"),
        *_part(f"Armed or disarmed since {moment(since)}", armings),
        *_part(f"Done since {moment(since)}", done[-MAX_LISTED:], "nothing was done by Andon"),
        *_part(f"Over since {moment(since)}", over[:MAX_LISTED], "nothing"),
        context(f"as of {moment(view.now)}, told by {escape(view.person)}"),
    ]
    told = f"Handoff: {len(open_now)} open, {len(view.decisions)} to be decided, {len(frozen)} frozen"
    return message(told, blocks)


def _done_since(incident: Incident, since: Millis) -> Iterator[str]:
    steps = {step.id: step.action for step in (incident.plan.steps if incident.plan else ())}
    for result in incident.results:
        if result.at >= since and result.outcome in ("succeeded", "unknown", "not_sent"):
            name = bold(steps.get(result.step, result.step))
            yield f"{clock(result.at)} {name} {result.outcome.replace('_', ' ')} ({escape(incident.id)})"


def _policy(incident: Incident) -> str:
    return incident.plan.policy if incident.plan else "no policy"


def outcomes(said: str, told: Sequence[Outcome]) -> Message:
    """What came of an order, everywhere it was given. `said` is the order, in our words."""
    words = [_outcome(*each) for each in told[:MAX_OUTCOMES]]
    refused = bool(told) and all(isinstance(decision, Denied) for *_, decision in told)
    head = f"*Refused*: {escape(said)}" if refused else f"*Done*: {escape(said)}"
    return message(f"{'Refused' if refused else 'Done'}: {escape(said)}", [section(head), *_part("", words)])


def _outcome(shard: str, aggregate: str, decision: Applied | Ignored | Denied) -> str:
    where = escape(shard if aggregate == SYSTEM_TARGET else f"{shard} {aggregate.removeprefix('target:')}")
    match decision:
        case Applied(why=why):
            return f"{where}: {short(why, 500)}"
        case Ignored(reason=why):
            return f"{where}: nothing changed, {short(why, 500)}"
        case Denied(reason=why):
            return f"{where}: *no*, {short(why, 500)}"


def wrong(what: str, fix: str = "") -> Message:
    """What was wrong with a command, and what to type instead."""
    told = short(what, 1_000) + (f"\n{short(fix, 1_000)}" if fix else "")
    return message(told, [section(told)])


def help_page(verbs: Iterable[tuple[str, str]], *, topic: str = "", foot: str = "") -> Message:
    """Each verb as it is typed, and what it does; of one verb where one is named. `foot`: what holds for all."""
    shown = [(usage, what) for usage, what in verbs if not topic or usage.split(" ", 1)[0] == topic]
    told = [f"{code(f'/andon {usage}')}  {escape(what)}" for usage, what in shown]
    pages = [section(page) for page in _pages(told)]
    return message("What /andon understands", [*pages, *([context(escape(foot))] if foot else [])])


def _pages(told: Sequence[str]) -> list[str]:
    """Whole lines, in as many paragraphs as they need."""
    pages = [""]
    for line in (clip(each, MAX_PARAGRAPH) for each in told):
        if len(pages[-1]) + len(line) + 1 > MAX_PARAGRAPH:
            pages.append("")
        pages[-1] += f"\n{line}" if pages[-1] else line
    return pages


def _part(title: str, told: Iterable[str], nothing: str = "") -> list[Block]:
    """A paragraph under its title; without lines, `nothing` says so, or it is left out where that is ""."""
    shown = joined(told, MAX_PARAGRAPH) or nothing
    if not shown:
        return []
    return [section(f"*{title}*\n{shown}" if title else shown)]
