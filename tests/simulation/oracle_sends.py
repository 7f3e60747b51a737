"""Laws about what Andon sent: once, explained, towards safety, armed, not frozen, within budget, not early.

Each takes the run's `Facts` and yields a sentence for each breach. Called by `oracle`.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

from bot.core.words import SYSTEM_TARGET, AggregateId, Millis, target_id
from tests.simulation import actions
from tests.simulation.components import Arrival
from tests.simulation.facts import Facts, Line
from tests.simulation.senders import Firing

ATTEMPTS: Final = 3  # of one intent at the most (docs/architecture.md)
FLOOR: Final = 0.05  # of Kelly, in targets.yaml
HAIR: Final = 1e-9
HEDGE, KICK = f"POST {actions.HEDGE}", "POST /api/gate/kick"
CUT, CYCLE = "POST /api/risk/emergency-reduce", f"POST {actions.CYCLE}"
ONCE: Final = (HEDGE, KICK)
DECLARING_MS: Final[Millis] = 5_000  # to declare an intent, at the most
HAIR_MS: Final[Millis] = 20  # the same, where nothing is wrong
LESSER: Final = (HEDGE, KICK, CYCLE)  # lowers no exposure, so the budget's reserve is not for it
COOLDOWN_MS: Final[Millis] = 3_000  # of a hedge by policy
WAIT_MS: Final[Millis] = 3_000  # between the two feeds


def batch_of(send: Arrival) -> str:
    """What a request says it is about: its batch, or its reason."""
    body = json.loads(send.body or "{}")
    return str(body.get("batch") or body.get("reason") or "")


def show(send: Arrival) -> str:
    """A send in a few words."""
    return (
        f"{send.request} {batch_of(send)} from {send.replica} at {send.sent_at / 1_000:.3f} s (intent {send.key[:24]})"
    )


# --- once --------------------------------------------------------------------------------------------------------


def not_doubled(facts: Facts) -> Iterator[str]:
    """One intent has one effect; what counts happens no more often than it was brought about."""
    by_key: dict[str, list[Arrival]] = defaultdict(list)
    for send in facts.sends():
        by_key[send.key].append(send)
    for key, sends in by_key.items():
        if sends[0].request in ONCE and len(sends) > 1:
            yield f"{len(sends)} effects under one intent: {show(sends[0])}, again at {sends[1].sent_at / 1_000:.3f} s"
        if sends[0].component == "order-book" and sum(send.effect in ("changed", "nothing") for send in sends) > 1:
            yield f"a key that the book keeps took effect twice: {show(sends[0])}"
        if len(sends) > ATTEMPTS:
            yield f"{len(sends)} requests under one intent: {show(sends[0])}"
        if not key:
            yield f"a request without an intent: {show(sends[0])}"
    counted = Counter((send.request, batch_of(send)) for send in facts.sends() if send.request in ONCE)
    for (request, batch), count in counted.items():
        most = _brought_about(facts, batch)
        if count > most:
            yield f"{request} for {batch} arrived {count} times, and {most} firings and orders brought it about"


def _brought_about(facts: Facts, batch: str) -> int:
    """How often the world gave reason for an effect on this batch."""
    firings = [f for f in facts.firings if f.labels.get("batch") == batch]
    orders = [d for d in facts.deeds if d.verb == "run" and f'"{batch}"' in d.arguments]
    dismissed = [d for d in facts.deeds if d.verb == "resolve"]  # what fires on after that may open anew
    return sum(_began(facts, f) for f in firings) + len(orders) + (len(dismissed) if firings else 0)


def _began(facts: Facts, firing: Firing) -> int:
    """How often it began, as Andon was told: again when a copy of it was taken in after its end was (ADR 0005)."""
    heard = [h.status for h in facts.heard if (h.fingerprint, h.starts_at) == (firing.fingerprint, firing.starts_at)]
    return max(1, sum(now == "firing" != before for before, now in pairwise(["resolved", *heard])))


# --- explained ---------------------------------------------------------------------------------------------------


def explained(facts: Facts) -> Iterator[str]:
    """Every request has its intent in a chain, with the same words, and an outcome that does not deny it."""
    declared = _declared(facts)
    recalled = {line.event["intent"]["intent"] for line in facts.lines if line.kind == "intent_recalled"}
    for send in {send.key: send for send in reversed(facts.sends())}.values():
        intent = declared.get(send.key)
        if intent is None:
            yield f"no chain has an intent for {show(send)}"
            continue
        if send.key in recalled and facts.forgot(send.sent_at):
            continue  # what the store forgot, the journal has told it again, outcome and all
        found = facts.outcomes(send.key)
        if not found and not facts.forgot(send.sent_at):
            yield f"no chain has an outcome for {show(send)}"
        elif found and set(found) <= {"step_not_sent", "step_unneeded", "step_shadowed", "approval_needed"}:
            yield f"the chains say {', '.join(found)}, but it arrived: {show(send)}"
    sent = {send.key for send in facts.sends()}
    for line in facts.lines:
        key = line.event.get("intent", "")
        if line.kind != "step_succeeded" or line.decision != "applied" or key in sent:
            continue
        action = declared.get(key, {}).get("action", "")
        if action in ("orders.hedge", "http.call", "orders.flatten"):
            yield f"{line.aggregate} says that {action} was done, and nothing arrived: {line.why}"
    pages = {page.effect for page in facts.paged} - facts.explained
    strange = sorted(page for page in pages if not page.startswith("dead-letter/"))
    if strange and not facts.forgotten:
        yield f"no chain names the page {strange[0]}"


def _declared(facts: Facts) -> dict[str, Mapping[str, Any]]:
    """The intents in the chains, by their ids; also those that only a journal remembered after a failover."""
    found = [line.event for line in facts.lines if line.kind == "intent_declared" and line.decision == "applied"]
    found += [line.event["intent"] for line in facts.lines if line.kind == "intent_recalled"]
    return {intent["intent"]: intent for intent in found}


def whole(facts: Facts) -> Iterator[str]:
    """Every chain verifies."""
    yield from facts.chain_problems


# --- safe --------------------------------------------------------------------------------------------------------


def safe(facts: Facts) -> Iterator[str]:
    """Kelly is only ever cut, and never below its floor; what raises exposure is never sent by itself (see votes)."""
    kelly = [a for a in facts.arrivals if a.component == "risk-engine" and a.field == "kelly_fraction"]
    for send in kelly:
        if send.request != CUT:
            continue
        if float(send.after) < FLOOR - HAIR:
            yield f"Kelly was cut to {send.after}, below its floor: {show(send)}"
        meanwhile = any(a is not send and send.sent_at - 1_500 <= a.at <= send.at for a in kelly)
        if float(send.after) > float(send.before) + HAIR and not meanwhile:
            yield f"Kelly was raised from {send.before} to {send.after}: {show(send)}"


def armed(facts: Facts) -> Iterator[str]:
    """A policy that nobody armed acts on nothing, nor one that was disarmed before it gave its intent."""
    watched = {f.labels.get("batch") for f in facts.firings if f.name == "OnlyWatched"}
    for send in facts.sends():
        if batch_of(send) in watched:
            yield f"an unarmed policy acted: {show(send)}"
    known: set[str] = set()
    for line, send in _in_turn(facts, SYSTEM_TARGET):
        policy = line.event.get("policy", "")
        if line.kind == "policy_armed":
            known.add(policy)
        elif line.kind == "policy_disarmed":
            known.discard(policy)
        elif send is not None and known and policy not in known and not line.event["ordered"]:
            yield f"{policy} was disarmed when it gave its intent: {show(send)}"


def _in_turn(facts: Facts, aggregate: AggregateId) -> Iterator[tuple[Line, Arrival | None]]:
    """What was applied to a target, in the order of its chain, whatever the clocks said; and what was sent by it."""
    sent = {send.key: send for send in reversed(facts.sends())}
    for line in facts.lines:
        if line.aggregate == aggregate and line.decision == "applied":
            yield line, sent.get(line.event["intent"]) if line.kind == "intent_declared" else None


def frozen(facts: Facts) -> Iterator[str]:
    """From a freeze that was heard until somebody may have lifted it, nothing is sent there but what was under way."""
    lifts = [deed for deed in facts.deeds if deed.verb == "unfreeze"]
    for deed in facts.deeds:
        if deed.verb != "freeze" or deed.answer != "applied":
            continue
        until = min((lift.at for lift in lifts if lift.to == deed.to and lift.at >= deed.at), default=facts.now)
        until = min([until, *(at for at in facts.forgotten if at >= deed.at)])
        where = deed.to.removeprefix("target:")
        for send in facts.sends():
            under_way = facts.decided(send) <= deed.answered_at
            if not under_way and send.sent_at < until and where in ("*", send.component):
                yield f"{where} was frozen by {deed.person} at {deed.answered_at / 1_000:.3f} s, and then {show(send)}"
    for target in (SYSTEM_TARGET, *sorted({target_id(send.component) for send in facts.sends()})):
        by = ""
        for line, send in _in_turn(facts, target):
            if line.kind in ("target_frozen", "target_unfrozen"):
                by = line.event["by"] if line.kind == "target_frozen" else ""
            elif by and send is not None:
                yield f"{target} was frozen by {by} when this gave its intent: {show(send)}"


def budgeted(facts: Facts) -> Iterator[str]:
    """No more automatic actions in a window than the budget allows; what people ordered or approved is not counted."""
    budget = facts.budget
    if facts.offsets:
        return  # a window is told by clocks
    anew = [*facts.forgotten, *(deed.at for deed in facts.deeds if deed.verb == "unfreeze")]  # the count begins again
    declared = [line.event for line in facts.lines if line.kind == "intent_declared"]
    declared += [line.event["intent"] for line in facts.lines if line.kind == "intent_recalled"]
    by_people = {intent["intent"] for intent in declared if intent["approval"] or intent["ordered"]}
    first: dict[str, Arrival] = {}
    for send in facts.sends():
        if send.key not in by_people:
            first.setdefault(send.key, send)
    lesser = [send for send in first.values() if send.request in LESSER]
    for sends, most in ((list(first.values()), budget.limit), (lesser, budget.limit - budget.reserve)):
        times = sorted(facts.decided(send) for send in sends)
        for place, at in enumerate(times):
            slack = HAIR_MS if facts.is_calm(at, at + budget.within_ms) else DECLARING_MS
            end = min([at + budget.within_ms - slack, *(each for each in anew if each >= at - slack)])
            within = [other for other in times[place:] if other < end]
            if len(within) > most:
                yield f"{len(within)} automatic actions within {budget.within_ms / 1_000:g} s of {at / 1_000:.3f} s"
                return


def not_early(facts: Facts) -> Iterator[str]:
    """What waits for a time waits for it: cool-downs, pauses in a plan, rungs."""
    sends = facts.sends()
    hedges = [send for send in sends if send.request == HEDGE]
    policy = [send for send in hedges if batch_of(send).startswith("h")]
    for before, after in pairwise(policy):
        apart = after.sent_at - before.sent_at
        if before.key != after.key and apart < COOLDOWN_MS - facts.astray(before.sent_at, after.sent_at):
            yield f"two hedges {apart} ms apart, with a cool-down of {COOLDOWN_MS} ms: {show(before)}, {show(after)}"
    cycles = [send for send in sends if send.request == CYCLE and batch_of(send) == "stale"]
    for send in cycles:
        earlier = [a for a in cycles if a.component == "feed-a" and a.effect == "changed" and a.sent_at < send.sent_at]
        if send.component != "feed-b" or not earlier:
            continue
        apart = send.sent_at - earlier[-1].sent_at
        if apart < WAIT_MS - facts.astray(earlier[-1].sent_at, send.sent_at):
            yield f"feed-b {apart} ms after feed-a, with a pause of {WAIT_MS} ms: {show(send)}"
    yield from _rungs(facts)


RUNGS: Final = (("lead", 6_000), ("head", 12_000))  # of people-only, whose services nothing else pages


def _rungs(facts: Facts) -> Iterator[str]:
    began = [f.began for f in facts.firings if f.name == "PeopleOnly"]
    hurried = any(deed.verb == "escalate" for deed in facts.deeds)
    for service, after in RUNGS:
        for page in facts.paged:
            if page.kind != "page" or page.service != service or hurried:
                continue
            if not any(at + after - facts.astray(at, page.at) <= page.at for at in began):
                yield f"{service} was paged at {page.at / 1_000:.3f} s, less than {after} ms after anything fired"
