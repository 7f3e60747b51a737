"""The law of approvals, from the humans' own ledger: no effect without a valid yes where one was due (law 5).

For each intent that arrived it asks what was due, and looks for a question that people were shown, about exactly this,
that enough of those who might decide said yes to, in time, and that covers nothing else. Called by `oracle`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from bot.core.words import Millis, Risk
from tests.simulation import actions
from tests.simulation.components import Arrival
from tests.simulation.facts import Facts
from tests.simulation.oracle_sends import CUT, CYCLE, HEDGE, KICK, batch_of, show
from tests.simulation.people import Deed
from tests.simulation.world import EPOCH

HALT, PAUSE, RESUME = "POST /api/stop-trading", "POST /api/router/pause", "POST /api/router/resume"
FLATTEN: Final = f"POST {actions.FLATTEN}"

ACTION: Final = {
    CUT: "risk.reduce_kelly", HALT: "trading.halt", PAUSE: "router.pause", RESUME: "router.resume",
    HEDGE: "orders.hedge", KICK: "http.call", FLATTEN: "orders.flatten", CYCLE: "feed.cycle",
}  # fmt: skip
RISK: Final[dict[str, Risk]] = {HALT: "risky", RESUME: "risky", KICK: "risky", FLATTEN: "critical"}
PINNED: Final = {HALT: "trading", FLATTEN: "open_orders"}  # what a yes is bound to, where the ledger shows it
ANSWER_MS: Final[Millis] = 12_000  # two tries of a click


def approved(facts: Facts) -> Iterator[str]:
    """See the module."""
    used: set[str] = set()
    for send in {send.key: send for send in reversed(facts.sends())}.values().__reversed__():
        risk, ordered = due(facts, send), _ordered(facts, send)
        if not risk:
            continue
        if ordered is not None and risk != "critical" and ordered.person in facts.able(risk, ordered.at, send.sent_at):
            continue
        question, why = _question(facts, send, risk, used)
        if question:
            used.add(question)
            continue
        yield f"{risk}, and nobody's yes covers it: {show(send)}; {why}"


def due(facts: Facts, send: Arrival) -> str:
    """The risk that people had to say yes to; "" where it might run by itself."""
    if send.request in RISK:
        return RISK[send.request]
    if _ordered(facts, send) is not None:
        return "safe"
    force = facts.in_force(facts.decided(send), send.sent_at)
    if send.request == HEDGE and force == {"stricter"}:
        return "risky"
    if send.request == CUT and force == {"suggesting"}:
        return "safe"
    return ""


def _ordered(facts: Facts, send: Arrival) -> Deed | None:
    """The order that this is, where a person gave one."""
    return next(
        (
            deed
            for deed in facts.deeds
            if deed.verb == "run" and deed.action == ACTION[send.request] and _same(send, deed.arguments)
            if deed.at <= send.sent_at and deed.component == send.component
        ),
        None,
    )


def _same(send: Arrival, arguments: str) -> bool:
    """Whether these arguments are about what was sent."""
    shown = json.loads(arguments or "{}")
    shown = shown.get("body") or shown
    return batch_of(send) == str(shown.get("batch") or shown.get("reason") or "-")


def _question(facts: Facts, send: Arrival, risk: str, used: set[str]) -> tuple[str, str]:
    """The question whose answers cover this send; or "" and what was wrong with those that were asked."""
    votes: dict[str, list[Deed]] = {}
    for deed in facts.deeds:
        shown = deed.shown
        if shown is None or deed.at > send.sent_at:
            continue
        about = (shown.action, shown.component) == (ACTION[send.request], send.component)
        if about and _same(send, shown.arguments):
            votes.setdefault(shown.approval, []).append(deed)
    whys = ["nobody was asked"] if not votes else []
    for question, deeds in sorted(votes.items(), key=lambda each: -max(deed.at for deed in each[1])):
        why = "it was used for another" if question in used else _wrong(facts, send, risk, deeds)
        if not why:
            return question, ""
        whys.append(f"{question}: {why}")
    return "", "; ".join(whys)


def _wrong(facts: Facts, send: Arrival, risk: str, deeds: list[Deed]) -> str:
    """Why the answers to one question do not cover a send."""
    denied = next((deed for deed in deeds if deed.verb == "deny" and _counts(facts, send, risk, deed)), None)
    if denied is not None and not facts.forgot(denied.at):
        return f"{denied.person} said no"
    shown = deeds[0].shown
    assert shown is not None  # only votes come here
    if EPOCH + facts.decided(send) > shown.expires_at + facts.astray(0, send.sent_at):
        return "it had run out by then"
    yes = [deed for deed in deeds if deed.verb == "approve" and not _void(facts, send, risk, deed)]
    people = {deed.person for deed in yes}
    glass = any(deed.break_glass for deed in yes)
    needed = 2 if risk == "critical" else 1
    if len(people) < needed and not glass:
        others = [f"{d.person}: {_void(facts, send, risk, d)}" for d in deeds if d not in yes and d.verb == "approve"]
        return f"{len(people)} of {needed} said yes ({', '.join(sorted(people)) or 'nobody'}; {'; '.join(others)})"
    field = PINNED.get(send.request, "")
    if field and not _was(facts, send, field, json.loads(shown.before).get(field)):
        return f"{field} was {json.loads(shown.before).get(field)} when they were asked, and not any more"
    return ""


def _counts(facts: Facts, send: Arrival, risk: str, deed: Deed) -> bool:
    """Whether a no was heard before this was sent: it was taken, or came from somebody who might say it, in good time.

    Whatever the answer: a no to what was granted and waits for its turn counts as well.
    """
    if deed.answer == "applied":
        return deed.answered_at < send.sent_at
    heard = deed.answer in ("denied", "ignored") and deed.answered_at < facts.looked(send.sent_at)
    return heard and deed.person in facts.surely(risk, deed.at, deed.answered_at)


def _void(facts: Facts, send: Arrival, risk: str, deed: Deed) -> str:
    """Why one yes does not count, "" when it does."""
    shown = deed.shown
    assert shown is not None  # only votes come here
    if deed.answer == "denied":
        return "was turned away"
    if deed.break_glass:
        able = frozenset({"demo-chief"})
    else:
        able = facts.able(risk, deed.at, deed.at + ANSWER_MS)
        able &= facts.able(risk, facts.decided(send), send.sent_at)
    if deed.person not in able:
        return "might not decide"
    if deed.person in _requesters(facts, send):
        return "brought it about"
    if EPOCH + deed.at > shown.expires_at + facts.astray(0, send.sent_at):
        return "came too late"
    return ""


def _requesters(facts: Facts, send: Arrival) -> set[str]:
    """Who fired this by hand, or ordered it."""
    batch = batch_of(send)
    fired = {f.by for f in facts.firings if f.by and f.labels.get("batch") == batch and f.began <= send.sent_at}
    ordered = _ordered(facts, send)
    return fired | ({ordered.person} if ordered is not None else set())


def _was(facts: Facts, send: Arrival, field: str, value: object) -> bool:
    """Whether the field had this value at some time shortly before it was sent."""
    changes = [a for a in facts.arrivals if a.component == send.component and a.field == field and a.at < send.at]
    if not changes:
        return True  # as it was from the beginning, which `before` of this send shows
    seen = [changes[0].before] + [a.after for a in changes]
    until = [a.at for a in changes] + [send.at]
    return any(had == value and end >= facts.read_since(send) for had, end in zip(seen, until, strict=True))
