"""One line, in mrkdwn, for each thing that lists are made of: an incident, a decision, a freeze, a system. Pure.

Used by `home` and `answers`. All foreign text goes through `text.escape`; times are date tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from bot.adapters.http_cards import Card
from bot.adapters.slack.cards.overview import Overview, SystemNow
from bot.adapters.slack.cards.phrases import change_words, place
from bot.adapters.slack.cards.text import bold, clock, coming, escape, link, moment, short, span
from bot.core.incident import Incident
from bot.core.target import Freeze
from bot.core.words import SYSTEM_TARGET, Millis
from bot.engine import figures, outlook
from policies.durations import spell

MAX_WHY: Final = 300  # characters of a reason in a list; the card has all of it
_EXPOSURE: Final = {"lowers": "lowers exposure", "neutral": "leaves exposure as it is", "raises": "raises exposure"}
_AUTOMATION: Final = {
    "active": "automation acts",
    "tripped": "automation *only suggests*: its budget is used up",
    "doubted": "automation *sends nothing*: the store has forgotten something",
    "frozen": "automation is *frozen*",
}


def incident(found: Incident, now: Millis) -> str:
    """`inc-…` · status · severity · policy · since when · why · who has it."""
    policy = found.plan.policy if found.plan else "no policy"
    head = f"{bold(found.id)}  {escape(found.status.replace('_', ' '))} · {found.severity} · {escape(policy)}"
    age = f" ({span(round(now - found.opened_at, -3))})" if now - found.opened_at >= 1_000 else ""
    return f"{head} · since {moment(found.opened_at)}{age}\n{_standing(found)}"


def _standing(found: Incident) -> str:
    parts = [short(found.why, MAX_WHY)] if found.why else []
    if found.approval is not None:
        parts.insert(0, f"*needs a decision* {coming(found.approval.terms.expires_at)}")
    if found.taken_by:
        parts.append(f"{bold(found.taken_by)} has it")
    elif found.acknowledged_by:
        parts.append(f"seen by {escape(found.acknowledged_by)}")
    else:
        parts.append("*nobody has it*")
    return " · ".join(parts)


def decision(card: Card) -> str:
    """What would be done, what changes, why, whose yes is missing, and what silence means."""
    target = f" on {escape(card['component'])}" if card["component"] else ""
    head = f"*{escape(card['action'])}*{target}: {changed(card)}"
    risk = f"{card['risk']}, {_EXPOSURE.get(card['direction'], escape(card['direction']))}"
    able = ", ".join(map(escape, card["may_still_vote"])) or "*nobody*"
    votes = f"{card['missing']} of {card['quorum']} must still say yes; {able} may"
    silence = f"{coming(card['expires_at'])}: if nobody decides, {escape(card['silence'])}"
    where = f"{escape(card['incident'])} · {escape(card['system'])} / {escape(card['policy'])}"
    return f"{head}\n{risk} · {where}\n{short(card['why'], MAX_WHY)}\n{votes}\n{silence}"


def changed(card: Card) -> str:
    """``kelly_fraction 0.25 → 0.1``, for each field that is wanted otherwise."""
    found = figures.intended(card["before"], card["wanted"])
    return change_words(found) if found else "what it changes cannot be read beforehand"


def freeze(where: str, found: Freeze) -> str:
    """What is frozen, by whom, why, until when."""
    until = f", people are asked again at {moment(found.until)}" if found.until else ", until somebody lifts it"
    told = short(found.reason, MAX_WHY)
    return f"*frozen* {escape(place(where))} by {escape(found.by)} since {moment(found.since)}{until}: {told}"


def system(found: SystemNow, view: Overview) -> str:
    """How its automation stands, and how much of its budget is left."""
    budget, used = view.budget, found.used(view.budget, view.now)
    left = max(0, budget.limit - used)
    kept = f", {budget.reserve} of them only for what lowers exposure" if budget.reserve else ""
    told = f"{left} of {budget.limit} automatic actions left in {spell(budget.within_ms)}{kept}"
    waits = f" · {found.inbox} events and {found.outbox} effects wait" if found.inbox or found.outbox else ""
    own = found.targets.get(SYSTEM_TARGET)
    found_out = sorted(own.doubts.items()) if own is not None else []
    doubts = [f"{escape(by)} found that {short(doubt.why, MAX_WHY)}" for by, doubt in found_out]
    doubt = f" ({'; '.join(doubts)})" if doubts else ""
    return f"{bold(found.name)}  {_AUTOMATION[found.state]}{doubt} · {told} · {_open(len(found.open))}{waits}"


def _open(count: int) -> str:
    return "nothing open" if not count else f"{count} open incident{'s' if count > 1 else ''}"


def leases(found: SystemNow) -> Iterator[str]:
    """What an action did that stays in force only for a time."""
    for key, target in sorted(found.targets.items()):
        for action, lease in sorted(target.leases.items()):
            where = escape(f"{found.name} / {key.removeprefix('target:')}")
            yield f"{escape(action)} is in force on {where}; people are asked about it {coming(lease.until)}"


def armings(found: SystemNow, since: Millis) -> Iterator[str]:
    """Which policies were let act, or stopped from it, since then."""
    own = found.targets.get(SYSTEM_TARGET)
    if own is None:
        return
    for word, changes in (("armed", own.armed), ("disarmed", own.disarmed)):
        for policy, change in sorted(changes.items(), key=lambda each: each[1].at):
            if change.at >= since:
                yield f"{clock(change.at)} {escape(found.name)} / {bold(policy)} {word} by {escape(change.by)}"


def policies(view: Overview) -> Iterator[str]:
    """Each policy that may act, and who armed it."""
    for plan in view.plans:
        by = view.armed(plan)
        if by:
            acts = "acts" if plan.mode == "auto" else f"only {plan.mode}s"
            yield f"{escape(plan.system)} / {bold(plan.policy)}  {acts}, armed by {escape(by)}"


def rungs(incidents: Sequence[Incident]) -> list[str]:
    """What the ladders of open incidents will do next, soonest first: one line for each incident."""
    found = [(each.id, outlook.next_rung(each)) for each in incidents]
    told = [(rung.due, name, rung.words) for name, rung in found if rung is not None and rung.due is not None]
    return [f"{bold(name)} {coming(due)}: {escape(words)}" for due, name, words in sorted(told)]


def contacts(view: Overview, *, only: str = "") -> Iterator[str]:
    """Who answers when a service is paged; with `only`, what this person answers for."""
    for contact in view.people.contacts:
        if only and only not in contact.people:
            continue
        who = ", ".join(map(escape, contact.people)) or "nobody by name"
        how = f" · by hand: {escape(contact.how)}" if contact.how else ""
        shown = f" · {link(contact.url, 'in the pager')}" if contact.url else ""
        yield f"{bold(contact.service)}  {who}, within {spell(contact.respond_within)}{how}{shown}"
